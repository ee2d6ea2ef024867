"""`deploykit claims`: which of the things said of these networks are true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit.cli.library import claims, columns, display, page, progress, report, workflow
from deploykit.cli.options import Grouped, refuse_beside
from deploykit.cli.outputs import Outputs, check_documents, output_options, write_documents
from deploykit.errors import UsageError
from deploykit.text import write_line

if TYPE_CHECKING:
    from deploykit.claims import Claim, Verdict
    from deploykit.row import Row

#: Where claims look for a profile: where `deploykit run` leaves its own, then where the reference one is.
DEFAULT_PROFILES = (Path("results/profile.csv"), Path("reports/profile.csv"))


@click.command("claims", cls=Grouped)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--list", "only_list", is_flag=True, help="List the claims without checking them.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="FILE",
    help="Measured rows; else results/profile.csv or reports/profile.csv, if it is there. Give it again for more; "
    "beside --measure, for the claims that measure nothing.",
)
@click.option(
    "--claims",
    "own",
    metavar="FILE",
    help="Claims of your own, in TOML as those of the project; see docs/claims.md.",
)
@click.option(
    "--measure",
    is_flag=True,
    help="Measure what the claims take on this machine first, four rounds, at most 15 minutes.",
)
@click.option(
    "--store",
    metavar="DIR",
    help="Where --measure keeps networks and engines, as for profile, and --train what it trained.",
)
@click.option(
    "--train",
    is_flag=True,
    help="Train the small networks that some claims take, at most 2 hours; what is kept is not trained again.",
)
@output_options(
    csv="Write the verdicts; - for stdout.",
    markdown="Write the verdicts as a page for people; - for stdout.",
    junit="Write the verdicts as JUnit XML; - for stdout.",
    html="Write a page with the arithmetic of each; - for stdout.",
)
def command(
    ids: tuple[str, ...],
    only_list: bool,
    profiles: tuple[str, ...],
    own: str | None,
    measure: bool,
    store: str | None,
    train: bool,
    outputs: Outputs,
) -> None:
    r"""Check claims about networks by computing, and print a verdict for each.

    Ends with 1 if a verdict differs from the one expected of it, which is how a wrong change shows in CI.

    \b
    deploykit claims
    deploykit claims --list
    deploykit claims squeezenet-params-50x --csv -
    deploykit claims --profile results/profile.csv --junit claims.xml
    deploykit claims --claims mine.toml
    deploykit claims densenet-expensive --measure
    deploykit claims --train
    """
    if only_list:
        documents = ("csv", "markdown", "junit", "html", "step_summary")
        work = ("profiles", "measure", "train", "store")
        refuse_beside("--list checks nothing and", *documents, *work)
        if ids:
            raise UsageError(f"--list lists all claims: leave {ids[0]} out, or --list")
        _list(outputs, own)
        return
    if not (measure or train):
        refuse_beside("a check that neither measures nor trains", "store")
    beside = None if measure or profiles else _default_profile()
    check_documents(outputs, [*profiles, beside, own])
    stated = None if own is None else claims.read_claims(Path(own))
    rows_before = _profile_rows(profiles, beside)
    measured = _measured(ids, stated, store) if measure else None
    evaluated = partial(
        claims.evaluate_claims, ids or None, rows_before, measured=measured, claims=stated
    )
    verdicts = _trained(evaluated, store) if train else evaluated()
    rows = claims.verdict.written_rows(verdicts)
    write_documents(
        outputs,
        csv=lambda: report.csv.to_csv(rows, tuple(claims.verdict.COLUMNS)),
        junit=lambda: report.junit.junit_xml(
            "claims", [report.junit.Case(**case) for case in claims.verdict.junit_cases(verdicts)]
        ),
        markdown=lambda: (
            f"# Claims\n\n{claims.verdict.tally(verdicts)}.\n\n"
            + report.markdown.table(claims.verdict.HEADER, claims.verdict.verdict_cells(verdicts))
        ),
        html=lambda: page.render(page.Contents("deploykit: claims", claims=rows)),
    )
    if outputs.json:
        display.print_json(claims.verdict.verdict_rows(verdicts))
    elif outputs.table:
        for one, cells in zip(verdicts, claims.verdict.verdict_cells(verdicts), strict=True):
            display.print_verdict(one.claim.id, one.claim.statement, *cells[1:])
        display.print_text(f"{claims.verdict.tally(verdicts)}.")
    if profiles and not measure and (ids or own is not None):
        claims.refuse_without_rows(verdicts, " and ".join(profiles))
    error = claims.failure(verdicts)
    if error is not None:
        raise error


def _trained(evaluate: Callable[..., list[Verdict]], store: str | None) -> list[Verdict]:
    """The verdicts with leave to train; what is trained is kept in a store."""
    from deploykit.cli.groups import opened_store

    opened = opened_store(store, quiet=False)
    with progress.Steps(0, quiet=False) as steps:
        return evaluate(train=True, store=opened, say=steps.say)


def _measured(ids: tuple[str, ...], stated: list[Claim] | None, store: str | None) -> list[Row]:
    """Rows measured now, for the claims of these ids, all where there are none."""
    from deploykit.cli.groups import opened_store  # which reads of stores what a list does not need

    chosen = claims.claim.choose_claims(
        ids or None, claims.list_claims() if stated is None else stated
    )
    opened = opened_store(store, quiet=False)
    with progress.Steps(0, quiet=False) as steps:
        return list(workflow.claim_rows.measure_for(chosen, opened, say=steps.say))


def _default_profile() -> str | None:
    """The profile that is taken where none is named; None where there is none."""
    return next((str(place) for place in DEFAULT_PROFILES if place.is_file()), None)


def _profile_rows(paths: Sequence[str], beside: str | None) -> list[Row] | None:
    """The rows of the profiles at `paths`, else of the one that lies `beside`; None where there is neither.

    What nobody named may be a file of another program: it is left out where it can't be read, which is told.

    Raises:
        UsageError: a file that was named can't be read or is no profile.
    """
    if paths:
        return [row for path in paths for row in _read(path)]
    if beside is None:
        return None
    try:
        return _read(beside)
    except UsageError as error:
        write_line(f"note: {beside}, which nobody named, is left out: {error}", err=True)
        return None


def _read(path: str) -> list[Row]:
    # A claim may tell rows apart by any column.
    return report.csv.read_rows(path, columns.checked_by("claims"), also=columns.NAMES)


def _list(outputs: Outputs, own: str | None) -> None:
    """Show every claim of the project, or of a file, with who says so."""
    listed = claims.list_statements(None if own is None else Path(own))
    if outputs.json:
        display.print_json([one._asdict() for one in listed])
    else:
        display.print_table(("id", "claim", "source"), listed)
