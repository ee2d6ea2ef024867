"""What rows of a profile say of a ratio: how large it is, and on which side of a figure it surely is.

Repeats are processes of their own, paired with those of the same round, else in their order. Three or more have an
interval of their mean, by Student's t on logarithms. One or two have none: there the ratio itself counts and, where
it follows from median latencies, the interval that each row has of its own, with what processes differ by.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from deploykit.claims.check import MeasuredRow, by_setting, distinct_label
from deploykit.claims.verdict import Value, all_hold, figure
from deploykit.stats import PROCESS_SHIFT, mean_ratio

#: By what the ratio of two processes can be off at 95%, beside their own intervals.
_SHIFT = math.exp(1.96 * math.sqrt(2) * PROCESS_SHIFT)
#: An interval of a mean takes so many values.
LEAST_REPEATS = 3


def confidence_of_each(intervals: int) -> float:
    """The confidence of each of so many intervals, for all of them together to be at 95%."""
    return 1 - 0.05 / max(1, intervals)


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
    take: Callable[[MeasuredRow], float | None] = lambda row: row.latency_p50_ms,
) -> RowRatio | None:
    """The ratio of repeats to repeats, of their median latencies, or of what `take` has of a row.

    Returns:
        None where no pair has it.
    """
    upper, lower = ([row for row in rows if take(row)] for rows in (above, below))
    if not upper or not lower:
        return None
    pairs = _pairs(upper, lower)
    each: list[float] = []
    for one, other in pairs:
        (least, most), (lowest, highest) = _ends(one, take), _ends(other, take)
        shift = _SHIFT if least < most or lowest < highest else 1.0
        each += [least / highest / shift, most / lowest * shift]
    return RowRatio(
        tuple((take(one) or 1) / (take(other) or 1) for one, other in pairs), tuple(each)
    )


def _pairs(
    upper: Sequence[MeasuredRow], lower: Sequence[MeasuredRow]
) -> list[tuple[MeasuredRow, MeasuredRow]]:
    """Repeats of the same round beside each other; in their order where the rounds are not the same.

    What one side has more of is left out where enough is left; else the other side is gone through again.
    """
    rounds: dict[int | None, list[MeasuredRow]] = {}
    for row in lower:
        rounds.setdefault(row.row["repeat"], []).append(row)
    of_a_round = [
        (row, others.pop(0)) for row in upper if (others := rounds.get(row.row["repeat"]))
    ]
    if len(of_a_round) >= LEAST_REPEATS or len(of_a_round) == len(upper) == len(lower):
        return of_a_round
    if min(len(upper), len(lower)) >= LEAST_REPEATS:
        return list(zip(upper, lower, strict=False))
    count = max(len(upper), len(lower))
    again = (itertools.islice(itertools.cycle(rows), count) for rows in (upper, lower))
    return list(zip(*again, strict=True))


def _ends(row: MeasuredRow, take: Callable[[MeasuredRow], float | None]) -> tuple[float, float]:
    """Between what a row's value is by the interval of its median latency, where that decides it."""
    values = [take(replace(row, latency_p50_ms=end_ms)) or 1 for end_ms in _interval_ms(row)]
    return min(values), max(values)


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
    confidence = confidence_of_each(len(ratios))
    return all_hold(ratio.agrees(side, confidence) for ratio in ratios)


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
