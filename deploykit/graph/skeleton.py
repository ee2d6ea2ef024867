"""A graph without its weights, light enough to check and to infer shapes on at any size.

`onnx.checker` and `onnx.shape_inference` serialise the whole model on every call; for VGG that
would be three more copies of half a gigabyte. What they decide depends on the types and shapes of
weights, and on the values of small tensors only (the target of a Reshape, the pads of a Pad).
"""

from __future__ import annotations

import math

import onnx
from onnx import helper

#: Tensors up to this many elements keep their values: shapes, axes, pads, scales.
SMALL_ELEMENTS = 256


def elements(tensor: onnx.TensorProto) -> int:
    """Count the values of a stored tensor, by its dimensions."""
    return math.prod(tensor.dims)


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model with its weights turned into inputs of the same type and shape.

    Small tensors, and those inside nodes (Constant) and sub-graphs, are copied as they are. The
    model given is not changed.
    """
    copy = onnx.ModelProto()
    copy.ir_version = model.ir_version
    copy.producer_name = model.producer_name
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    graph = copy.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    listed = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if elements(tensor) <= SMALL_ELEMENTS:
            graph.initializer.append(tensor)
        elif tensor.name not in listed:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return copy
