"""Engines, each from one network in one precision for one backend, and the check that its outputs are finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploykit.backends import builtin, for_target, get
from deploykit.backends.base import BackendBase, check_offered
from deploykit.backends.building import build_engine, make_engine
from deploykit.bench.contain import contained
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    DriftFailed,
    MissingDependency,
    UsageError,
    one_line,
)
from deploykit.graph.nodes import stored_infinities
from deploykit.graph.precision import find_recipe
from deploykit.graph.precision import precisions as recipes
from deploykit.graph.read_write import read_model
from deploykit.graph.values import doubtful_inputs, is_guessed
from deploykit.lazy import np
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice, EngineChoice
from deploykit.workflow.convert import calibration_text, convert_network
from deploykit.workflow.network import Network, input_chw, obtain_network
from deploykit.workflow.plan import Source

#: Runs of the engine, each on other inputs.
FINITE_CHECK_RUNS = 2


@dataclass(frozen=True)
class Built:
    """An engine and the graph it was built from; `hit` if the store had it."""

    engine: Engine
    model: OnnxModel
    hit: bool


def check_precisions(precisions: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse names that no target knows, before any work is done.

    A precision that only some of the targets have is built for those.

    Raises:
        UnknownName, UsageError: no such precision or target, or none of the targets has it.
    """
    for precision in precisions:
        refusals = []
        for target in targets:
            try:
                find_recipe(precision, target)
            except UsageError as error:
                refusals.append(error)
        if len(refusals) == len(targets):
            raise refusals[0]


def buildable(
    precisions: Sequence[str], backends: Sequence[BackendBase]
) -> list[tuple[BackendBase, str]]:
    """What is to be built: each backend with each precision that its target has a recipe for."""
    offered = {backend.name: backend.offered() for backend in backends}
    return [
        (b, precision) for b in backends for precision in precisions if precision in offered[b.name]
    ]


def check_buildable(precisions: Sequence[str], backends: Sequence[BackendBase]) -> None:
    """Refuse precisions that none of the backends that build for the targets has.

    Raises:
        UsageError: names the precision, and the backends that have it.
    """
    try:
        check_offered(backends, precisions)
    except UsageError as error:
        others = [
            b.name for b in builtin() if b not in backends and set(precisions) & {*b.offered()}
        ]
        hint = f"; deploykit profile --backend {others[0]} builds it" if others else ""
        raise UsageError(f"{error}{hint}") from error


def usable_backends(targets: Sequence[str]) -> list[BackendBase]:
    """The backends of `targets`.

    Raises:
        UnknownName: no such target.
        MissingDependency: one of them can't build here; the message names what installs it.
    """
    backends = [for_target(target) for target in targets]
    require_available(backends)
    return backends


def require_available(backends: Sequence[BackendBase]) -> None:
    """Refuse, before any work is done, backends that can't build here.

    Raises:
        MissingDependency: one of them can't; the message names what installs it.
    """
    for backend in backends:
        reason = backend.available()
        if reason is not None:
            raise MissingDependency(str(reason))


def check_used(
    engine: EngineChoice,
    choice: CalibrationChoice,
    precisions: Sequence[str],
    named: Sequence[BackendBase],
) -> None:
    """Refuse options that would change nothing: of engines where no backend follows, of calibration where none is.

    Args:
        engine: the options of engines.
        choice: those of calibration.
        precisions: that are asked for; none means the networks' own, which are not calibrated.
        named: the backends that are asked for.

    Raises:
        UsageError: names the option, and the backends that follow it.
    """
    for name, option in engine.given().items():
        if any(name in backend.build_options for backend in named):
            continue
        others = " or ".join(one.name for one in builtin() if name in one.build_options)
        names = " and ".join(backend.name for backend in named)
        raise UsageError(f"{option} changes nothing for {names}: leave it out, or use {others}")
    offered = [recipe for backend in named for recipe in recipes(backend.target)]
    if any(recipe.name in precisions and recipe.needs_calibration for recipe in offered):
        return
    usual = CalibrationChoice()
    for option, given in (
        ("--calibration-method", choice.method != usual.method),
        ("--calibration-images", choice.images is not None),
        ("--int8", choice.int8 != usual.int8),
    ):
        if given:
            what = (
                f"with --precision {','.join(precisions)}" if precisions else "without --precision"
            )
            raise UsageError(f"nothing is calibrated {what}: leave {option} out, or add int8")


def unused_text(engine: EngineChoice, backend: BackendBase) -> str:
    """Which options of engines a backend has no use for, where another takes them; "" where there are none."""
    unused = [o for name, o in engine.given().items() if name not in backend.build_options]
    return (
        f"{backend.name} has no {', '.join(unused)}: its engines are built without"
        if unused
        else ""
    )


