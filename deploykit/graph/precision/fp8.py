"""fp8 (E4M3) for TensorRT-RTX: the operands of products in 8-bit floats, placed as for int8.

Scales map the largest calibrated value to 448, the largest of E4M3. Unlike int8, a value twice too large
costs all it has above that limit, but small values keep their relative precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from deploykit.graph.calibration import Calibration
from deploykit.graph.calibration_ranges import collect_ranges
from deploykit.graph.editing import GraphEditor
from deploykit.graph.folding import fold_batchnorm, remove_passing_nodes
from deploykit.graph.precision.keep import KeepRules
from deploykit.graph.precision.opsets import raise_opset
from deploykit.graph.precision.placement import quantised_operands
from deploykit.graph.precision.products import Product
from deploykit.graph.precision.recipe import needs, range_facts
from deploykit.graph.qdq import SMALLEST_SCALE, QdqWriter, Quantiser, channel_scales

#: QuantizeLinear has had 8-bit floats since this opset.
OPSET_FLOAT8 = 19

#: The most values of a convolution's window, over height and width, that TensorRT has FP8 kernels for.
LARGEST_WINDOW = 32

#: The largest finite value of E4M3.
LARGEST_E4M3 = 448.0


def transform(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "fp8")
    facts = raise_opset(model, OPSET_FLOAT8, "fp8")
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model)
    editor = GraphEditor(model)
    products, readers = quantised_operands(editor, keep, _has_kernel)
    ranges = collect_ranges(model, sorted(readers), calibration, symmetric=True)
    writer = QdqWriter(editor)
    for product in products:
        scales = channel_scales(product.weight, product.channel_axis, LARGEST_E4M3)
        name = product.node.input[1]
        stored = _quantise(product.weight, scales, product.channel_axis)
        restored = writer.weight_e4m3(name, stored, product.channel_axis, scales)
        editor.set_input(product.node, 1, restored)
    for tensor, nodes in readers.items():
        writer.pair(tensor, _quantiser(*ranges[tensor]), nodes)
    editor.finish()
    return facts | range_facts(calibration, ranges, products, model)


def _has_kernel(product: Product) -> bool:
    """Whether TensorRT convolves this in 8-bit floats; where not, it would do so in float32 unasked."""
    return product.weight.ndim < 3 or math.prod(product.weight.shape[2:]) <= LARGEST_WINDOW


def _quantiser(low: float, high: float) -> Quantiser:
    scale = max(max(-low, high) / LARGEST_E4M3, SMALLEST_SCALE)
    return Quantiser(float(np.float32(scale)), 0, TensorProto.FLOAT8E4M3FN)


def _quantise(weight: np.ndarray, scales: np.ndarray, axis: int) -> np.ndarray:
    shape = [1] * weight.ndim
    shape[axis] = -1
    steps = np.clip(weight / scales.reshape(shape), -LARGEST_E4M3, LARGEST_E4M3)
    return np.asarray(steps.astype(helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN)))
