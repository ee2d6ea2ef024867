"""What the processes of one configuration say of a change: the tests, and the verdicts once all are corrected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from deploykit.report.compare.processes import Process
from deploykit.stats import DifferenceTest, RatioTest, difference_test, ratio_test

#: Chance of any false alarm among all rows of a comparison, and 1 less the confidence of intervals.
LEVEL = 0.01
#: Processes a side below which nothing is decided: two can agree by luck.
MIN_PROCESSES = 3

SLOWER, FASTER, WORSE, BETTER = "slower", "faster", "worse", "better"
SAME, UNDECIDED = "same", "undecided"


@dataclass(frozen=True)
class Limits:
    """What change matters.

    Attributes:
        slowdown: of latency, relative: 0.05 is 5%.
        accuracy_drop: of top-1 accuracy, as a fraction of all images: 0.005 is half a percentage point.
    """

    slowdown: float = 0.05
    accuracy_drop: float = 0.005


class LatencyChange(NamedTuple):
    """Latencies of both sides.

    Attributes:
        quantile: "p20" or, where a process lacks that, "p50".
        base_ms, head_ms: geometric means over processes.
        ratio: head over base.
        processes: how many measured it, base and head.
        test: None where there are too few processes.
    """

    quantile: str
    base_ms: float
    head_ms: float
    ratio: float
    processes: tuple[int, int]
    test: RatioTest | None


class AccuracyChange(NamedTuple):
    """Top-1 accuracies of both sides.

    Attributes:
        test: None where the number of images is not known.
    """

    base: float
    head: float
    images: tuple[int | None, int | None]
    test: DifferenceTest | None


def latency_of(base: Sequence[Process], head: Sequence[Process]) -> LatencyChange | None:
    """The change of latency, or None where a side has no latencies that can be compared."""
    # The low quantile is what interference moves least; both sides need the same.
    low = all(process.p20_ms is not None for side in (base, head) for process in side)
    sides = [[p.p20_ms if low else p.p50_ms for p in side] for side in (base, head)]
    ours, theirs = ([value for value in side if value is not None] for side in sides)
    if not ours or not theirs:
        return None
    test = None
    if min(len(ours), len(theirs)) >= MIN_PROCESSES:
        test = ratio_test(ours, theirs, 1 - LEVEL)
    base_ms, head_ms = _mean(ours), _mean(theirs)
    quantile, counts = "p20" if low else "p50", (len(ours), len(theirs))
    return LatencyChange(quantile, base_ms, head_ms, head_ms / base_ms, counts, test)


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def accuracy_of(base: Sequence[Process], head: Sequence[Process]) -> AccuracyChange | None:
    """The change of top-1 accuracy, or None where a side has none.

    Processes of one configuration judge the same engine on the same images: their images are not added up.
    """
    first, second = _accuracy(base), _accuracy(head)
    if first is None or second is None:
        return None
    (share_a, images_a), (share_b, images_b) = first, second
    test = None
    if images_a and images_b:
        hits = round(share_a * images_a), round(share_b * images_b)
        test = difference_test(hits[0], images_a, hits[1], images_b, 1 - LEVEL)
    return AccuracyChange(share_a, share_b, (images_a, images_b), test)


def _accuracy(side: Sequence[Process]) -> tuple[float, int | None] | None:
    shares = [process.top1 for process in side if process.top1 is not None]
    counts = [p.test_images for p in side if p.top1 is not None and p.test_images is not None]
    return (sum(shares) / len(shares), min(counts, default=None)) if shares else None


def latency_verdict(latency: LatencyChange, p_adjusted: float, limits: Limits) -> tuple[str, str]:
    """Faster, slower, same or undecided; if undecided, why and what would decide it.

    A change is called where it is beyond the limit and significant among all rows; sameness where the
    whole interval lies within the limit.
    """
    test = latency.test
    if test is None:
        few = "{} and {} processes".format(*latency.processes)
        return UNDECIDED, f"{few}, {MIN_PROCESSES} a side are the least: profile with --repeats 5"
    slow = 1 + limits.slowdown
    if p_adjusted <= LEVEL and test.ratio > slow:
        return SLOWER, ""
    if p_adjusted <= LEVEL and test.ratio < 1 / slow:
        return FASTER, ""
    if 1 / slow <= test.low and test.high <= slow:
        return SAME, ""
    more = 2 * max(latency.processes)
    seen = f"{test.low:.3g} to {test.high:.3g} times as long"
    return (
        UNDECIDED,
        f"{seen} are all possible: profile with --repeats {more}, or use a calm machine",
    )


def accuracy_verdict(
    accuracy: AccuracyChange, p_adjusted: float, limits: Limits
) -> tuple[str, str]:
    """Better, worse, same or undecided; if undecided, why and what would decide it."""
    test = accuracy.test
    if accuracy.base == accuracy.head and accuracy.images[0] == accuracy.images[1]:
        return SAME, ""  # as many of as many images
    if test is None:
        return UNDECIDED, "accuracy: the number of test images is blank: profile again"
    if p_adjusted <= LEVEL and test.difference < -limits.accuracy_drop:
        return WORSE, ""
    if p_adjusted <= LEVEL and test.difference > limits.accuracy_drop:
        return BETTER, ""
    if -limits.accuracy_drop <= test.low and test.high <= limits.accuracy_drop:
        return SAME, ""
    seen = f"{100 * test.low:+.2f} to {100 * test.high:+.2f} points"
    return UNDECIDED, f"accuracy: {seen} are all possible: use more test images"
