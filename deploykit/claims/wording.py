"""Numbers as they stand in explanations."""

from __future__ import annotations

from collections.abc import Iterable


def figure(value: float | int | str) -> str:
    """A number for reading: integers with separators, others to three or four digits; text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 10 else f"{value:.3g}"


def millions(value: int) -> str:
    """A count in millions, to two decimals."""
    return f"{value / 1e6:.2f}M"


def percent(share: float, *, signed: bool = False) -> str:
    """A share in per cent, to one decimal."""
    return f"{share * 100:+.1f}%" if signed else f"{share * 100:.1f}%"


def listed(items: Iterable[str]) -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    words = list(items)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
