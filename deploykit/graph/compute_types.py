"""The types that convolutions and matrix products compute in, read from the graph itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from deploykit.graph.element_types import type_name
from deploykit.graph.operators import OPERATORS, Arithmetic, Trait, has
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx


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
        operator = OPERATORS.get(node.op_type)
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
