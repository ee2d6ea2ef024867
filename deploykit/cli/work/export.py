"""What `deploykit export` does: export each network and show what was verified."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import Steps
from deploykit.report.views import megabytes, millions
from deploykit.store import open_store
from deploykit.workflow.choices import Variants
from deploykit.workflow.export import destinations, export_to
from deploykit.workflow.plan import plan


def export(
    models: Sequence[str], variants: Variants, outputs: Outputs, store: str | None, *, quiet: bool
) -> None:
    """Export networks to where the outputs say."""
    artifacts = open_store(store)
    sources = plan(models, variants)
    places = destinations(sources, outputs.file)
    exported = []
    with Steps(len(sources), quiet=quiet) as steps:
        for source, place in zip(sources, places, strict=True):
            steps.say(f"export {place.name}")
            exported.append(export_to(source, place, artifacts))
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
