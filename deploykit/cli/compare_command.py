"""`deploykit compare`: whether a report regressed against an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.options import PERCENT
from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


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
    from deploykit.cli.work.compare import compare

    compare(
        base,
        head,
        max_slowdown,
        max_accuracy_drop,
        across_machines=across_machines,
        outputs=outputs,
    )
