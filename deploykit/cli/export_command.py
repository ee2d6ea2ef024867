"""`deploykit export`: verified ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from deploykit.cli import completion
from deploykit.cli.groups import (
    build_timeout_option,
    dry_run_option,
    network_options,
    opened_store,
    quiet_option,
    read_ahead,
    store_option,
)
from deploykit.cli.library import display, progress, report, workflow
from deploykit.cli.options import Grouped
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import DeploykitError
from deploykit.text import printable, write_line
from deploykit.workflow.choices import Variants


@click.command("export", cls=Grouped)
@click.argument(
    "models",
    shell_complete=completion.models,
    nargs=-1,
    required=True,
    metavar="MODEL...",
    callback=read_ahead,
)
@network_options
@output_options(file="File, or folder for several; - for stdout; else the current folder.")
@store_option
@build_timeout_option
@dry_run_option
@quiet_option
def command(
    models: tuple[str, ...],
    variants: Variants,
    outputs: Outputs,
    store: str | None,
    dry_run: bool,
    quiet: bool,
) -> int:
    r"""Export networks to ONNX, with a dynamic batch, verified against PyTorch at batch 1 and 3.

    Several values of --alpha and --rho give the product of both.

    \b
    deploykit export mobilenet
    deploykit export mobilenet --alpha 1,0.5 --rho 1,6/7 -o onnx/
    deploykit export lenet5 --weights trained -o lenet5.onnx
    """
    opened = opened_store(store, quiet=quiet)
    sources = workflow.plan.plan(models, variants)
    places = workflow.export.destinations(sources, outputs.file, make_folder=not dry_run)
    if dry_run:
        return _plan(sources, places, outputs)
    exported: list[workflow.export.Exported] = []
    failed: list[tuple[Path, DeploykitError]] = []
    with progress.Steps(len(sources), quiet=quiet) as steps:
        for source, place in zip(sources, places, strict=True):
            steps.say(f"export {place.name}")
            try:
                exported.append(workflow.export.export_to(source, place, opened))
            except DeploykitError as error:
                failed.append((place, error))
            steps.step()
    if len(sources) == 1 and failed:
        raise failed[0][1]
    _show(exported, outputs)
    for missing, why in failed:
        write_line(printable(f"deploykit: not exported: {missing}: {why}"), err=True)
    return max((why.exit_code for _, why in failed), default=0)


def _show(exported: Sequence[workflow.export.Exported], outputs: Outputs) -> None:
    """What was written, as a table or as JSON; nothing of what was not."""
    if outputs.json:
        display.print_json([e.as_dict() for e in exported])
    if not outputs.table or not exported:
        return
    display.print_table(
        ("file", "parameters (M)", "MACs (M)", "MB", "max relative error"),
        [
            (
                str(e.path),
                report.views.millions(e.parameters),
                report.views.millions(e.macs),
                report.views.megabytes(e.file_bytes),
                e.verified,
            )
            for e in exported
        ],
        right=(1, 2, 3, 4),
    )


def _plan(sources: Sequence[workflow.plan.Source], places: Sequence[Path], outputs: Outputs) -> int:
    """What would be written where; nothing is exported."""
    views = report.views
    fields = [
        views.Field("network", views.text("network"), number=False, name="network"),
        *display.FILE,
    ]
    rows = [
        {
            "network": getattr(source, "label", "") or str(source),
            "file": str(place),
            "replaces": place.is_file(),
        }
        for source, place in zip(sources, places, strict=True)
    ]
    count = f"{len(rows)} network{'s' * (len(rows) != 1)}"
    return display.print_planned(
        fields, rows, outputs, f"{count}, each exported and verified, or found in the store"
    )
