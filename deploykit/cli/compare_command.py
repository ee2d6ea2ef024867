"""`deploykit compare`: whether a report regressed against an earlier one."""

from __future__ import annotations

import click

from deploykit.cli.library import compare, display, page, report
from deploykit.cli.options import PERCENT, Grouped, Number
from deploykit.cli.outputs import Outputs, check_documents, output_options, write_documents
from deploykit.errors import UsageError
from deploykit.text import write_line
from deploykit.workflow import ranges


@click.command("compare", cls=Grouped)
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
@click.option(
    "--max-metric-drop",
    type=Number.of(ranges.METRIC_DROP),
    default=0,
    show_default=True,
    metavar="VALUE",
    help="How much the value of profile's --metric may fall, in its own unit; larger is better.",
)
@click.option("--across-machines", is_flag=True, help="Compare though the machines differ.")
@output_options(
    csv="Write all verdicts; - for stdout.",
    markdown="Write a page for $GITHUB_STEP_SUMMARY; - for stdout.",
    junit="Write the verdicts as JUnit XML; - for stdout.",
    html="Write a page with pictures of both; - for stdout.",
)
def command(
    base: str,
    head: str,
    max_slowdown: float,
    max_accuracy_drop: float,
    max_metric_drop: float,
    across_machines: bool,
    outputs: Outputs,
) -> None:
    r"""Compare two reports of `deploykit profile`; end with 1 if a configuration regressed.

    Rows are matched by configuration, and each is one process: measure with --repeats 5 on both sides, as with
    fewer than 3 processes a side nothing can be decided. A regression is a slowdown, or a loss of accuracy or of
    a metric of your own, that is beyond its limit and significant among all rows, or a row that was ok and
    failed. What the measurements can't tell is called undecided, and does not fail. Reports with no
    configuration in common end with 2.

    \b
    deploykit compare base.csv head.csv
    deploykit compare base.csv head.csv --max-slowdown 10% --max-accuracy-drop 1
    deploykit compare base.csv head.csv --step-summary --junit compare.xml
    """
    check_documents(outputs, [base, head])
    if outputs.html is not None and any(map(report.csv.is_read_once, (base, head))):
        raise UsageError(
            "--html reads both reports once more: name files instead of standard input or a pipe"
        )
    limits = compare.Limits(max_slowdown, max_accuracy_drop, max_metric_drop)
    comparison = compare.compare_reports(base, head, limits, across_machines=across_machines)
    for remark in comparison.remarks:
        write_line(remark, err=True)
    write_documents(
        outputs,
        csv=lambda: report.csv.to_csv(
            compare.rendering.rows_of(comparison), compare.rendering.COLUMNS
        ),
        markdown=lambda: compare.rendering.to_markdown(comparison),
        junit=lambda: compare.rendering.to_junit(comparison),
        html=lambda: page.render(page.reading.read(head, base, comparison=comparison)),
    )
    if outputs.json:
        display.print_json(compare.rendering.rows_of(comparison))
    elif outputs.table:
        _show(comparison)
    if comparison.failure is not None:
        raise comparison.failure


def _show(comparison: compare.ReportComparison) -> None:
    """The table of what deserves a look, and how all came out."""
    shown = compare.rendering.noteworthy(comparison)
    if shown:
        display.print_table(*compare.rendering.table_of(shown))
    display.print_text(f"{compare.rendering.title(comparison)}.")
    display.print_text(f"{compare.rendering.summary(comparison)}.")
    hidden = len(comparison.changes) - len(shown)
    if hidden:
        display.print_text(
            f"{hidden} more configurations are not shown: --csv FILE or --json has all."
        )
