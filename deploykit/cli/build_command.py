"""`deploykit build`: engines with manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.groups import (
    conversion_options,
    network_options,
    quiet_option,
    store_option,
)
from deploykit.cli.options import LIST, group
from deploykit.cli.outputs import output_options
from deploykit.spec import BuildOptions

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs
    from deploykit.workflow.choices import CalibrationChoice, Variants


@group(
    "engine",
    click.option(
        "--max-batch", type=click.IntRange(1), default=8, help="Largest batch of TensorRT engines."
    ),
    click.option(
        "--compute-capability", metavar="X.Y", help="NVIDIA device to build for, such as 8.6."
    ),
)
def engine_options(max_batch: int, compute_capability: str | None) -> BuildOptions:
    """What engines are built for."""
    return BuildOptions(batch_max=max_batch, compute_capability=compute_capability)


@click.command("build")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--precision",
    callback=LIST,
    metavar="LIST",
    help="fp32, fp16, bf16, int8, fp8, as-is; each on the targets that have it. Default fp32, or as-is for "
    "files that are quantised already.",
)
@click.option(
    "--target", default="cpu", callback=LIST, metavar="LIST", help="cpu, tensorrt-rtx, tensorrt."
)
@network_options
@conversion_options
@engine_options
@store_option
@output_options()
@quiet_option
def command(
    models: tuple[str, ...],
    precision: tuple[str, ...] | None,
    target: tuple[str, ...],
    variants: Variants,
    calibration: CalibrationChoice,
    engine: BuildOptions,
    store: str | None,
    outputs: Outputs,
    quiet: bool,
) -> int:
    r"""Build engines and check that each computes in the precision asked for.

    Engines lie in the store under a key over the graph, the options, the builder and the target; one that
    is there already is found, not built.

    \b
    deploykit build mobilenet --precision fp32,int8
    deploykit build squeezenet --precision fp16,int8 --target cpu,tensorrt-rtx
    deploykit build efficientnet_b0 --precision int8 --keep-op Gemm --keep-drift 3
    """
    from deploykit.cli.work.build import build

    return build(
        models,
        precision,
        target,
        variants=variants,
        calibration=calibration,
        engine=engine,
        store=store,
        outputs=outputs,
        quiet=quiet,
    )
