"""From a graph's layers to where their values are found in the same graph written in another precision."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from deploykit.graph.compute_types import element_types
from deploykit.graph.constants import Constants
from deploykit.graph.shapes import Shapes

#: The metadata that export leaves on each node: the modules that it lies in, outermost first.
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Layer:
    """One node of the float graph that depends on an input.

    Attributes:
        node: its name; where it has none, that of its first output.
        module: the PyTorch module it lies in, as exported; "" where that is not known.
        op_type: its operator.
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


def layers(model: onnx.ModelProto) -> list[Layer]:
    """The nodes of the main graph whose values depend on an input, in the graph's order."""
    shapes = Shapes(model)
    constants = Constants(shapes.graph, shapes.stored, shapes)
    return [
        Layer(node_name(node), module_of(node), node.op_type, node.output[0])
        for node in model.graph.node
        if node.op_type != "Constant"
        and not all(constants.is_fixed(name) for name in node.output if name)
    ]


def neighbours(
    source: onnx.ModelProto, found: Sequence[Layer]
) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """Who reads each layer's values, and whose values each layer reads, by name."""
    known = {layer.node for layer in found}
    made: dict[str, str] = {}
    readers: dict[str, set[str]] = {name: set() for name in known}
    makers: dict[str, set[str]] = {name: set() for name in known}
    for node in source.graph.node:
        name = node_name(node)
        if name not in known:
            continue
        for tensor in node.input:
            if tensor in made:
                readers[made[tensor]].add(name)
                makers[name].add(made[tensor])
        made.update((tensor, name) for tensor in node.output if tensor)
    return readers, makers


def node_name(node: onnx.NodeProto) -> str:
    """A node's name, or that of its first output where it has none."""
    return str(node.name or node.output[0])


def module_of(node: onnx.NodeProto) -> str:
    """The dotted name of the module that a node was exported from; "" where the file does not say."""
    stored = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES_KEY), "")
    try:
        scopes = [str(scope) for scope in ast.literal_eval(stored)]
    except (SyntaxError, ValueError, TypeError):
        return ""
    return next((scope for scope in reversed(scopes[:-1]) if scope), "")


def follow(source: onnx.ModelProto, other: onnx.ModelProto) -> dict[str, Followed]:
    """For each layer of `source`, by name, where its value can be compared in `other`.

    A layer that `other` has folded into the next one is followed to what that one makes. Layers that make no
    floating-point tensor, or whose value is nowhere to be found, are left out.
    """
    types = element_types(source)
    known = {name for node in other.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in source.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    restored = _restored(other)
    found: dict[str, Followed] = {}
    for layer in layers(source):
        tensor, node = layer.tensor, layer.node
        while tensor not in known and len(readers.get(tensor, ())) == 1:
            (reader,) = readers[tensor]
            tensor, node = reader.output[0], node_name(reader)
        if tensor in known and types.get(tensor) in _FLOATS:
            found[layer.node] = Followed(tensor, restored.get(tensor, tensor), node)
    return found


def _restored(model: onnx.ModelProto) -> Mapping[str, str]:
    """Tensors that are only read quantised, each with the tensor that is dequantised from it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    found = {}
    for name, nodes in readers.items():
        if len(nodes) != 1 or nodes[0].op_type != "QuantizeLinear" or name in outputs:
            continue
        behind = readers.get(nodes[0].output[0], [])
        if len(behind) == 1 and behind[0].op_type == "DequantizeLinear":
            found[name] = behind[0].output[0]
    return found
