"""What repeats of a measurement say together: one that says something else than the others leaves a thing open."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from deploykit.claims.verdict import Value, figure


def repeat_ratios(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Ratios of repeats, paired in their order; those of which there are fewer stand with their median for all.

    >>> repeat_ratios([4.0, 6.0], [2.0, 2.0]), repeat_ratios([4.0, 6.0, 8.0], [2.0])
    ([2.0, 3.0], [2.0, 3.0, 4.0])
    """
    if len(upper) < len(lower):
        upper = [statistics.median(upper)] * len(lower)
    elif len(lower) < len(upper):
        lower = [statistics.median(lower)] * len(upper)
    return [one / other for one, other in zip(upper, lower, strict=True)]


def alike(sides: Iterable[int]) -> bool | None:
    """Whether all are what is stated, or all on one side of it; None where repeats differ, which tells nothing."""
    said = set(sides)
    return said == {0} if len(said) == 1 else None


def as_evidence(repeats: Sequence[float]) -> Value:
    """The values of repeats, in order: a number where there is one."""
    if len(repeats) == 1:
        return round(repeats[0], 4)
    return " ".join(f"{value:.4g}" for value in repeats)


def range_of(repeats: Sequence[float]) -> str:
    """From the lowest to the highest, for reading.

    >>> range_of([1.5, 1.25]), range_of([2.0])
    ('1.25 to 1.5', '2')
    """
    low, high = figure(min(repeats)), figure(max(repeats))
    return low if low == high else f"{low} to {high}"
