"""`deploykit check`: which rows of a report are weak."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli.options import json_option


@click.command("check")
@click.argument("report", metavar="REPORT")
@click.option("--csv", "csv_path", metavar="FILE", help="Write the weaknesses; - for stdout.")
@json_option
def command(report: str, csv_path: str | None, as_json: bool) -> None:
    r"""Say which rows of a report are weak, why, and what would help.

    Weak is a row that failed, is unstable, lacks percentiles for want of runs, contradicts itself, was
    calibrated on made-up images, drifts far from the reference, lost its samples, or disagrees with the
    other processes of its configuration. Ends with 1 if a row is weak, with 0 if none is.

    \b
    deploykit check reports/profile.csv
    deploykit check nightly.csv --json
    deploykit profile lenet5 --csv - -q | deploykit check -
    """
    from dataclasses import asdict, fields

    from deploykit.cli.display import print_json, print_table
    from deploykit.errors import CheckFailed, UsageError
    from deploykit.report.checking import Weakness, check_report
    from deploykit.report.csvfile import STDOUT, check_destination, to_csv
    from deploykit.store import write_atomic

    if csv_path == STDOUT and as_json:
        raise UsageError("stdout takes one of --csv - and --json: name a file for the CSV")
    if csv_path is not None:
        check_destination(csv_path)
    found = check_report(report)
    rows = [asdict(weakness) for weakness in found.weak]
    names = tuple(field.name for field in fields(Weakness))
    if csv_path == STDOUT:
        click.echo(to_csv(rows, names), nl=False)
    elif csv_path is not None:
        write_atomic(Path(csv_path), to_csv(rows, names), "report")
    if as_json:
        print_json(rows)
    elif csv_path != STDOUT and rows:
        cells = [[str(value) for value in row.values()] for row in rows]
        print_table(("line", "row", "weak in", "what was seen", "what helps"), cells, right=(0,))
    for remark in found.remarks:
        click.echo(remark, err=True)
    if rows:
        raise CheckFailed(f"{found.weak_rows} of {found.rows} rows of {report} are weak")
    if not as_json and csv_path != STDOUT:
        click.echo(f"{report}: {found.rows} rows, none is weak")
