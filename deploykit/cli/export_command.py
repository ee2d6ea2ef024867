"""`deploykit export`: verified ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.groups import network_options, quiet_option, store_option
from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs
    from deploykit.workflow.choices import Variants


@click.command("export")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@network_options
@output_options(file="File, or folder for several; - for stdout; else the current folder.")
@store_option
@quiet_option
def command(
    models: tuple[str, ...],
    variants: Variants,
    outputs: Outputs,
    store: str | None,
    quiet: bool,
) -> None:
    r"""Export networks to ONNX, with a dynamic batch, verified against PyTorch at batch 1 and 3.

    Several values of --alpha and --rho give the product of both.

    \b
    deploykit export mobilenet
    deploykit export mobilenet --alpha 1,0.5 --rho 1,6/7 -o onnx/
    deploykit export lenet5 --weights trained -o lenet5.onnx
    """
    from deploykit.cli.work.export import export

    export(models, variants, outputs, store, quiet=quiet)
