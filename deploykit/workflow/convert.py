"""A network in another precision, as a graph in the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.bench.contain import READING_LIMIT_S, contained
from deploykit.code_digest import PACKAGE, code_digest
from deploykit.errors import (
    BuildFailed,
    DriftFailed,
    InvalidModel,
    MissingDependency,
    UsageError,
)
from deploykit.graph.calibrate import Calibration
from deploykit.graph.element_types import compute_types
from deploykit.graph.evidence import blaming
from deploykit.graph.precision import (
    AS_IS,
    TARGETS,
    convert,
    find_recipe,
    is_reduced,
    require_float,
)
from deploykit.graph.precision.int8_cpu import DEFAULT_STEPS
from deploykit.graph.read_write import parse
from deploykit.graph.recipes import PLAIN, PrecisionRecipe
from deploykit.spec import OnnxModel
from deploykit.store import GraphManifest, Store
from deploykit.workflow.calibration import calibration_of
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.keep import keep_facts, keep_rules
from deploykit.workflow.network import Network, model_of

#: Images that fp16 looks at for values beyond its range.
LOOKED_AT = 100


def convert_network(
    network: Network, precision: str, target: str, choice: CalibrationChoice, store: Store
) -> OnnxModel:
    """The graph of `network` in `precision` for `target`: found in the store, or made.

    Raises:
        UnknownName: no such precision or target, or no node that is to be kept.
        UsageError: the precision needs calibration and there is no data for it; or layers are to be kept of a file
            that is in it already.
        DriftFailed: the graph's values don't fit the precision; with `choice.strict`, those of some nodes,
            which stay in fp32 otherwise.
    """
    recipe = find_recipe(precision, target)
    if precision == AS_IS:
        return replace(network.model, precision=AS_IS)
    if precision == network.model.precision:
        return network.model
    if _holds(network, precision):
        if choice.keep:
            raise UsageError(
                f"{network.model.spec.label} is in {precision} already, and nothing of it is converted: leave "
                "--keep and its like out, or give the float32 model"
            )
        return replace(network.model, precision=precision)
    calibration = _calibration(network, choice, recipe)
    # How stored images become what a network is fed decides its ranges as much as the images do.
    prepares = ("deploykit.data.feeding",) if calibration and not calibration.synthetic else ()
    fields: dict[str, Any] = {
        "source_sha256": network.model.sha256,
        "precision": precision,
        "recipe_targets": recipe.targets,
        "calibration": calibration.facts() if calibration else None,
        "keep": keep_facts(choice.keep, choice.data or network.dataset),
        "versions": {name: env.package_version(name) for name in ("onnx", "onnxruntime")},
        "code": code_digest(
            "deploykit.graph.precision",
            "deploykit.graph.calibrate.synthetic",
            *prepares,
            *_own(recipe),
        ),
    }
    if calibration and calibration.steps:
        fields["steps"] = calibration.steps
    if recipe.needs_calibration and "cpu" in recipe.targets:  # of which the recipe has regard
        fields["pairs_in_int16"] = env.adds_pairs_in_int16()
    if recipe.origin:  # the code of other packages' recipes is in no digest
        fields["recipe_origin"] = recipe.origin

    def make(path: Path) -> Mapping[str, Any]:
        return contained(
            convert_to,
            network,
            precision,
            target,
            choice,
            path,
            doing=f"converting {network.model.spec.label} to {precision}",
            failed=BuildFailed,
        )

    label = f"{network.model.spec.label.replace(':', '.')}-{precision}"
    if not set(TARGETS) <= set(recipe.targets):  # another target's recipe may bear this name
        label += f"-{recipe.targets[0]}"
    model = model_of(
        store.produce(GraphManifest, label, fields, "model.onnx", make), network.model.spec
    )
    if choice.strict and model.recipe.get("kept_by_value"):
        raise DriftFailed(
            f"{network.model.spec.label}: {out_of_range_text(model)}; --strict refuses that: name them with "
            "--keep, or leave it out"
        )
    return model


def _calibration(
    network: Network, choice: CalibrationChoice, recipe: PrecisionRecipe
) -> Calibration | None:
    """The images that a recipe is given: fp16 looks at those that there are for values beyond its range."""
    if recipe.needs_calibration:
        return calibration_of(network, choice, recipe)
    if recipe.name != "fp16" or (choice.data or network.dataset) is None:
        return None
    for images in (LOOKED_AT, None):  # None: where there are fewer
        with suppress(UsageError, MissingDependency):  # it can do without
            found = calibration_of(network, replace(choice, images=images, method="minmax"))
            return found if found.count <= LOOKED_AT else None
    return None


def _holds(network: Network, precision: str) -> bool:
    """Whether a user's file that is quantised already computes in a precision, be it beside another.

    Raises:
        InvalidModel: it is in less than float32, but not in that precision.
    """
    if network.origin is None or precision == "fp32":
        return False
    return contained(
        holds,
        network.model.path,
        precision,
        network.origin,
        doing=f"reading {network.origin}",
        failed=InvalidModel,
        limit_s=READING_LIMIT_S,
    )


def holds(path: Path, precision: str, origin: str) -> bool:
    """Whether a graph that is quantised already computes in a precision; see `_holds`.

    Raises:
        InvalidModel: as `_holds`; the file that it came from is named.
    """
    proto = parse(path)
    if not is_reduced(proto):
        return False
    if precision in compute_types(proto):
        return True
    require_float(proto, origin)
    return False


def convert_to(
    network: Network, precision: str, target: str, choice: CalibrationChoice, path: Path
) -> dict[str, Any]:
    """Write the graph of a network in another precision to `path`, and return what a manifest holds of it.

    Raises:
        DeploykitError: as `convert_network`.
    """
    recipe = find_recipe(precision, target)

    def refused(reason: str) -> BuildFailed:
        return BuildFailed(
            f"{network.model.spec.label} can't be converted to {precision}: {reason}"
        )

    with blaming(network.model.path, refused):
        calibration = _calibration(network, choice, recipe)
        rules = keep_rules(network, precision, target, choice)
        model = convert(
            network.model, precision, target, path, calibration, rules, named=network.origin
        )
    return {
        "sha256": model.sha256,
        "precision": model.precision,
        "inputs": model.inputs,
        "outputs": model.outputs,
        "recipe": dict(model.recipe),
    }


def _own(recipe: PrecisionRecipe) -> tuple[str, ...]:
    """The module of this package that writes a recipe's graphs; none where another package brings it."""
    module = recipe.transform.__module__
    return (module,) if module.startswith(f"{PACKAGE}.") else ()


