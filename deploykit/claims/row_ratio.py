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

    Returns:
        None where no pair has it.
    """
    repeats: list[float] = []
    each: list[float] = []
    for one, other in zip(above, below, strict=False):
        if take is None:
            repeats.append(one.latency_p50_ms / other.latency_p50_ms)
            (least, most), (lowest, highest) = _interval_ms(one), _interval_ms(other)
            each += [least / highest, most / lowest]
        elif (upper := take(one)) and (lower := take(other)):
            repeats.append(upper / lower)
    return RowRatio(tuple(repeats), tuple(each)) if repeats else None


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
    """Whether all ratios surely agree, all intervals together at 95%; see `whole`."""
    return whole([ratio.agrees(side, 1 - 0.05 / len(ratios)) for ratio in ratios])


def whole(each: Collection[bool | None]) -> bool | None:
    """Whether all hold: False where one does not, None where there is none or one is not known."""
    return False if False in each else None if None in each or not each else True


def alike(sides: Iterable[int]) -> bool | None:
    """Whether all are what is stated, or all on one side of it; None where they differ, which tells nothing."""
    said = set(sides)
    return said == {0} if len(said) == 1 else None
