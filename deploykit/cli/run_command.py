"""`deploykit run`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.bench.timing import Policy
from deploykit.claims import failure
from deploykit.claims.table import HEADER, verdict_cells, verdict_rows
from deploykit.cli.display import print_fields, print_json, print_notes, print_table
from deploykit.cli.groups import quiet_option, store_option
from deploykit.cli.outputs import Outputs, output_options
from deploykit.cli.progress import Steps
from deploykit.columns import NAMES
from deploykit.report.views import PROFILE
from deploykit.store import Store
from deploykit.workflow.rows import exit_code
from deploykit.workflow.run import Run


@click.command("run")
@click.option("--reports", default="reports", metavar="DIR", help="Folder for the reports.")
@click.option("--quick", is_flag=True, help="Measure 0.5 s per row instead of 3 s.")
@store_option
@output_options()
@quiet_option
def command(reports: str, quick: bool, store: Store, outputs: Outputs, quiet: bool) -> int:
    r"""Export, convert, build, measure and check claims on the default models, and write the reports.

    lenet5 (trained), squeezenet, alexnet, mobilenet at alpha 1 and 0.5; fp32, fp16 and int8; ONNX Runtime on
    the CPU, and TensorRT for RTX engines, which are built here and run where there is a GPU. Leaves
    profile.csv, claims.csv, summary.md and env.json in the reports folder, and engines in the store.

    \b
    deploykit run
    deploykit run --quick --reports /tmp/reports
    """
    policy = Policy.quick() if quick else Policy()
    with Steps(0, quiet=quiet) as steps:
        job = Run(Path(reports), store, policy, say=steps.say, step=steps.step)
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
