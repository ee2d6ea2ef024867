"""The recipes of floating point: fp32 as exported, fp16, and bf16, whose BatchNorm is folded first.

bf16 folds because eight bits of mantissa are too few for BatchNorm's statistics, and because TensorRT then
finds plain convolutions. Inputs and outputs of all of them stay float32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deploykit.errors import UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.element_types import ElementType
from deploykit.graph.fold import fold_batchnorm, remove_passing_nodes
from deploykit.graph.normalise import raise_opset
from deploykit.graph.precision.half import to_half
from deploykit.graph.precision.half_fit import norm_fits
from deploykit.graph.precision.recipe import KeepRules
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx

#: From this opset on convolutions and pooling have a bfloat16 form.
OPSET_BF16 = 22


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
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Write the graph in float16, in place; see `half.to_half`. Calibration is not used."""
    remove_passing_nodes(model)
    folded = fold_batchnorm(model, _out_of_range)
    facts: dict[str, Any] = {"nodes_folded": folded} if folded else {}
    return facts | to_half(model, ElementType.FLOAT16, keep)


def _out_of_range(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether a node is a BatchNorm whose statistics float16 can't hold; its factors mostly can be."""
    return node.op_type == "BatchNormalization" and not norm_fits(view, node, ElementType.FLOAT16)


def to_bf16(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Write the graph in bfloat16, in place; see `half.to_half`. Calibration is not used."""
    facts = raise_opset(model, OPSET_BF16, "bf16")
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model)
    # TensorRT has neither in bfloat16, and fails on one rather than choosing another type.
    wider = replace(keep, op_types=(*keep.op_types, "ConvTranspose", "HardSwish"))
    return facts | to_half(model, ElementType.BFLOAT16, wider)
