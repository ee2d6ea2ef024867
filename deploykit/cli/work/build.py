"""What `deploykit build` does: build engines and show what each computes in."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import Steps
from deploykit.report.views import megabytes, significant
from deploykit.spec import BuildOptions
from deploykit.store import open_store
from deploykit.workflow.as_is import default_precisions
from deploykit.workflow.build import (
    Built,
    build_network,
    buildable,
    check_precisions,
    usable_backends,
)
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choice import CalibrationChoice
from deploykit.workflow.convert import losses_text, values_text
from deploykit.workflow.network import obtain_network
from deploykit.workflow.plan import plan
from deploykit.workflow.rows import left_note
from deploykit.workflow.variants import Variants


def build(
    models: Sequence[str],
    precision: Sequence[str] | None,
    target: Sequence[str],
    *,
    variants: Variants,
    calibration: CalibrationChoice,
    engine: BuildOptions,
    store: str | None,
    outputs: Outputs,
    quiet: bool,
) -> None:
    """Build every network in every precision for every target that has it, and show the engines."""
    check_choice(calibration)
    artifacts = open_store(store)
    calibration.keep.check(precision or ("fp32",))
    sources = plan(models, variants, calibration.data)
    check_precisions(precision or (), target)
    backends = usable_backends(target)
    each = {source: precision or default_precisions(source) for source in sources}
    wanted = {source: buildable(names, backends) for source, names in each.items()}
    built = []
    losses: dict[str, None] = {}  # once for all targets
    with Steps(sum(map(len, wanted.values())), quiet=quiet) as steps:
        for source in sources:
            steps.say(f"export {getattr(source, 'label', source)}")
            network = obtain_network(source, artifacts)
            label = network.model.spec.label
            for backend, name in wanted[source]:
                steps.say(f"build {label} {name} {backend.name}")
                built.append(build_network(network, name, backend, engine, calibration, artifacts))
                for text in (losses_text(built[-1].model), values_text(built[-1].model)):
                    if text:
                        losses[f"{label} {name}: {text}"] = None
                left = left_note(built[-1].engine)
                if left is not None:
                    losses[f"{label} {name} on {backend.name}: {left.text}"] = None
                steps.step()
    for line in losses:
        click.echo(line, err=True)
    _show(built, outputs)


def _show(built: Sequence[Built], outputs: Outputs) -> None:
    if outputs.json:
        print_json(
            [{"path": str(b.engine.path), "found": b.hit} | dict(b.engine.manifest) for b in built]
        )
        return
    print_table(
        ("engine", "precision", "computes in", "MB", "build s", ""),
        [
            (
                str(b.engine.path),
                b.engine.manifest["precision"],
                b.engine.precision_actual,
                megabytes(b.engine.manifest["bytes"]),
                significant(b.engine.manifest["build_s"]),
                "found" if b.hit else "built",
            )
            for b in built
        ],
        right=(3, 4),
    )