def calibration_text(model: OnnxModel) -> str | None:
    """What the `calibration` column says of a graph: method, count, data, and steps where they are not the default.

    None for a float graph.
    """
    facts = model.recipe.get("calibration")
    if not facts:
        return None
    data = "synthetic images" if facts["synthetic"] else f"images of {facts['data']}"
    said = f"{facts['method']}, {facts['count']} {data}"
    steps = model.recipe.get("int8_steps")
    if steps is None or tuple(steps) == DEFAULT_STEPS:
        return said
    return f"{said}; {', '.join(steps) or PLAIN}"


def kept_text(recipe: Mapping[str, Any]) -> str | None:
    """What the `kept` column says of a graph: its nodes that were kept in fp32 on request, else None."""
    return ", ".join(recipe.get("kept_by_rule", ())) or None


def out_of_range_text(model: OnnxModel) -> str | None:
    """Which nodes stay in fp32 because the precision can't hold their values; None where there are none."""
    nodes: Mapping[str, str] = model.recipe.get("kept_by_value", {})
    if not nodes:
        return None
    first = [f"{name} ({why})" for name, why in list(nodes.items())[:3]]
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    count = "1 node stays" if len(nodes) == 1 else f"{len(nodes)} nodes stay"
    return f"{count} in fp32, as {model.precision} can't hold the values: {', '.join(first)}{more}"


def rounding_text(model: OnnxModel) -> str | None:
    """What rounding the weights cost, in one line; None where nothing was lost or nothing was rounded."""
    facts = model.recipe
    parts = [
        f"{count} {what}"
        for count, what in (
            (facts.get("constants_overflowed", 0), "overflow to infinity"),
            (
                facts.get("constants_subnormal", 0) - facts.get("constants_flushed_to_zero", 0),
                "are subnormal and lose digits",
            ),
            (facts.get("constants_flushed_to_zero", 0), "become 0"),
        )
        if count > 0
    ]
    total = facts.get("constants_converted", 0)
    said = [f"of {total} weights in {model.precision}, {', '.join(parts)}"] if parts else []
    if in_bodies := facts.get("biases_uncorrected", 0):
        products = "1 product" if in_bodies == 1 else f"{in_bodies} products"
        said.append(
            "what rounding takes from the mean stays uncorrected in "
            f"{products} in bodies of If, Loop or Scan"
        )
    return "; ".join(said) or None
