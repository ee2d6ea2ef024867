"""The checks by name, as claims.toml refers to them.

A check is called with the claim and the measured rows (empty where nothing was measured), and with the claim's
`parameters` as keywords; it returns a `Finding`. It must not import torch, numpy or onnx before it is called,
and raises MissingDependency where it can't do without one that isn't installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deploykit.claims.verdict import Finding
from deploykit.errors import UnknownName

_CHECKS: dict[str, Callable[..., Finding]] = {}

F = TypeVar("F", bound=Callable[..., Finding])


def check(function: F) -> F:
    """Register a check under its function's name."""
    name = function.__name__
    if name in _CHECKS:
        raise ValueError(f"there are two checks called {name}")
    _CHECKS[name] = function
    return function


def find_check(name: str) -> Callable[..., Finding]:
    """The check called `name`.

    Raises:
        UnknownName: there is none.
    """
    from deploykit.claims import checks  # noqa: F401  registers them

    if name not in _CHECKS:
        raise UnknownName("check", name, _CHECKS)
    return _CHECKS[name]
