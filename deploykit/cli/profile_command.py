"""`deploykit profile`: one row of numbers per configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deploykit.cli.against_options import against_options, compare_and_show, take_against
from deploykit.cli.constraint_options import constraint_option, search_and_show, take_constraint
from deploykit.cli.load_options import load_options, take_measuring
from deploykit.cli.options import (
    calibration_options,
    json_option,
    keep_options,
    quiet_option,
    store_option,
    variant_options,
)
from deploykit.cli.pass_options import pass_options, take_passes


@click.command("profile")
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option(
    "--precision", default="fp32", metavar="LIST", help="fp32, fp16, int8, …; default fp32."
)
@click.option(
    "--backend",
    default="onnxruntime",
    metavar="LIST",
    help="onnxruntime, openvino, torch, torch-compile, …",
)
@click.option("--batch", default="1", metavar="LIST", help="Images per run, such as 1,8.")
@load_options
@constraint_option
@pass_options
@against_options
@variant_options
@calibration_options
@keep_options
@click.option("--csv", "csv_path", metavar="FILE", help="Write the report; - for stdout.")
@store_option
@json_option
@quiet_option
def command(
    models: tuple[str, ...],
    precision: str,
    backend: str,
    batch: str,
    data: str | None,
    csv_path: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
    preset: str | None,
    **options: Any,
) -> int:
    r"""Measure latency, throughput, memory, drift and accuracy, each row in a process of its own.

    MODEL is a name of the catalogue, a path to an .onnx file, or module:factory. With none, what the
    engine store holds is measured, else the default models.

    \b
    deploykit profile --precision fp16
    deploykit profile mobilenet --alpha 1,0.5 --precision fp32,int8 --csv -
    deploykit profile my.onnx --batch 1,8 --csv my.csv
    deploykit profile efficientnet_b0 --precision int8 --keep-drift 5
    deploykit profile lenet5 squeezenet1_0 --backend onnxruntime,torch,openvino --precision fp32,int8
    deploykit profile --preset vgg-listing
    deploykit profile squeezenet1_0 --threads 1 --streams 1,2
    deploykit profile squeezenet1_0 --rate 50/s,100/s --percentile 99
    deploykit profile squeezenet1_0 --repeats 5 --csv nightly.csv
    deploykit profile squeezenet1_0 --constraint 'latency_p95_ms<=50'
    deploykit profile mobilenet --precision int8 --against fp32 --max-slowdown 5%
    """
    from deploykit.backends import get
    from deploykit.backends.offers import check_offered
    from deploykit.cli.display import Steps, print_rows
    from deploykit.cli.options import calibration_choice, listed, variants, whole_numbers
    from deploykit.errors import UsageError
    from deploykit.report.csvfile import STDOUT, CsvReport
    from deploykit.report.schema import NAMES
    from deploykit.report.views import LISTING, PROFILE
    from deploykit.workflow.build import check_precisions, require_available
    from deploykit.workflow.configuration import ProfileOptions, configurations
    from deploykit.workflow.core_remarks import of_machine
    from deploykit.workflow.network import open_store
    from deploykit.workflow.network import sources_without_names as from_store
    from deploykit.workflow.outcome import exit_code
    from deploykit.workflow.plan import plan
    from deploykit.workflow.plan import preset as find_preset
    from deploykit.workflow.profile import Profiler
    from deploykit.workflow.run import describe_machine

    if as_json and csv_path == STDOUT:
        raise UsageError("stdout takes one of --csv - and --json: name a file for the CSV")
    measuring, against = take_measuring(options, csv_path), take_against(options)
    constraint = take_constraint(options, against=against is not None)
    precisions, backends = listed(precision, "--precision"), listed(backend, "--backend")
    targets = [get(name).target for name in backends]
    check_precisions(precisions, targets)
    check_offered([get(name) for name in backends], precisions)
    passes, policy = take_passes(
        options,
        backends,
        measuring.scenarios,
        measuring.policy,
        searching=constraint is not None,
    )
    require_available([get(name) for name in backends])
    profile = ProfileOptions(
        precisions=precisions,
        backends=backends,
        batches=whole_numbers(batch, "--batch"),
        scenarios=measuring.scenarios,
        repeats=measuring.repeats,
        calibration=calibration_choice(data, options, precisions),
        policy=policy,
        passes=passes,
        data=data,
        timeout_s=measuring.timeout_s,
        roofline=measuring.roofline,
        samples=measuring.samples,
        report_folder=Path(csv_path).parent if csv_path and csv_path != STDOUT else Path(),
    )
    artifacts = open_store(store)
    chosen = variants(**options)
    if preset is not None and not models:
        models = find_preset(preset).models
    sources = plan(models, chosen, data) if models else from_store(artifacts, chosen)
    if not quiet:
        for remark in of_machine():
            click.echo(f"note: {remark}", err=True)
    if constraint is not None:
        code = search_and_show(
            sources, constraint, profile, artifacts, csv_path=csv_path, as_json=as_json, quiet=quiet
        )
        describe_machine(measuring.samples, artifacts)
        return code
    wanted = configurations(sources, profile)
    if against is not None:
        return compare_and_show(
            wanted, against, profile, artifacts, csv_path=csv_path, as_json=as_json, quiet=quiet
        )
    report = CsvReport(csv_path, NAMES) if csv_path else None
    rows = []
    with Steps(len(wanted), quiet=quiet) as steps:
        for row in Profiler(artifacts, profile, steps.say).rows(wanted):
            rows.append(row)
            if report is not None:
                report.add(row)
            steps.step()
    describe_machine(measuring.samples, artifacts)
    fields = PROFILE if preset is None else LISTING
    print_rows(fields, rows, csv_path=csv_path, as_json=as_json, quiet=quiet)
    return exit_code(rows)
