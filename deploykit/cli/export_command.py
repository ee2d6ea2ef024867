"""`deploykit export`: verified ONNX files."""

from __future__ import annotations

from typing import Any

import click

from deploykit.cli.options import json_option, quiet_option, store_option, variant_options


@click.command("export")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@variant_options
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="File, or folder for several; - for stdout; else the current folder.",
)
@store_option
@json_option
@quiet_option
def command(
    models: tuple[str, ...],
    output: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    r"""Export networks to ONNX, with a dynamic batch, verified against PyTorch at batch 1 and 3.

    Several values of --alpha and --rho give the product of both.

    \b
    deploykit export mobilenet
    deploykit export mobilenet --alpha 1,0.5 --rho 1,6/7 -o onnx/
    deploykit export lenet5 --weights trained -o lenet5.onnx
    """
    from deploykit.cli.display import Steps, print_json, print_table
    from deploykit.cli.options import variants
    from deploykit.errors import UsageError
    from deploykit.report.csvfile import STDOUT
    from deploykit.report.views import megabytes, millions
    from deploykit.workflow.export import destinations, export_to
    from deploykit.workflow.network import open_store
    from deploykit.workflow.plan import plan

    if as_json and output == STDOUT:
        raise UsageError("stdout takes one of -o - and --json: name a file for the graph")
    sources = plan(models, variants(**options))
    places = destinations(sources, output)
    exported = []
    with Steps(len(sources), quiet=quiet) as steps:
        for source, place in zip(sources, places, strict=True):
            steps.say(f"export {place.name}")
            exported.append(export_to(source, place, open_store(store)))
            steps.step()
    if as_json:
        print_json([e.as_dict() for e in exported])
        return
    if output == STDOUT:
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
