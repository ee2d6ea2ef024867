"""`deploykit build`: engines with manifests."""

from __future__ import annotations

from typing import Any

import click

from deploykit.cli.options import (
    calibration_options,
    json_option,
    keep_options,
    quiet_option,
    store_option,
    variant_options,
)


@click.command("build")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--precision",
    default="fp32",
    metavar="LIST",
    help="fp32, fp16, bf16, int8, fp8; each on the targets that have it.",
)
@click.option("--target", default="cpu", metavar="LIST", help="cpu, tensorrt-rtx, tensorrt.")
@variant_options
@calibration_options
@keep_options
@click.option(
    "--max-batch", type=click.IntRange(1), default=8, help="Largest batch of TensorRT engines."
)
@click.option(
    "--compute-capability", metavar="X.Y", help="NVIDIA device to build for, such as 8.6."
)
@store_option
@json_option
@quiet_option
def command(
    models: tuple[str, ...],
    precision: str,
    target: str,
    data: str | None,
    max_batch: int,
    compute_capability: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    r"""Build engines and check that each computes in the precision asked for.

    Engines lie in the store under a key over the graph, the options, the builder and the target; one that
    is there already is found, not built.

    \b
    deploykit build mobilenet --precision fp32,int8
    deploykit build squeezenet --precision fp16,int8 --target cpu,tensorrt-rtx
    deploykit build efficientnet_b0 --precision int8 --keep-op Gemm --keep-drift 3
    """
    from deploykit.cli.display import Steps, print_json, print_table
    from deploykit.cli.options import calibration_choice, listed, variants
    from deploykit.report.views import megabytes, significant
    from deploykit.spec import BuildOptions
    from deploykit.workflow.build import (
        build_network,
        check_precisions,
        configurations,
        usable_backends,
    )
    from deploykit.workflow.convert import losses_text
    from deploykit.workflow.network import obtain_network, open_store
    from deploykit.workflow.plan import plan

    precisions, targets = listed(precision, "--precision"), listed(target, "--target")
    choice = calibration_choice(data, options, precisions)
    sources = plan(models, variants(**options), data)
    check_precisions(precisions, targets)
    backends = usable_backends(targets)
    build = BuildOptions(batch_max=max_batch, compute_capability=compute_capability)
    artifacts = open_store(store)
    built = []
    losses: dict[str, None] = {}  # once for all targets
    wanted = configurations(precisions, backends)
    with Steps(len(sources) * len(wanted), quiet=quiet) as steps:
        for source in sources:
            steps.say(f"export {getattr(source, 'label', source)}")
            network = obtain_network(source, artifacts)
            for backend, name in wanted:
                steps.say(f"build {network.model.spec.label} {name} {backend.name}")
                built.append(build_network(network, name, backend, build, choice, artifacts))
                lost = losses_text(built[-1].model)
                if lost:
                    losses[f"{network.model.spec.label} {name}: {lost}"] = None
                steps.step()
    for line in losses:
        click.echo(line, err=True)
    if as_json:
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
