"""From a graph's layers to where their values are found in the same graph written in another precision."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploykit.graph.element_types import FLOATS
from deploykit.graph.nodes import node_name
from deploykit.graph.tidy import SCOPES_KEY
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx


@dataclass(frozen=True)
class Layer:
    """One node of the float graph that depends on an input.

    Attributes:
        node: its name; where it has none, that of its first output.
        module: the PyTorch module it lies in, as exported; "" where that is not known.
        op_type: the ONNX operator of the layer's node.
        tensor: name of its first output.
    """

    node: str
    module: str
    op_type: str
    tensor: str


@dataclass(frozen=True)
class Followed:
    """Where a layer's value stands in another precision's graph.

    Attributes:
        reference: tensor of the float graph.
        tensor: the same value in the other graph, dequantised where the next layers read it so.
        node: of the float graph, the layer that makes `reference`: the layer itself, or the one that it was
            folded into.
    """

    reference: str
    tensor: str
    node: str


def layers(source: GraphView | onnx.ModelProto) -> list[Layer]:
    """The nodes of the main graph whose values depend on an input, in the graph's order."""
    view = GraphView.of(source)
    expanded = view.expanded
    return [
        Layer(node_name(node), module_of(node), node.op_type, node.output[0])
        for node in view.nodes
        if node.op_type != "Constant" and not expanded.all_fixed(node)
    ]


def neighbours(
    source: GraphView | onnx.ModelProto, graph_layers: Sequence[Layer]
) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """Who reads each layer's values, and whose values each layer reads, by name."""
    view = GraphView.of(source)
    known = {layer.node for layer in graph_layers}
    readers: dict[str, set[str]] = {name: set() for name in known}
    producers: dict[str, set[str]] = {name: set() for name in known}
    for node in view.nodes:
        name = node_name(node)
        if name not in known:
            continue
        for tensor in node.input:
            producer = view.producer(tensor)
            if producer is not None and node_name(producer) in known:
                readers[node_name(producer)].add(name)
                producers[name].add(node_name(producer))
    return readers, producers


def module_of(node: onnx.NodeProto) -> str:
    """The dotted name of the module that a node was exported from; "" where the file does not say."""
    stored = next((entry.value for entry in node.metadata_props if entry.key == SCOPES_KEY), "")
    try:
        scopes = [str(scope) for scope in ast.literal_eval(stored)]
    except (SyntaxError, ValueError, TypeError):
        return ""
    return next((scope for scope in reversed(scopes[:-1]) if scope), "")


def follow(
    source: GraphView | onnx.ModelProto, other: GraphView | onnx.ModelProto
) -> dict[str, Followed]:
    """For each layer of `source`, by name, where its value can be compared in `other`.

    A layer that `other` has folded into the next one is followed to what that one makes. Layers that make no
    floating-point tensor, or whose value is nowhere to be found, are left out.
    """
    view, target = GraphView.of(source), GraphView.of(other)
    restored = _restored(target)
    followed: dict[str, Followed] = {}
    for layer in layers(view):
        tensor, node = layer.tensor, layer.node
        while target.producer(tensor) is None and len(view.consumers(tensor)) == 1:
            ((reader, _),) = view.consumers(tensor)
            tensor, node = reader.output[0], node_name(reader)
        if target.producer(tensor) is not None and view.types.get(tensor) in FLOATS:
            followed[layer.node] = Followed(tensor, restored.get(tensor, tensor), node)
    return followed


def _restored(view: GraphView) -> Mapping[str, str]:
    """Tensors that are only read quantised, each with the tensor that is dequantised from it."""
    pairs = {}
    for node in view.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        name = node.input[0]
        if len(view.consumers(name)) != 1 or name in view.outputs:
            continue
        behind = view.consumers(node.output[0])
        if len(behind) == 1 and behind[0][0].op_type == "DequantizeLinear":
            pairs[name] = behind[0][0].output[0]
    return pairs
