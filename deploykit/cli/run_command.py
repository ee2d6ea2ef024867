"""`deploykit run`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli.groups import (
    build_timeout_option,
    config_option,
    device_option,
    quiet_option,
    store_option,
)
from deploykit.cli.library import (
    artifacts,
    bench,
    claims,
    columns,
    display,
    progress,
    report,
    workflow,
)
from deploykit.cli.outputs import Outputs, output_options


@click.command("run")
@click.option("--reports", default="reports", metavar="DIR", help="Folder for the reports.")
@click.option("--quick", is_flag=True, help="Measure 0.5 s per row instead of 3 s.")
@config_option
@device_option
@store_option
@build_timeout_option
@output_options()
@quiet_option
def command(reports: str, quick: bool, store: str | None, outputs: Outputs, quiet: bool) -> int:
    r"""Export, convert, build, measure and check claims on the default models, and write the reports.

    lenet5 (trained), squeezenet, alexnet, mobilenet at alpha 1 and 0.5; fp32, fp16 and int8; ONNX Runtime on
    the CPU, and TensorRT for RTX engines, which are built here and run where there is a GPU. Leaves
    profile.csv, claims.csv, summary.md and env.json in the reports folder, and engines in the store.

    \b
    deploykit run
    deploykit run --quick --reports /tmp/reports
    """
    opened = artifacts.open_store(store)
    policy = bench.scenario.Policy.quick() if quick else bench.scenario.Policy()
    with progress.Steps(0, quiet=quiet) as steps:
        job = workflow.run.Run(Path(reports), opened, policy, say=steps.say, step=steps.step)
        steps.expect(len(job.wanted) + 1)
        result = job()
    if outputs.json:
        rows = [{name: row.get(name) for name in columns.NAMES} for row in result.rows]
        display.print_json(
            {"profile": rows, "claims": claims.verdict.verdict_rows(result.verdicts)}
        )
    else:
        display.print_fields(report.views.PROFILE, result.rows)
        display.print_notes(result.rows)
        # The explanations fill a page; they are in summary.md and in `deploykit claims`.
        short = [cells[:-1] for cells in claims.verdict.verdict_cells(result.verdicts)]
        display.print_table(claims.verdict.HEADER[:-1], short)
        click.echo(
            f"Reports in {result.folder}: profile.csv, claims.csv, summary.md, env.json "
            f"({result.elapsed_s:.0f} s)"
        )
    error = claims.failure(result.verdicts)
    code = workflow.rows.exit_code(result.rows)
    if error is not None and not code:
        raise error
    return code
