"""`deploykit claims`: which of the things said of these networks are true."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli.options import json_option


@click.command("claims")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--list", "only_list", is_flag=True, help="List the claims without checking them.")
@click.option(
    "--profile", metavar="FILE", help="Measured rows; reports/profile.csv if it is there."
)
@click.option("--csv", "csv_path", metavar="FILE", help="Write the verdicts; - for stdout.")
@click.option(
    "--junit", "junit_path", metavar="FILE", help="Write the verdicts as JUnit XML; - for stdout."
)
@json_option
def command(
    ids: tuple[str, ...],
    only_list: bool,
    profile: str | None,
    csv_path: str | None,
    junit_path: str | None,
    as_json: bool,
) -> None:
    r"""Check claims about networks by computing, and print a verdict for each.

    Ends with 1 if a verdict differs from the one expected of it, which is how a wrong change shows in CI.

    \b
    deploykit claims
    deploykit claims --list
    deploykit claims squeezenet-params-50x --csv -
    deploykit claims --profile reports/profile.csv --junit claims.xml
    """
    from deploykit.claims import evaluate_claims, failure, list_claims
    from deploykit.cli.display import print_json, print_table

    if only_list:
        claims = list_claims()
        if as_json:
            print_json([{"id": c.id, "statement": c.statement, "source": c.source} for c in claims])
        else:
            print_table(("id", "claim", "source"), [(c.id, c.statement, c.source) for c in claims])
        return
    from deploykit.claims import table
    from deploykit.errors import UsageError
    from deploykit.report.csvfile import STDOUT, check_destination, to_csv
    from deploykit.report.junit import Case, junit_xml
    from deploykit.store import write_atomic
    from deploykit.workflow.reports import read_rows

    if [csv_path == STDOUT, junit_path == STDOUT, as_json].count(True) > 1:
        raise UsageError(
            "stdout takes one of --csv -, --junit - and --json: name files for the rest"
        )
    for path in (csv_path, junit_path):
        if path is not None:
            check_destination(path)
    verdicts = evaluate_claims(ids or None, read_rows(profile))
    verdicts_as_rows = table.verdict_rows(verdicts)
    if csv_path == STDOUT:
        click.echo(to_csv(verdicts_as_rows, tuple(table.COLUMNS)), nl=False)
    elif csv_path is not None:
        write_atomic(Path(csv_path), to_csv(verdicts_as_rows, tuple(table.COLUMNS)), "report")
    if junit_path is not None:
        document = junit_xml("claims", [Case(**case) for case in table.junit_cases(verdicts)])
        if junit_path == STDOUT:
            click.echo(document, nl=False)
        else:
            write_atomic(Path(junit_path), document, "report")
    if as_json:
        print_json(verdicts_as_rows)
    elif STDOUT not in (csv_path, junit_path):
        for cells in table.verdict_cells(verdicts):
            _print_verdict(*cells)
    error = failure(verdicts)
    if error is not None:
        raise error


def _print_verdict(claim: str, verdict: str, stated: str, found: str, why: str) -> None:
    """One verdict as a paragraph: explanations are too long for a table."""
    import sys

    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    colours = {"confirmed": "green", "refuted": "red", "partly": "yellow"}
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    name, _, statement = claim.partition(": ")
    head = Text.assemble((verdict, f"bold {colours.get(verdict, 'magenta')}"), f"  {name}")
    console.print(head)
    for line in (f"{statement}.", f"stated {stated}, found {found}", why):
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    console.print()
