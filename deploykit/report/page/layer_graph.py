"""The graph of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def layers_section(sheets: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> str:
    """Graphs."""
    return ""
