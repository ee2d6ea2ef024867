"""Precision as a transform of the graph: one recipe per precision and target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploykit.errors import InvalidModel, PrecisionMismatch, UnknownName, UsageError, one_line
from deploykit.graph.calibrate import Calibration
from deploykit.graph.check import structure_problem
from deploykit.graph.element_types import ElementType
from deploykit.graph.names import part_tensors
from deploykit.graph.nodes import TENSOR, all_nodes, graphs_below, node_name
from deploykit.graph.normalise import inline_functions, store_dense
from deploykit.graph.operators import Kind, Trait, has, is_quantised, kind_of
from deploykit.graph.origin import set_origin
from deploykit.graph.precision import floats, int8_cpu, tensorrt
from deploykit.graph.precision.recipe import KeepRules, needs, why_in_float
from deploykit.graph.read_write import describe, read_model, save_model
from deploykit.graph.recipes import AS_IS, PrecisionRecipe, from_sources
from deploykit.lazy import onnx
from deploykit.spec import OnnxModel

__all__ = [
    "AS_IS", "TARGETS", "KeepRules", "PrecisionRecipe", "convert", "find_recipe", "is_reduced", "precisions",
    "require_float",
]  # fmt: skip

#: What this package's own recipes write graphs for.
TARGETS = ("cpu", "tensorrt-rtx", "tensorrt")

_BOTH_TENSORRT = ("tensorrt-rtx", "tensorrt")

_RECIPES = (
    PrecisionRecipe("fp32", TARGETS, "as exported", False, floats.to_fp32),
    PrecisionRecipe(
        "fp16", ("cpu",), "half precision; inputs and outputs stay float32", False, floats.to_fp16
    ),
    PrecisionRecipe(
        "fp16", _BOTH_TENSORRT, "half precision; inputs and outputs stay float32", False,
        floats.to_fp16_for_tensorrt,
    ),
    PrecisionRecipe(
        "bf16", _BOTH_TENSORRT, "bfloat16 with BatchNorm folded; inputs and outputs stay float32",
        False, floats.to_bf16_for_tensorrt,
    ),
    PrecisionRecipe(
        "int8", ("cpu",), "u8 activations, s8 weights per channel, int32 bias; for ONNX Runtime",
        True, int8_cpu.to_int8, steps=int8_cpu.STEPS, default_steps=int8_cpu.DEFAULT_STEPS,
        alternatives=int8_cpu.ALTERNATIVES,
    ),
    PrecisionRecipe(
        "int8", _BOTH_TENSORRT, "symmetric s8 activations and weights per channel, float32 bias",
        True, tensorrt.to_int8,
    ),
    PrecisionRecipe(
        "fp8", ("tensorrt-rtx",), "E4M3 activations and weights per channel, float32 bias",
        True, tensorrt.to_fp8,
    ),
    PrecisionRecipe(
        AS_IS, TARGETS, "as the file is, quantised or not; the default for those that are", False,
        lambda model, keep, calibration: {},
    ),
)  # fmt: skip


def precisions(target: str | None = None) -> list[PrecisionRecipe]:
    """All recipes, or those for one target: this package's own, then those that other packages bring.

    Raises:
        UnknownName: no such target.
    """
    recipes = [*_RECIPES, *from_sources()]
    if target is None:
        return recipes
    chosen = [recipe for recipe in recipes if target in recipe.targets]
    if not chosen:
        raise UnknownName(
            "target", target, dict.fromkeys(name for recipe in recipes for name in recipe.targets)
        )
    return chosen


def find_recipe(precision: str, target: str) -> PrecisionRecipe:
    """The recipe for a precision on a target.

    Raises:
        UnknownName: no such precision or target.
        UsageError: the precision exists, but not for this target.
    """
    known = precisions(target)
    for recipe in known:
        if recipe.name == precision:
            return recipe
    names = list(dict.fromkeys(recipe.name for recipe in precisions()))
    if precision not in names:
        raise UnknownName("precision", precision, names)
    raise UsageError(
        f"no {precision} for target {target}; it has {', '.join(recipe.name for recipe in known)}"
    )


def convert(
    model: OnnxModel,
    precision: str,
    target: str,
    path: str | os.PathLike[str],
    calibration: Calibration | None = None,
    keep: KeepRules | None = None,
    *,
    named: str | None = None,
) -> OnnxModel:
    """Write a float32 model in another precision to `path`, all or nothing.

    Equal inputs and options give equal bytes. `fp32` without another path to write to returns the model
    as it is.

    Args:
        model: an exported or user's model, float32.
        precision: name of a recipe.
        target: what the graph is for, one that a recipe names.
        path: the file to write.
        calibration: images for recipes that need ranges.
        keep: layers that stay in float32.
        named: what errors call the model's file, where it is a copy of the user's.

    Returns:
        The new model; its `recipe` says how it was made and what the rounding cost.

    Raises:
        UnknownName, UsageError: see `find_recipe`; calibration missing or unfit.
        InvalidModel: the model is quantised already, or not float32.
        DriftFailed: a weight is NaN, or a weight or activation overflows.
        PrecisionMismatch: the target has no such form of any product of the network.
    """
    recipe = find_recipe(precision, target)
    rules = keep or KeepRules()
    if precision == "fp32" and Path(path) == model.path:
        return model
    if recipe.needs_calibration:
        needs(calibration, precision)
    proto = read_model(model.path)
    if precision != AS_IS:
        require_float(proto, named or str(model.path))
    inline_functions(proto)
    if precision not in ("fp32", AS_IS):
        store_dense(proto)
    part_tensors(proto)
    rules.check(proto)
    left_out = rules.kept(proto)
    facts: dict[str, Any] = {"precision": precision, "target": target}
    facts |= recipe.transform(proto, rules, calibration)
    if left_out:
        facts["kept_by_rule"] = left_out
    _check_quantised(proto, facts, named or model.spec.label)
    if reasons := _why_kept(proto, facts):
        facts["kept_because"] = reasons
    _check_result(proto)
    full = {**dict(model.recipe), **facts}
    set_origin(proto, model.spec, full)
    sha256 = save_model(proto, path)
    # Where most layers were kept in float32, the graph looks like one in float32; it is what was asked for.
    return replace(describe(proto, path, sha256, model.spec, full), precision=precision)


def is_reduced(proto: onnx.ModelProto) -> bool:
    """Whether a model is in less than float32 already: quantised, or with weights of 16 bits."""
    return _reduced(proto) is not None


def _reduced(proto: onnx.ModelProto) -> str | None:
    for node in all_nodes(proto):
        if is_quantised(node):
            return f"is quantised already ({node.op_type} node {node_name(node)!r})"
    stored = [(t.name, t) for graph in graphs_below(proto.graph) for t in graph.initializer]
    stored += [
        (name, entry.t)
        for node in all_nodes(proto)
        if node.op_type == "Constant"
        for name in node.output
        for entry in node.attribute
        if entry.type == TENSOR
    ]
    cast = _only_cast(proto)
    for name, tensor in stored:
        if name in cast:  # stored in 16 bits and computed with in others
            continue
        if tensor.data_type in (ElementType.FLOAT16, ElementType.BFLOAT16) and len(tensor.dims) > 1:
            return f"has 16-bit weights ({name!r})"
    return None


def _only_cast(proto: onnx.ModelProto) -> set[str]:
    """The tensors that nothing but a Cast computes with, be it behind nodes that move values alone."""
    read = {value.name for graph in graphs_below(proto.graph) for value in graph.output}
    cast: set[str] = set()
    for node in reversed(list(all_nodes(proto))):
        moves = has(node, Trait.SELECTS) and kind_of(node) is Kind.MOVES
        if node.op_type == "Cast" or (
            moves and cast.issuperset(node.output) and not read & {*node.output}
        ):
            cast.update(node.input)
        else:
            read.update(node.input)
    return cast - read


def require_float(proto: onnx.ModelProto, name: str) -> None:
    """Refuse a model that is in less than float32 already, under that name.

    Raises:
        InvalidModel: it is.
    """
    reduced = _reduced(proto)
    if reduced is not None:
        raise InvalidModel(
            f"{name} {reduced}; give the float32 model, or take it as it is: --precision {AS_IS}"
        )


def _check_quantised(proto: onnx.ModelProto, facts: Mapping[str, Any], name: str) -> None:
    """Raise PrecisionMismatch where a recipe quantised none of the products that it was to, naming some."""
    asked = set(facts.get("kept_by_rule", ()))
    left = [node for node in facts.get("kept", ()) if node not in asked]
    if facts.get("products_quantised") != 0 or not left:
        return
    values: Mapping[str, str] = facts.get("kept_by_value", {})
    reasons = [f"{node!r} stays in float: {values[node]}" for node in left if node in values]
    reasons += why_in_float(proto, [node for node in left if node not in values])
    more = f"; and {len(left) - 3} more" if len(left) > 3 else ""
    raise PrecisionMismatch(
        f"nothing of {name} would compute in {facts['precision']}: {'; '.join(reasons[:3])}{more}; choose another "
        "precision"
    )


def _why_kept(proto: onnx.ModelProto, facts: Mapping[str, Any]) -> list[str]:
    """Why products stay in float, each in a clause; without those that were asked for or stay for their values."""
    told = {*facts.get("kept_by_rule", ()), *facts.get("kept_by_value", ())}
    left = [node for node in facts.get("kept", ()) if node not in told]
    if "float32_because" in facts:
        return [f"{node} ({facts['float32_because'][node]})" for node in left]
    return why_in_float(proto, left)


def _check_result(proto: onnx.ModelProto) -> None:
    problem = structure_problem(proto)
    if problem is not None:
        raise InvalidModel(
            f"the graph can't be written in this precision: {one_line(problem, 200)}"
        )
