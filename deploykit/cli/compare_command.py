"""`deploykit compare`: whether a report regressed against an earlier one."""

from __future__ import annotations

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.options import PERCENT
from deploykit.cli.outputs import Outputs, output_options
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


@click.command("compare")
@click.argument("base", metavar="BASE")
@click.argument("head", metavar="HEAD")
@click.option(
    "--max-slowdown",
    default="5%",
    callback=PERCENT,
    show_default=True,
    metavar="PERCENT",
    help="How much slower a configuration may become.",
)
@click.option(
    "--max-accuracy-drop",
    default="0.5",
    callback=PERCENT,
    show_default=True,
    metavar="POINTS",
    help="How many percentage points of top-1 accuracy it may lose.",
)
@click.option("--across-machines", is_flag=True, help="Compare though the machines differ.")
@output_options(
    csv="Write all verdicts; - for stdout.",
    markdown="Write a page for $GITHUB_STEP_SUMMARY; - for stdout.",
    junit="Write the verdicts as JUnit XML; - for stdout.",
)
def command(
    base: str,
    head: str,
    max_slowdown: float,
    max_accuracy_drop: float,
    across_machines: bool,
    outputs: Outputs,
) -> None:
    r"""Compare two reports of `deploykit profile`; end with 1 if a configuration regressed.

    Rows are matched by configuration, and each is one process: measure with --repeats 5 on both sides, as
    fewer than 3 processes decide nothing. A regression is a slowdown, or a loss of accuracy, that is beyond
    its limit and significant among all rows, or a row that was ok and failed. What the measurements can't
    tell is called undecided, and does not fail. Reports with no configuration in common end with 2.

    \b
    deploykit compare base.csv head.csv
    deploykit compare base.csv head.csv --max-slowdown 10% --max-accuracy-drop 1
    deploykit compare base.csv head.csv --markdown - --junit compare.xml >> $GITHUB_STEP_SUMMARY
    """
    outputs.check()
    limits = Limits(max_slowdown, max_accuracy_drop)
    comparison = compare_reports(base, head, limits, across_machines=across_machines)
    for remark in comparison.remarks:
        click.echo(remark, err=True)
    outputs.write(
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
