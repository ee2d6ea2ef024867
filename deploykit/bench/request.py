"""What the parent asks of the process that measures a row, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploykit.bench import phases
from deploykit.bench.channel import WorkerFailure, run_child
from deploykit.bench.scenario import Policy
from deploykit.row import Finding, Note
from deploykit.spec import RunOptions

__all__ = ["AccuracyRequest", "WorkerFailure", "WorkerRequest", "WorkerResult", "run_worker"]


@dataclass(frozen=True)
class AccuracyRequest:
    """Judge accuracy on a part of a data set.

    Attributes:
        dataset: as for `deploykit.data.open_dataset`.
        part: "train", "calibration" or "test".
        limit: only so many images; None is all.
        batch: images per run, where the graph leaves it open.
        reference: .npz of predictions to agree with, as another worker wrote it.
        predictions: where to write those of this engine.
        scores: the output that holds class scores; None is the first that can.
        metric: "module:function" of the user's own to compute; see `bench.metric`.
        allowed_drop: where given, no more is asked than whether accuracy is below the reference's by more than
            this, and the answer, a `DropTest`, stands under "drop" in the details.
    """

    dataset: str
    part: str = "test"
    limit: int | None = None
    batch: int = 32
    reference: Path | None = None
    predictions: Path | None = None
    scores: str | None = None
    metric: str | None = None
    allowed_drop: float | None = None


@dataclass(frozen=True)
class WorkerRequest:
    """One row's worth of measuring; inputs are seeded standard normal values.

    Attributes:
        engine: folder of the engine, with its manifest.json.
        backend: name of the backend that runs it.
        batch: images per run.
        threads: threads of the runtime; None is its default.
        streams: concurrent requests, each with a session of its own.
        rate_per_s: requests that arrive per second, as a Poisson process; None sends each one as soon as
            the last is answered.
        boundary, cuda_graph: see `Scenario`.
        policy: how long to measure.
        run_pass: what one run does: "forward", or "forward_backward" on backends that can.
        options: of the runtime, see `BackendBase.run_options`.
        drift_reference: .npz of inputs and outputs that `deploykit.bench.reference` made.
        accuracy: on which data; None leaves accuracy out.
        samples_path: where to write every sample, as a compressed .npz.
        phase_page: memory to tell the phase in; see `bench.phases`. None tells nobody.
    """

    engine: Path
    backend: str
    batch: int = 1
    threads: int | None = None
    streams: int = 1
    rate_per_s: float | None = None
    boundary: str | None = None
    cuda_graph: bool = False
    policy: Policy = field(default_factory=Policy)
    run_pass: str = "forward"
    options: RunOptions = ()
    drift_reference: Path | None = None
    accuracy: AccuracyRequest | None = None
    samples_path: Path | None = None
    phase_page: str | None = None


@dataclass(frozen=True)
class WorkerResult:
    """What a worker measured.

    Attributes:
        columns: values by the names of the profile's columns; None is blank.
        notes: why columns are blank, and what else to know of the row.
        details: what has no column: memory by phase, McNemar's counts, conditions.
        findings: what makes the timing doubtful.
    """

    columns: Mapping[str, Any]
    notes: tuple[Note, ...]
    details: Mapping[str, Any]
    findings: tuple[Finding, ...]


def run_worker(request: WorkerRequest, timeout_s: float | None = None) -> WorkerResult:
    """Measure one row in a process of its own; this one sleeps meanwhile.

    Args:
        request: what to measure.
        timeout_s: kill the worker after that long; None waits for ever.

    Raises:
        WorkerFailure: nothing was measured; its message is the row's reason, `exit_code` that of the
            error in the worker.
        KeyboardInterrupt: Ctrl-C; the worker is dead by then.
    """
    told = replace(request, phase_page=phases.watched_page())
    try:
        return run_child(
            "deploykit.bench.worker", told, WorkerResult, timeout_s, threads=request.threads
        )
    finally:
        phases.nothing_is_measured()
