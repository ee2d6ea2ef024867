"""Comparing two stored reports: which configurations became slower, less accurate, or stopped working.

Samples of one process are not independent draws, so the unit is the process: each row is one. What is gated
is a change that is beyond a limit *and* significant, with the chance of any false alarm bounded over all
rows (Holm), for latencies, for accuracies and for metrics of the user's own. Pure: paths in, a
`ReportComparison` out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from deploykit.columns import IDENTITY_NAMES, SOFT_NAMES, differences_from_plain
from deploykit.errors import CheckFailed, DeploykitError, UsageError
from deploykit.figures import general
from deploykit.report.compare.processes import (
    FASTER,
    READ,
    SAME,
    SLOWER,
    UNDECIDED,
    WORSE,
    AccuracyChange,
    Key,
    LatencyChange,
    Limits,
    Match,
    MetricChange,
    Process,
    accuracy_of,
    accuracy_verdict,
    doubt_of,
    latency_of,
    latency_verdict,
    match,
    metric_of,
    metric_verdict,
    read_processes,
)
from deploykit.report.csv import open_table
from deploykit.report.views import label
from deploykit.stats import holm

__all__ = ["Change", "Limits", "ReportComparison", "compare_reports"]

#: Verdicts on configurations of which the two sides have no latencies to compare.
FAILED, MENDED, SKIPPED, BASE_ONLY, HEAD_ONLY = (
    "failed",
    "mended",
    "skipped",
    "base only",
    "head only",
)


@dataclass(frozen=True)
class Change:
    """What became of one configuration.

    Attributes:
        identity: the columns that name it.
        verdict: slower, faster, same or undecided; failed (it was ok), mended (it is ok again), skipped
            (not ok on either side, or skipped in head), base only, head only.
        accuracy_verdict: worse, better, same or undecided; empty where a side has no accuracy.
        regression: whether it closes the gate.
        reason: what to know, what would decide it.
        latency_p, accuracy_p, metric_p: adjusted p-values; None without a test.
        metric_verdict: as `accuracy_verdict`, of the user's metric.
        doubts: what makes the latencies of the base, and of the head, doubtful; empty where nothing does.
        several_machines: whether other configurations were measured on another machine, so that names tell it.
    """

    identity: dict[str, str]
    verdict: str
    accuracy_verdict: str
    regression: bool
    reason: str
    latency: LatencyChange | None = None
    accuracy: AccuracyChange | None = None
    latency_p: float | None = None
    accuracy_p: float | None = None
    metric: MetricChange | None = None
    metric_verdict: str = ""
    metric_p: float | None = None
    doubts: tuple[str, str] = ("", "")
    several_machines: bool = False

    @property
    def configuration(self) -> str:
        """What was measured, as short as it can be said, on whichever machine."""
        row = self.identity
        apart = differences_from_plain(row, threads=True)
        return " ".join([label(row), row["precision"], row["backend"], *apart])

    @property
    def name(self) -> str:
        """The configuration, with its machine where there are several."""
        machine = self.identity["env_id"] if self.several_machines else ""
        return f"{self.configuration} on {machine}" if machine else self.configuration


@dataclass(frozen=True)
class ReportComparison:
    """All configurations of two reports.

    Attributes:
        changes: regressions first, then by how much the latency changed.
        remarks: one line each on the files.
    """

    base: str
    head: str
    limits: Limits
    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes that close the gate."""
        return tuple(change for change in self.changes if change.regression)

    @property
    def failure(self) -> DeploykitError | None:
        """The error that a gate ends with, or None when nothing regressed.

        A gate that compared nothing must not pass: reports without a common configuration are an error too.
        """
        if all(change.verdict in (BASE_ONLY, HEAD_ONLY) for change in self.changes):
            reasons = sorted({change.reason for change in self.changes if change.reason})
            why = f" ({reasons[0]})" if reasons else ""
            return UsageError(
                f"{self.base} and {self.head} have no configuration in common{why}: profile both with the "
                "same options"
            )
        bad = self.regressions
        if not bad:
            return None
        shown = "; ".join(f"{change.name}: {_said(change)}" for change in bad[:3])
        more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
        total = len(self.changes)
        return CheckFailed(f"{len(bad)} of {total} configurations regressed: {shown}{more}")


def compare_reports(
    base: str, head: str, limits: Limits | None = None, *, across_machines: bool = False
) -> ReportComparison:
    """Compare the report at `head` with the one at `base`.

    Args:
        base: path of a CSV of `deploykit profile`, or `-` for standard input.
        head: path of another.
        limits: what change matters.
        across_machines: compare latencies though they were measured on different machines.

    Raises:
        UsageError: a file can't be read as a report, or the two are of different machines.
    """
    limits = limits or Limits()
    if base == head == "-":
        raise UsageError("standard input can be one of the two reports: name a file for the other")
    sides, remarks = [], []
    with _no_collection():
        for path in (base, head):
            with open_table(path, READ) as table:
                sides.append(read_processes(table, across_machines=across_machines))
                remarks += [table.remark] if table.remark else []
        if not across_machines:
            _check_machines(base, head, *sides)
        changes = _judge(match(sides[0], sides[1], (base, head)), limits)
        if len({change.identity["env_id"] for change in changes}) > 1:
            changes = [replace(change, several_machines=True) for change in changes]
    return ReportComparison(base, head, limits, tuple(sorted(changes, key=_order)), tuple(remarks))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Leave out the search for cycles: there are none, and it takes a third of the time of a large report."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _check_machines(base: str, head: str, ours: Iterable[Key], theirs: Iterable[Key]) -> None:
    place = IDENTITY_NAMES.index("env_id")
    first, second = ({key[place] for key in side} for side in (ours, theirs))
    if first.isdisjoint(second):
        raise UsageError(
            f"{base} was measured on machine {_named(first)}, {head} on {_named(second)}: latencies of "
            "different machines say nothing of the code; --across-machines compares them all the same"
        )


