"""The process that measures one row: `python -m deploykit.bench.worker`, started by `request.run_worker`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import backends
from deploykit.bench import columns, metric, phases
from deploykit.bench.accuracy import NoScores, agreement, evaluate, judge_drop
from deploykit.bench.channel import serve
from deploykit.bench.conditions import HostMemory
from deploykit.bench.feeds import (
    check_batch,
    classes_of,
    find_scores,
    fixed_batch,
    may_be_scores,
    synthetic,
)
from deploykit.bench.gpu import GpuWatch
from deploykit.bench.output_drift import compare
from deploykit.bench.reference import UNSOUND, read_reference, write_npz
from deploykit.bench.request import AccuracyRequest, WorkerRequest, WorkerResult
from deploykit.bench.streams import measure_arrivals, measure_streams
from deploykit.bench.timing import Timing, measure, runs_in
from deploykit.data import open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.errors import MissingDependency, StoreChanged, UsageError
from deploykit.graph.recipes import AS_IS
from deploykit.lazy import np
from deploykit.reading import open_file
from deploykit.row import Note
from deploykit.spec import Engine, Reason
from deploykit.store import EngineManifest, read_entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import BackendBase, SessionBase
    from deploykit.data import Dataset


#: The parts of runs on a device are told apart in at most so many runs more, and for at most so long.
PHASE_RUNS, PHASE_SPAN_S = 200, 0.5
PHASES_ALONE = (
    "they are told of one stream whose requests wait for the last: leave --streams and --rate out"
)


def open_engine(folder: Path) -> Engine:
    """The engine in a folder of the store.

    Raises:
        StoreChanged: it is missing or damaged.
    """
    entry = read_entry(folder, EngineManifest)
    if entry is None:
        raise StoreChanged(f"{folder} holds no whole engine; build it again")
    return Engine(entry.path, entry.key, entry.values)


@dataclass
class Loaded:
    """An engine that is ready to be measured: a session per stream."""

    backend: BackendBase
    engine: Engine
    device: str
    sessions: list[SessionBase]
    memory: HostMemory
    gpu: GpuWatch | None

    def end_phase(self, name: str) -> None:
        """Note what the phase took, on the host and on the device."""
        self.memory.end_phase(name)
        if self.gpu is not None:
            self.gpu.end_phase(name)

    def columns(self, request: WorkerRequest) -> dict[str, Any]:
        """The columns that say what is measured."""
        first = self.sessions[0]
        return {
            "batch": request.batch,
            "streams": request.streams,
            "threads": first.threads or request.threads,
            "boundary": first.boundary,
            "enqueue": first.enqueue,
            "pass": request.run_pass,
        }

    def remarks(self) -> tuple[dict[str, Any], list[Note]]:
        """What the sessions themselves have to say of a timing: columns and notes."""
        first = self.sessions[0]
        changed: dict[str, Any] = {}
        if first.compile_s is not None:
            changed["build_s"] = round(float(self.engine.manifest["build_s"]) + first.compile_s, 3)
        return changed, list(first.notes)


@contextlib.contextmanager
def load(request: WorkerRequest) -> Iterator[Loaded]:
    """Load the engine of a request; its sessions are closed at the end.

    Raises:
        InvalidModel, MissingDependency, UsageError, BuildFailed: it can't be run as asked.
    """
    engine = open_engine(request.engine)
    backend = backends.get(request.backend)
    device = backend.device()
    if isinstance(device, Reason):
        raise MissingDependency(str(device))
    if request.streams < 1:
        raise UsageError(f"{request.streams} streams can't be run: give at least 1")
    backend.prepare()
    with contextlib.ExitStack() as stack:
        # Before the host's memory is looked at: that of CUDA's context is not the engine's.
        gpu = stack.enter_context(GpuWatch()) if backend.on_gpu() else None
        loaded = Loaded(backend, engine, device, [], HostMemory(), gpu)
        for _ in range(request.streams):
            shared = loaded.sessions[0].share() if loaded.sessions else None
            session = shared or backend.load(
                engine, request.threads, request.run_pass, request.options
            )
            loaded.sessions.append(stack.enter_context(session))
            session.measure_as(request.boundary, cuda_graph=request.cuda_graph)
        first = loaded.sessions[0]
        check_batch(first.inputs, request.batch, first.outputs)
        yield loaded


def measure_row(request: WorkerRequest) -> WorkerResult:
    """Measure one row: timing, then memory, drift and accuracy."""
    row: dict[str, Any] = {}
    notes: list[Note] = []
    page = phases.opened(request.phase_page)
    begin = (lambda name, expected_s=0.0: None) if page is None else page.begin

    def add(part: tuple[dict[str, Any], list[Note]]) -> None:
        row.update(part[0])
        notes.extend(part[1])

    begin("load")
    with load(request) as loaded:
        details: dict[str, Any] = {
            "device": loaded.device,
            "policy": asdict(request.policy),
        }
        row |= loaded.columns(request)
        timing = _time(loaded, request, begin)
        findings = timing.findings
        add(columns.of_timing(timing, request.batch, request.policy.asked_percentile))
        add(_phases(loaded, request, timing))
        add(columns.of_memory(loaded.memory))
        if loaded.gpu is not None:
            add(loaded.gpu.memory_columns())
            images = timing.samples_ns.size * request.batch
            add(loaded.gpu.state_columns(images, timing.elapsed_s))
            findings = loaded.gpu.judged(findings)
            details["gpu"] = loaded.gpu.details()
        add(loaded.remarks())
        details |= columns.details_of_timing(timing)
        details["memory"] = {name: vars(phase) for name, phase in loaded.memory.phases.items()}
        if request.samples_path is not None:
            # Throughput does not follow from latencies where requests overlap or wait to arrive.
            facts = {"runs_per_s": timing.runs_per_s, "elapsed_s": timing.elapsed_s}
            write_samples(timing.samples_ns, request.samples_path, batch=request.batch, **facts)
        first = loaded.sessions[0]
        if request.drift_reference is not None:
            begin("drift")
            add(_drift(first, request, loaded.engine, details))
        if request.accuracy is not None:
            begin("accuracy")
            add(_accuracy(loaded, request.accuracy, details))
    return WorkerResult(row, tuple(notes), details, findings)


def _time(loaded: Loaded, request: WorkerRequest, begin: Callable[[str, float], None]) -> Timing:
    sessions = loaded.sessions

    def on_phase(name: str, next_s: float) -> None:
        loaded.end_phase(name)
        if name == "warmup":
            begin("measure", next_s)

    if loaded.gpu is not None:
        loaded.gpu.follow()
    loaded.end_phase("load")
    feeds = [synthetic(session.inputs, request.batch) for session in sessions]
    loaded.end_phase("inputs")
    begin("warm up", 0.0)
    if request.rate_per_s is not None:
        return measure_arrivals(
            sessions, feeds, request.policy, request.rate_per_s, on_phase=on_phase
        )
    if len(sessions) == 1:
        return measure(sessions[0], feeds[0], request.policy, on_phase)
    return measure_streams(sessions, feeds, request.policy, on_phase)


def _phases(
    loaded: Loaded, request: WorkerRequest, timing: Timing
) -> tuple[dict[str, Any], list[Note]]:
    """Columns of the parts of some more runs on a device, of one stream that is measured alone."""
    if loaded.gpu is None:
        return {}, []
    if len(loaded.sessions) > 1 or request.rate_per_s is not None:
        return columns.of_phases(None, PHASES_ALONE)
    session, run_ns = loaded.sessions[0], float(np.median(timing.samples_ns))
    runs = min(PHASE_RUNS, timing.samples_ns.size, runs_in(PHASE_SPAN_S, run_ns))
    phases = session.phases(synthetic(session.inputs, request.batch), max(2, runs))
    return columns.of_phases(phases, f"{request.backend} does not tell them apart in this pass")


def write_samples(samples_ns: NDArray[np.int64], path: Path, **facts: float) -> None:
    """Write every latency, in nanoseconds, as a compressed .npz; `facts` are numbers beside them."""
    numbers = {name: np.float64(value) for name, value in facts.items()}
    write_npz(path, {"samples_ns": samples_ns, **numbers}, compressed=True)


def _drift(
    session: SessionBase, request: WorkerRequest, engine: Engine, details: dict[str, Any]
) -> tuple[dict[str, Any], list[Note]]:
    assert request.drift_reference is not None
    reference = read_reference(request.drift_reference)
    outputs = [session.run(feeds) for feeds in reference.inputs]
    drift = compare(reference.outputs, outputs, request.batch)
    details["drift"] = asdict(drift)
    facts = engine.manifest
    return columns.of_drift(
        drift,
        reference.source,
        converted=facts.get("precision") not in ("fp32", AS_IS),
        calibrated=bool(facts.get("calibration")),
        steps=(facts.get("precision"), facts.get("target")) == ("int8", "cpu"),
        exact=facts.get("precision") == "fp32",
    )


def _accuracy(
    loaded: Loaded, wanted: AccuracyRequest, details: dict[str, Any]
) -> tuple[dict[str, Any], list[Note]]:
    """Accuracy and the user's metric, or the reason why a network that is no classifier has none."""
    dataset = open_dataset(wanted.dataset)
    if wanted.part not in dataset.parts:
        raise UsageError(f"no part {wanted.part!r} in a data set: {', '.join(dataset.parts)}")
    cells, notes = _class_accuracy(loaded, wanted, dataset, details)
    if wanted.metric is not None:
        session = loaded.sessions[0]
        batch = min(wanted.batch, loaded.backend.largest_batch(loaded.engine) or wanted.batch)
        feeds = feeds_of(dataset.parts[wanted.part], session.inputs, batch, wanted.limit)
        value = metric.measure(wanted.metric, session, feeds, batch, labelled=dataset.labelled)
        cells |= columns.of_metric(wanted.metric, value, f"{wanted.dataset}/{wanted.part}")
    return cells, notes


