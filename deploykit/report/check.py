"""Which rows of a report are weak: what was seen, and what would make them strong."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from deploykit.columns import (
    BY_NAME,
    IDENTITY_NAMES,
    SOFT_NAMES,
    checked_by,
    differences_from_plain,
)
from deploykit.figures import general
from deploykit.report import STDOUT
from deploykit.report.compare.processes import MIN_PROCESSES, Key, by_soft
from deploykit.report.csv import number, open_table, positive, share
from deploykit.report.views import label, significant
from deploykit.row import emulated, findings_in

#: Processes of one configuration that differ by more than this share decide little.
SPREAD = 0.10
#: Outputs with less signal to noise than this have little to do with the reference's.
MIN_SNR_DB = 10.0
#: An accuracy that is not known to this share of all images says little.
ACCURACY_WIDTH = 0.05
#: A latency below its bound by more than this is no rounding.
BOUND_SLACK = 0.98

READ = checked_by("check")
#: Each is at least the one before.
_LATENCIES = (
    "latency_min_ms latency_p20_ms latency_p50_ms latency_p90_ms latency_p95_ms latency_p99_ms"
).split()


@dataclass(frozen=True)
class Weakness:
    """One cause for doubt in one row.

    Attributes:
        line: of the row in the file.
        row: the configuration, as short as it can be said; with threads and machine where the report has several.
        name: of the cause, to filter by.
        seen: what is the matter.
        remedy: what would help.
    """

    line: int
    row: str
    name: str
    seen: str
    remedy: str


@dataclass(frozen=True)
class Checked:
    """What a report's rows are worth.

    Attributes:
        rows: how many there are.
        weak: in the order of the file.
        remarks: on the report as a whole, one line each: a device that is not there makes no row weak.
    """

    rows: int
    weak: tuple[Weakness, ...]
    remarks: tuple[str, ...]

    @property
    def weak_rows(self) -> int:
        """How many rows have a weakness."""
        return len({weakness.line for weakness in self.weak})


@dataclass(frozen=True)
class _Row:
    """Cells of a row, and its numbers."""

    source: str
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.cells[name]

    def number(self, name: str) -> float | None:
        return positive(self[name], name, self.source, self.line)

    def name(self, told: Collection[str]) -> str:
        """The configuration as short as it can be said, with those of `threads` and `env_id` that are told."""
        parts = [label(self.cells), self["precision"], self["backend"]]
        parts += differences_from_plain(self.cells, threads="threads" in told)
        if "env_id" in told and self["env_id"]:
            parts.append(f"on {self['env_id']}")
        return " ".join(parts)

    @property
    def key(self) -> Key:
        return tuple(self[name] or BY_NAME[name].blank for name in IDENTITY_NAMES)

    @property
    def soft(self) -> Key:
        return tuple(self[name] for name in SOFT_NAMES)


#: The name of a cause, what was seen, and what would help.
Reason = tuple[str, str, str]
Reasons = Iterator[Reason]


def check_report(path: str) -> Checked:
    """Look at every row of the report at `path`; `-` is standard input.

    Raises:
        UsageError: the file can't be read as a report, or a value in it can't be.
    """
    folder = Path() if path == STDOUT else Path(path).parent
    weak: list[tuple[_Row, Reason]] = []
    seen: dict[str, set[str]] = {name: set() for name in ("threads", "env_id")}
    by_key: dict[Key, list[_Row]] = {}
    total, skipped = 0, []
    with open_table(path, READ) as table:
        for line, cells in table.rows:
            row = _Row(table.path, line, dict(zip(READ, cells, strict=True)))
            total += 1
            skipped += [row["reason"]] if row["status"] == "skipped" else []
            weak += [(row, reason) for reason in _of_row(row, folder)]
            for name, values in seen.items():
                values.add(row[name])
            if row["status"] == "ok":
                by_key.setdefault(row.key, []).append(row)
        remark = table.remark
    groups = [group for rows in by_key.values() for group in by_soft(rows).values()]
    weak += [weakness for rows in groups for weakness in _of_processes(rows)]
    few = sum(len(rows) < MIN_PROCESSES for rows in groups)
    remarks = [remark] if remark else []
    if skipped:
        remarks.append(f"{len(skipped)} of {total} rows were skipped, such as: {skipped[0]}")
    if few:
        remarks.append(
            f"{few} of {len(groups)} configurations have fewer than {MIN_PROCESSES} processes: `compare` "
            "can't judge them; profile with --repeats 5"
        )
    # What is the same in all rows that say it would only make names longer.
    told = [name for name, values in seen.items() if len(values - {""}) > 1]
    named = [Weakness(row.line, row.name(told), *reason) for row, reason in weak]
    return Checked(total, tuple(sorted(named, key=lambda w: w.line)), tuple(remarks))


def reasons_of(cells: Mapping[str, str], source: str, line: int, folder: Path) -> list[Reason]:
    """Why a row is weak on its own: the name of each cause, what was seen, and what would help.

    Args:
        cells: of the columns `READ`, as text.
        source: the file, as errors name it.
        line: where the row stands in it.
        folder: of the report, where its samples lie.

    Raises:
        UsageError: a value is none that a report can hold.
    """
    return list(_of_row(_Row(source, line, cells), folder))


def _of_row(row: _Row, folder: Path) -> Reasons:
    if row["status"] == "failed":
        said = row["reason"] or "no reason was kept"
        yield "failed", said, "mend what the reason names, then profile again"
    if row["status"] != "ok":
        return
    checks: tuple[Callable[[_Row], Reasons], ...] = (_stability, _latencies, _meaning, _accuracy)
    for check in checks:
        yield from check(row)
    if row["samples"] and not (folder / row["samples"]).is_file():
        place = os.path.join(folder, row["samples"])  # noqa: PTH118 (as the user would type it)
        yield "samples", f"{place} is missing", "bring it beside the report, or profile again"


def _stability(row: _Row) -> Reasons:
    for finding in findings_in(row["stability"]) or ():
        yield finding.name, finding.seen, finding.remedy or "measure on an idle machine"


def _latencies(row: _Row) -> Reasons:
    quantiles = [(name, value) for name in _LATENCIES if (value := row.number(name)) is not None]
    runs = row["iterations"] or "unknown"
    missing = [n for n in ("latency_p50_ms", "latency_p95_ms") if row.number(n) is None]
    if missing:
        names = " and ".join(missing)
        yield "runs", f"{names} blank after {runs} runs", "measure longer, without --quick"
    for (low, a), (high, b) in pairwise(quantiles):
        if a > b:
            seen = f"{low} {significant(a)} is above {high} {significant(b)}"
            yield "order", seen, "the file was changed by hand: profile again"
    bound, median = row.number("latency_bound_ms"), row.number("latency_p50_ms")
    if bound is not None and median is not None and median < BOUND_SLACK * bound:
        seen = f"{significant(median)} ms is less than the bound of {significant(bound)} ms"
        yield "bound", seen, "the ceilings were measured on a busy machine: measure them again"


def _meaning(row: _Row) -> Reasons:
    """What the numbers do not mean."""
    if emulated(row.cells):
        seen = (
            f"computed in {row['precision_actual']}, so the latency says nothing about "
            f"{row['precision']} hardware"
        )
        yield "emulated", seen, "take its accuracy, not its latency"
    if "synthetic" in row["calibration"]:
        seen = f"ranges come from made-up images ({row['calibration']})"
        yield "calibration", seen, "take its latency, not its accuracy, or give --data"
    worst = row["drift_worst_snr_db"] or row["drift_snr_db"]
    if worst:
        try:
            snr_db = float(worst)
        except ValueError:
            return
        if not snr_db >= MIN_SNR_DB:
            which = (
                f"output {row['drift_worst_output']} is"
                if row["drift_worst_output"]
                else "outputs are"
            )
            seen = f"{which} {snr_db:.1f} dB above the error against the reference"
            yield "drift", seen, "see `deploykit layers`; keep the layers that cost it in fp32"


def _accuracy(row: _Row) -> Reasons:
    low, high = (share(row[n], n, row.source, row.line) for n in ("top1_low", "top1_high"))
    if row["top1"] and low is not None and high is not None and high - low > ACCURACY_WIDTH:
        seen = f"top-1 is somewhere between {low:.1%} and {high:.1%}"
        yield "accuracy", seen, "use a data set with more test images"
    value, best, fp32 = (
        number(row[n], n, row.source, row.line)
        for n in ("metric_value", "metric_high", "metric_fp32")
    )
    if value is not None and best is not None and fp32 is not None and fp32 > best:
        ours, most, theirs = (general(number, 4) for number in (value, best, fp32))
        seen = f"{row['metric']} is {ours}, {most} at the most, and {theirs} in fp32"
        yield (
            "metric",
            seen,
            "see `deploykit layers --metric`; keep the layers that cost it in fp32",
        )


def _of_processes(rows: list[_Row]) -> Iterator[tuple[_Row, Reason]]:
    """Whether the processes of one configuration agree."""
    for name in ("latency_p20_ms", "latency_p50_ms"):
        values = [value for row in rows if (value := row.number(name)) is not None]
        if len(values) == len(rows) and len(values) > 1:
            spread = max(values) / min(values) - 1
            if spread > SPREAD:
                worst = max(rows, key=lambda row: row.number(name) or 0.0)
                seen = f"{len(rows)} processes spread by {spread:.0%} ({name})"
                remedy = "use a calm machine, or compare in turns: profile --against"
                yield worst, ("spread", seen, remedy)
            return
