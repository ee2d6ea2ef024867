"""`deploykit claims`: which of the things said of these networks are true."""

from __future__ import annotations

import sys

import click

from deploykit.claims import evaluate_claims, failure, list_claims, table
from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs, output_options
from deploykit.lazy import rich
from deploykit.report.csv import to_csv
from deploykit.report.junit import Case, junit_xml
from deploykit.workflow.reports import profile_rows


@click.command("claims")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--list", "only_list", is_flag=True, help="List the claims without checking them.")
@click.option(
    "--profile", metavar="FILE", help="Measured rows; reports/profile.csv if it is there."
)
@output_options(
    csv="Write the verdicts; - for stdout.",
    junit="Write the verdicts as JUnit XML; - for stdout.",
)
def command(ids: tuple[str, ...], only_list: bool, profile: str | None, outputs: Outputs) -> None:
    r"""Check claims about networks by computing, and print a verdict for each.

    Ends with 1 if a verdict differs from the one expected of it, which is how a wrong change shows in CI.

    \b
    deploykit claims
    deploykit claims --list
    deploykit claims squeezenet-params-50x --csv -
    deploykit claims --profile reports/profile.csv --junit claims.xml
    """
    if only_list:
        _list(outputs)
        return
    outputs.check()
    verdicts = evaluate_claims(ids or None, profile_rows(profile))
    rows = table.verdict_rows(verdicts)
    outputs.write(
        csv=lambda: to_csv(rows, tuple(table.COLUMNS)),
        junit=lambda: junit_xml("claims", [Case(**case) for case in table.junit_cases(verdicts)]),
    )
    if outputs.json:
        print_json(rows)
    elif outputs.table:
        for cells in table.verdict_cells(verdicts):
            _print_verdict(*cells)
    error = failure(verdicts)
    if error is not None:
        raise error


def _list(outputs: Outputs) -> None:
    claims = list_claims()
    if outputs.json:
        print_json([{"id": c.id, "statement": c.statement, "source": c.source} for c in claims])
    else:
        print_table(("id", "claim", "source"), [(c.id, c.statement, c.source) for c in claims])


def _print_verdict(claim: str, verdict: str, stated: str, found: str, why: str) -> None:
    """One verdict as a paragraph: explanations are too long for a table."""
    colours = {"confirmed": "green", "refuted": "red", "partly": "yellow"}
    console = rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    name, _, statement = claim.partition(": ")
    head = rich.text.Text.assemble(
        (verdict, f"bold {colours.get(verdict, 'magenta')}"), f"  {name}"
    )
    console.print(head)
    for line in (f"{statement}.", f"stated {stated}, found {found}", why):
        text = rich.text.Text(line)
        console.print(rich.padding.Padding(text, (0, 0, 0, 2), expand=False))
    console.print()
