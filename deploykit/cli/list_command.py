"""`deploykit list`: the catalogue, from stored facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


@click.command("list")
@click.argument("pattern", required=False)
@click.option(
    "--precisions", is_flag=True, help="List precision recipes and their targets instead."
)
@output_options()
def command(pattern: str | None, precisions: bool, outputs: Outputs) -> None:
    r"""The catalogue: name, family, year, paper, input, parameters, MACs.

    MACs are multiply-accumulates of one image at the canonical input, in millions; one MAC is two FLOPs.

    \b
    deploykit list
    deploykit list 'vgg*'
    deploykit list --precisions
    """
    from deploykit.cli.work.list import list_architectures, list_precisions

    if precisions:
        list_precisions(outputs)
    else:
        list_architectures(pattern, outputs)
