"""From a graph to an engine in the store, with its precision read back and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.backends.base import BackendBase
from deploykit.code_digest import PACKAGE, code_digest
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    MissingDependency,
    PrecisionMismatch,
    one_line,
)
from deploykit.graph.count import product_macs
from deploykit.graph.element_types import compute_types
from deploykit.graph.read_write import files_bytes
from deploykit.graph.recipes import AS_IS
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.spec import BuildOptions, Engine, OnnxModel
from deploykit.store import EngineManifest, Entry, Store

#: Bits of the types that products are computed in; a runtime may leave a node in one of more.
_WIDTH = {
    "int4": 4,
    "fp4": 4,
    "int8": 8,
    "fp8": 8,
    "int16": 16,
    "fp16": 16,
    "bf16": 16,
    "fp32": 32,
    "fp64": 64,
}


def precision_of_types(compute_types: Mapping[str, Sequence[str]]) -> str:
    """One name for the types that an engine computes in: "int8", or "int8+fp32" where they are mixed.

    The type of the most nodes comes first; an engine without convolutions or products has "none". Nodes
    that no layer names ("unknown") were merged with an equal one or folded; only where that is all there
    is, the answer is "unknown".
    """
    traced = set(compute_types) - {"unknown"} or set(compute_types)
    return "+".join(sorted(traced, key=lambda kind: (-len(compute_types[kind]), kind))) or "none"


def precision_share(
    compute_types: Mapping[str, Sequence[str]],
    precision: str,
    weights: Mapping[str, float] | None = None,
) -> float | None:
    """The share of the work that computes in `precision`, of what was traced.

    Args:
        compute_types: nodes by type.
        precision: the type asked for.
        weights: multiply-accumulates by type, or time; without them nodes are counted.

    Returns:
        None where an engine has no convolutions or products, or none that the builder's listing names.
    """
    if precision == AS_IS:  # nothing in particular was asked for
        return None
    traced: dict[str, float] = {
        kind: len(nodes) for kind, nodes in compute_types.items() if kind != "unknown"
    }
    if weights and sum(weights.values()) > 0:
        traced = {kind: weights.get(kind, 0) for kind in traced}
    total = sum(traced.values())
    return traced.get(precision, 0) / total if total else None


def macs_by_type(
    compute_types: Mapping[str, Sequence[str]], macs: Mapping[str, int | None]
) -> dict[str, int] | None:
    """Multiply-accumulates by the type that they are computed in; None where those of a node are not known.

    Args:
        compute_types: nodes by type; "unknown" is left out.
        macs: of the graph's nodes, by name.
    """
    found: dict[str, int] = {}
    taken: set[str] = set()
    for kind, nodes in compute_types.items():
        for node in nodes if kind != "unknown" else ():
            work = macs.get(node)
            if work is None or node in taken:  # two nodes of one name can't be told apart
                return None
            taken.add(node)
            found[kind] = found.get(kind, 0) + work
    return found


def left_over(
    model: OnnxModel,
    backend: BackendBase,
    types: Mapping[str, Sequence[str]],
    written: Collection[str] = (),
) -> list[str]:
    """The nodes that the engine computes in a wider type than was asked for, and that nobody wanted kept.

    Args:
        model: that was built, with what its recipe kept.
        backend: that built it.
        types: nodes by the type that they compute in.
        written: types that the graph itself is written in, which a file that was not converted may mix.

    Raises:
        PrecisionMismatch: none computes in what was asked for, one in a narrower type, or one that was to be kept
            in float computes in integers.
    """
    wanted = model.precision
    if wanted == AS_IS:
        return []
    accepted = {wanted, backend.emulated.get(wanted)} | (
        set(written) if wanted in written and not model.recipe else set()
    )
    if set(types) != {"unknown"}:
        accepted.add("unknown")
    said = f"{backend.name} {backend.version()} built {model.spec.label} as {precision_of_types(types)}"
    asked = set(model.recipe.get("kept_by_rule", ()))
    if wanted == "int8":
        broken = [node for node in types.get(wanted, ()) if node in asked]
        if broken:
            raise PrecisionMismatch(
                f"{said}: {', '.join(broken)} was to be kept in fp32 and computes in {wanted}; keep the layer "
                "before it too, or use another backend"
            )
    # Rules name whatever they match, of which products alone compute in a type.
    multiplying = {node for nodes in types.values() for node in nodes}
    kept = set(model.recipe.get("kept", ())) | (asked & multiplying)
    others = [node for kind, nodes in types.items() if kind not in accepted for node in nodes]
    left = [node for node in others if node not in kept]
    if len(others) <= len(kept):  # not all runtimes tell the nodes by the names that the graph has
        return []
    width = _WIDTH.get(wanted, 0)
    narrow = [kind for kind in types if kind not in accepted and _WIDTH.get(kind, 0) <= width]
    if narrow or not any(
        types.get(kind) for kind in (wanted, backend.emulated.get(wanted)) if kind
    ):
        total = sum(len(nodes) for nodes in types.values())
        raise PrecisionMismatch(
            f"{said} instead of {wanted}: {len(left)} of {total} convolutions and products differ, the first is "
            f"{left[0]}; {_way_out(types, written)}"
        )
    return left


def _way_out(types: Mapping[str, Sequence[str]], written: Collection[str]) -> str:
    """What to do about an engine in another precision than was asked for."""
    if types.get("fp64") and "fp64" in written:
        return f"the file has them in float64: take it as it is with --precision {AS_IS}, or export it in float32"
    return "choose another precision, or keep these layers out"


def _refuse_left(label: str, precision: str, left: Sequence[str]) -> None:
    """Raise PrecisionMismatch for nodes that a strict build does not accept in a wider type."""
    if left:
        raise PrecisionMismatch(
            f"{label} is not wholly {precision}: the runtime computes {', '.join(left)} in a wider type; keep "
            "these layers with --keep, or leave --strict out"
        )


def code_of(backend: BackendBase) -> str:
    """What stands for the code that builds with a backend and reads back what it built.

    Of a backend of ours a digest; of another package's, which no digest covers, its distributions and versions.
    """
    module = type(backend).__module__
    if module.startswith(f"{PACKAGE}."):
        return code_digest(__name__, module)
    package = module.partition(".")[0]
    names = sorted(set(metadata.packages_distributions().get(package, [package])))
    return ", ".join(f"{name} {env.package_version(name) or 'of no version'}" for name in names)


def engine_fields(model: OnnxModel, backend: BackendBase, options: BuildOptions) -> dict[str, Any]:
    """Everything that decides what an engine is; its key is taken over this."""
    return {
        "onnx_sha256": model.sha256,
        "options": codec.to_values(_options_of(model, backend, options)),
        "builder": backend.name,
        "builder_version": backend.version(),
        "target": backend.target,
        "host": backend.host(),
        "revision": backend.revision,
        "code": code_of(backend),
        "precision": model.precision,
    }


def _options_of(model: OnnxModel, backend: BackendBase, options: BuildOptions) -> BuildOptions:
    """The options that shape this engine: those of the backend, of batches only where the graph has one open."""
    names = set(backend.build_options)
    if not any(spec.dynamic_batch for spec in model.inputs):
        names -= {"batch_min", "batch_opt", "batch_max"}
    return options.restricted_to(names)


def make_engine(
    model: OnnxModel,
    backend: BackendBase,
    options: BuildOptions,
    caches: Path,
    path: Path,
    notes: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the engine of `model` at `path`, read back what it computes in, and return the facts of its manifest.

    Raises:
        MissingDependency, BuildFailed, PrecisionMismatch: as `build_engine`.
    """
    reason = backend.available()
    if reason is not None:
        raise MissingDependency(str(reason))
    backend.caches = caches
    backend.prepare()  # importing PyTorch takes longer than most builds
    start_s = time.perf_counter()
    facts = _built(backend, model, _options_of(model, backend, options), path)
    build_s = time.perf_counter() - start_s
    types = facts["compute_types"]
    graph = GraphView(onnx.load(str(model.path), load_external_data=False))
    left = left_over(model, backend, types, compute_types(graph))
    return {
        "calibration": None,
        "onnx_bytes": files_bytes(graph.model, model.path),
        **notes,
        **facts,
        "build_s": round(build_s, 3),
        "precision_actual": precision_of_types(types),
        "left": left,
        "compute_macs": macs_by_type(types, product_macs(graph)),
        "emulated": precision_of_types(types) != model.precision
        and precision_of_types(types) == backend.emulated.get(model.precision),
        "usage": backend.usage(model, _options_of(model, backend, options)),
        "onnx_file": model.path.name,
        "model": {
            "name": model.spec.name,
            "alpha": model.spec.alpha,
            "rho": str(model.spec.rho),
            "weights": model.spec.weights,
            "label": model.spec.label,
        },
        "recipe": dict(model.recipe),
        "inputs": codec.to_values(model.inputs),
        "outputs": codec.to_values(model.outputs),
    }


