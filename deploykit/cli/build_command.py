"""`deploykit build`: engines with manifests."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.groups import (
    conversion_options,
    engine_options,
    network_options,
    quiet_option,
    store_option,
)
from deploykit.cli.options import LIST
from deploykit.cli.outputs import Outputs, output_options
from deploykit.cli.progress import Steps
from deploykit.report.views import megabytes, significant
from deploykit.spec import BuildOptions
from deploykit.store import Store
from deploykit.workflow.build import (
    Built,
    build_network,
    buildable,
    check_precisions,
    usable_backends,
)
from deploykit.workflow.calibration import CalibrationChoice
from deploykit.workflow.convert import losses_text
from deploykit.workflow.network import obtain_network
from deploykit.workflow.plan import Variants, plan


@click.command("build")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--precision",
    default="fp32",
    callback=LIST,
    metavar="LIST",
    help="fp32, fp16, bf16, int8, fp8; each on the targets that have it.",
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
    precision: tuple[str, ...],
    target: tuple[str, ...],
    variants: Variants,
    calibration: CalibrationChoice,
    engine: BuildOptions,
    store: Store,
    outputs: Outputs,
    quiet: bool,
) -> None:
    r"""Build engines and check that each computes in the precision asked for.

    Engines lie in the store under a key over the graph, the options, the builder and the target; one that
    is there already is found, not built.

    \b
    deploykit build mobilenet --precision fp32,int8
    deploykit build squeezenet --precision fp16,int8 --target cpu,tensorrt-rtx
    deploykit build efficientnet_b0 --precision int8 --keep-op Gemm --keep-drift 3
    """
    calibration.keep.check(precision)
    sources = plan(models, variants, calibration.data)
    check_precisions(precision, target)
    wanted = buildable(precision, usable_backends(target))
    built = []
    losses: dict[str, None] = {}  # once for all targets
    with Steps(len(sources) * len(wanted), quiet=quiet) as steps:
        for source in sources:
            steps.say(f"export {getattr(source, 'label', source)}")
            network = obtain_network(source, store)
            label = network.model.spec.label
            for backend, name in wanted:
                steps.say(f"build {label} {name} {backend.name}")
                built.append(build_network(network, name, backend, engine, calibration, store))
                lost = losses_text(built[-1].model)
                if lost:
                    losses[f"{label} {name}: {lost}"] = None
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
