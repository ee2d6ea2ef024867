"""The processes of one configuration: what each measured, which of two reports belong together, and what they say.

A configuration is named by its identity columns. A change of latency or accuracy is tested over its processes, and
the verdict follows once the p-values of all configurations are corrected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from deploykit.columns import BY_NAME, IDENTITY_NAMES, SOFT_NAMES, checked_by
from deploykit.errors import UsageError
from deploykit.figures import general
from deploykit.report.csv import Table, number, positive, share
from deploykit.report.states import words_of
from deploykit.row import STABLE
from deploykit.stats import (
    DifferenceTest,
    RatioTest,
    difference_test,
    mean_difference_test,
    ratio_test,
)

_NAMED = (*IDENTITY_NAMES, *SOFT_NAMES)
_VALUES = tuple(name for name in checked_by("compare") if name not in _NAMED)
#: All columns that are read, beside the schema's version.
READ = (*_NAMED, *_VALUES)
_ENV, _SOFT_END = IDENTITY_NAMES.index("env_id"), len(_NAMED)
#: Where a blank stands for a value: the place in a key, and the value.
_BLANKS = [(i, BY_NAME[n].blank) for i, n in enumerate(IDENTITY_NAMES) if BY_NAME[n].blank]
_STATUS, _RUN_ID, _REPEAT, _REASON, _STABILITY, _VERSION, _P20, _P50, _TOP1, _IMAGES, *_METRIC = (
    _VALUES.index(name)
    for name in (
        "status",
        "run_id",
        "repeat",
        "reason",
        "stability",
        "backend_version",
        "latency_p20_ms",
        "latency_p50_ms",
        "top1",
        "test_images",
        "metric_value",
        "metric_low",
        "metric_high",
    )
)

Key = tuple[str, ...]


class Process(NamedTuple):
    """One row: what one process measured, the unit of comparison.

    Attributes:
        line: of the file, for errors.
        soft: values of the soft columns.
        p20_ms, p50_ms: quantiles of its latencies; None where it has none.
        top1: share of `test_images` that it got right.
        metric: value of the user's metric and its 95% interval, whose ends are None where images are too few for
            one; None where it has none.
        stability: "stable", or what makes its timing doubtful; empty where it was not timed.
    """

    line: int
    soft: Key
    status: str
    run_id: str
    repeat: str
    reason: str
    backend_version: str
    p20_ms: float | None
    p50_ms: float | None
    top1: float | None
    test_images: int | None
    metric: tuple[float, float | None, float | None] | None
    stability: str = ""


def read_processes(table: Table, *, across_machines: bool) -> dict[Key, list[Process]]:
    """The rows of a report by their configuration.

    Args:
        table: opened with the columns `READ`.
        across_machines: leave the machine out of the configuration.

    Raises:
        UsageError: a latency or an accuracy is no such number, a report to be compared across machines
            holds several of them, or whatever reading raises.
    """
    by_key: dict[Key, list[Process]] = {}
    machines: set[str] = set()
    # The same few texts stand in many rows: one copy of each is enough.
    seen: dict[Key, Key] = {}
    for line, cells in table.rows:
        names = list(cells[: len(IDENTITY_NAMES)])
        machines.add(names[_ENV])
        for place, value in _BLANKS:
            names[place] = names[place] or value
        if across_machines:
            names[_ENV] = ""
        soft = cells[len(IDENTITY_NAMES) : _SOFT_END]
        process = _process(table.path, line, seen.setdefault(soft, soft), cells[_SOFT_END:])
        by_key.setdefault(tuple(names), []).append(process)
    if across_machines and len(machines) > 1:
        raise UsageError(
            f"{table.path} holds rows of {len(machines)} machines: --across-machines takes one a report"
        )
    return by_key


def _process(source: str, line: int, soft: Key, cells: tuple[str, ...]) -> Process:
    images = positive(cells[_IMAGES], "test_images", source, line)
    value, low, high = (number(cells[place], _VALUES[place], source, line) for place in _METRIC)
    if low is not None and high is not None and not low <= high:
        raise UsageError(
            f"{source}, line {line}: metric_low {cells[_METRIC[1]]} is above metric_high {cells[_METRIC[2]]}"
        )
    return Process(
        line,
        soft,
        cells[_STATUS],
        cells[_RUN_ID],
        cells[_REPEAT],
        "" if cells[_STATUS] == "ok" else cells[_REASON],
        cells[_VERSION],
        positive(cells[_P20], "latency_p20_ms", source, line),
        positive(cells[_P50], "latency_p50_ms", source, line),
        share(cells[_TOP1], "top1", source, line),
        None if images is None else round(images),
        None if value is None else (value, low, high),
        cells[_STABILITY],
    )


def doubt_of(side: Sequence[Process]) -> str:
    """What makes the latencies of most processes of a side doubtful, a word or two for each cause; else empty.

    Of three processes or more, what disturbed fewer than half is in the spread that the test judges by.
    """
    doubtful = [one for one in side if one.stability not in ("", STABLE)]
    if not doubtful or (len(side) >= MIN_PROCESSES and 2 * len(doubtful) <= len(side)):
        return ""
    return ", ".join(words_of({"stability": doubtful[0].stability}))


def check_unique(source: str, processes: list[Process]) -> None:
    """Refuse a configuration that holds one process twice.

    Raises:
        UsageError: it does, with the lines of both rows.
    """
    lines: dict[tuple[str, str], int] = {}
    for one in processes:
        before = lines.setdefault((one.run_id, one.repeat), one.line)
        if before != one.line:
            raise UsageError(
                f"{source}, lines {before} and {one.line}: duplicate rows, of one configuration, run and "
                "repeat; leave one out"
            )


class HasSoft(Protocol):
    """Whatever has values of the soft columns."""

    @property
    def soft(self) -> Key:
        """Values of the soft columns."""


T = TypeVar("T", bound=HasSoft)
Groups = dict[Key, list[Process]]


class Match(NamedTuple):
    """One configuration and the processes that measured it; none on a side that lacks it.

    Attributes:
        key: values of the identity columns.
        soft: values of the soft columns, of whichever side has them.
        near: where a side lacks it, the columns in which the other report's rows of the same key differ.
    """

    key: Key
    soft: Key
    base: list[Process]
    head: list[Process]
    near: tuple[str, ...] = ()


def match(
    base: Mapping[Key, list[Process]],
    head: Mapping[Key, list[Process]],
    names: tuple[str, str],
) -> Iterator[Match]:
    """Pair the configurations of two reports, in the order of the first, then those only in the second.

    Args:
        base: processes by identity.
        head: as well.
        names: of the two files, for errors.

    Raises:
        UsageError: a report holds one process twice.
    """
    for key in (*base, *(key for key in head if key not in base)):
        ours, theirs = by_soft(base.get(key, [])), by_soft(head.get(key, []))
        for source, groups in zip(names, (ours, theirs), strict=True):
            for processes in groups.values():
                check_unique(source, processes)
        yield from _pair(key, ours, theirs)


def by_soft(processes: Sequence[T]) -> dict[Key, list[T]]:
    """The processes of one identity by their soft columns; one with blanks joins the only group that it fits.

    Fitting means that the group has all values of the other and more: a row that failed early knows little.
    """
    groups: dict[Key, list[T]] = {}
    for process in processes:
        groups.setdefault(process.soft, []).append(process)
    if len(groups) > 1:
        for soft in sorted(groups, key=lambda values: -values.count("")):
            fuller = [other for other in groups if other != soft and _within(soft, other)]
            fullest = [o for o in fuller if not any(o != p and _within(o, p) for p in fuller)]
            if len(fullest) == 1:
                groups[fullest[0]] += groups.pop(soft)
    return groups


def _pair(key: Key, ours: Groups, theirs: Groups) -> Iterator[Match]:
    for soft in [soft for soft in ours if soft in theirs]:
        yield Match(key, soft, ours.pop(soft), theirs.pop(soft))
    for soft in list(ours):
        fitting = [other for other in theirs if _fit(soft, other)]
        # A blank fits several: then nothing says which is meant.
        if len(fitting) == 1 and sum(_fit(fitting[0], other) for other in ours) == 1:
            partner = fitting[0]
            yield Match(key, _merged(soft, partner), ours.pop(soft), theirs.pop(partner))
    for soft, processes in ours.items():
        yield Match(key, soft, processes, [], _differing(soft, theirs))
    for soft, processes in theirs.items():
        yield Match(key, soft, [], processes, _differing(soft, ours))


def _fit(a: Key, b: Key) -> bool:
    return all(x == y or not x or not y for x, y in zip(a, b, strict=True))


def _within(a: Key, b: Key) -> bool:
    return all(x == y or not x for x, y in zip(a, b, strict=True))


def _merged(a: Key, b: Key) -> Key:
    return tuple(x or y for x, y in zip(a, b, strict=True))


def _differing(soft: Key, others: Groups) -> tuple[str, ...]:
    """The columns in which the nearest of the others differs."""
    differences = [
        tuple(n for n, x, y in zip(SOFT_NAMES, soft, other, strict=True) if x != y)
        for other in others
    ]
    return min(differences, key=len, default=())


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
        metric_drop: of the user's metric, in its own unit.
    """

    slowdown: float = 0.05
    accuracy_drop: float = 0.005
    metric_drop: float = 0.0


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


