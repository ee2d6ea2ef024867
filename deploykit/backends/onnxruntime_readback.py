"""What ONNX Runtime will execute, read from the optimised graph it saved."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx

from deploykit.errors import PrecisionMismatch
from deploykit.graph.element_types import type_name
from deploykit.graph.nodes import attribute, has_subgraphs
from deploykit.graph.operators import Arithmetic, arithmetic
from deploykit.graph.precision.rounding import unrounded, with_rounding
from deploykit.graph.shapes import declared_types
from deploykit.graph.view import GraphView


def without_initialiser_inputs(path: Path) -> str | bytes:
    """The model to hand to ONNX Runtime: the file, or its bytes with constants no longer listed as inputs.

    Old files list weights among the inputs; ONNX Runtime then takes them for replaceable and optimises
    nothing that touches them.
    """
    head = onnx.load(str(path), load_external_data=False)
    constants = {tensor.name for tensor in head.graph.initializer}
    if constants.isdisjoint(value.name for value in head.graph.input):
        return str(path)
    inputs = [value for value in head.graph.input if value.name not in constants]
    del head.graph.input[:]
    head.graph.input.extend(inputs)
    head.ir_version = max(head.ir_version, 4)  # before 4, every constant had to be an input
    onnx.load_external_data_for_model(head, str(path.parent))
    return bytes(head.SerializeToString())


def with_half_rounding(source: str | bytes) -> bytes | None:
    """The model with float16 written as float32 and roundings that ONNX Runtime keeps; None if it can't be.

    Left to itself, ONNX Runtime rounds only the weights: it removes the casts between its float32 kernels.
    """
    model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
    if has_subgraphs(model):
        return None
    with_rounding(model)
    return bytes(model.SerializeToString())


def check_rounded(path: Path, kept: Collection[str]) -> None:
    """Raise PrecisionMismatch where the optimised graph has lost a rounding between two products."""
    lost = unrounded(onnx.load(str(path)), kept)
    if lost:
        raise PrecisionMismatch(
            f"ONNX Runtime removed the rounding to fp16 before {lost[0]} and {len(lost) - 1} others; "
            "use fp32, or another version of it"
        )


#: Operators that ONNX Runtime may rewrite as depthwise convolutions in its blocked layout, and what it
#: appends to the name of their output to call the convolution.
_PER_CHANNEL = {"BatchNormalization": "_bn_nchwc", "Mul": "_mul_nchwc"}


def rewritten_names(source: str | bytes) -> frozenset[str]:
    """What convolutions are called that stand for another operator of the graph (its path or bytes)."""
    if isinstance(source, bytes):
        model = onnx.load_from_string(source)
    else:
        model = onnx.load(source, load_external_data=False)
    return frozenset(
        node.output[0] + _PER_CHANNEL[node.op_type]
        for node in model.graph.node
        if node.op_type in _PER_CHANNEL
    )


def read_back(path: Path, rewritten: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """The nodes that multiply, by the type they do it in ("fp32", "int8"), of an optimised graph.

    Args:
        path: of the optimised graph.
        rewritten: names of convolutions that stand for another operator; they are left out.
    """
    view = GraphView(onnx.load(str(path)))
    declared = declared_types(view.graph)

    def element_type(name: str) -> int:
        known = declared.get(name)
        node = view.producer(name)
        if known or node is None:
            return known or 0
        if node.op_type == "Cast":
            return int(attribute(node, "to"))
        if node.op_type == "DequantizeLinear":
            return element_type(node.input[1])
        return element_type(node.input[0]) if node.input else 0

    by_type: dict[str, list[str]] = {}
    for node in view.nodes:
        if node.name in rewritten:
            continue
        numbers = arithmetic(node)
        if numbers is Arithmetic.INTEGER:
            kind = "int8"
        elif numbers is Arithmetic.FLOAT:
            # Whatever its operands were made from: a Conv that still stands between DequantizeLinear nodes in
            # the optimised graph is computed in floating point.
            weight = element_type(node.input[1]) or element_type(node.input[0])
            kind = type_name(weight) if weight else "unknown"
        else:
            continue
        by_type.setdefault(kind, []).append(node.name)
    return by_type
