"""What an ONNX Runtime engine computes in, read from the graph as it will run: bodies and recurrent layers too.

The runtime names its nodes in its own way; here they are called as in the graph that the engine was built from.
"""

from __future__ import annotations

from pathlib import Path

from deploykit.backends.onnxruntime_layers import plain_name, trace_layers
from deploykit.graph.element_types import FLOATS, type_name
from deploykit.graph.nodes import attribute, node_name
from deploykit.graph.operators import Arithmetic, operator_of
from deploykit.graph.shapes import declared_types
from deploykit.graph.view import GraphView, views_below
from deploykit.lazy import onnx

#: Operators of the runtime's own that multiply integers though no product of ONNX is called so.
_INTEGER = frozenset({"QAttention"})
#: Operators of its own that multiply floats and are no product of ONNX either.
_FLOAT = frozenset({"MultiHeadAttention", "GroupQueryAttention", "MatMulNBits", "SparseAttention"})
#: Operators that have their values in another place than their first input.
_VALUES_AT = {"Where": 1, "DequantizeLinear": 1, "QuantizeLinear": 2}
#: Of `accuracy_level`, the one at which MatMulNBits multiplies integers.
_IN_INT8 = 4

#: Operators that the runtime may rewrite as depthwise convolutions in its blocked layout, and what it
#: appends to the name of their output to call the convolution.
_PER_CHANNEL = {"BatchNormalization": "_bn_nchwc", "Mul": "_mul_nchwc"}


def read_back(path: Path, source: onnx.ModelProto | None = None) -> dict[str, list[str]]:
    """The nodes that multiply, by the type they do it in ("fp32", "int8"), of an optimised graph.

    Args:
        path: of the optimised graph.
        source: what it was made from, whose names are given; None gives those of the engine. What was rewritten
            as a convolution but is none in `source` is left out.
    """
    engine = onnx.load(str(path), load_external_data=False)
    view = GraphView(engine)
    called = _names(source, engine) if source is not None else {}
    rewritten = _rewritten(source) if source is not None else frozenset()
    only = _only_float(engine)
    by_type: dict[str, list[str]] = {}
    for inner in views_below(view):
        types = _Types(inner, only)
        for index, node in enumerate(inner.nodes):
            if node.name in rewritten or (kind := types.multiplies_in(node)) is None:
                continue
            own = (plain_name(node_name(node)),)
            names = called.get(index, own) if inner is view else own
            by_type.setdefault(kind, []).extend(names)
    return by_type


def _names(source: onnx.ModelProto, engine: onnx.ModelProto) -> dict[int, tuple[str, ...]]:
    """For nodes of the engine's main graph, by index, the products of the source that they compute."""
    view = GraphView(source)
    multiplying = {node_name(node) for node in view.nodes if _is_product(node)}
    found = {}
    for node in trace_layers(view, engine):
        products = tuple(name for name in node.layers if name in multiplying)
        if products:
            found[node.index] = products
    return found


def _is_product(node: onnx.NodeProto) -> bool:
    operator = operator_of(node)
    return node.op_type in _INTEGER | _FLOAT or (operator is not None and operator.multiplies)


def _rewritten(source: onnx.ModelProto) -> frozenset[str]:
    """What convolutions are called that stand for another operator of the graph."""
    return frozenset(
        node.output[0] + _PER_CHANNEL[node.op_type]
        for node in source.graph.node
        if node.op_type in _PER_CHANNEL
    )


def _only_float(engine: onnx.ModelProto) -> int | None:
    """The one floating-point type that a graph has inputs, outputs, constants and casts of, if it is one."""
    found: set[int] = set()
    for view in views_below(GraphView(engine)):
        found.update(declared_types(view.graph).values())
        for node in view.nodes:
            if node.op_type == "Cast":
                found.add(int(attribute(node, "to")))
            elif node.op_type == "Constant":
                value = attribute(node, "value")
                found.add(0 if value is None else int(value.data_type))
    floats = found & FLOATS
    return floats.pop() if len(floats) == 1 else None


class _Types:
    """The types of the tensors of one graph of an engine, which does not state those between its nodes."""

    def __init__(self, view: GraphView, only: int | None) -> None:
        self._view, self._only = view, only
        self._declared: dict[str, int] = {}
        outer: GraphView | None = view
        while outer is not None:
            self._declared = declared_types(outer.graph) | self._declared
            outer = outer.outer

    def multiplies_in(self, node: onnx.NodeProto) -> str | None:
        """The short name of the type that a node multiplies in; None where it is no product."""
        if not _is_product(node):
            return None
        operator = operator_of(node)
        numbers = operator.arithmetic if operator is not None else None
        if numbers is Arithmetic.INTEGER or node.op_type in _INTEGER:
            return "int8"
        if node.op_type == "MatMulNBits" and attribute(node, "accuracy_level", 0) == _IN_INT8:
            return "int8"
        # Whatever its operands were made from: a Conv that still stands between DequantizeLinear nodes in
        # the optimised graph is computed in floating point.
        found = (self.element_type(name) for name in (*node.input[1:2], *node.input[:1]) if name)
        kind = next((kind for kind in found if kind in FLOATS), None) or self._only
        return type_name(kind) if kind else "unknown"

    def element_type(self, name: str) -> int:
        """ONNX's number of a tensor's type; 0 where nothing tells."""
        view: GraphView | None = self._view
        for _ in range(1000):  # a chain of nodes, which may leave the body
            if self._declared.get(name):
                return self._declared[name]
            node = None
            while view is not None and node is None:
                node = view.producer(name)
                view = view if node is not None else view.outer
            if node is None:
                return 0
            if node.op_type == "Cast":
                return int(attribute(node, "to"))
            place = _VALUES_AT.get(node.op_type, 0)
            if place >= len(node.input):
                return 0
            name = node.input[place]
        return 0