def _class_accuracy(
    loaded: Loaded, wanted: AccuracyRequest, dataset: Dataset, details: dict[str, Any]
) -> tuple[dict[str, Any], list[Note]]:
    output = find_scores(loaded.sessions[0].outputs, len(dataset.classes), wanted.scores)
    reason = dataset.unjudged or _no_classifier(loaded.sessions[0], output, dataset)
    if not reason and output is not None:
        try:
            cells, notes = _top1(loaded, wanted, dataset, output, details)
            if len(loaded.sessions[0].outputs) > 1:
                said = f"top1 is of output {output!r}"
                notes = [*notes, Note("data", said, "--scores OUTPUT for another")]
            return cells, notes
        except NoScores as error:
            reason = str(error)
    text = f"top1 is blank: {reason.replace('; ', ', ')}"
    others = "" if wanted.metric else ", --metric MODULE:FUNCTION"
    return {}, [Note("data", text, f"--scores OUTPUT{others}")]


def _no_classifier(session: SessionBase, output: str | None, dataset: Dataset) -> str:
    """Why a network is no classifier of the data; empty where it may be one.

    Raises:
        UsageError: it is a classifier, of fewer classes than the data has.
    """
    outputs = session.outputs
    spec = next((spec for spec in outputs if spec.name == output), None)
    if spec is not None and len(spec.shape) == 1 and fixed_batch(session.inputs, outputs) != 1:
        return f"output {output!r} {list(spec.shape)} is no row of class scores per image"
    if spec is None:
        shapes = ", ".join(f"{one.name!r} {list(one.shape)}" for one in outputs)
        if any(map(may_be_scores, outputs)):
            wanted = len(dataset.classes)
            return f"which output holds the scores of {wanted} classes can't be told ({shapes})"
        return f"no output is one row of class scores per image ({shapes})"
    classes = classes_of(spec.shape)
    if classes is None:
        return ""
    if len(outputs) > 1 and classes < len(dataset.classes):
        return f"output {output!r} has {classes} columns for {len(dataset.classes)} classes"
    dataset.require_classes(classes)
    return ""


