"""What each step of the int8 recipe is worth, and our recipe beside those of others: top-1, SNR, seconds, memory.

    python -m benchmarks.int8_recipes [NETWORK]... [--only SIDE,SIDE] [--csv FILE] [--peers PYTHON]

Every side gets the same float graph and the same first images of Fashion-MNIST's calibration part, and is judged
on all images of its test part, on ONNX Runtime and on OpenVINO. Ours is the recipe plain, with each step alone,
with all of them (of the two that correct biases, the thorough one), as it is by default, and that with rounding.
ONNX Runtime's is `quantize_static` after its own preparation: with its defaults, and with weights per channel and
its other settings. NNCF's is `quantize` as it is, and with fast_bias_correction=False; it runs in an environment of
its own (`make int8-recipes` makes it), and without that its rows say so.

Networks are the trained ones that the package ships, MobileNets whose channels were rescaled by 1 to 100
(`benchmarks/rescaled.py`), and two that are trained for this, into a cache, where it lacks them
(`benchmarks/fashion_networks.py`). Each conversion runs in a process of its own: its time, and by how much it
raised that process' memory at its peak. With --csv rows go into that file, where those of other networks and sides
stay.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.fashion_networks import trained
from benchmarks.int8_peers import Converted, resident_mib
from benchmarks.rescaled import rescale, with_relu
from deploykit import env
from deploykit.bench.contain import contained
from deploykit.code_digest import code_digest
from deploykit.data import open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.errors import BuildFailed, DeploykitError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.precision import convert, find_recipe
from deploykit.graph.read_write import open_model, read_model, save_model
from deploykit.lazy import onnx
from deploykit.ort_session import open_session, session_options
from deploykit.report.csv import CsvReport, read_cells
from deploykit.spec import ModelSpec, OnnxModel
from deploykit.store import Store
from deploykit.workflow.network import obtain_network

DATA = "fashion-mnist"
#: Images to calibrate on: NNCF's own number.
CALIBRATED = 300
BATCH = 100
LIMIT_S = 900.0

COLUMNS = (
    "network side fp32_top1 top1 openvino_top1 snr_db openvino_snr_db agreement convert_s convert_peak_mib images "
    "note device env_id code"
).split()


def _mobilenet(rho: str) -> ModelSpec:
    return ModelSpec("mobilenet", 0.25, Fraction(rho), weights=f"trained:{DATA}")


def _as_it_is(model: onnx.ModelProto) -> None:
    pass


def _rescaled_with_relu(model: onnx.ModelProto) -> None:
    with_relu(model)
    rescale(model)


def _rescaled(model: onnx.ModelProto) -> None:
    rescale(model)


#: Each network: where it comes from, a name where it is trained for this; and what is done to its float graph.
NETWORKS: dict[str, tuple[ModelSpec | str, Callable[[onnx.ModelProto], None]]] = {
    "lenet5": (ModelSpec("lenet5", weights=f"trained:{DATA}"), _as_it_is),
    "mobilenet-a0.25-r4_7": (_mobilenet("4/7"), _as_it_is),
    "mobilenet-a0.25-r4_7-rescaled": (_mobilenet("4/7"), _rescaled),
    "mobilenet-a0.25-r4_7-relu": (_mobilenet("4/7"), with_relu),
    "mobilenet-a0.25-r4_7-relu-rescaled": (_mobilenet("4/7"), _rescaled_with_relu),
    "mobilenet-a0.25-r5_7": (_mobilenet("5/7"), _as_it_is),
    "mobilenet-a0.25-r6_7": (_mobilenet("6/7"), _as_it_is),
    "mobilenet-a0.25": (_mobilenet("1"), _as_it_is),
    "se-network": ("se-network", _as_it_is),
    "efficientnet_b0": ("efficientnet_b0", _as_it_is),
}

RECIPE = find_recipe("int8", "cpu")
OURS = {
    "plain": "plain",
    **{f"only {step}": step for step in RECIPE.steps},
    "all": ",".join(step for step in RECIPE.steps if step != "bias-fast"),
    "default and rounding": "default,rounding",
    "default": "default",
}
#: Settings of `quantize_static`; "prepared" is whether its own preparation runs first.
ONNXRUNTIME: dict[str, dict[str, str | bool]] = {
    "onnxruntime": {},
    "onnxruntime per channel": {"per_channel": True},
    "onnxruntime per channel, reduced": {"per_channel": True, "reduce_range": True},
    "onnxruntime per channel, reduced, entropy": {
        "per_channel": True,
        "reduce_range": True,
        "method": "Entropy",
    },
}
NNCF = {"nncf": True, "nncf accurate bias": False}
SIDES = (*OURS, *ONNXRUNTIME, *NNCF)


def convert_ours(source: Path, images: Path, path: Path, steps: str) -> Converted:
    """Convert with deploykit, in a process that does nothing else."""
    model = open_model(source)
    values = np.load(images)["x"]
    pieces = [values[i : i + 8] for i in range(0, len(values), 8)]
    calibration = Calibration(lambda: iter(pieces), len(values), steps=RECIPE.chosen(steps))
    before_mib, start_s = resident_mib("VmRSS"), time.perf_counter()
    convert(model, "int8", "cpu", path, calibration)
    took_s = time.perf_counter() - start_s
    return Converted(path, took_s, resident_mib("VmHWM") - before_mib)


def convert_onnxruntime(source: Path, images: Path, path: Path, setting: str) -> Converted:
    """Convert with ONNX Runtime's quantiser, in a process that does nothing else."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, feeds: Iterator[dict[str, np.ndarray]]) -> None:
            self.left = feeds

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    logging.disable(logging.WARNING)
    values = np.load(images)["x"]
    name = open_model(source).inputs[0].name
    asked = dict(ONNXRUNTIME[setting])
    method = CalibrationMethod[str(asked.pop("method", "MinMax"))]
    before_mib, start_s = resident_mib("VmRSS"), time.perf_counter()
    prepared = path.with_suffix(".prepared.onnx")
    # Without it: its symbolic inference leaves files in the working folder, and these graphs need none.
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        Reader({name: values[i : i + 1]} for i in range(len(values))),
        activation_type=QuantType.QUInt8,
        calibrate_method=method,
        **asked,
    )
    took_s = time.perf_counter() - start_s
    return Converted(path, took_s, resident_mib("VmHWM") - before_mib)


