"""Which precisions a backend takes: those of its target's recipes, or fewer where it says so."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.backends.protocol import Backend
from deploykit.errors import UsageError


def offered(backend: Backend) -> list[str]:
    """Names of the precisions that engines of `backend` can be built in."""
    from deploykit.graph.precision import precisions

    own = getattr(backend, "precisions", None)
    return [r.name for r in precisions(backend.target) if own is None or r.name in own]


def check_offered(backends: Sequence[Backend], wanted: Sequence[str]) -> None:
    """Refuse a precision that none of the backends has.

    Raises:
        UsageError: names it, and what they have.
    """
    for precision in wanted:
        if any(precision in offered(backend) for backend in backends):
            continue
        has = "; ".join(f"{backend.name} has {', '.join(offered(backend))}" for backend in backends)
        raise UsageError(f"no {precision} on this backend: {has}")
