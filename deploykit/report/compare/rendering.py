"""A comparison as rows for CSV and JSON, as Markdown, as test results, and as cells for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deploykit.columns import IDENTITY_NAMES, SOFT_NAMES
from deploykit.figures import general, significant
from deploykit.report import markdown
from deploykit.report.compare import BASE_ONLY, HEAD_ONLY, SKIPPED, Change, ReportComparison
from deploykit.report.compare.processes import (
    SAME,
    UNDECIDED,
    AccuracyChange,
    LatencyChange,
    MetricChange,
)
from deploykit.report.junit import Case, junit_xml
from deploykit.report.states import DOUBT

#: Columns of the CSV: a configuration's name, then what became of it.
COLUMNS = (
    *IDENTITY_NAMES,
    *SOFT_NAMES,
    *"""verdict accuracy_verdict regression reason quantile base_ms head_ms base_processes head_processes
    ratio ratio_low ratio_high latency_p base_top1 head_top1 base_images head_images
    top1_change top1_change_low top1_change_high accuracy_p metric_verdict base_metric head_metric
    metric_change metric_change_low metric_change_high metric_p base_doubt head_doubt""".split(),
)
HEADER = (
    "configuration",
    "base ms",
    "head ms",
    "head/base [99%]",
    "latency",
    "top-1",
    "accuracy",
    "metric",
    "metric verdict",
    "note",
)
RIGHT = (1, 2, 3, 5, 7)
SIDES = ("base", "head")
#: A table for people has this many rows at most; the rest is in the CSV.
MOST_ROWS = 50


def rows_of(comparison: ReportComparison) -> list[dict[str, Any]]:
    """One row per configuration, None where there is no value."""
    return [_row(change) for change in comparison.changes]


def _row(change: Change) -> dict[str, Any]:
    row: dict[str, Any] = {name: value or None for name, value in change.identity.items()}
    row |= dict.fromkeys(COLUMNS[len(row) :])
    row |= {
        "verdict": change.verdict,
        "accuracy_verdict": change.accuracy_verdict or None,
        "regression": change.regression,
        "reason": change.reason or None,
        "latency_p": change.latency_p,
        "accuracy_p": change.accuracy_p,
        "metric_verdict": change.metric_verdict or None,
        "metric_p": change.metric_p,
        "base_doubt": change.doubts[0] or None,
        "head_doubt": change.doubts[1] or None,
    }
    measured = _of_latency(change.latency) | _of_accuracy(change.accuracy)
    return row | measured | _of_metric(change.metric)


def _of_latency(change: LatencyChange | None) -> dict[str, Any]:
    if change is None:
        return {}
    row = {
        "quantile": change.quantile,
        "base_ms": change.base_ms,
        "head_ms": change.head_ms,
        "base_processes": change.processes[0],
        "head_processes": change.processes[1],
        "ratio": change.ratio,
    }
    if change.test is not None:
        row |= {"ratio_low": change.test.low, "ratio_high": change.test.high}
    return row


def _of_accuracy(change: AccuracyChange | None) -> dict[str, Any]:
    if change is None:
        return {}
    row = {
        "base_top1": change.base,
        "head_top1": change.head,
        "base_images": change.images[0],
        "head_images": change.images[1],
        "top1_change": change.head - change.base,
    }
    if change.test is not None:
        row |= {"top1_change_low": change.test.low, "top1_change_high": change.test.high}
    return row


def _of_metric(change: MetricChange | None) -> dict[str, Any]:
    if change is None:
        return {}
    row = {
        "base_metric": change.base,
        "head_metric": change.head,
        "metric_change": change.head - change.base,
    }
    if change.test is not None:
        row |= {"metric_change_low": change.test.low, "metric_change_high": change.test.high}
    return row


def cells_of(change: Change) -> tuple[str, ...]:
    """One configuration under `HEADER`."""
    latency, accuracy = change.latency, change.accuracy
    times: tuple[str, ...] = ("–", "–", "–")
    if latency is not None:
        ratio = f"{latency.ratio:.3f}"
        if latency.test is not None:
            ratio += f" [{latency.test.low:.3f}, {latency.test.high:.3f}]"
        marks = [DOUBT * bool(doubt) for doubt in change.doubts]
        value, space, interval = ratio.partition(" ")
        times = (
            significant(latency.base_ms) + marks[0],
            significant(latency.head_ms) + marks[1],
            f"{value}{DOUBT * any(change.doubts)}{space}{interval}",
        )
    top1 = "–"
    if accuracy is not None:
        top1 = f"{100 * accuracy.base:.2f}% → {100 * accuracy.head:.2f}%"
    metric = "–"
    if change.metric is not None:
        metric = f"{general(change.metric.base, 4)} → {general(change.metric.head, 4)}"
    judged = (top1, change.accuracy_verdict or "–", metric, change.metric_verdict or "–")
    doubtful = [f"{side} doubtful: {d}" for side, d in zip(SIDES, change.doubts, strict=True) if d]
    note = "; ".join(filter(None, (change.reason, *doubtful)))
    return (change.name, *times, change.verdict, *judged, note)


def table_of(changes: Sequence[Change]) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and right-aligned columns; without those in which no row says anything."""
    rows = [cells_of(change) for change in changes]
    shown = [i for i in range(len(HEADER)) if any(row[i] not in ("", "–") for row in rows)]
    right = [place for place, i in enumerate(shown) if i in RIGHT]
    quantiles = {change.latency.quantile for change in changes if change.latency is not None}
    header = list(HEADER)
    if quantiles:
        # Processes without the usual quantile are compared by another: both are named then.
        named = "/".join(sorted(quantiles))
        header[1:3] = f"base {named} ms", f"head {named} ms"
    return [header[i] for i in shown], [[row[i] for i in shown] for row in rows], right