def convert_nncf(python: Path, source: Path, images: Path, path: Path, *, fast: bool) -> Converted:
    """Convert with NNCF, in its own environment.

    Raises:
        BuildFailed: there is none, or it fails.
    """
    if not python.is_file():
        raise BuildFailed(f"NNCF is not installed: no {python}")
    script = Path(__file__).with_name("nncf_peer.py")
    command = [str(python), str(script), str(source), str(images), str(path), str(int(fast))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise BuildFailed(" ".join(done.stderr.split())[-120:])
    found = json.loads(done.stdout.splitlines()[-1])
    return Converted(path, found["seconds"], found["peak_mib"])


@dataclass(frozen=True)
class Case:
    """A network with what it is judged by.

    Attributes:
        name: of the network.
        model: its float graph.
        images: file of those to calibrate on, as the network takes them.
        test: images to judge on, batch by batch.
        labels: of all of them.
        reference: what the float graph makes of them.
    """

    name: str
    model: OnnxModel
    images: Path
    test: list[np.ndarray]
    labels: np.ndarray
    reference: np.ndarray


def case_of(name: str, folder: Path) -> Case:
    """Make a network and its images in a folder."""
    spec, change = NETWORKS[name]
    source = trained(spec) if isinstance(spec, str) else spec
    network = obtain_network(source, Store(folder / "store"))
    proto = read_model(network.model.path)
    change(proto)
    path = folder / f"{name}.onnx"
    save_model(proto, path)
    model = open_model(path)
    data = open_dataset(DATA)
    feed = model.inputs[0].name
    parts = list(feeds_of(data.calibration.first(CALIBRATED), model.inputs, BATCH))
    images = folder / f"{name}.npz"
    np.savez(images, x=np.concatenate([np.asarray(_feed(arrays, feed)) for arrays, _ in parts]))
    test = list(feeds_of(data.test, model.inputs, BATCH))
    pixels = [np.asarray(_feed(arrays, feed)) for arrays, _ in test]
    labels = np.concatenate([labels for _, labels in test])
    return Case(name, model, images, pixels, labels, _on_onnxruntime(path, pixels))


def _feed(arrays: object, name: str) -> object:
    return arrays[name] if isinstance(arrays, dict) else arrays


def _on_onnxruntime(path: Path, test: list[np.ndarray]) -> np.ndarray:
    session = open_session(path, session_options(optimise=True), BuildFailed)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images})[0] for images in test])


