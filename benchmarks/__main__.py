"""`python -m benchmarks [NAME...]`: measure, print, and keep the figures in reports/benchmarks.csv."""

from __future__ import annotations

import csv
import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.result import Result
from deploykit import env
from deploykit.report.csv import read_cells

#: In the order in which they run.
NAMES = (
    "startup",
    "row_overhead",
    "main_job",
    "export_cost",
    "measuring",
    "agreement",
    "layers",
    "calibration",
    "int8_speed",
    "compare_scale",
)
#: Hundreds of comparisons that take an hour and more: only when they are named.
LONG = ("interleaved", "stored")
REPORT = Path("reports/benchmarks.csv")
COLUMNS = (
    "benchmark",
    "metric",
    "value",
    "unit",
    "target",
    "met",
    "note",
    "device",
    "env_id",
    "timestamp",
)


def row_of(result: Result) -> dict[str, str]:
    """A result as it stands in the report."""
    bound = (
        "" if result.target is None else f"{'>=' if result.at_least else '<='} {result.target:g}"
    )
    met = {None: "", True: "yes", False: "no"}[result.met]
    return {
        "benchmark": result.benchmark,
        "metric": result.metric,
        "value": f"{result.value:.4g}",
        "unit": result.unit,
        "target": bound,
        "met": met,
        "note": result.note,
        "device": env.device_name(),
        "env_id": env.env_id(),
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def keep(rows: list[dict[str, str]]) -> None:
    """Replace the figures of the benchmarks that ran; those of the others stay."""
    ran = {row["benchmark"] for row in rows}
    kept: list[dict[str, str]] = []
    if REPORT.exists():
        kept = [row for row in read_cells(REPORT) if row["benchmark"] not in ran]
    with REPORT.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept + rows)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in (*NAMES, *LONG)]
    if unknown:
        known = ", ".join((*NAMES, *LONG))
        print(f"unknown benchmark {unknown[0]}; known: {known}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        rows = []
        for result in importlib.import_module(f"benchmarks.{name}").measure():
            row = row_of(result)
            rows.append(row)
            verdict = {"": "", "yes": "met", "no": "MISSED"}[row["met"]]
            print(
                f"{row['benchmark']:<13} {row['metric']:<48} {row['value']:>9} {row['unit']:<6}"
                f" {row['target']:<8} {verdict}",
                flush=True,
            )
        keep(rows)  # after each, so that what is finished is not lost
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
