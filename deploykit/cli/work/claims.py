"""What `deploykit claims` does: check claims and show the verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deploykit.claims import evaluate_claims, failure
from deploykit.claims.verdict import COLUMNS, junit_cases, verdict_cells, verdict_rows
from deploykit.cli.display import print_json
from deploykit.cli.documents import check_documents, write_documents
from deploykit.cli.outputs import Outputs
from deploykit.lazy import rich
from deploykit.report.csv import to_csv
from deploykit.report.junit import Case, junit_xml
from deploykit.workflow.reports import profile_rows


def claims(ids: Sequence[str], profile: str | None, outputs: Outputs) -> None:
    """Check claims.

    Raises:
        CheckFailed, MissingDependency: as `failure`.
    """
    check_documents(outputs)
    verdicts = evaluate_claims(ids or None, profile_rows(profile))
    rows = verdict_rows(verdicts)
    write_documents(
        outputs,
        csv=lambda: to_csv(rows, tuple(COLUMNS)),
        junit=lambda: junit_xml("claims", [Case(**case) for case in junit_cases(verdicts)]),
    )
    if outputs.json:
        print_json(rows)
    elif outputs.table:
        for cells in verdict_cells(verdicts):
            _print_verdict(*cells)
    error = failure(verdicts)
    if error is not None:
        raise error


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
