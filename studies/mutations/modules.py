"""The module of a claim's check, whose parts are replaced for a while."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any
from unittest import mock

from deploykit.claims import Claim
from deploykit.claims.check import find_check


def module_of(claim: Claim) -> ModuleType:
    """The module that the claim's check is in."""
    return sys.modules[find_check(claim.check).function.__module__]


@contextlib.contextmanager
def replaced(claim: Claim, module: ModuleType, others: Mapping[str, Any]) -> Iterator[None]:
    """Have other things under these names of a module, and nothing remembered by the claim's check meanwhile."""
    own = vars(module_of(claim)).values()
    remembered = [one.cache_clear for one in own if hasattr(one, "cache_clear")]
    for forget in remembered:
        forget()
    try:
        with mock.patch.multiple(module, **others):
            yield
    finally:
        for forget in remembered:
            forget()
