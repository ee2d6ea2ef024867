"""`deploykit layers`: one row per layer of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.groups import calibration_options, network_options, quiet_option, store_option
from deploykit.cli.options import PERCENT, group
from deploykit.cli.outputs import output_options
from deploykit.workflow.choices import Goal

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs
    from deploykit.workflow.choices import CalibrationChoice, Variants


@group(
    "goal",
    click.option(
        "--max-accuracy-drop",
        callback=PERCENT,
        metavar="PERCENT",
        help="Instead, find the fewest layers to keep in fp32 so that top-1 loses no more, such as 0.5%.",
    ),
    click.option(
        "--min-snr-db",
        type=float,
        metavar="DB",
        help="The same for the outputs' signal-to-noise ratio, which needs no labels.",
    ),
)
def goal_options(max_accuracy_drop: float | None, min_snr_db: float | None) -> Goal | None:
    """What a search for layers to keep in float32 is to reach; None where there is none."""
    if max_accuracy_drop is None and min_snr_db is None:
        return None
    return Goal(max_accuracy_drop, min_snr_db)


@click.command("layers")
@click.argument("model")
@click.option(
    "--precision",
    metavar="NAME",
    help="fp32, fp16, int8 or as-is; default fp32, or as-is for a file that is quantised already.",
)
@click.option("--backend", default="onnxruntime", metavar="NAME", help="onnxruntime or torch.")
@click.option("--batch", type=click.IntRange(1), default=1, metavar="N", help="Images per run.")
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Of the runtime; else all cores."
)
@click.option("--by", default="order", metavar="ORDER", help="order, drift, time or macs.")
@goal_options
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the first N rows.")
@network_options
@calibration_options
@output_options(csv="Write the rows; - for stdout.")
@store_option
@quiet_option
def command(
    model: str,
    precision: str | None,
    backend: str,
    batch: int,
    threads: int | None,
    by: str,
    goal: Goal | None,
    top: int | None,
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: str | None,
    quiet: bool,
) -> int:
    r"""Time, work, roofline and drift of each layer, in the order in which the engine runs them.

    A layer that the runtime fused into another one is counted there; what the runtime added has rows of
    its own. Drift is against fp32 on 16 images of the calibration part, or of noise.

    With --max-accuracy-drop or --min-snr-db, the layers to keep in fp32 are searched for instead and printed
    as options of build and profile. Accuracy is judged on the calibration part, never on the test part.

    \b
    deploykit layers resnet18 --by time --top 10
    deploykit layers resnet18 --backend torch
    deploykit layers lenet5 --weights trained --precision int8
    deploykit layers my.onnx --precision int8 --data npz:my.npz --by drift --csv layers.csv
    deploykit layers my.onnx --precision int8 --data npz:my.npz --max-accuracy-drop 0.5%
    deploykit layers mobilenet --precision int8 --min-snr-db 25
    """
    from deploykit.cli.work.layers import layers

    return layers(
        model,
        precision,
        backend,
        batch=batch,
        threads=threads,
        by=by,
        goal=goal,
        top=top,
        variants=variants,
        calibration=calibration,
        outputs=outputs,
        store=store,
        quiet=quiet,
    )