def title(comparison: ReportComparison) -> str:
    """What came of it all, in a few words: regressions, none, or that nothing could be decided."""
    bad = len(comparison.regressions)
    if bad:
        return f"{bad} regression{'s' if bad != 1 else ''}"
    judged = [c for c in comparison.changes if c.verdict not in (BASE_ONLY, HEAD_ONLY, SKIPPED)]
    open_ones = sum(UNDECIDED in (c.verdict, c.accuracy_verdict, c.metric_verdict) for c in judged)
    decided = sum(
        bool({c.verdict, c.accuracy_verdict, c.metric_verdict} - {UNDECIDED, ""}) for c in judged
    )
    if open_ones and not decided:
        return "Undecided: none of the configurations could be judged"
    if open_ones:
        return f"No regression found, {open_ones} of {len(comparison.changes)} undecided"
    return "No regression" if judged else "Nothing to compare"


def noteworthy(comparison: ReportComparison) -> list[Change]:
    """What a person should see first: all if they are few, else what is not the same, at most `MOST_ROWS`."""
    changes = list(comparison.changes)
    if len(changes) > MOST_ROWS:
        changes = [
            c for c in changes if {c.verdict, c.accuracy_verdict, c.metric_verdict} - {SAME, ""}
        ]
    return changes[:MOST_ROWS]


def summary(comparison: ReportComparison) -> str:
    """How many configurations came out how, in one line."""
    counts = Counter(change.verdict for change in comparison.changes)
    judged = Counter(c.accuracy_verdict for c in comparison.changes if c.accuracy_verdict)
    metrics = Counter(c.metric_verdict for c in comparison.changes if c.metric_verdict)
    text = f"{len(comparison.changes)} configurations: {_tally(counts)}"
    if judged:
        text += f"; accuracy: {_tally(judged)}"
    if metrics:
        text += f"; metric: {_tally(metrics)}"
    limits = comparison.limits
    allowed = [f"{100 * limits.slowdown:g}% slower"]
    allowed.append(f"{100 * limits.accuracy_drop:g} points less accurate")
    allowed += [f"{limits.metric_drop:g} less of the metric"] * bool(metrics)
    return f"{text}. Limits: {', '.join(allowed)}; 1% chance of any false alarm"


def _tally(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())


def to_markdown(comparison: ReportComparison) -> str:
    """A page for `$GITHUB_STEP_SUMMARY` and the like."""
    shown = noteworthy(comparison)
    header, rows, right = table_of(shown)
    parts = [f"## {title(comparison)}\n", f"{summary(comparison)}.\n"]
    if rows:
        parts.append(markdown.table(header, rows, right))
    left = len(comparison.changes) - len(shown)
    if left:
        parts.append(f"{left} more configurations are in the CSV.\n")
    parts += [f"Note: {markdown.as_text(remark)}\n" for remark in comparison.remarks]
    return "\n".join(parts)


def to_junit(comparison: ReportComparison) -> str:
    """A test suite with a case per configuration: a regression fails, what is not decided is skipped."""
    names: Counter[str] = Counter()
    cases = []
    for change in comparison.changes:
        name = _case_name(change)
        names[name] += 1
        # Two machines in one report: their numbers keep names apart, as no hash would from run to run.
        again = f" on machine {names[name]}" if names[name] > 1 else ""
        cases.append(_case(change, f"{name}{again}"))
    return junit_xml("compare", cases)


def _case_name(change: Change) -> str:
    """A configuration's name in test results, the same wherever and whenever it is measured."""
    details = ", ".join(v for v in _details(change) if v)
    return f"{change.configuration} ({details})" if details else change.configuration


def _case(change: Change, name: str) -> Case:
    output = "\n".join(f"{n}: {cell}" for n, cell in zip(HEADER, cells_of(change), strict=True))
    said = f"{change.verdict}; accuracy {change.accuracy_verdict or 'not compared'}"
    said += f"; metric {change.metric_verdict}" if change.metric_verdict else ""
    why = f"{said}: {change.reason}" if change.reason else said
    judged = (change.verdict, change.accuracy_verdict, change.metric_verdict)
    open_question = UNDECIDED in judged
    skipped = open_question or (change.latency is None and change.verdict != "failed")
    return Case(
        name,
        "compare." + (change.identity["model"] or "unknown"),
        failure=why if change.regression else "",
        skipped=why if skipped and not change.regression else "",
        output=output,
    )


def _details(change: Change) -> list[str]:
    """What keeps names apart where two configurations read alike; the machine is not among it."""
    said = {"threads"}
    return [change.identity[name] for name in ("weights", *SOFT_NAMES) if name not in said]
