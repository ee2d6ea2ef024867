"""The parent's side: one fresh process per row."""

from __future__ import annotations

from deploykit.bench.child import WorkerFailure, run_child
from deploykit.bench.request import AccuracyRequest, WorkerRequest, WorkerResult
from deploykit.codec import MalformedMessage

__all__ = ["AccuracyRequest", "WorkerFailure", "WorkerRequest", "WorkerResult", "run_worker"]


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
    found = run_child(
        "deploykit.bench.worker", request.to_json(), timeout_s, threads=request.threads
    )
    try:
        return WorkerResult.of_answer(found)
    except (KeyError, TypeError, MalformedMessage) as error:
        raise WorkerFailure(
            f"the measuring process' result lacks {error}; "
            "check that parent and worker are the same version of deploykit",
            "rubbish",
        ) from error