def _built(
    backend: BackendBase, model: OnnxModel, options: BuildOptions, path: Path
) -> dict[str, Any]:
    """The facts of an engine that a backend built at `path`; what another package's lacks is one line.

    Raises:
        BuildFailed: it raised, wrote no engine, or does not say what that computes in.
        DeploykitError: as the backend says.
    """
    ours = type(backend).__module__.startswith(f"{PACKAGE}.")
    try:
        facts = backend.build(model, options, path)
    except (DeploykitError, MemoryError):  # memory is the machine's, whoever asks for it
        raise
    except Exception as error:
        if ours:
            raise
        raise BuildFailed(
            f"the backend {backend.name} raised {type(error).__name__} in build: {one_line(error, 200)}; that is a "
            "fault of its package"
        ) from error
    if not path.is_file():
        raise BuildFailed(
            f"the backend {backend.name} wrote no engine: build has to write to its path"
        )
    types = facts.get("compute_types") if isinstance(facts, Mapping) else None
    sound = isinstance(types, Mapping) and all(
        isinstance(kind, str) and not isinstance(nodes, str) for kind, nodes in types.items()
    )
    if not sound:
        raise BuildFailed(
            f"the backend {backend.name} does not say what its engine computes in: build has to return "
            "compute_types, names of nodes by type"
        )
    return dict(facts)


