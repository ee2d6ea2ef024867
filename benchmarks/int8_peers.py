"""Our int8 beside that of ONNX Runtime's own quantiser, on files: how near to fp32, and how fast.

    python -m benchmarks.int8_peers FILE.onnx[:1x3x320x320]...

Both get the same float graph and the same images to calibrate on; other images, of the same kind, are compared on.
Theirs is `quantize_static` with Q/DQ, weights per channel and its own preparation. SNR is that of the worst output,
in dB; both engines take turns for the latency, whose ratio is ours over theirs.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.errors import DeploykitError
from deploykit.graph.normalise import raise_opset
from deploykit.graph.precision import convert
from deploykit.graph.precision.int8_cpu import OPSET_PER_CHANNEL
from deploykit.graph.read_write import read_model, save_model
from deploykit.spec import InputChoice, ModelFile, OnnxModel
from deploykit.stats import paired_ratio
from deploykit.store import Store
from deploykit.workflow.calibration import calibration_of
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import Network, obtain_network

THREADS = 1
#: Images to calibrate on, and to compare on.
CALIBRATED, COMPARED = 8, 4
ROUNDS, RUNS = 10, 3

Feeds = dict[str, np.ndarray]


def _feeds(network: Network, seed: int, count: int) -> list[Feeds]:
    """Made-up inputs, one image each."""
    inputs = network.model.inputs
    made: list[Feeds] = []
    choice = CalibrationChoice(synthetic=True, seed=seed, images=count)
    for batch in calibration_of(network, choice).images():
        arrays = batch if isinstance(batch, Mapping) else {inputs[0].name: batch}
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
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
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


def compare(text: str, store: Store) -> Iterator[str]:
    """The table's line of one file."""
    name, _, size = text.partition(":")
    dims = tuple(None if n in ("", "?") else int(n) for n in size.split("x")) if size else ()
    choice = InputChoice(shapes=(("", dims),)) if dims else InputChoice()
    label = Path(name).stem[:32]
    try:
        network = obtain_network(ModelFile(Path(name), choice), store)
        images = _feeds(network, 0, CALIBRATED)
        with tempfile.TemporaryDirectory() as folder:
            yield _line(label, network.model, network, images, Path(folder))
    except DeploykitError as error:
        yield f"{label:32} {error}"


def _line(label: str, model: OnnxModel, network: Network, images: list[Feeds], folder: Path) -> str:
    calibration = calibration_of(network, CalibrationChoice(synthetic=True, images=CALIBRATED))
    ours = convert(model, "int8", "cpu", folder / "ours.onnx", calibration).path
    unseen = _feeds(network, 1, COMPARED)
    reference = _outputs(model.path, unseen)
    snr = _snr_db(reference, _outputs(ours, unseen))
    try:
        theirs = _theirs(model.path, folder, images)
        other = _snr_db(reference, _outputs(theirs, unseen))
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        return f"{label:32} {snr:8.1f} {'–':>8}  theirs fails: {reason}"
    mine, peer = _latencies_ms(ours, theirs, unseen[0])
    ratio = paired_ratio(peer, mine)
    return (
        f"{label:32} {snr:8.1f} {other:8.1f} {np.median(mine):9.3f} {np.median(peer):9.3f} "
        f"{ratio.ratio:6.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
    )


def main() -> None:
    """Print the table for the files named on the command line."""
    sys.stdout.write(f"{'network':32} {'SNR dB':>8} {'theirs':>8} {'ms':>9} {'theirs':>9}  ratio\n")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for text in sys.argv[1:]:
            for line in compare(text, store):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
