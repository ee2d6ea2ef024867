"""`deploykit profile`: one row of numbers per configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit.bench.scenario import Constraint, Policy
from deploykit.cli import completion
from deploykit.cli.groups import (
    Configured,
    build_timeout_option,
    config_option,
    conversion_options,
    device_option,
    dry_run_option,
    engine_options,
    network_options,
    opened_store,
    quiet_option,
    read_ahead,
    store_option,
)
from deploykit.cli.library import artifacts, backends, display, progress, report, workflow
from deploykit.cli.measuring import (
    Against,
    Measuring,
    Runs,
    Scenarios,
    against_options,
    constraint_option,
    measuring_options,
    run_options,
    scenario_options,
)
from deploykit.cli.options import LIST, refuse_beside
from deploykit.cli.outputs import (
    Outputs,
    csv_report,
    output_options,
    write_documents,
    write_page,
)
from deploykit.errors import CheckFailed, UsageError
from deploykit.report import STDOUT
from deploykit.text import write_line
from deploykit.workflow.choices import CalibrationChoice, EngineChoice, Variants
from deploykit.workflow.choices import preset as find_preset

if TYPE_CHECKING:
    from deploykit.row import Row


_TITLE = "deploykit: profile"


@click.command("profile", cls=Configured)
@click.argument(
    "models", shell_complete=completion.models, nargs=-1, metavar="[MODEL...]", callback=read_ahead
)
@click.option(
    "--precision",
    shell_complete=completion.precisions,
    callback=LIST,
    metavar="LIST",
    help="fp32, fp16, int8, as-is, …; default fp32, or as-is for files that are quantised already.",
)
@click.option(
    "--backend",
    shell_complete=completion.backends,
    default="onnxruntime",
    callback=LIST,
    metavar="LIST",
    help="Runtimes that build and run the engines: onnxruntime, openvino, torch, torch-compile, …; each has one "
    "target, as `build --target` names it, and takes its recipes.",
)
@click.option("--scores", metavar="OUTPUT", help="Which output holds the class scores.")
@click.option(
    "--metric",
    metavar="MODULE:FUNCTION",
    help="Compute a measure of your own of (outputs by name, labels) on the test images of --data.",
)
@config_option  # before --preset, whose values those of a file may name and replace
@scenario_options
@measuring_options
@constraint_option
@run_options
@against_options
@network_options
@conversion_options
@engine_options
@output_options(
    markdown="Write a page for people; - for stdout.",
    csv="Write the report; - for stdout.",
    html="Write a page with pictures; - for stdout.",
)
@device_option
@store_option
@build_timeout_option
@dry_run_option
@quiet_option
def command(
    models: tuple[str, ...],
    precision: tuple[str, ...] | None,
    backend: tuple[str, ...],
    scores: str | None,
    metric: str | None,
    scenarios: Scenarios,
    measuring: Measuring,
    constraint: Constraint | None,
    runs: Runs,
    against: Against | None,
    variants: Variants,
    calibration: CalibrationChoice,
    engine: EngineChoice,
    outputs: Outputs,
    store: str | None,
    dry_run: bool,
    quiet: bool,
) -> int:
    r"""Measure latency, throughput, memory, drift and accuracy, each row in a process of its own.

    MODEL is a name of the catalogue, a path to an .onnx file, or module:factory. With none, what the
    engine store holds is measured, else the default models.

    \b
    deploykit profile --precision fp16
    deploykit profile mobilenet --alpha 1,0.5 --precision fp32,int8 --csv -
    deploykit profile my.onnx --batch 1,8 --csv my.csv
    deploykit profile efficientnet_b0 --precision int8 --keep-drift 5
    deploykit profile lenet5 mlp --backend onnxruntime,openvino --precision int8
    deploykit profile my.onnx --data npz:my.npz --metric iou:mean
    deploykit profile --preset vgg-listing
    deploykit profile squeezenet1_0 --threads 1 --streams 1,2
    deploykit profile squeezenet1_0 --rate 50/s,100/s --percentile 99
    deploykit profile squeezenet1_0 --option ort.allow_spinning=0,1
    deploykit profile squeezenet1_0 --repeats 5 --csv nightly.csv
    deploykit profile squeezenet1_0 --constraint 'latency_p95_ms<=50'
    deploykit profile mobilenet --precision int8 --against fp32 --max-slowdown 5%
    """
    opened = opened_store(store, quiet=quiet)
    if constraint is not None and against is not None:
        raise UsageError("--constraint and --against are two questions: ask one at a time")
    options = workflow.configuration.ProfileOptions(
        precisions=precision or (),
        backends=backend,
        batches=scenarios.batches,
        scenarios=scenarios.each,
        repeats=measuring.repeats,
        policy=runs.applied_to(_policy(measuring, constraint)),
        calibration=calibration,
        data=calibration.data,
        build=engine,
        timeout_s=measuring.timeout_s,
        roofline=measuring.roofline,
        samples=measuring.samples_folder(outputs.csv),
        report_folder=Path(outputs.csv).parent if outputs.csv not in (None, STDOUT) else Path(),
        passes=runs.passes,
        scores=scores,
        metric=metric,
        run_options=scenarios.told,
    )
    options = workflow.asked.check_profile(options, constraint)
    if outputs.csv is not None or outputs.html is not None or outputs.json:
        for name in backend:  # before anything is measured, whose samples would lie there already
            report.refuse_simulated_text(str(backends.get(name).device()), f"what {name} measures")
    if runs.preset is not None and not models:
        models = find_preset(runs.preset).models
    sources = (
        workflow.plan.plan(models, variants, calibration.data)
        if models
        else workflow.network.sources_without_names(opened, variants)
    )
    workflow.asked.check_scores(options, sources)
    if not quiet:
        for remark in workflow.machine.core_remarks():
            write_line(f"note: {remark}", err=True)
    if constraint is not None and not dry_run:
        return _search(
            workflow.search.LoadSearch(sources, options, constraint),
            opened,
            outputs,
            quiet=quiet,
        )
    wanted = workflow.configuration.enumerate_configurations(sources, options)
    if dry_run:
        return display.print_plan(wanted, options, opened, outputs)
    if against is not None:
        return _compare(wanted, against, options, opened, outputs, quiet=quiet)
    view = report.views.PROFILE if runs.preset is None else report.views.LISTING
    return _measure(wanted, options, view, opened, outputs, quiet=quiet)


def _policy(measuring: Measuring, constraint: Constraint | None) -> Policy:
    """How long to measure: a constraint on a percentile needs the samples for it."""
    percentile = None if constraint is None else workflow.search.percentile_of(constraint)
    return measuring.policy if percentile is None else measuring.reaching(percentile)


def _measure(
    wanted: Sequence[workflow.configuration.Configuration],
    options: workflow.configuration.ProfileOptions,
    view: Sequence[report.views.Field],
    store: artifacts.Store,
    outputs: Outputs,
    *,
    quiet: bool,
) -> int:
    """Measure every configuration, write and show its row; return the exit code."""
    csv = csv_report(outputs)
    workflow.run.describe_machine(options.samples, store)
    rows: list[Row] = []
    with progress.Steps(len(wanted), quiet=quiet) as steps:
        steps.announce(workflow.duration.least_s(wanted, options, store.root))
        for row in workflow.profile.Profiler(store, options, steps.say).rows(wanted):
            rows.append(row)
            if csv is not None:
                csv.add(row)
            steps.finished(display.row_line(row))
    try:
        workflow.run.describe_machine(options.samples, store)
        write_page(outputs, rows, _TITLE, store)
        write_documents(outputs, markdown=lambda: report.profile_page.page(rows))
    finally:  # what was measured is shown, whatever can't be written
        display.print_rows(view, rows, outputs, quiet=quiet)
    return workflow.rows.exit_code(rows)


def _search(
    search: workflow.search.LoadSearch, store: artifacts.Store, outputs: Outputs, *, quiet: bool
) -> int:
    """Search, write what was tried, and answer in one line for each network, precision and backend.

    Returns:
        The exit code: 0, or 1 where nothing holds the constraint, or that of rows which all failed.
    """
    csv = csv_report(outputs)
    workflow.run.describe_machine(search.options.samples, store)
    try:
        with progress.Steps(len(search.bases) * len(search.axis.amounts), quiet=quiet) as steps:
            for row in search.rows(workflow.profile.Profiler(store, search.options, steps.say)):
                if csv is not None and not csv.stream:
                    csv.add(row)
                steps.finished(display.row_line(row))
    finally:
        # Which one is chosen is known at the end only: a file is written once more, a stream waits.
        if csv is not None and search.tried:
            _finish(csv, search.tried)
    answers = [answer.text for answer in search.answers]
    try:
        workflow.run.describe_machine(search.options.samples, store)
        write_page(outputs, search.tried, _TITLE, store, answers)
        write_documents(
            outputs, markdown=lambda: report.profile_page.page(search.tried, remarks=answers)
        )
    finally:
        display.print_rows(report.views.PROFILE, search.tried, outputs, quiet=quiet)
        for text in answers:
            display.print_answer(text, err=not outputs.table)
    if all(answer.search.best is not None for answer in search.answers):
        return 0
    return (
        workflow.rows.exit_code(search.tried)
        if all(row["status"] != "ok" for row in search.tried)
        else 1
    )


def _finish(csv: report.csv.CsvReport, rows: Sequence[Row]) -> None:
    if not csv.stream:
        csv.replace(rows)
        return
    for row in rows:
        csv.add(row)
    sys.stdout.flush()


def _compare(
    wanted: Sequence[workflow.configuration.Configuration],
    against: Against,
    options: workflow.configuration.ProfileOptions,
    store: artifacts.Store,
    outputs: Outputs,
    *,
    quiet: bool,
) -> int:
    """Compare the one configuration that is wanted with the other, and show the outcome.

    Raises:
        CheckFailed: it is slower by more than --max-slowdown.
        DeploykitError: a side can't be built or measured.
    """
    refuse_beside(
        "--against, which times blocks for --against-seconds,",
        "seconds",
        "iterations",
        "metric",
        "scores",
        "repeats",
    )
    if len(wanted) != 1:
        raise UsageError(
            f"--against compares one configuration, these are {len(wanted)}: name one MODEL, "
            "precision, backend and batch"
        )
    head = wanted[0]
    other = workflow.against.other_side(against.other, head)
    workflow.against.check_sides([head, other])
    csv = csv_report(outputs)
    workflow.run.describe_machine(options.samples, store)
    with progress.Steps(1, quiet=quiet) as steps:
        sides = workflow.against.compare_sides(
            workflow.profile.Profiler(store, options, steps.say),
            head,
            other,
            threshold=against.threshold,
            budget_s=against.budget_s,
        )
    rows = [sides.base, sides.head]
    if csv is not None:
        for row in rows:
            csv.add(row)
    workflow.run.describe_machine(options.samples, store)
    name = other.name if isinstance(other, Path) else other.text
    text = f"{head.text} against {name}: {workflow.against.sentence(sides.comparison)}"
    is_regression = against.gate and sides.comparison.verdict == "slower"
    try:
        write_page(outputs, rows, _TITLE, store, [text])
        write_documents(outputs, markdown=lambda: report.profile_page.page(rows, remarks=[text]))
    finally:
        if outputs.json:
            for row in rows:
                report.refuse_simulated(row)
            display.print_json(workflow.against.as_values(sides))
        elif outputs.table:
            display.print_profile(report.views.PROFILE, rows)
            display.print_text(text)
        if not outputs.table and not is_regression:  # whose error says the same
            display.print_answer(text, err=True)
    if is_regression:
        raise CheckFailed(f"{text}; look for what changed, or raise --max-slowdown")
    return 0