def build_engine(
    model: OnnxModel,
    backend: BackendBase,
    options: BuildOptions,
    store: Store,
    notes: Mapping[str, Any] | None = None,
    make: Callable[[Path], Mapping[str, Any]] | None = None,
    *,
    strict: bool = False,
) -> tuple[Engine, bool]:
    """The engine of `model` for `backend`: found in the store, or built, checked and stored.

    Args:
        model: the graph, in the precision wanted.
        backend: that builds it.
        options: that shape the engine.
        store: that keeps it.
        notes: further facts for the manifest, which do not shape the engine.
        make: builds the engine at a path and gives the facts of its manifest, `notes` among them; None is
            `make_engine`, in this process.
        strict: refuse an engine of which a part computes in a wider type than was asked for, though nothing kept
            it; without, those nodes are listed under `left` in the manifest.

    Returns:
        The engine, and whether it was found.

    Raises:
        MissingDependency: the backend can't build here.
        BuildFailed, PrecisionMismatch: it refused, or built another precision; nothing is stored.
        OutputFailed: the store can't be written.
    """
    label = f"{model.spec.label.replace(':', '.')}-{model.precision}-{backend.name}"
    fields = engine_fields(model, backend, options)

    make = make or (
        lambda path: make_engine(model, backend, options, store.root, path, notes or {})
    )
    entry = store.produce(EngineManifest, label, fields, backend.filename, make)
    if strict:
        _refuse_left(model.spec.label, model.precision, entry.values.get("left", ()))
    return engine_of(entry), entry.hit


def engine_of(entry: Entry[EngineManifest]) -> Engine:
    """The engine that a store entry holds."""
    return Engine(entry.path, entry.key, entry.values)