def _top1(
    loaded: Loaded,
    wanted: AccuracyRequest,
    dataset: Dataset,
    output: str,
    details: dict[str, Any],
) -> tuple[dict[str, Any], list[Note]]:
    session = loaded.sessions[0]
    part = dataset.parts[wanted.part]
    batch = min(wanted.batch, loaded.backend.largest_batch(loaded.engine) or wanted.batch)
    expected = None if wanted.reference is None else _predictions(wanted.reference)
    if wanted.allowed_drop is not None and expected is not None:
        test = judge_drop(session, part, expected, wanted.allowed_drop, batch, output)
        details["drop"] = asdict(test)
        return {}, []
    accuracy = evaluate(session, feeds_of(part, session.inputs, batch, wanted.limit), batch, output)
    agreed = None
    if expected is not None:
        agreed = agreement(expected, accuracy.predictions, accuracy.labels)
        details["mcnemar"] = vars(agreed)
    if wanted.predictions is not None:
        arrays = {"predictions": accuracy.predictions, "labels": accuracy.labels}
        write_npz(wanted.predictions, arrays, compressed=True)
    details["images"] = accuracy.images
    if part.unreadable:
        details["unreadable"] = part.unreadable
    cells, notes = columns.of_accuracy(accuracy, f"{wanted.dataset}/{wanted.part}", agreed)
    if part.unreadable:
        notes.append(columns.unreadable_note(part.unreadable, wanted.part))
    return cells, notes


def _predictions(path: Path) -> NDArray[np.int64]:
    """What a reference predicted.

    Raises:
        StoreChanged: the file can't be read.
    """
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
            return np.asarray(stored["predictions"])
    except UNSOUND as error:
        raise StoreChanged(
            f"the reference's predictions {path} can't be read: {error}; measure the fp32 row again"
        ) from error


if __name__ == "__main__":
    serve(WorkerRequest, measure_row)
