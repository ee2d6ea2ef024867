"""`deploykit check`: which rows of a report are weak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


@click.command("check")
@click.argument("report", metavar="REPORT")
@output_options(csv="Write the weaknesses; - for stdout.")
def command(report: str, outputs: Outputs) -> None:
    r"""Say which rows of a report are weak, why, and what would help.

    Weak is a row that failed, is unstable, lacks percentiles for want of runs, contradicts itself, was
    calibrated on made-up images, drifts far from the reference, lost its samples, or disagrees with the
    other processes of its configuration. Ends with 1 if a row is weak, with 0 if none is.

    \b
    deploykit check reports/profile.csv
    deploykit check nightly.csv --json
    deploykit profile lenet5 --csv - -q | deploykit check -
    """
    from deploykit.cli.work.check import check

    check(report, outputs)
