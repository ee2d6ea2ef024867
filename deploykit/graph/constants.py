"""The fixed tensors of a graph: how large they are, and which one a node's input goes back to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from deploykit.graph.shapes import Shapes

_FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
)
#: Operators through which a weight stays the same weight: of the same values, or quantised ones.
_CARRIERS = frozenset(
    {
        "DequantizeLinear",
        "QuantizeLinear",
        "Cast",
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
    }
)
#: Operators that give something else each time although nothing goes in.
_RANDOM = frozenset({"RandomNormal", "RandomUniform", "Multinomial", "Bernoulli"})


@dataclass(frozen=True)
class Constant:
    """A fixed tensor: its number of values, their ONNX type, and the bytes the file stores."""

    elements: int
    element_type: int
    stored_bytes: int


def element_bits(element_type: int) -> int:
    """Give the size of one value of an ONNX type in bits; 0 where it has none (strings)."""
    name = str(TensorProto.DataType.Name(element_type))
    for suffix, bits in (("INT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2)):
        if name.endswith(suffix):
            return bits
    if element_type in (TensorProto.STRING, TensorProto.UNDEFINED):
        return 0
    return int(helper.tensor_dtype_to_np_dtype(element_type).itemsize) * 8


def tensor_bytes(elements: int, element_type: int) -> int:
    """Give the size of a tensor of that many values in bytes."""
    return math.ceil(elements * element_bits(element_type) / 8)


def _of_tensor(tensor: onnx.TensorProto) -> Constant:
    elements = math.prod(tensor.dims)
    return Constant(elements, int(tensor.data_type), tensor_bytes(elements, tensor.data_type))


def _of_node(node: onnx.NodeProto) -> Constant | None:
    """Describe what a Constant node holds."""
    for attribute in node.attribute:
        if attribute.name == "value":
            return _of_tensor(attribute.t)
        if attribute.name == "sparse_value":
            values = _of_tensor(attribute.sparse_tensor.values)
            stored = values.stored_bytes + _of_tensor(attribute.sparse_tensor.indices).stored_bytes
            return Constant(values.elements, values.element_type, stored)
        if attribute.name in ("value_float", "value_floats"):
            elements = 1 if attribute.name == "value_float" else len(attribute.floats)
            return Constant(elements, TensorProto.FLOAT, 4 * elements)
        if attribute.name in ("value_int", "value_ints"):
            elements = 1 if attribute.name == "value_int" else len(attribute.ints)
            return Constant(elements, TensorProto.INT64, 8 * elements)
    return None


class Constants:
    """Fixed tensors of one graph, and of the graphs around it.

    Args:
        graph: the graph.
        stored: its initialisers, also those that `graph` has as inputs for lightness.
        shapes: of the main graph, to size what ConstantOfShape makes.
        outer: those of the graph around this one.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        stored: Iterable[onnx.TensorProto],
        shapes: Shapes,
        outer: Constants | None = None,
    ) -> None:
        self._outer = outer
        self._held = {tensor.name: _of_tensor(tensor) for tensor in stored}
        for sparse in graph.sparse_initializer:
            self._held[sparse.values.name] = _of_tensor(sparse.values)
        self._fixed = set(self._held)
        self._producers: dict[str, onnx.NodeProto] = {}
        self.stored_bytes = sum(constant.stored_bytes for constant in self._held.values())
        for node in graph.node:
            self._producers.update({name: node for name in node.output if name})
            if node.op_type == "Constant":
                self._add_constant(node)
            elif self._is_fixed_node(node):
                self._fixed.update(name for name in node.output if name)
                if node.op_type == "ConstantOfShape":
                    self._add_filled(node, shapes)

    def _add_constant(self, node: onnx.NodeProto) -> None:
        self._fixed.add(node.output[0])
        constant = _of_node(node)
        if constant is not None:
            self._held[node.output[0]] = constant
            self.stored_bytes += constant.stored_bytes

    def _add_filled(self, node: onnx.NodeProto, shapes: Shapes) -> None:
        shape = shapes.shape(node.output[0])
        if shape is not None:
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            element_type = TensorProto.FLOAT if value is None else int(value.data_type)
            # What the file stores of it is its shape, which is a constant of its own.
            self._held[node.output[0]] = Constant(math.prod(shape), element_type, 0)

    def _is_fixed_node(self, node: onnx.NodeProto) -> bool:
        inputs = [name for name in node.input if name]
        if not inputs or node.op_type in _RANDOM:
            return False
        return all(self.is_fixed(name) for name in inputs)

    def is_fixed(self, name: str) -> bool:
        """Whether a tensor does not depend on the graph's inputs."""
        return name in self._fixed or (self._outer is not None and self._outer.is_fixed(name))

    def root(self, name: str) -> str | None:
        """Follow a tensor back to the one that holds its values, if it depends on no input."""
        while name not in self._held:
            node = self._producers.get(name)
            if node is None:
                return self._outer.root(name) if self._outer is not None else None
            if node.op_type not in _CARRIERS or not self.is_fixed(name):
                return None
            name = node.input[0]
        return name

    def held(self, name: str) -> Constant | None:
        """Describe a tensor by the name that `root` gave."""
        if name in self._held:
            return self._held[name]
        return self._outer.held(name) if self._outer is not None else None

    def owner(self, name: str) -> int:
        """Tell graphs apart that hold tensors of the same name."""
        if name in self._held or self._outer is None:
            return id(self)
        return self._outer.owner(name)

    def is_float(self, name: str) -> bool:
        """Whether a fixed tensor holds real numbers, as floats or quantised from them."""
        while name not in self._held:
            node = self._producers.get(name)
            if node is None:
                return self._outer is not None and self._outer.is_float(name)
            if node.op_type == "DequantizeLinear":
                return True
            if node.op_type not in _CARRIERS:
                return False
            name = node.input[0]
        return self._held[name].element_type in _FLOATS
