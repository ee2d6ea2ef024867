"""From a graph to an engine in the store, with its precision read back and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.backends.base import BackendBase
from deploykit.code_digest import PACKAGE, code_digest
from deploykit.errors import MissingDependency, PrecisionMismatch
from deploykit.spec import BuildOptions, Engine, OnnxModel
from deploykit.store import EngineManifest, Entry, Store


def precision_of_types(compute_types: Mapping[str, list[str]]) -> str:
    """One name for the types that an engine computes in: "int8", or "int8+fp32" where they are mixed.

    The type of the most nodes comes first; an engine without convolutions or products has "none". Nodes
    that no layer names ("unknown") were merged with an equal one or folded; only where that is all there
    is, the answer is "unknown".
    """
    traced = set(compute_types) - {"unknown"} or set(compute_types)
    return "+".join(sorted(traced, key=lambda kind: (-len(compute_types[kind]), kind))) or "none"


def precision_share(compute_types: Mapping[str, list[str]], precision: str) -> float | None:
    """The share of convolutions and matrix products that compute in `precision`, of those that were traced.

    None where an engine has none, or none that the builder's listing names.
    """
    traced = {kind: len(nodes) for kind, nodes in compute_types.items() if kind != "unknown"}
    total = sum(traced.values())
    return traced.get(precision, 0) / total if total else None


def _check_precision(
    model: OnnxModel, backend: BackendBase, types: Mapping[str, list[str]]
) -> None:
    """Raise where the engine computes a node in a type that the graph did not ask for.

    Layers that the recipe kept in a higher precision are listed in `model.recipe["kept"]`; as many nodes
    may differ.
    """
    wanted = model.precision
    accepted = {wanted, backend.emulated.get(wanted)}
    if set(types) != {"unknown"}:
        accepted.add("unknown")
    others = [node for kind, nodes in types.items() if kind not in accepted for node in nodes]
    kept = model.recipe.get("kept", ())
    if len(others) > len(kept):
        total = sum(len(nodes) for nodes in types.values())
        raise PrecisionMismatch(
            f"{backend.name} {backend.version()} built {model.spec.label} as "
            f"{precision_of_types(types)} instead of {wanted}: {len(others) - len(kept)} of {total} "
            f"convolutions and products differ, the first is {others[0]}; choose another precision, or "
            "keep these layers out"
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
        "options": codec.to_values(options),
        "builder": backend.name,
        "builder_version": backend.version(),
        "target": backend.target,
        "host": backend.host(),
        "revision": backend.revision,
        "code": code_of(backend),
        "precision": model.precision,
    }


def build_engine(
    model: OnnxModel,
    backend: BackendBase,
    options: BuildOptions,
    store: Store,
    notes: Mapping[str, Any] | None = None,
    check: Callable[[Engine], None] = lambda engine: None,
) -> tuple[Engine, bool]:
    """The engine of `model` for `backend`: found in the store, or built, checked and stored.

    Args:
        model: the graph, in the precision wanted.
        backend: that builds it.
        options: that shape the engine.
        store: that keeps it.
        notes: further facts for the manifest, which do not shape the engine.
        check: is given what was built before it is stored; what it raises, the caller gets.

    Returns:
        The engine, and whether it was found.

    Raises:
        MissingDependency: the backend can't build here.
        BuildFailed, PrecisionMismatch: it refused, or built another precision; nothing is stored.
        OutputFailed: the store can't be written.
    """
    label = f"{model.spec.label.replace(':', '.')}-{model.precision}-{backend.name}"
    fields = engine_fields(model, backend, options)

    def make(path: Path) -> Mapping[str, Any]:
        reason = backend.available()
        if reason is not None:
            raise MissingDependency(str(reason))
        start_s = time.perf_counter()
        facts = dict(backend.build(model, options, path))
        build_s = time.perf_counter() - start_s
        types = facts["compute_types"]
        _check_precision(model, backend, types)
        manifest = {
            "calibration": None,
            "onnx_bytes": model.path.stat().st_size,
            **(notes or {}),
            **facts,
            "build_s": round(build_s, 3),
            "precision_actual": precision_of_types(types),
            "emulated": precision_of_types(types) != model.precision
            and precision_of_types(types) == backend.emulated.get(model.precision),
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
        check(Engine(path, "", manifest))
        return manifest

    entry = store.produce(EngineManifest, label, fields, backend.filename, make)
    return engine_of(entry), entry.hit


def engine_of(entry: Entry[EngineManifest]) -> Engine:
    """The engine that a store entry holds."""
    return Engine(entry.path, entry.key, entry.values)
