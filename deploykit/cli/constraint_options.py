"""`--constraint`: a profile that looks for the largest load which meets it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deploykit.bench.constraint import Constraint
    from deploykit.report.schema import Row
    from deploykit.store import Store
    from deploykit.workflow.configuration import ProfileOptions
    from deploykit.workflow.largest_load import LoadSearch
    from deploykit.workflow.plan import Source

constraint_option = click.option(
    "--constraint",
    metavar="TEXT",
    help="Find the largest batch, or what is a list of --batch, --streams and --rate, that holds "
    "'latency_p95_ms<=10', say.",
)


def take_constraint(options: dict[str, Any], *, against: bool) -> Constraint | None:
    """Take `--constraint` out of a command's options.

    Raises:
        UsageError: it can't be read, or contradicts --against.
    """
    from deploykit.errors import UsageError
    from deploykit.workflow.largest_load import read_constraint

    text = options.pop("constraint")
    if text is None:
        return None
    if against:
        raise UsageError("--constraint and --against are two questions: ask one at a time")
    return read_constraint(text)


def search_and_show(
    sources: Sequence[Source],
    constraint: Constraint,
    options: ProfileOptions,
    store: Store,
    *,
    csv_path: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Search, write what was tried, and answer in one line for each network, precision and backend.

    Returns:
        The exit code: 0, or 1 where nothing holds the constraint, or that of rows which all failed.
    """
    from deploykit.cli.display import Steps, print_rows
    from deploykit.cli.load_options import SHARE_OF_TIMEOUT
    from deploykit.report.csvfile import STDOUT, CsvReport
    from deploykit.report.schema import NAMES
    from deploykit.report.views import PROFILE
    from deploykit.workflow.largest_load import LoadSearch, percentile_of
    from deploykit.workflow.outcome import exit_code
    from deploykit.workflow.profile import Profiler

    percent = percentile_of(constraint)
    if percent is not None and options.timeout_s is not None:
        policy = options.policy.reaching(percent, options.timeout_s * SHARE_OF_TIMEOUT)
        options = replace(options, policy=policy)
    search = LoadSearch(sources, options, constraint)
    report = CsvReport(csv_path, NAMES) if csv_path else None
    rows: list[Row] = []
    try:
        with Steps(len(search.bases) * len(search.axis.amounts), quiet=quiet) as steps:
            for row in search.rows(Profiler(store, search.options, steps.say)):
                rows.append(row)
                if report is not None and not report.stream:
                    report.add(row)
                steps.step()
    finally:
        # Which one is chosen is known at the end only: a file is written once more, a stream waits.
        if report is not None and rows:
            _finish(report, rows)
    print_rows(PROFILE, rows, csv_path=csv_path, as_json=as_json, quiet=quiet)
    for answer in search.answers:
        click.echo(answer.text, err=as_json or csv_path == STDOUT)
    return _code(search, exit_code(rows) if all(r["status"] != "ok" for r in rows) else 1)


def _finish(report: Any, rows: Sequence[Row]) -> None:
    if not report.stream:
        report.replace(rows)
        return
    for row in rows:
        report.add(row)
    sys.stdout.flush()


def _code(search: LoadSearch, failure: int) -> int:
    return failure if any(answer.search.best is None for answer in search.answers) else 0
