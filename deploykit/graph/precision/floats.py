"""The recipes of floating point: fp32 as exported, fp16, and bf16, whose BatchNorm is folded first.

bf16 folds because eight bits of mantissa are too few for BatchNorm's statistics, and because TensorRT then
finds plain convolutions. Inputs and outputs of all of them stay float32.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from deploykit.errors import DeploykitError, UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.bodies import bodies_below, collect_body_ranges
from deploykit.graph.calibrate.ranges import collect_ranges
from deploykit.graph.calibrate.synthetic import synthetic_feeds
from deploykit.graph.element_types import ElementType
from deploykit.graph.fold import fold_batchnorm, remove_passing_nodes
from deploykit.graph.inputs import spec_of
from deploykit.graph.opsets import raise_opset
from deploykit.graph.precision.half import to_half
from deploykit.graph.precision.half_fit import norm_fits
from deploykit.graph.precision.recipe import KeepRules
from deploykit.graph.view import GraphView, views_below
from deploykit.lazy import onnx
from deploykit.ort_session import installed_version
from deploykit.spec import stored_inputs

#: From this opset on convolutions and pooling have a bfloat16 form.
OPSET_BF16 = 22

#: Made-up inputs that activations are looked at on.
TRIED_IMAGES = 2
#: Steps of a loop up to which one is run on such.
MOST_STEPS = 1024
#: Networks of more bytes are not run for it.
LARGEST_BYTES = 1 << 30


def to_fp32(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Change nothing. Rules on what to keep in float32 are refused: they would mean nothing."""
    if keep.nodes or keep.op_types:
        raise UsageError(
            "fp32 keeps every layer in float32; give layers to keep with another precision"
        )
    return {}


def to_fp16(
    model: onnx.ModelProto,
    keep: KeepRules,
    calibration: Calibration | None,
    *,
    for_tensorrt: bool = False,
) -> dict[str, Any]:
    """Write the graph in float16, in place; see `half.to_half`.

    How large activations get is found by a run: on the calibration images if there are any, else on made-up inputs.
    """
    remove_passing_nodes(model)
    folded = fold_batchnorm(model, _out_of_range)
    facts: dict[str, Any] = {"nodes_folded": folded} if folded else {}
    peaks = _peaks(model, calibration)
    return facts | to_half(model, ElementType.FLOAT16, keep, peaks, for_tensorrt=for_tensorrt)


def to_fp16_for_tensorrt(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Write the graph in float16 for TensorRT, without what its parser refuses beside half values."""
    return to_fp16(model, keep, calibration, for_tensorrt=True)


def _peaks(model: onnx.ModelProto, calibration: Calibration | None) -> dict[str, float]:
    """The largest magnitude of each activation and input, of bodies too; without those that no run can tell."""
    view = GraphView(model)
    if installed_version() is None or model.ByteSize() > LARGEST_BYTES:
        return {}
    if calibration is None and _may_not_end(view):
        return {}
    about = stored_inputs({entry.key: entry.value for entry in model.metadata_props})
    if calibration is None:
        specs = [spec_of(value, about.get(value.name)) for value in view.inputs]
        calibration = synthetic_feeds(specs, count=TRIED_IMAGES, batch_size=1)
    fed = [v.name for v in view.inputs if view.types.get(v.name) == ElementType.FLOAT]
    wanted = [*fed, *_made(view)]
    # The largest value counts, whatever a method would cut.
    plain = replace(calibration, method="minmax", remembered=None)
    peaks: dict[str, float] = {}
    # It may not run on these, or give NaN in float32 too: that tells nothing.
    with suppress(DeploykitError):
        ranges = collect_ranges(model, wanted, plain, symmetric=True, infinite=wanted)
        peaks |= {name: max(-low, high) for name, (low, high) in ranges.items()}
        inside = {place: made for place, body in bodies_below(view) if (made := _made(body))}
        seen = collect_body_ranges(model, inside, plain, symmetric=True).ranges
        for found in seen.values():
            peaks |= {name: max(-low, high) for name, (low, high) in found.items()}
    return peaks


def _made(view: GraphView) -> list[str]:
    """The float32 tensors that nodes of a graph make of what is fed."""
    names = [name for node in view.nodes for name in node.output if name]
    return [n for n in names if view.types.get(n) == ElementType.FLOAT and not view.is_constant(n)]


def _may_not_end(view: GraphView) -> bool:
    """Whether a loop, of bodies too, has no known number of steps: on made-up inputs it need not come to an end."""
    return any(
        node.op_type == "Loop" and not 0 <= _steps(inner, node.input[0]) <= MOST_STEPS
        for inner in views_below(view)
        for node in inner.nodes
    )


def _steps(view: GraphView, name: str) -> int:
    """The number that a tensor of a graph, or of one around it, holds; -1 where it is not known."""
    around: GraphView | None = view
    while around is not None and name:
        if around.is_constant(name):
            value = around.constant(name)
            return int(value.reshape(-1)[0]) if value is not None and value.size == 1 else -1
        around = around.outer
    return -1


def _out_of_range(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether a node is a BatchNorm whose statistics float16 can't hold; its factors mostly can be."""
    return node.op_type == "BatchNormalization" and not norm_fits(view, node, ElementType.FLOAT16)


def to_bf16(
    model: onnx.ModelProto,
    keep: KeepRules,
    calibration: Calibration | None,
    *,
    for_tensorrt: bool = False,
) -> dict[str, Any]:
    """Write the graph in bfloat16, in place; see `half.to_half`. Calibration is not used."""
    facts = raise_opset(model, OPSET_BF16, "bf16")
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model, keep.leaves)
    return facts | to_half(model, ElementType.BFLOAT16, keep, for_tensorrt=for_tensorrt)


def to_bf16_for_tensorrt(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Write the graph in bfloat16 for TensorRT, without what its parser refuses in that type."""
    return to_bf16(model, keep, calibration, for_tensorrt=True)
