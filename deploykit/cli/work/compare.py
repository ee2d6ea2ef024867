"""What `deploykit compare` does: judge two reports, write and show the verdicts."""

from __future__ import annotations

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.documents import check_documents, write_documents
from deploykit.cli.outputs import Outputs
from deploykit.report.compare import Comparison, Limits, compare_reports
from deploykit.report.compare.rendering import (
    COLUMNS,
    noteworthy,
    rows_of,
    summary,
    table_of,
    to_junit,
    to_markdown,
)
from deploykit.report.csv import to_csv


def compare(
    base: str,
    head: str,
    max_slowdown: float,
    max_accuracy_drop: float,
    *,
    across_machines: bool,
    outputs: Outputs,
) -> None:
    """Compare two reports.

    Raises:
        CheckFailed: a configuration regressed.
        UsageError: a file is no report, or the two have nothing in common.
    """
    check_documents(outputs)
    limits = Limits(max_slowdown, max_accuracy_drop)
    comparison = compare_reports(base, head, limits, across_machines=across_machines)
    for remark in comparison.remarks:
        click.echo(remark, err=True)
    write_documents(
        outputs,
        csv=lambda: to_csv(rows_of(comparison), COLUMNS),
        markdown=lambda: to_markdown(comparison),
        junit=lambda: to_junit(comparison),
    )
    if outputs.json:
        print_json(rows_of(comparison))
    elif outputs.table:
        _show(comparison)
    if comparison.failure is not None:
        raise comparison.failure


def _show(comparison: Comparison) -> None:
    """The table of what deserves a look, and how all came out."""
    shown = noteworthy(comparison)
    if shown:
        print_table(*table_of(shown))
    click.echo(f"{summary(comparison)}.")
    left = len(comparison.changes) - len(shown)
    if left:
        click.echo(f"{left} more configurations are not shown: --csv FILE or --json has all.")
