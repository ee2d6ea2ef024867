"""`deploykit run`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli import completion
from deploykit.cli.groups import (
    Configured,
    build_timeout_option,
    config_option,
    conversion_options,
    device_option,
    dry_run_option,
    network_options,
    opened_store,
    quiet_option,
    read_ahead,
    store_option,
)
from deploykit.cli.library import (
    bench,
    claims,
    columns,
    display,
    progress,
    report,
    workflow,
)
from deploykit.cli.measuring import Scenarios, scenario_options
from deploykit.cli.options import LIST
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import UsageError
from deploykit.text import write_line
from deploykit.workflow.choices import CalibrationChoice, Variants


@click.command("run", cls=Configured)
@click.argument(
    "models", shell_complete=completion.models, nargs=-1, metavar="[MODEL...]", callback=read_ahead
)
@click.option("--reports", default="results", metavar="DIR", help="Folder for the reports.")
@click.option("--quick", is_flag=True, help="Measure 0.5 s per row instead of 3 s.")
@click.option(
    "--precision",
    shell_complete=completion.precisions,
    callback=LIST,
    metavar="LIST",
    help="Default fp32,fp16,int8, or as-is for files that are quantised already.",
)
@click.option(
    "--backend",
    shell_complete=completion.backends,
    callback=LIST,
    metavar="LIST",
    help="Runtimes that build and run the engines, as for profile. Default onnxruntime,tensorrt-rtx.",
)
@click.option(
    "--claims",
    "own",
    metavar="FILE",
    help="Check these claims of your own instead of the project's; see docs/claims.md.",
)
@scenario_options
@network_options
@conversion_options
@config_option
@device_option
@store_option
@build_timeout_option
@output_options()
@dry_run_option
@quiet_option
def command(
    models: tuple[str, ...],
    reports: str,
    quick: bool,
    precision: tuple[str, ...] | None,
    backend: tuple[str, ...] | None,
    own: str | None,
    scenarios: Scenarios,
    variants: Variants,
    calibration: CalibrationChoice,
    store: str | None,
    outputs: Outputs,
    dry_run: bool,
    quiet: bool,
) -> int:
    r"""Export, convert, build, measure and check claims on the default models, and write the reports.

    lenet5 (trained), squeezenet, alexnet, mobilenet at alpha 1 and 0.5, or the MODELs that are named; fp32, fp16
    and int8; ONNX Runtime on the CPU, and TensorRT for RTX engines, which are built here and run where there is a
    GPU. Leaves profile.csv, claims.csv, summary.md and env.json in the reports folder, and engines in the store.

    \b
    deploykit run
    deploykit run --quick --reports /tmp/reports
    deploykit run my.onnx --precision fp32,int8 --data npz:my.npz
    deploykit run --config tune.toml
    """
    stated = None if own is None else claims.read_claims(Path(own))
    opened = opened_store(store, quiet=quiet)
    if not models and variants != Variants():
        raise UsageError(
            "the default models are as they are: name a MODEL to have it in another form"
        )
    options = workflow.configuration.ProfileOptions(
        precisions=precision or workflow.run.PRECISIONS,
        backends=backend or workflow.run.BACKENDS,
        batches=scenarios.batches,
        scenarios=scenarios.each,
        calibration=calibration,
        data=calibration.data,
        policy=bench.scenario.Policy.quick() if quick else bench.scenario.Policy(),
        run_options=scenarios.told,
    )
    workflow.asked.check_run(options, named=precision or (), has_backends=backend is not None)
    sources = (
        workflow.plan.plan(models, variants, calibration.data)
        if models
        else workflow.plan.DEFAULT_MODELS
    )
    if not precision:
        options = workflow.asked.in_own_precisions(options, sources)
    if dry_run:
        wanted = workflow.configuration.enumerate_configurations(sources, options)
        return display.print_plan(wanted, options, opened, outputs)
    with progress.Steps(0, quiet=quiet) as steps:
        job = workflow.run.Run(
            Path(reports),
            opened,
            options,
            sources,
            say=steps.say,
            step=steps.step,
            finished=lambda row: steps.finished(display.row_line(row)),
            claims=stated,
        )
        steps.expect(len(job.wanted) + 1)
        steps.announce(workflow.duration.least_s(job.wanted, options, opened.root))
        result = job()
    if outputs.json:
        rows = [{name: row.get(name) for name in columns.NAMES} for row in result.rows]
        display.print_json(
            {"profile": rows, "claims": claims.verdict.verdict_rows(result.verdicts)}
        )
    else:
        display.print_profile(report.views.PROFILE, result.rows)
        display.print_notes(result.rows)
        display.print_conclusions(result.rows, f"{result.folder / 'summary.md'} has all")
        display.print_text(claims.verdict.tally(result.verdicts))
        write_line(
            f"Reports in {result.folder}: profile.csv, claims.csv, summary.md, env.json "
            f"({result.elapsed_s:.0f} s)"
        )
    for unjudged in result.errors[1:]:
        write_line(f"deploykit: {unjudged}", err=True)
    if result.errors:
        raise result.errors[0]
    error = claims.failure(result.verdicts)
    code = workflow.rows.exit_code(result.rows)
    if error is not None and not code:
        raise error
    return code
