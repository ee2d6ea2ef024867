"""What evaluating claims may spend: training takes minutes, so that claims which need it ask whether they may.

A claim that may not is undecided and says which command settles it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_training = ContextVar("training", default=False)


@contextlib.contextmanager
def training(allowed: bool) -> Iterator[None]:
    """Let checks train networks meanwhile, or not."""
    token = _training.set(allowed)
    try:
        yield
    finally:
        _training.reset(token)


def may_train() -> bool:
    """Whether checks may train networks now."""
    return _training.get()
