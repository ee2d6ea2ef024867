"""int8 for ONNX Runtime's CPU provider: u8 activations, s8 weights per channel, int32 bias.

ONNX Runtime replaces DequantizeLinear, operator, QuantizeLinear by one integer operator where it knows
one. Each activation that enters or leaves such an operator gets a pair, so that whole stretches of the
network stay in integers. A ReLU or Clip right behind is part of the operator: the quantised range ends
where the activation does. Operators that only move values share their input's scale.
"""

from __future__ import annotations

from typing import Any

from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import collect_ranges
from deploykit.graph.edit import GraphEditor
from deploykit.graph.fold import batchnorm_affine, fold_batchnorm, remove_passing_nodes
from deploykit.graph.nodes import is_standard
from deploykit.graph.precision.integer_regions import IntegerRegions
from deploykit.graph.precision.opsets import raise_opset
from deploykit.graph.precision.qdq import (
    QdqWriter,
    Quantiser,
    asymmetric_u8,
    channel_scales,
    scales_with_room,
)
from deploykit.graph.precision.recipe import KeepRules, needs, range_facts
from deploykit.graph.shapes import tensor_shapes
from deploykit.lazy import np, onnx

#: DequantizeLinear has had scales per channel since this opset.
OPSET_PER_CHANNEL = 13


def to_int8(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "int8")
    facts = raise_opset(model, OPSET_PER_CHANNEL, "int8")
    remove_passing_nodes(model)
    folded = fold_batchnorm(model)
    replaced = batchnorm_to_depthwise(model, keep)
    if replaced:
        facts["batchnorm_as_depthwise"] = replaced
        folded += fold_batchnorm(model)
    facts["nodes_folded"] = folded
    editor = GraphEditor(model)
    _sums_to_additions(editor)
    regions = IntegerRegions(editor, keep)
    ranges = collect_ranges(model, sorted(regions.roots()), calibration, symmetric=False)
    quantisers = {root: asymmetric_u8(*bounds) for root, bounds in ranges.items()}
    _write(editor, regions, quantisers)
    editor.finish()
    return facts | range_facts(calibration, ranges, regions.products, model)


def _sums_to_additions(editor: GraphEditor) -> None:
    """A Sum of two is an Add, for which ONNX Runtime has an integer form."""
    for node in editor.live_nodes():
        if node.op_type == "Sum" and is_standard(node) and len(node.input) == 2:
            node.op_type = "Add"


def _write(editor: GraphEditor, regions: IntegerRegions, quantisers: dict[str, Quantiser]) -> None:
    writer = QdqWriter(editor)
    for product in regions.products:
        node = product.node
        scale = quantisers[regions.root(product.activation)].scale
        scales = channel_scales(product.weight, product.channel_axis, 127.0)
        scales = scales_with_room(scales, product.bias, scale)
        editor.set_input(
            node, 1, writer.weight(node.input[1], product.weight, product.channel_axis, scales)
        )
        if product.bias is not None:
            steps = (scales.astype(np.float64) * scale).astype(np.float32)
            editor.set_input(node, 2, writer.bias(node.input[2], product.bias, steps))
    for node, slot, value in regions.constant_operands:
        quantiser = asymmetric_u8(float(value.min(initial=0)), float(value.max(initial=0)))
        editor.set_input(node, slot, writer.constant(node.input[slot], value, quantiser))
    for tensor in regions.tensors:
        readers = None if regions.made_in_integers(tensor) else regions.integer_readers(tensor)
        writer.pair(tensor, quantisers[regions.root(tensor)], readers)


# ---- BatchNorm that no product takes in, as in DenseNet


def batchnorm_to_depthwise(model: onnx.ModelProto, keep: KeepRules) -> int:
    """Replace BatchNorm nodes on images (rank 4) by depthwise 1x1 convolutions; the model is changed.

    ONNX Runtime has no integer BatchNorm: each one would cost a way to float and back. As a convolution it
    runs in integers, and the ReLU behind it is part of it.

    The node keeps its name. Returns how many were replaced.
    """
    candidates = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not candidates:
        return 0
    shapes = tensor_shapes(model)
    editor = GraphEditor(model)
    replaced = 0
    for node in editor.live_nodes():
        if node.op_type != "BatchNormalization" or not is_standard(node) or keep.keeps(node):
            continue
        affine = batchnorm_affine(editor, node)
        if affine is None or len(shapes.get(node.input[0], ())) != 4:
            continue
        _replace(editor, node, affine.scale, affine.shift)
        replaced += 1
    editor.finish()
    return replaced


def _replace(
    editor: GraphEditor, node: onnx.NodeProto, scale: np.ndarray, shift: np.ndarray
) -> None:
    source, result, base = node.input[0], node.output[0], node.name or node.output[0]
    weight = editor.add_initializer(f"{base}_weight", scale.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = editor.add_initializer(f"{base}_bias", shift.astype(np.float32))
    editor.replace(
        node,
        onnx.helper.make_node(
            "Conv", [source, weight, bias], [result], name=node.name,
            kernel_shape=[1, 1], group=int(scale.size),
        ),
    )  # fmt: skip