def _named(machines: set[str]) -> str:
    return ", ".join(sorted(name or "unknown" for name in machines))


def _judge(matches: Iterable[Match], limits: Limits) -> list[Change]:
    """The verdicts, once the p-values of all rows are known."""
    compared = []
    for one in matches:
        base, head = ([p for p in side if p.status == "ok"] for side in (one.base, one.head))
        changes = latency_of(base, head), accuracy_of(base, head), metric_of(base, head)
        compared.append((one, changes))
    adjusted = [_adjusted([changes[place] for _, changes in compared]) for place in range(3)]
    return [
        _change(one, changes, p_values, limits)
        for (one, changes), p_values in zip(compared, zip(*adjusted, strict=True), strict=True)
    ]


_Changes = tuple[LatencyChange | None, AccuracyChange | None, MetricChange | None]


def _adjusted(
    changes: Sequence[LatencyChange | AccuracyChange | MetricChange | None],
) -> list[float | None]:
    """The p-values of one kind of change, corrected for how many are asked; None where there is no test."""
    known = [
        change.test.p_value if change is not None and change.test else None for change in changes
    ]
    corrected = iter(holm([p for p in known if p is not None]))
    return [None if p is None else next(corrected) for p in known]


def _change(
    one: Match, changes: _Changes, p_values: tuple[float | None, ...], limits: Limits
) -> Change:
    latency, accuracy, metric = changes
    latency_p, accuracy_p, metric_p = p_values
    verdict, reason = _standing(one)
    accuracy_judged = metric_judged = ""
    reasons = [reason, *_remarks(one)]
    if not verdict:
        if latency is None:
            verdict, reason = UNDECIDED, "a side has no latencies: measure longer"
        else:
            verdict, reason = latency_verdict(latency, _or_one(latency_p), limits)
        reasons.append(reason)
        if accuracy is not None:
            accuracy_judged, reason = accuracy_verdict(accuracy, _or_one(accuracy_p), limits)
            reasons.append(reason)
        elif any(process.top1 is not None for process in one.base):
            accuracy_judged = UNDECIDED
            reasons.append("accuracy: head has none any more: profile it with the same --data")
        if metric is not None:
            metric_judged, reason = metric_verdict(metric, _or_one(metric_p), limits)
            reasons.append(reason)
        elif any(process.metric is not None for process in one.base):
            metric_judged = UNDECIDED
            reasons.append("metric: head has none any more: profile it with the same --metric")
    identity = dict(zip((*IDENTITY_NAMES, *SOFT_NAMES), (*one.key, *one.soft), strict=True))
    return Change(
        identity,
        verdict,
        accuracy_judged,
        verdict in (SLOWER, FAILED) or WORSE in (accuracy_judged, metric_judged),
        "; ".join(filter(None, reasons)),
        latency,
        accuracy,
        latency_p,
        accuracy_p,
        metric,
        metric_judged,
        metric_p,
        (doubt_of(one.base), doubt_of(one.head)) if latency is not None else ("", ""),
    )


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p


def _standing(one: Match) -> tuple[str, str]:
    """The verdict where there is nothing to compare, with its reason; two blanks where there is."""
    differing = f"differs from the other report in {', '.join(one.near)}" if one.near else ""
    if not one.head:
        return BASE_ONLY, differing
    if not one.base:
        return HEAD_ONLY, differing
    before, now = ({p.status for p in side} for side in (one.base, one.head))
    lost = [p for p in one.head if p.status == "failed"]
    if lost and "ok" in before and ("failed" not in before or "ok" not in now):
        # One that fails now and then, and never did, is worse than a slow one; so is one that always does.
        count = f"{len(lost)} of {len(one.head)} processes: " if len(lost) < len(one.head) else ""
        return FAILED, count + lost[0].reason
    if "ok" in now:
        return ("", "") if "ok" in before else (MENDED, "")
    return SKIPPED, one.head[0].reason


def _remarks(one: Match) -> list[str]:
    """What else differs between the sides that a reader of the row should know."""
    before, now = (_versions(side) for side in (one.base, one.head))
    return [f"backend {before} became {now}"] if before and now and before != now else []


def _versions(side: list[Process]) -> str:
    return ", ".join(sorted({p.backend_version for p in side if p.backend_version}))


def _said(change: Change) -> str:
    """Why a change is a regression, in a few words."""
    words = []
    if change.verdict == SLOWER and change.latency is not None:
        words.append(f"{general(change.latency.ratio, 3)} times as long")
    if change.verdict == FAILED:
        words.append(f"failed, {change.reason}" if change.reason else "failed")
    if change.accuracy_verdict == WORSE and change.accuracy is not None:
        drop = 100 * (change.accuracy.base - change.accuracy.head)
        words.append(f"{drop:.2f} points less accurate")
    if change.metric_verdict == WORSE and change.metric is not None:
        name = change.identity["metric"] or "the metric"
        words.append(
            f"{name} fell from {general(change.metric.base, 4)} to {general(change.metric.head, 4)}"
        )
    return " and ".join(words)


_RANKS = {FAILED: 0, SLOWER: 1, FASTER: 3, UNDECIDED: 4, SAME: 5}


def _order(change: Change) -> tuple[bool, int, float]:
    ratio = change.latency.ratio if change.latency is not None else 1.0
    return not change.regression, _RANKS.get(change.verdict, 6), -ratio
