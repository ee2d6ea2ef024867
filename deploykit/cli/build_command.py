"""`deploykit build`: engines with manifests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from click.core import ParameterSource

from deploykit.cli import completion
from deploykit.cli.groups import (
    Configured,
    build_timeout_option,
    config_option,
    conversion_options,
    device_option,
    dry_run_option,
    engine_options,
    network_options,
    opened_store,
    quiet_option,
    read_ahead,
    store_option,
)
from deploykit.cli.library import backends, display, progress, report, workflow
from deploykit.cli.options import LIST
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import DeploykitError, UsageError
from deploykit.spec import ModelFile, ModelSpec
from deploykit.text import file_name, printable, write_line
from deploykit.workflow.choices import CalibrationChoice, EngineChoice, Variants


@click.command("build", cls=Configured)
@click.argument(
    "models",
    shell_complete=completion.models,
    nargs=-1,
    required=True,
    metavar="MODEL...",
    callback=read_ahead,
)
@click.option(
    "--precision",
    shell_complete=completion.precisions,
    callback=LIST,
    metavar="LIST",
    help="fp32, fp16, bf16, int8, fp8, as-is; each on the targets that have it. Default fp32, or as-is for "
    "files that are quantised already.",
)
@click.option(
    "--target",
    shell_complete=completion.targets,
    default="cpu",
    callback=LIST,
    metavar="LIST",
    help="What to write graphs for, which decides the recipe of a precision and which backend builds: cpu, "
    "tensorrt-rtx, tensorrt.",
)
@click.option(
    "--backend",
    shell_complete=completion.backends,
    callback=LIST,
    metavar="LIST",
    help="Runtimes that build, in place of the one that --target has: onnxruntime, openvino, torch, …; each has "
    "one target.",
)
@network_options
@conversion_options
@engine_options
@config_option
@device_option
@store_option
@build_timeout_option
@output_options(
    file="Put the engine there, or several into a folder, to be used without deploykit; its manifest beside it."
)
@dry_run_option
@quiet_option
def command(
    models: tuple[str, ...],
    precision: tuple[str, ...] | None,
    target: tuple[str, ...],
    backend: tuple[str, ...] | None,
    variants: Variants,
    calibration: CalibrationChoice,
    engine: EngineChoice,
    store: str | None,
    outputs: Outputs,
    dry_run: bool,
    quiet: bool,
) -> int:
    r"""Build engines and check that each computes in the precision asked for.

    Engines lie in the store under a key over the graph, the options, the builder and the target; one that
    is there already is found, not built.

    \b
    deploykit build mobilenet --precision fp32,int8
    deploykit build squeezenet --precision fp16,int8 --target cpu,tensorrt-rtx
    deploykit build efficientnet_b0 --precision int8 --keep-op Gemm --keep-drift 3
    deploykit build lenet5 --weights trained --precision int8 -o lenet5-int8.onnx
    """
    workflow.calibration.check_choice(calibration)
    opened = opened_store(store, quiet=quiet)
    calibration.keep.check(precision or ("fp32",))
    sources = workflow.plan.plan(models, variants, calibration.data)
    chosen = _chosen(backend)
    if chosen:
        target = tuple(one.target for one in chosen)
    workflow.build.check_precisions(precision or (), target)
    backends = chosen or workflow.build.usable_backends(target)
    workflow.build.check_buildable(precision or (), backends)
    workflow.build.check_used(engine, calibration, precision or (), backends)
    if outputs.file is not None:
        workflow.engine_file.check_usable(backends)
    options = engine.at_batch(1)
    built: list[workflow.build.Built] = []
    names: list[str] = []  # of files that share one, by their folders
    failed: list[tuple[str, DeploykitError]] = []
    wanted = {}
    for source in sources:
        try:
            wanted[source] = workflow.build.buildable(
                precision or workflow.configuration.default_precisions(source), backends
            )
        except DeploykitError as error:
            failed.append((_name(source), error))
    places = workflow.engine_file.places_of(
        [(f"{_name(s)}-{name}-{one.name}", one) for s, of in wanted.items() for one, name in of],
        outputs.file,
        make_folder=not dry_run,
    )
    if dry_run:
        return _plan(wanted, engine, places, outputs, failed)
    where = iter(places)
    unused = (workflow.build.unused_text(engine, one) for one in backends)
    losses: dict[str, None] = dict.fromkeys(filter(None, unused))  # once for all targets
    with progress.Steps(sum(map(len, wanted.values())), quiet=quiet) as steps:
        for source in wanted:
            steps.say(f"export {getattr(source, 'label', source)}")
            try:
                network = workflow.network.obtain_network(source, opened)
            except DeploykitError as error:
                failed.append((_name(source), error))
                list(itertools.islice(where, len(wanted[source])))
                continue
            label = network.model.spec.label
            if isinstance(source, ModelFile) and source.label:
                label = source.label
            for one, name in wanted[source]:
                steps.say(f"build {label} {name} {one.name}")
                place = next(where)
                try:
                    build = partial(
                        workflow.build.build_network,
                        precision=name,
                        backend=one,
                        options=options,
                        choice=calibration,
                        store=opened,
                    )
                    result = workflow.build.build_despite_wipes(source, network, build, opened)
                    if place is not None:
                        moved = workflow.engine_file.put_engine(result.engine, place)
                        result = replace(result, engine=moved)
                except DeploykitError as error:
                    failed.append((f"{label} {name} {one.name}", error))
                    continue
                finally:
                    steps.step()
                built.append(result)
                names.append(label if "/" in label else "")
                for text in (
                    workflow.convert.rounding_text(result.model),
                    workflow.convert.out_of_range_text(result.model),
                ):
                    if text:
                        losses[f"{label} {name}: {text}"] = None
                wider = workflow.rows.wider_types_note(result.engine)
                if wider is not None:
                    losses[f"{label} {name} on {one.name}: {wider.text}"] = None
    if len(failed) == 1 and not built:
        raise failed[0][1]
    for line in losses:
        write_line(printable(line), err=True)
    # Where nothing was built, stdout stays empty, unless a program reads it.
    if built or outputs.json:
        _show(built, names, outputs)
    return _tell_failures(failed)


def _chosen(names: tuple[str, ...] | None) -> list[backends.base.BackendBase]:
    """The backends of --backend; none where there is no such option, or --target counts more than a file's.

    Raises:
        UsageError: both are given on the command line.
        UnknownName, MissingDependency: there is no such backend, or it can't build here.
    """
    context = click.get_current_context()
    given = {
        name
        for name in ("backend", "target")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if len(given) == 2:
        raise UsageError("--backend and --target both say who builds: give one of them")
    if names is None or "target" in given:
        return []
    chosen = [backends.get(name) for name in names]
    workflow.build.require_available(chosen)
    return chosen


def _name(source: workflow.plan.Source) -> str:
    return source.label if isinstance(source, ModelSpec) else file_name(source.name)


#: What tells engines apart, of what tells rows apart.
_NAMING = ("model", "backend", "precision", "weights", "engine_options")


def _plan(
    wanted: Mapping[workflow.plan.Source, Sequence[tuple[backends.base.BackendBase, str]]],
    engine: EngineChoice,
    places: Sequence[Path | None],
    outputs: Outputs,
    failed: Sequence[tuple[str, DeploykitError]],
) -> int:
    """Which engines would be built; the exit code is that of what could not be, or 0."""
    engines = [
        workflow.configuration.Configuration(source, name, one.name, 1)
        for source, of in wanted.items()
        for one, name in of
    ]
    count = f"{len(engines)} engine{'s' * (len(engines) != 1)}"
    if engines or outputs.json:
        rows = [
            cells | {"file": None if place is None else str(place), "replaces": _is_there(place)}
            for cells, place in zip(display.planned_cells(engines, engine), places, strict=True)
        ]
        fields = [one for one in report.views.CONFIGURATION if one.name in _NAMING]
        sentence = f"{count}, each built and read back, or found in the store"
        display.print_planned([*fields, *display.FILE], rows, outputs, sentence)
    return _tell_failures(failed)


def _is_there(place: Path | None) -> bool:
    return place is not None and place.is_file()


def _tell_failures(failed: Sequence[tuple[str, DeploykitError]]) -> int:
    """Say on stderr what was not built, and why; the exit code for it, 0 where nothing failed."""
    for line in _failures(failed):
        write_line(f"deploykit: {line}", err=True)
    return max((error.exit_code for _, error in failed), default=0)


def _failures(failed: Sequence[tuple[str, DeploykitError]]) -> list[str]:
    """One line for each reason, with all that it is the reason of."""
    concerned: dict[str, list[str]] = {}
    for what, error in failed:
        concerned.setdefault(str(error), []).append(what)
    return [f"not built: {', '.join(whats)}: {reason}" for reason, whats in concerned.items()]


def _show(built: Sequence[workflow.build.Built], names: Sequence[str], outputs: Outputs) -> None:
    if outputs.json:
        display.print_json(
            [{"path": str(b.engine.path), "found": b.hit} | dict(b.engine.manifest) for b in built]
        )
        return
    display.print_table(
        ("engine", "precision", "computes in", "MB", "build s", ""),
        [
            (
                f"{name}: {b.engine.path}" if name else str(b.engine.path),
                b.engine.manifest["precision"],
                b.engine.precision_actual,
                report.views.megabytes(b.engine.manifest["bytes"]),
                report.views.significant(b.engine.manifest["build_s"]),
                "found" if b.hit else "built",
            )
            for b, name in zip(built, names, strict=True)
        ],
        right=(3, 4),
    )
