"""`deploykit run`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.groups import quiet_option, store_option
from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


@click.command("run")
@click.option("--reports", default="reports", metavar="DIR", help="Folder for the reports.")
@click.option("--quick", is_flag=True, help="Measure 0.5 s per row instead of 3 s.")
@store_option
@output_options()
@quiet_option
def command(reports: str, quick: bool, store: str | None, outputs: Outputs, quiet: bool) -> int:
    r"""Export, convert, build, measure and check claims on the default models, and write the reports.

    lenet5 (trained), squeezenet, alexnet, mobilenet at alpha 1 and 0.5; fp32, fp16 and int8; ONNX Runtime on
    the CPU, and TensorRT for RTX engines, which are built here and run where there is a GPU. Leaves
    profile.csv, claims.csv, summary.md and env.json in the reports folder, and engines in the store.

    \b
    deploykit run
    deploykit run --quick --reports /tmp/reports
    """
    from deploykit.cli.work.run import run

    return run(reports, store, outputs, quick=quick, quiet=quiet)
