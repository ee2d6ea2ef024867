"""What `deploykit build` does: build engines and show what each computes in."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import Steps
from deploykit.errors import DeploykitError
from deploykit.report.views import megabytes, significant
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.store import open_store
from deploykit.text import file_name, printable
from deploykit.workflow.build import (
    Built,
    build_network,
    buildable,
    check_precisions,
    usable_backends,
)
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import CalibrationChoice, Variants
from deploykit.workflow.configuration import default_precisions
from deploykit.workflow.convert import losses_text, values_text
from deploykit.workflow.network import obtain_network
from deploykit.workflow.plan import Source, plan
from deploykit.workflow.rows import left_note


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
) -> int:
    """Build every network in every precision for every target that has it, and show the engines.

    One that can't be built is said on stderr, and the rest are built all the same.

    Returns:
        The worst of the exit codes.
    """
    check_choice(calibration)
    artifacts = open_store(store)
    calibration.keep.check(precision or ("fp32",))
    sources = plan(models, variants, calibration.data)
    check_precisions(precision or (), target)
    backends = usable_backends(target)
    built: list[Built] = []
    failed: list[tuple[str, DeploykitError]] = []
    wanted = {}
    for source in sources:
        try:
            wanted[source] = buildable(precision or default_precisions(source), backends)
        except DeploykitError as error:
            failed.append((_name(source), error))
    losses: dict[str, None] = {}  # once for all targets
    with Steps(sum(map(len, wanted.values())), quiet=quiet) as steps:
        for source in wanted:
            steps.say(f"export {getattr(source, 'label', source)}")
            try:
                network = obtain_network(source, artifacts)
            except DeploykitError as error:
                failed.append((_name(source), error))
                continue
            label = network.model.spec.label
            for backend, name in wanted[source]:
                steps.say(f"build {label} {name} {backend.name}")
                try:
                    made = build_network(network, name, backend, engine, calibration, artifacts)
                except DeploykitError as error:
                    failed.append((f"{label} {name} {backend.name}", error))
                    continue
                finally:
                    steps.step()
                built.append(made)
                for text in (losses_text(made.model), values_text(made.model)):
                    if text:
                        losses[f"{label} {name}: {text}"] = None
                left = left_note(made.engine)
                if left is not None:
                    losses[f"{label} {name} on {backend.name}: {left.text}"] = None
    if len(failed) == 1 and not built:
        raise failed[0][1]
    for line in losses:
        click.echo(printable(line), err=True)
    # Where nothing was built, stdout stays empty, unless a program reads it.
    if built or outputs.json:
        _show(built, outputs)
    for line in _failures(failed):
        click.echo(f"deploykit: {line}", err=True)
    return max((error.exit_code for _, error in failed), default=0)


def _name(source: Source) -> str:
    return source.label if isinstance(source, ModelSpec) else file_name(source.path.name)


def _failures(failed: Sequence[tuple[str, DeploykitError]]) -> list[str]:
    """One line for each reason, with all that it is the reason of."""
    concerned: dict[str, list[str]] = {}
    for what, error in failed:
        concerned.setdefault(str(error), []).append(what)
    return [f"not built: {', '.join(whats)}: {reason}" for reason, whats in concerned.items()]


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
