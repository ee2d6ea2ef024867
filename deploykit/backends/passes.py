"""What one run does: the forward pass, or forward and backward; only some backends know the second."""

from __future__ import annotations

from deploykit.backends.protocol import Backend, Session
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import Engine

FORWARD = "forward"
FORWARD_BACKWARD = "forward_backward"
PASSES = (FORWARD, FORWARD_BACKWARD)


def check_pass(backend: Backend, name: str) -> None:
    """Refuse a pass that a backend can't run.

    Raises:
        UnknownName: there is no such pass.
        UsageError: this backend does not have it.
    """
    if name not in PASSES:
        raise UnknownName("pass", name, PASSES)
    if name not in getattr(backend, "passes", (FORWARD,)):
        raise UsageError(
            f"{backend.name} has no {name} pass, it runs {FORWARD} only: use --backend torch or torch-compile"
        )


def load_for(backend: Backend, engine: Engine, threads: int | None, name: str) -> Session:
    """A session on `engine` whose runs are of the pass `name`.

    Raises:
        UnknownName, UsageError: as `check_pass`.
        MissingDependency, BuildFailed: as `Backend.load`.
    """
    check_pass(backend, name)
    if name == FORWARD:
        return backend.load(engine, threads)
    session: Session = backend.load(engine, threads, run_pass=name)  # type: ignore[call-arg]
    return session