def build_network(
    network: Network,
    precision: str,
    backend: BackendBase,
    options: BuildOptions,
    choice: CalibrationChoice,
    store: Store,
) -> Built:
    """The engine of one configuration; see `convert_network` and `build_engine` for what can go wrong."""
    model = convert_network(network, precision, backend.target, choice, store)
    notes = {
        "network": {
            "onnx_sha256": network.model.sha256,
            "folder": network.folder.name,
            "dataset": network.dataset,
            "counts": dict(network.facts),
        },
        "calibration": calibration_text(model),
        "num_classes": model.spec.num_classes,
        "resolution_px": model.spec.resolution_px,
    }

    def make(path: Path) -> Mapping[str, Any]:
        return contained(
            make_checked,
            model,
            backend.name,
            options,
            store.root,
            path,
            notes,
            choice.data,
            doing=f"building {model.spec.label} {model.precision} with {backend.name}",
            failed=BuildFailed,
        )

    engine, hit = build_engine(model, backend, options, store, make=make, strict=choice.strict)
    return Built(engine, model, hit)


def build_despite_wipes(
    source: Source, network: Network, build: Callable[[Network], Built], store: Store
) -> Built:
    """What `build` makes of a network; where others wiped the store meanwhile, of its source obtained anew."""
    return store.despite_wipes(lambda: build(network), lambda: build(obtain_network(source, store)))


def make_checked(
    model: OnnxModel,
    backend: str,
    options: BuildOptions,
    caches: Path,
    path: Path,
    notes: dict[str, Any],
    data: str | None,
) -> dict[str, Any]:
    """Build an engine at `path`, check that its outputs are finite, and return the facts of its manifest.

    Raises:
        DeploykitError: as `make_engine` and `check_finite`.
    """
    builder = get(backend)
    facts = make_engine(model, builder, options, caches, path, notes)
    check_finite(Engine(path, "", facts), model, builder, data)
    return facts


def check_finite(engine: Engine, model: OnnxModel, backend: BackendBase, data: str | None) -> None:
    """Run an engine on seeded inputs, and on images of `data`, and look at the outputs.

    Infinities that the graph stores, as a mask of scores does, are meant.

    Engines that can't run here are left alone, as those for another device, and as are those of a backend that is
    not its target's own, which may take long to load: what is measured is judged again.

    Raises:
        DriftFailed: an output is not finite.
        BuildFailed: the engine does not run.
    """
    if isinstance(backend.device(), Reason) or for_target(backend.target).name != backend.name:
        return
    if backend.foreign(engine) is not None:
        return
    from deploykit.bench.drift import require_finite

    made_up, real = _feeds_to_check(model, data)
    feeds = made_up + real
    doubts = doubtful_inputs(model.inputs) if made_up else ""
    try:
        with backend.load(engine) as session:
            outputs = [session.run(one) for one in feeds]
    except DeploykitError:
        raise
    except Exception as error:  # whatever a runtime raises
        reason = one_line(error, 200)
        raise BuildFailed(
            f"{model.spec.label} {model.precision}: {backend.name} built the engine but can't run it: {reason}"
            + doubts
        ) from error
    advice = "; keep the layers that make them in float32 with --keep, or use another precision"
    if model.precision == "fp32":
        advice = doubts or "; train or export it again"
    meant: frozenset[float] = frozenset()
    found = [np.asarray(values) for one in outputs for values in one.values()]
    if any(values.dtype.kind == "f" and np.isinf(values).any() for values in found):
        meant = stored_infinities(read_model(model.path))
    try:
        for result in outputs:
            require_finite(result, meant=meant)
    except DriftFailed as error:
        what = str(error).partition(";")[0]
        raise DriftFailed(
            f"{model.spec.label} {model.precision} on {backend.name}: {what}{advice}"
        ) from error


def _feeds_to_check(model: OnnxModel, data: str | None) -> tuple[list[Any], list[Any]]:
    """Made-up inputs for some runs, and such of `data`; these alone where made-up ones may mean nothing."""
    from deploykit.bench.feeds import fixed_batch, from_dataset, synthetic

    batch = fixed_batch(model.inputs, model.outputs) or 1
    made_up = synthetic(model.inputs, batch, sets=FINITE_CHECK_RUNS)
    guessed = any(map(is_guessed, model.inputs))
    if data is None or not (guessed or input_chw(model) is not None):
        return made_up, []
    try:
        real = from_dataset(model.inputs, batch, data, sets=FINITE_CHECK_RUNS)
    except UsageError:
        if not guessed:
            raise
        return made_up, []  # whoever judges by the data says what does not fit
    return ([], real) if guessed else (made_up, real)
