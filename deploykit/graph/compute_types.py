"""The types that convolutions and matrix products compute in, read from the graph itself."""

from __future__ import annotations

from collections import Counter

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
    return _counted(GraphView.of(source).expanded)


def _counted(view: GraphView) -> Counter[str]:
    types = view.types
    counts: Counter[str] = Counter()
    for node in view.nodes:
        operator = OPERATORS.get(node.op_type)
        if operator is not None and operator.arithmetic is Arithmetic.INTEGER:
            counts["int8"] += 1
        elif operator is not None and operator.multiplies:
            data, weight = (
                (_quantised_type(view, name) for name in node.input[:2])
                if len(node.input) > 1
                else (None, None)
            )
            if data is not None and weight is not None:
                counts[type_name(data)] += 1
            else:
                known = next((types[name] for name in node.input[:2] if types.get(name)), None)
                counts[type_name(known) if known else "unknown"] += 1
        for body in view.bodies(node):
            counts.update(_counted(body))
    return counts


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
