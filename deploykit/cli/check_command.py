"""`deploykit check`: which rows of a report are weak."""

from __future__ import annotations

from dataclasses import asdict, fields

import click

from deploykit.cli.library import display, report
from deploykit.cli.options import Grouped
from deploykit.cli.outputs import Outputs, check_documents, output_options, write_documents
from deploykit.errors import CheckFailed
from deploykit.figures import plainly
from deploykit.text import write_line


@click.command("check", cls=Grouped)
@click.argument("path", metavar="REPORT")
@output_options(csv="Write the weaknesses; - for stdout.")
def command(path: str, outputs: Outputs) -> None:
    r"""Say which rows of a report are weak, why, and what would help.

    Weak is a row that failed, is unstable, lacks percentiles for want of runs, contradicts itself, is emulated,
    was calibrated on made-up images, drifts far from the reference, has an accuracy that too few images tell or
    a metric below that of fp32, lost its samples, or disagrees with the other processes of its configuration.
    Ends with 1 if a row is weak, with 0 if none is.

    \b
    deploykit check reports/profile.csv
    deploykit check nightly.csv --json
    deploykit profile lenet5 --csv - -q | deploykit check -
    """
    check_documents(outputs, [path])
    checked = report.check.check_report(path)
    rows = [asdict(weakness) for weakness in checked.weak]
    names = tuple(field.name for field in fields(report.check.Weakness))
    write_documents(outputs, csv=lambda: report.csv.to_csv(rows, names))
    if outputs.json:
        display.print_json(rows)
    elif outputs.table and rows:
        cells = [
            [plainly(str(value)) for value in {**row, "name": _word(row["name"])}.values()]
            for row in rows
        ]
        display.print_table(
            ("line", "row", "weak in", "what was seen", "what helps"), cells, right=(0,)
        )
    for remark in checked.remarks:
        write_line(remark, err=True)
    if rows:
        raise CheckFailed(f"{checked.weak_rows} of {checked.rows} rows of {path} are weak")
    if outputs.table:
        write_line(f"{path}: {checked.rows} rows, none is weak")


def _word(weakness: str) -> str:
    """A weakness as tables of rows call it."""
    return str(report.states.WORDS.get(weakness, weakness))
