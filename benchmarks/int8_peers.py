"""Our int8 beside that of ONNX Runtime's own quantiser, on networks of others: how near to fp32, and how fast.

    python -m benchmarks.int8_peers [NETWORK | FILE.onnx[:1x3x320x320]]... [--no-latency] [--csv FILE]

A network is one of studies/wild.toml; all that are float there if none is named. Both sides get the same float
graph and the same images to calibrate on; other images, of the same kind, are compared on. Theirs is
`quantize_static` with Q/DQ, weights per channel and its own preparation. SNR is that of the worst output, in dB;
both engines take turns for the latency, whose ratio is ours over theirs. With --csv the rows go into that file,
where those of other networks stay.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deploykit import env
from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.errors import BuildFailed, DeploykitError
from deploykit.graph.opsets import raise_opset
from deploykit.graph.precision import convert
from deploykit.graph.precision.int8_cpu import OPSET_PER_CHANNEL
from deploykit.graph.read_write import read_model, save_model
from deploykit.ort_session import open_session, session_options
from deploykit.report.csv import CsvReport, read_cells
from deploykit.spec import InputChoice, ModelFile
from deploykit.stats import paired_ratio
from deploykit.store import Store
from deploykit.workflow.calibration import calibration_of
from deploykit.workflow.choices import CalibrationChoice, input_dims, input_shapes
from deploykit.workflow.choices import input_values as values_of
from deploykit.workflow.network import Network, obtain_network
from studies import wild

THREADS = 1
#: Images to calibrate on, and to compare on.
CALIBRATED, COMPARED = 8, 16
ROUNDS, RUNS = 10, 3

#: Of the report; "images" are those to calibrate on and those to compare on.
COLUMNS = (
    "network snr_db peer_snr_db latency_p50_ms peer_latency_p50_ms latency_ratio images note env_id"
).split()

Feeds = dict[str, np.ndarray]


def _feeds(network: Network, seed: int, count: int) -> list[Feeds]:
    """Made-up inputs, one image each."""
    inputs = network.model.inputs
    made: list[Feeds] = []
    choice = CalibrationChoice(synthetic=True, seed=seed, images=count)
    for arrays in calibration_of(network, choice).feeds([spec.name for spec in inputs]):
        if len(inputs) == 1 and inputs[0].batch_axis in (0, None):
            size = len(next(iter(arrays.values())))
            made += [{name: a[i : i + 1] for name, a in arrays.items()} for i in range(size)]
        else:
            made.append({name: np.asarray(a) for name, a in arrays.items()})
    return made


def _of_opset(source: Path, least: int, folder: Path) -> Path:
    """The graph in an opset in which scales per channel can be written, which their quantiser does not see to."""
    model = read_model(source)
    if not raise_opset(model, least, "int8"):
        return source
    save_model(model, folder / "raised.onnx")
    return folder / "raised.onnx"


def _theirs(source: Path, folder: Path, images: list[Feeds]) -> Path:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> Feeds | None:
            return next(self.left, None)

    logging.disable(logging.WARNING)
    source = _of_opset(source, OPSET_PER_CHANNEL, folder)
    prepared, made = folder / "prepared.onnx", folder / "theirs.onnx"
    try:
        quant_pre_process(str(source), str(prepared))
    except (
        Exception
    ):  # it refuses some graphs, with errors of any type; its own advice then is to go without
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(made),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return made


def _snr_db(reference: list[list[np.ndarray]], values: list[list[np.ndarray]]) -> float:
    """Signal-to-noise ratio of the worst floating-point output over all images, in dB."""
    worst = np.inf
    for k, first in enumerate(reference[0]):
        if first.dtype.kind != "f":
            continue
        pairs = [(a[k].astype(np.float64), b[k]) for a, b in zip(reference, values, strict=True)]
        if any(a.shape != b.shape for a, b in pairs):
            continue  # rows that a suppression left: their number differs
        signal = sum(float(np.square(a).sum()) for a, _ in pairs)
        noise = sum(float(np.square(a - b).sum()) for a, b in pairs)
        if noise > 0:
            worst = min(worst, 10 * np.log10(max(signal, 1e-300) / noise))
    return float(worst)


def _outputs(path: Path, images: list[Feeds]) -> list[list[np.ndarray]]:
    session = open_session(path, session_options(optimise=True), BuildFailed)
    return [session.run(None, feeds) for feeds in images]


def _latencies_ms(ours: Path, theirs: Path, feeds: Feeds) -> tuple[list[float], list[float]]:
    sides = [OnnxRuntimeSession(path, THREADS, optimise=True) for path in (ours, theirs)]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for side, times in zip(sides, taken, strict=True):
            times.append(float(np.median(side.sample([feeds], RUNS))) / 1e6)
    for side in sides:
        side.close()
    return taken[0][1:], taken[1][1:]


def _choice(options: Sequence[str]) -> InputChoice:
    """The inputs that options of the command line say."""
    said: dict[str, list[str]] = {"--shape": [], "--dim": [], "--input": []}
    for option, value in zip(options[::2], options[1::2], strict=True):
        said[option].append(value)
    return InputChoice(
        input_shapes(said["--shape"]), input_dims(said["--dim"]), values_of(said["--input"])
    )


def sources(names: Sequence[str], cache: Path) -> Iterator[tuple[str, ModelFile]]:
    """What is meant by the names on the command line: a label and the file with its inputs."""
    known = {one.name: one for one in wild.networks()}
    for name in names or [n for n, one in known.items() if "int8" in one.precisions]:
        if name in known:
            cache.mkdir(exist_ok=True)
            path = wild.fetch(known[name], cache)
            yield name, ModelFile(path, _choice(known[name].options))
        else:
            path_text, _, size = name.partition(":")
            choice = _choice(["--shape", size] if size else [])
            yield Path(path_text).stem[:32], ModelFile(Path(path_text), choice)


def compare(label: str, source: ModelFile, store: Store, *, latency: bool) -> dict[str, str]:
    """The row of one network."""
    row = {"network": label, "env_id": env.env_id(), "images": f"{CALIBRATED}+{COMPARED}"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            network = obtain_network(source, store)
            calibration = calibration_of(
                network, CalibrationChoice(synthetic=True, images=CALIBRATED)
            )
            model = network.model
            ours = convert(model, "int8", "cpu", Path(folder) / "ours.onnx", calibration).path
        except DeploykitError as error:
            return {**row, "note": str(error)}
        images, unseen = _feeds(network, 0, CALIBRATED), _feeds(network, 1, COMPARED)
        reference = _outputs(model.path, unseen)
        row["snr_db"] = f"{_snr_db(reference, _outputs(ours, unseen)):.1f}"
        try:
            with contextlib.chdir(folder):  # it leaves files in the working folder
                theirs = _theirs(model.path, Path(folder), images)
            peer_snr_db = _snr_db(reference, _outputs(theirs, unseen))
            row["peer_snr_db"] = f"{peer_snr_db:.1f}"
            if peer_snr_db == np.inf:
                row["note"] = "the peer quantised nothing that ran"
        except Exception as error:
            return {**row, "note": f"the peer fails: {' '.join(str(error).split())[:80]}"}
        if latency:
            mine, peer = _latencies_ms(ours, theirs, unseen[0])
            ratio = paired_ratio(peer, mine)
            row["latency_p50_ms"] = f"{np.median(mine):.3f}"
            row["peer_latency_p50_ms"] = f"{np.median(peer):.3f}"
            row["latency_ratio"] = f"{ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
    return row


def main() -> None:
    """Print the table for the networks named on the command line, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_peers", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".wild"))
    options = parser.parse_args()
    rows: dict[str, dict[str, str]] = {}
    if options.csv and options.csv.exists():
        rows = {row["network"]: dict(row) for row in read_cells(str(options.csv))}
    with tempfile.TemporaryDirectory() as folder:
        for label, source in sources(options.names, options.cache):
            row = compare(label, source, Store(Path(folder)), latency=not options.no_latency)
            rows[label] = row
            print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
            if options.csv:
                CsvReport(str(options.csv), COLUMNS).replace(list(rows.values()))


if __name__ == "__main__":
    main()
