"""What `deploykit check` does: show the weak rows of a report."""

from __future__ import annotations

from dataclasses import asdict, fields

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.documents import check_documents, write_documents
from deploykit.cli.outputs import Outputs
from deploykit.errors import CheckFailed
from deploykit.report.check import Weakness, check_report
from deploykit.report.csv import to_csv


def check(report: str, outputs: Outputs) -> None:
    """Check a report.

    Raises:
        CheckFailed: a row is weak.
        UsageError: the file is no report.
    """
    check_documents(outputs)
    checked = check_report(report)
    rows = [asdict(weakness) for weakness in checked.weak]
    names = tuple(field.name for field in fields(Weakness))
    write_documents(outputs, csv=lambda: to_csv(rows, names))
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
