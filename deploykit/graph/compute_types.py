"""The types that convolutions and matrix products compute in, read from the graph itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx
from onnx import TensorProto

from deploykit.graph.skeleton import skeleton
from deploykit.graph.walking import graph_inputs

#: Operators with a data input first and a weight second.
_FLOAT_OPERATORS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"}
)
_INTEGER_OPERATORS = frozenset(
    {
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
        "QGemm",
        "MatMulIntegerToFloat",
    }
)
#: What may stand between a DequantizeLinear and the operator that computes on its values.
_TRANSPARENT = frozenset(
    {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "MaxPool", "Slice"}
)
_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.DOUBLE: "fp64",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.UINT16: "int16",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "int4",
}


def type_name(element_type: int) -> str:
    """Give the short name of an ONNX element type: "fp16", "int8"; any FP8 is "fp8"."""
    if element_type in _NAMES:
        return _NAMES[element_type]
    name = str(TensorProto.DataType.Name(element_type)).lower()
    return "fp8" if name.startswith("float8") else name


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Map tensors of the main graph to element types, as declared, stored and inferred."""
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=False).graph
    types = {
        value.name: int(value.type.tensor_type.elem_type)
        for value in [*inferred.value_info, *graph.input, *graph.output]
        if value.type.HasField("tensor_type")
    }
    types.update({tensor.name: int(tensor.data_type) for tensor in graph.initializer})
    return types


def _quantised_type(
    name: str, producers: Mapping[str, onnx.NodeProto], types: Mapping[str, int]
) -> int | None:
    """Find the stored type behind the DequantizeLinear that `name` comes from, if it does."""
    node = producers.get(name)
    while node is not None and node.op_type in _TRANSPARENT:
        node = producers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear":
        return None
    return types.get(node.input[0])


def compute_types(model: onnx.ModelProto) -> Counter[str]:
    """Count the convolutions and matrix products of the main graph by the type they compute in.

    A node between DequantizeLinear on both of its operands computes in the type they dequantise
    from; with only its weight dequantised, it computes in floating point.
    """
    types = element_types(model)
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output if output}
    found: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in _INTEGER_OPERATORS:
            found["int8"] += 1
        elif node.op_type in _FLOAT_OPERATORS:
            data, weight = (_quantised_type(name, producers, types) for name in node.input[:2])
            if data is not None and weight is not None:
                found[type_name(data)] += 1
            else:
                known = types.get(node.input[0]) or types.get(node.input[1])
                found[type_name(known) if known else "unknown"] += 1
    return found


def precision_of(model: onnx.ModelProto) -> str:
    """Name what most convolutions and matrix products are written in, such as "fp32" or "int8".

    Equal numbers go to the narrower type. A graph with none of them has the type of its first
    floating-point input.
    """
    found = compute_types(model)
    if found:
        narrow_first = ("int4", "int8", "fp8", "int16", "fp16", "bf16", "fp32", "fp64")
        order = {name: place for place, name in enumerate(narrow_first)}
        return min(found, key=lambda name: (-found[name], order.get(name, len(order))))
    names = [type_name(v.type.tensor_type.elem_type) for v in graph_inputs(model.graph)]
    return next((n for n in names if n in {"fp32", "fp16", "bf16", "fp64"}), "fp32")
