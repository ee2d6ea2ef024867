"""`deploykit compare`: whether a report regressed against an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit.cli.options import json_option

if TYPE_CHECKING:
    from deploykit.report.comparing import Comparison


@click.command("compare")
@click.argument("base", metavar="BASE")
@click.argument("head", metavar="HEAD")
@click.option(
    "--max-slowdown",
    default="5%",
    show_default=True,
    metavar="PERCENT",
    help="How much slower a configuration may become.",
)
@click.option(
    "--max-accuracy-drop",
    default="0.5",
    show_default=True,
    metavar="POINTS",
    help="How many percentage points of top-1 accuracy it may lose.",
)
@click.option("--across-machines", is_flag=True, help="Compare though the machines differ.")
@click.option("--csv", "csv_path", metavar="FILE", help="Write all verdicts; - for stdout.")
@click.option(
    "--markdown",
    "markdown_path",
    metavar="FILE",
    help="Write a page for $GITHUB_STEP_SUMMARY; - for stdout.",
)
@click.option(
    "--junit", "junit_path", metavar="FILE", help="Write the verdicts as JUnit XML; - for stdout."
)
@json_option
def command(
    base: str,
    head: str,
    max_slowdown: str,
    max_accuracy_drop: str,
    across_machines: bool,
    csv_path: str | None,
    markdown_path: str | None,
    junit_path: str | None,
    as_json: bool,
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
    from deploykit.cli.percent import fraction
    from deploykit.errors import UsageError
    from deploykit.report.comparing import Limits, compare_reports
    from deploykit.report.comparing.rendering import COLUMNS, rows_of, to_junit, to_markdown
    from deploykit.report.csvfile import STDOUT, check_destination, to_csv
    from deploykit.store import write_atomic

    outputs: dict[str, tuple[str | None, Callable[[Comparison], str]]] = {
        "--csv": (csv_path, lambda found: to_csv(rows_of(found), COLUMNS)),
        "--markdown": (markdown_path, to_markdown),
        "--junit": (junit_path, to_junit),
    }
    if [path for path, _ in outputs.values()].count(STDOUT) + as_json > 1:
        raise UsageError(
            "stdout takes one of --csv -, --markdown -, --junit - and --json: name files for the rest"
        )
    limits = Limits(
        fraction(max_slowdown, "--max-slowdown"),
        fraction(max_accuracy_drop, "--max-accuracy-drop"),
    )
    for path, _ in outputs.values():
        if path is not None:
            check_destination(path)
    found = compare_reports(base, head, limits, across_machines=across_machines)
    for remark in found.remarks:
        click.echo(remark, err=True)
    for path, document in outputs.values():
        if path == STDOUT:
            click.echo(document(found), nl=False)
        elif path is not None:
            write_atomic(Path(path), document(found), "report")
    if as_json:
        from deploykit.cli.display import print_json

        print_json(rows_of(found))
    elif STDOUT not in (csv_path, markdown_path, junit_path):
        _show(found)
    if found.failure is not None:
        raise found.failure


def _show(found: Comparison) -> None:
    """The table of what deserves a look, and how all came out."""
    from deploykit.cli.display import print_table
    from deploykit.report.comparing.rendering import noteworthy, summary, table_of

    shown = noteworthy(found)
    if shown:
        print_table(*table_of(shown))
    click.echo(f"{summary(found)}.")
    left = len(found.changes) - len(shown)
    if left:
        click.echo(f"{left} more configurations are not shown: --csv FILE or --json has all.")
