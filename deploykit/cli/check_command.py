"""`deploykit check`: which rows of a report are weak."""

from __future__ import annotations

from dataclasses import asdict, fields

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import CheckFailed
from deploykit.report.check import Weakness, check_report
from deploykit.report.csv import to_csv


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
    outputs.check()
    checked = check_report(report)
    rows = [asdict(weakness) for weakness in checked.weak]
    names = tuple(field.name for field in fields(Weakness))
    outputs.write(csv=lambda: to_csv(rows, names))
    if outputs.json:
        print_json(rows)
    elif outputs.table and rows:
        cells = [[str(value) for value in row.values()] for row in rows]
        print_table(("line", "row", "weak in", "what was seen", "what helps"), cells, right=(0,))
    for remark in checked.remarks:
        click.echo(remark, err=True)
    if rows:
        raise CheckFailed(f"{checked.weak_rows} of {checked.rows} rows of {report} are weak")
    if outputs.table:
        click.echo(f"{report}: {checked.rows} rows, none is weak")
