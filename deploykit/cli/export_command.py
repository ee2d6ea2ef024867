"""`deploykit export`: verified ONNX files."""

from __future__ import annotations

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.groups import network_options, quiet_option, store_option
from deploykit.cli.outputs import Outputs, output_options
from deploykit.cli.progress import Steps
from deploykit.report.views import megabytes, millions
from deploykit.store import Store
from deploykit.workflow.export import destinations, export_to
from deploykit.workflow.plan import Variants, plan


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
    store: Store,
    quiet: bool,
) -> None:
    r"""Export networks to ONNX, with a dynamic batch, verified against PyTorch at batch 1 and 3.

    Several values of --alpha and --rho give the product of both.

    \b
    deploykit export mobilenet
    deploykit export mobilenet --alpha 1,0.5 --rho 1,6/7 -o onnx/
    deploykit export lenet5 --weights trained -o lenet5.onnx
    """
    sources = plan(models, variants)
    places = destinations(sources, outputs.file)
    exported = []
    with Steps(len(sources), quiet=quiet) as steps:
        for source, place in zip(sources, places, strict=True):
            steps.say(f"export {place.name}")
            exported.append(export_to(source, place, store))
            steps.step()
    if outputs.json:
        print_json([e.as_dict() for e in exported])
    if not outputs.table:
        return
    print_table(
        ("file", "parameters (M)", "MACs (M)", "MB", "max relative error"),
        [
            (
                str(e.path),
                millions(e.parameters),
                millions(e.macs),
                megabytes(e.file_bytes),
                e.verified,
            )
            for e in exported
        ],
        right=(1, 2, 3, 4),
    )
