"""int8 for TensorRT: symmetric int8 with zero point 0 around the operands of products, no quantised bias.

TensorRT fuses a product with the bias, the activation and the residual addition behind it. For the last
it wants the addition's other operand quantised, too; everything else keeps float32 and TensorRT moves
the quantisation through pooling and concatenation by itself.
"""

from __future__ import annotations

from typing import Any

import onnx

from deploykit.graph.calibration import Calibration
from deploykit.graph.calibration_ranges import collect_ranges
from deploykit.graph.editing import GraphEditor
from deploykit.graph.folding import fold_batchnorm, remove_passing_nodes
from deploykit.graph.precision.keep import KeepRules
from deploykit.graph.precision.opsets import raise_opset
from deploykit.graph.precision.placement import quantised_operands
from deploykit.graph.precision.recipe import needs, range_facts
from deploykit.graph.qdq import QdqWriter, channel_scales, symmetric_s8

#: DequantizeLinear has had scales per channel since this opset.
OPSET_PER_CHANNEL = 13


def transform(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "int8")
    facts = raise_opset(model, OPSET_PER_CHANNEL, "int8")
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model)
    editor = GraphEditor(model)
    products, readers = quantised_operands(editor, keep)
    ranges = collect_ranges(model, sorted(readers), calibration, symmetric=True)
    writer = QdqWriter(editor)
    for product in products:
        scales = channel_scales(product.weight, product.channel_axis, 127.0)
        name = product.node.input[1]
        restored = writer.weight(name, product.weight, product.channel_axis, scales)
        editor.set_input(product.node, 1, restored)
    for tensor, nodes in readers.items():
        writer.pair(tensor, symmetric_s8(*ranges[tensor]), nodes)
    editor.finish()
    return facts | range_facts(calibration, ranges, products, model)
