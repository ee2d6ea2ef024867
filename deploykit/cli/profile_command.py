"""`deploykit profile`: one row of numbers per configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.groups import conversion_options, network_options, quiet_option, store_option
from deploykit.cli.measuring import (
    against_options,
    constraint_option,
    measuring_options,
    run_options,
    scenario_options,
)
from deploykit.cli.options import LIST
from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.bench.scenario import Constraint
    from deploykit.cli.measuring import Against, Measuring, Runs, Scenarios
    from deploykit.cli.outputs import Outputs
    from deploykit.workflow.choices import CalibrationChoice, Variants


@click.command("profile")
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option(
    "--precision",
    callback=LIST,
    metavar="LIST",
    help="fp32, fp16, int8, as-is, …; default fp32, or as-is for files that are quantised already.",
)
@click.option(
    "--backend",
    default="onnxruntime",
    callback=LIST,
    metavar="LIST",
    help="onnxruntime, openvino, torch, torch-compile, …",
)
@click.option("--scores", metavar="OUTPUT", help="Which output holds the class scores.")
@click.option(
    "--metric",
    metavar="MODULE:FUNCTION",
    help="Compute a measure of your own of (outputs by name, labels) on the test images of --data.",
)
@scenario_options
@measuring_options
@constraint_option
@run_options
@against_options
@network_options
@conversion_options
@output_options(csv="Write the report; - for stdout.")
@store_option
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
    outputs: Outputs,
    store: str | None,
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
    deploykit profile lenet5 squeezenet1_0 --backend onnxruntime,torch,openvino --precision fp32,int8
    deploykit profile detector.onnx --precision fp32,int8 --data npz:boxes.npz --metric iou:mean
    deploykit profile --preset vgg-listing
    deploykit profile squeezenet1_0 --threads 1 --streams 1,2
    deploykit profile squeezenet1_0 --rate 50/s,100/s --percentile 99
    deploykit profile squeezenet1_0 --repeats 5 --csv nightly.csv
    deploykit profile squeezenet1_0 --constraint 'latency_p95_ms<=50'
    deploykit profile mobilenet --precision int8 --against fp32 --max-slowdown 5%
    """
    from deploykit.cli.work.profile import profile

    return profile(
        models,
        precision,
        backend,
        scores=scores,
        metric=metric,
        scenarios=scenarios,
        measuring=measuring,
        constraint=constraint,
        runs=runs,
        against=against,
        variants=variants,
        calibration=calibration,
        outputs=outputs,
        store=store,
        quiet=quiet,
    )
