"""ONNX's element types: their numbers, short names and sizes, and those that a graph's products compute in.

The numbers are part of the file format (`TensorProto.DataType`), so that modules can name types in constants
and still start without the package ONNX.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from functools import cache

from deploykit.graph.operators import Arithmetic, Trait, has, operator_of
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx


class ElementType(IntEnum):
    """The types of `TensorProto.DataType` that this package names."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    UINT4 = 21
    INT4 = 22


#: Types of real numbers that values are computed in.
FLOATS = frozenset(
    {ElementType.FLOAT, ElementType.FLOAT16, ElementType.BFLOAT16, ElementType.DOUBLE}
)

_SHORT_NAMES: dict[int, str] = {
    ElementType.FLOAT: "fp32",
    ElementType.FLOAT16: "fp16",
    ElementType.BFLOAT16: "bf16",
    ElementType.DOUBLE: "fp64",
    ElementType.INT8: "int8",
    ElementType.UINT8: "int8",
    ElementType.INT16: "int16",
    ElementType.UINT16: "int16",
    ElementType.INT4: "int4",
    ElementType.UINT4: "int4",
}


def type_name(element_type: int) -> str:
    """Give the short name of an ONNX element type: "fp16", "int8"; any FP8 is "fp8"."""
    if element_type in _SHORT_NAMES:
        return _SHORT_NAMES[element_type]
    name = onnx_name(element_type).lower()
    return "fp8" if name.startswith("float8") else name


def onnx_name(element_type: int) -> str:
    """Give ONNX's own name of an element type, such as "FLOAT16"."""
    return str(onnx.TensorProto.DataType.Name(element_type))  # type: ignore[arg-type, unused-ignore]


@cache
def element_bits(element_type: int) -> int:
    """Give the size of one value of an ONNX type in bits; 0 where it has none (strings)."""
    name = onnx_name(element_type)
    for suffix, bits in (("INT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2)):
        if name.endswith(suffix):
            return bits
    if element_type in (ElementType.STRING, ElementType.UNDEFINED):
        return 0
    return int(onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize) * 8


def tensor_bytes(elements: int, element_type: int) -> int:
    """Give the size of a tensor of that many values in bytes."""
    return math.ceil(elements * element_bits(element_type) / 8)


def _quantised_type(view: GraphView, name: str) -> int | None:
    """Find the stored type behind the DequantizeLinear that `name` comes from, if it does."""
    node = view.producer(name)
    while node is not None and has(node, Trait.SEEN_THROUGH):
        node = view.producer(node.input[0])
    if node is None or node.op_type != "DequantizeLinear":
        return None
    return view.types.get(node.input[0])


def compute_types(source: GraphView | onnx.ModelProto) -> Counter[str]:
    """Count the convolutions, matrix products and recurrent layers of a graph by the type they compute in.

    Those in bodies and in the model's own functions count too. A node between DequantizeLinear on both of its
    operands computes in the type they dequantise from; with only its weight dequantised, it computes in
    floating point.
    """
    return Counter(kind for _, kind, _ in typed_products(GraphView.of(source).expanded))


def typed_products(view: GraphView, depth: int = 0) -> Iterator[tuple[onnx.NodeProto, str, int]]:
    """The nodes that multiply, each with the type it computes in and in how many bodies it lies."""
    types = view.types
    for node in view.nodes:
        operator = operator_of(node)
        if operator is not None and operator.arithmetic is Arithmetic.INTEGER:
            yield node, "int8", depth
        elif operator is not None and operator.multiplies:
            dequantised = [_quantised_type(view, name) for name in node.input[:2]]
            known = next((types[name] for name in node.input[:2] if types.get(name)), None)
            if len(dequantised) == 2 and None not in dequantised:
                known = dequantised[0]
            yield node, type_name(known) if known else "unknown", depth
        for body in view.bodies(node):
            yield from typed_products(body, depth + 1)


def precision_of(source: GraphView | onnx.ModelProto) -> str:
    """Name what most convolutions and matrix products are written in, such as "fp32" or "int8".

    Equal numbers go to the narrower type. A graph with none of them has the type of its first
    floating-point input.
    """
    view = GraphView.of(source)
    counts = compute_types(view)
    if counts:
        narrow_first = ("int4", "int8", "fp8", "int16", "fp16", "bf16", "fp32", "fp64")
        order = {name: place for place, name in enumerate(narrow_first)}
        return min(counts, key=lambda name: (-counts[name], order.get(name, len(order))))
    names = [type_name(v.type.tensor_type.elem_type) for v in view.inputs]
    return next((n for n in names if n in {"fp32", "fp16", "bf16", "fp64"}), "fp32")