class MetricChange(NamedTuple):
    """Values of the user's metric on both sides."""

    base: float
    head: float
    test: DifferenceTest | None  #: None where a side has no interval


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


def metric_of(base: Sequence[Process], head: Sequence[Process]) -> MetricChange | None:
    """The change of the user's metric, or None where a side has none.

    Processes of one configuration judge the same engine on the same images, so that the interval of their mean is
    as wide as one of theirs.
    """
    first, second = _metric(base), _metric(head)
    if first is None or second is None:
        return None
    (ours, of_ours), (theirs, of_theirs) = first, second
    test = None
    if of_ours is not None and of_theirs is not None:
        test = mean_difference_test(ours, of_ours, theirs, of_theirs, 1 - LEVEL)
    return MetricChange(ours, theirs, test)


def _metric(side: Sequence[Process]) -> tuple[float, tuple[float, float] | None] | None:
    """Means of the values and of the ends of their intervals."""
    known = [process.metric for process in side if process.metric is not None]
    if not known:
        return None
    value = sum(one[0] for one in known) / len(known)
    ends = [(low, high) for _, low, high in known if low is not None and high is not None]
    if len(ends) < len(known):
        return value, None
    low, high = (sum(numbers) / len(ends) for numbers in zip(*ends, strict=True))
    return value, (low, high)


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
    seen = f"{general(test.low, 3)} to {general(test.high, 3)} times as long"
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


def metric_verdict(metric: MetricChange, p_adjusted: float, limits: Limits) -> tuple[str, str]:
    """Better, worse, same or undecided, where a larger value is better; if undecided, why.

    With a limit of 0 only equal values are the same: that a metric fell by nothing at all can't be shown.
    """
    test, limit = metric.test, limits.metric_drop
    if test is None:
        few = "a side has too few images for an interval: use more test images"
        return (SAME, "") if metric.base == metric.head else (UNDECIDED, f"metric: {few}")
    if test.difference == 0:
        return SAME, ""
    if p_adjusted <= LEVEL and test.difference < -limit:
        return WORSE, ""
    if p_adjusted <= LEVEL and test.difference > limit:
        return BETTER, ""
    if -limit <= test.low and test.high <= limit:
        return SAME, ""
    seen = f"{test.low:+.3g} to {test.high:+.3g}"
    return UNDECIDED, f"metric: changes of {seen} are all possible: use more test images"
