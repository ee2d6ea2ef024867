"""What rows of a profile say of a ratio: how large it is, and on which side of a figure it surely is.

Repeats are processes of their own, paired in their order. Three or more have an interval of their mean, by
Student's t on logarithms. One or two have none: there the ratio itself counts and, of a median latency, the
interval that each row has of it, which tells nothing of how processes differ.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from deploykit.claims.check import MeasuredRow, by_setting, distinct_label
from deploykit.claims.verdict import Value, all_hold, figure
from deploykit.stats import mean_ratio

#: An interval of a mean takes so many values.
LEAST_REPEATS = 3


@dataclass(frozen=True)
class RowRatio:
    """A quantity of one configuration over that of another.

    Attributes:
        repeats: the ratio of each pair of rows.
        each: ends of what each pair says by itself, and its ratio.
    """

    repeats: tuple[float, ...]
    each: tuple[float, ...] = ()

    @property
    def middle(self) -> float:
        """The median of the repeats."""
        return statistics.median(self.repeats)

    @property
    def evidence(self) -> Value:
        """The repeats in their order: a number where there is one."""
        if len(self.repeats) == 1:
            return round(self.repeats[0], 4)
        return " ".join(f"{value:.4g}" for value in self.repeats)

    def ends(self, confidence: float = 0.95) -> tuple[float, float]:
        """Between what the ratio is."""
        if len(self.repeats) < LEAST_REPEATS:
            every = (*self.repeats, *self.each)
            return min(every), max(every)
        mean = mean_ratio([1.0] * len(self.repeats), self.repeats, confidence=confidence)
        return mean.low, mean.high

    def agrees(self, side: Callable[[float], int], confidence: float = 0.95) -> bool | None:
        """Whether the ratio surely agrees; None where it may or may not.

        Args:
            side: of a value: 0 where it agrees, else on which side of what does it is.
            confidence: of the interval.
        """
        return alike(side(end) for end in self.ends(confidence))


def row_ratio(
    above: Sequence[MeasuredRow],
    below: Sequence[MeasuredRow],
    take: Callable[[MeasuredRow], float | None] | None = None,
) -> RowRatio | None:
    """The ratio of repeats to repeats, of their median latencies, or of what `take` has of a row.

    Where there are more of the one than of the other, these stand with the middle one of them for all.

    Returns:
        None where no pair has it.
    """
    of = take or (lambda row: row.latency_p50_ms)
    upper, lower = ([row for row in rows if of(row)] for rows in (above, below))
    if not upper or not lower:
        return None
    count = max(len(upper), len(lower))
    pairs = list(zip(_as_many(upper, of, count), _as_many(lower, of, count), strict=True))
    each: list[float] = []
    if take is None:
        for one, other in pairs:
            (least, most), (lowest, highest) = _interval_ms(one), _interval_ms(other)
            each += [least / highest, most / lowest]
    return RowRatio(tuple((of(one) or 1) / (of(other) or 1) for one, other in pairs), tuple(each))


def _as_many(
    rows: Sequence[MeasuredRow], of: Callable[[MeasuredRow], float | None], count: int
) -> Sequence[MeasuredRow]:
    if len(rows) == count:
        return rows
    return [sorted(rows, key=lambda row: of(row) or 0)[(len(rows) - 1) // 2]] * count


def _interval_ms(row: MeasuredRow) -> tuple[float, float]:
    """Of a row's median latency: its own interval, or the median where it has none."""
    low, high = row.row["latency_p50_low_ms"], row.row["latency_p50_high_ms"]
    return low or row.latency_p50_ms, high or row.latency_p50_ms


def latency_ratios(
    rows: Iterable[MeasuredRow],
    top: Callable[[MeasuredRow], bool],
    bottom: Callable[[MeasuredRow], bool],
) -> dict[str, RowRatio]:
    """Ratio of latencies in each setting in which rows of both were measured, by the setting's label."""
    ratios: dict[str, RowRatio] = {}
    for group in by_setting(rows).values():
        upper, lower = ([row for row in group if is_of(row)] for is_of in (top, bottom))
        if found := row_ratio(upper, lower):
            ratios[distinct_label(group[0].label, ratios)] = found
    return ratios


def all_agree(ratios: Collection[RowRatio], side: Callable[[float], int]) -> bool | None:
    """Whether all ratios surely agree, all intervals together at 95%; None also where there is none."""
    if not ratios:
        return None
    return all_hold(ratio.agrees(side, 1 - 0.05 / len(ratios)) for ratio in ratios)


def alike(sides: Iterable[int]) -> bool | None:
    """Whether all are what is stated, or all on one side of it; None where they differ, which tells nothing."""
    said = set(sides)
    return said == {0} if len(said) == 1 else None


def range_of(values: Sequence[float]) -> str:
    """From the lowest to the highest, for reading.

    >>> range_of([1.5, 1.25]), range_of([2.0])
    ('1.25 to 1.5', '2')
    """
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"
