"""Bias correction from each product alone: one run of the float graph, in which products are quantised beside it.

Each product is computed twice from what it reads in float: as it is, and with its input and weights in 8 bits. The
difference of the means of its channels is taken off its bias. What the products before have shifted, and their
biases took back, is not seen: faster than going through the quantised graph product by product, and as good where
errors of layers don't add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.channels import image_count
from deploykit.graph.calibrate.ranges import input_sets
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import tensor_values
from deploykit.graph.precision.bias_correction import (
    LARGEST_BYTES,
    BiasedProduct,
    mean_node,
    open_to_calibrate,
    shift_bias,
)
from deploykit.graph.precision.qdq import along
from deploykit.graph.shapes import tensor_shapes
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx, ort

#: Images that means are taken over, at most and, where they are large, at least.
_MOST_IMAGES, _LEAST_IMAGES = 32, 4
_INPUT_VALUES = 1 << 22


def correct_biases_alone(
    exact: onnx.ModelProto,
    quantised: onnx.ModelProto,
    products: Sequence[BiasedProduct],
    calibration: Calibration,
) -> int:
    """Correct the biases of a quantised graph, in place, by what each product errs by itself.

    Args:
        exact: the float graph that it was made from.
        quantised: with Q/DQ pairs.
        products: those to correct.
        calibration: the images.

    Returns:
        How many biases were corrected.
    """
    if not products or exact.ByteSize() > LARGEST_BYTES:
        return 0
    view, written = GraphView(exact), GraphView(quantised)
    by_bias = {node.input[2]: node for node in written.nodes if len(node.input) > 2}
    shapes = tensor_shapes(exact)
    images = image_count(exact, _MOST_IMAGES, _LEAST_IMAGES, _INPUT_VALUES)
    sets = input_sets(exact, calibration, images)
    model = onnx.ModelProto()
    model.CopyFrom(exact)
    del model.graph.output[:]
    beside: dict[str, tuple[BiasedProduct, str]] = {}
    for index, product in enumerate(products):
        node, rank = view.producer(product.result), len(shapes.get(product.result, ()))
        made = by_bias.get(product.bias)
        if node is None or made is None or rank < 2:
            continue
        result = f"deploykit_beside_{index}"
        if not _quantise_beside(model, written, node, made, result):
            continue
        names = (f"{result}_exact_mean", f"{result}_mean")
        for name, mean in zip((product.result, result), names, strict=True):
            model.graph.node.append(mean_node(model, node, name, mean, rank))
            value = onnx.helper.make_tensor_value_info(mean, ElementType.FLOAT, None)
            model.graph.output.append(value)
        beside[result] = product, made.op_type
    if not beside:
        return 0
    session = open_to_calibrate(model, ort.ExecutionOrder.PRIORITY_BASED)
    model.Clear()
    parts: dict[str, list[np.ndarray]] = {result: [] for result in beside}
    for feeds in sets:
        values = session.run(None, feeds)
        for result, wanted, found in zip(beside, values[::2], values[1::2], strict=True):
            error = wanted.astype(np.float64) - found
            parts[result].append(error.reshape(len(error), math.prod(error.shape[1:])))
    stored = {tensor.name: tensor for tensor in quantised.graph.initializer}
    corrected = 0
    for result, (product, _) in beside.items():
        errors = np.concatenate(parts[result])
        if len(errors):  # the mean of no rows is no number
            shift_bias(stored[product.stored], product, errors)
            corrected += 1
    return corrected


def _quantise_beside(
    model: onnx.ModelProto,
    written: GraphView,
    node: onnx.NodeProto,
    made: onnx.NodeProto,
    result: str,
) -> bool:
    """Add a product in 8 bits to the float graph, which reads what that of the float graph reads.

    Args:
        model: the float graph, to be changed.
        written: the quantised graph.
        node: the product in the float graph.
        made: that of the quantised one.
        result: what the new one makes.
    """
    read, weight = written.producer(made.input[0]), written.producer(made.input[1])
    if read is None or weight is None or read.op_type != "DequantizeLinear":
        return False
    scale, zero = (written.initializer(name) for name in read.input[1:3])
    steps, scales = (written.constant(name) for name in weight.input[:2])
    if scale is None or zero is None or steps is None or scales is None:
        return False
    axis = next((entry.i for entry in weight.attribute if entry.name == "axis"), 1)
    spread = along(scales, axis if scales.ndim else None, steps.ndim)
    graph = model.graph
    values = (steps.astype(np.float32) * spread).astype(np.float32)
    for name, value in (
        ("weight", values),
        ("scale", tensor_values(scale)),
        ("zero", tensor_values(zero)),
    ):
        graph.initializer.append(onnx.numpy_helper.from_array(value, f"{result}_{name}"))
    told = [f"{result}_scale", f"{result}_zero"]
    make = onnx.helper.make_node
    graph.node.append(make("QuantizeLinear", [node.input[0], *told], [f"{result}_stored"]))
    graph.node.append(make("DequantizeLinear", [f"{result}_stored", *told], [f"{result}_read"]))
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name, copy.input[0], copy.input[1] = result, f"{result}_read", f"{result}_weight"
    copy.output[0] = result
    graph.node.append(copy)
    return True
