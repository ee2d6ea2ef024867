"""What evaluating claims may spend: one thread, and training takes minutes, so that claims ask whether they may.

A claim that may not is undecided and says which command settles it. What was trained is kept in a store, where
one is given, so that nothing is trained twice and a run that was broken off goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from deploykit.errors import DeploykitError, MissingDependency
from deploykit.lazy import torch
from deploykit.store import Store

#: No training is begun after so long, all claims together.
BUDGET_S = 2 * 3600.0


class TimeIsOver(DeploykitError):
    """The time for training is over; what was trained is kept."""


@dataclass(frozen=True)
class Leave:
    """Leave to train.

    Attributes:
        store: what is trained is kept there; None keeps it in this process alone.
        end_s: no training is begun after this reading of the monotonic clock.
        say: is told of each training that begins.
    """

    store: Store | None
    end_s: float
    say: Callable[[str], None]

    def require_time(self) -> None:
        """Refuse to begin another training when the time is over.

        Raises:
            TimeIsOver: it is.
        """
        if time.monotonic() > self.end_s:
            raise TimeIsOver(
                "the time for training is over; what was trained is kept, and the same command goes on"
            )


_leave: ContextVar[Leave | None] = ContextVar("leave", default=None)


@contextlib.contextmanager
def training(
    allowed: bool,
    store: Store | None = None,
    budget_s: float = BUDGET_S,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Let checks train networks meanwhile, or not; see `Leave`."""
    end_s = time.monotonic() + budget_s
    token = _leave.set(Leave(store, end_s, say) if allowed else None)
    try:
        yield
    finally:
        _leave.reset(token)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch compute in one thread meanwhile; nothing changes where it isn't installed.

    What checks compute is small: on a busy machine threads wait for each other a hundred times as long as they
    work, and their number changes the order of sums.
    """
    try:
        before = torch.get_num_threads()
    except MissingDependency:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def may_train() -> bool:
    """Whether checks may train networks now."""
    return _leave.get() is not None


def leave() -> Leave:
    """Leave to train, which there is.

    Raises:
        RuntimeError: there is none: ask `may_train` first.
    """
    found = _leave.get()
    if found is None:
        raise RuntimeError("a check trains without leave")
    return found