def _on_openvino(path: Path, test: list[np.ndarray]) -> np.ndarray:
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU")
    return np.concatenate([compiled(images)[0] for images in test])


def _snr_db(reference: np.ndarray, values: np.ndarray) -> str:
    wide = reference.astype(np.float64)
    noise = np.square(wide - values).sum()
    return "inf" if noise == 0 else f"{10 * np.log10(np.square(wide).sum() / noise):.2f}"


def row_of(case: Case, side: str, folder: Path, python: Path) -> dict[str, str]:
    """Convert a network by one side and judge it; what fails is the row's note."""
    row = {"network": case.name, "side": side, "images": f"{CALIBRATED}+{len(case.labels)}"}
    row |= {"device": env.device_name(), "env_id": env.env_id(), "code": state_of_code()}

    def top1(scores: np.ndarray) -> str:
        return f"{(scores.argmax(axis=1) == case.labels).mean():.4f}"

    row["fp32_top1"] = top1(case.reference)
    path = folder / "converted.onnx"
    asked = {"doing": f"converting {case.name}: {side}", "failed": BuildFailed, "limit_s": LIMIT_S}
    source, images = case.model.path, case.images
    try:
        if side in OURS:
            made = contained(convert_ours, source, images, path, OURS[side], **asked)
        elif side in ONNXRUNTIME:
            made = contained(convert_onnxruntime, source, images, path, side, **asked)
        else:
            made = convert_nncf(python, source, images, path, fast=NNCF[side])
        row["convert_s"] = f"{made.seconds:.2f}"
        row["convert_peak_mib"] = f"{made.peak_mib:.0f}"
        scores = _on_onnxruntime(made.path, case.test)
        row["top1"], row["snr_db"] = top1(scores), _snr_db(case.reference, scores)
        same = scores.argmax(axis=1) == case.reference.argmax(axis=1)
        row["agreement"] = f"{same.mean():.4f}"
        scores = _on_openvino(made.path, case.test)
        row["openvino_top1"] = top1(scores)
        row["openvino_snr_db"] = _snr_db(case.reference, scores)
    except (DeploykitError, subprocess.TimeoutExpired, RuntimeError) as error:
        row["note"] = " ".join(str(error).split())[:120]
    return row


def state_of_code() -> str:
    """What tells this state of the recipe and of these networks apart."""
    return code_digest("deploykit.graph.precision")[:12]


def main() -> int:
    """Print the table for the networks named on the command line, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int8_recipes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--only", help="sides, with commas")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin/python"))
    options = parser.parse_args()
    sides = options.only.split(",") if options.only else SIDES
    for wrong in [n for n in options.names if n not in NETWORKS] + [
        s for s in sides if s not in SIDES
    ]:
        parser.error(f"unknown network or side {wrong!r}; known: {', '.join((*NETWORKS, *SIDES))}")
    rows: dict[tuple[str, str], dict[str, str]] = {}
    if options.csv and options.csv.exists():
        kept = (dict(row) for row in read_cells(str(options.csv)))
        rows = {(row["network"], row["side"]): row for row in kept}
    with tempfile.TemporaryDirectory(prefix="deploykit-") as name:
        folder = Path(name)
        for network in options.names or NETWORKS:
            case = case_of(network, folder)
            for side in sides:
                row = row_of(case, side, folder, options.peers)
                rows[network, side] = row
                print("  ".join(f"{k}={row[k]}" for k in COLUMNS[:12] if k in row), flush=True)
                if options.csv:
                    CsvReport(str(options.csv), COLUMNS).replace(list(rows.values()))
    return 0


if __name__ == "__main__":
    # Under its own name, so that processes of its calls find its functions.
    from benchmarks import int8_recipes

    sys.exit(int8_recipes.main())
