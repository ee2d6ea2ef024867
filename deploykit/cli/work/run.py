"""What `deploykit run` does: the main job, with its progress and its summary."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.bench.scenario import Policy
from deploykit.claims import failure
from deploykit.claims.verdict import HEADER, verdict_cells, verdict_rows
from deploykit.cli.display import print_fields, print_json, print_notes, print_table
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import Steps
from deploykit.columns import NAMES
from deploykit.report.views import PROFILE
from deploykit.store import open_store
from deploykit.workflow.rows import exit_code
from deploykit.workflow.run import Run


def run(reports: str, store: str | None, outputs: Outputs, *, quick: bool, quiet: bool) -> int:
    """Do the main job and show what came out; return the exit code.

    Raises:
        DeploykitError: a verdict is unexpected, and no row failed, which would count first.
    """
    artifacts = open_store(store)
    policy = Policy.quick() if quick else Policy()
    with Steps(0, quiet=quiet) as steps:
        job = Run(Path(reports), artifacts, policy, say=steps.say, step=steps.step)
        steps.expect(len(job.wanted) + 1)
        result = job()
    if outputs.json:
        rows = [{name: row.get(name) for name in NAMES} for row in result.rows]
        print_json({"profile": rows, "claims": verdict_rows(result.verdicts)})
    else:
        print_fields(PROFILE, result.rows)
        print_notes(result.rows)
        # The explanations fill a page; they are in summary.md and in `deploykit claims`.
        short = [cells[:-1] for cells in verdict_cells(result.verdicts)]
        print_table(HEADER[:-1], short)
        click.echo(
            f"Reports in {result.folder}: profile.csv, claims.csv, summary.md, env.json "
            f"({result.elapsed_s:.0f} s)"
        )
    error = failure(result.verdicts)
    code = exit_code(result.rows)
    if error is not None and not code:
        raise error
    return code
