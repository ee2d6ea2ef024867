"""Which fixed tensors of a graph are parameters of the network, and under which operator they count.

A parameter is a fixed tensor (an initialiser, a Constant, what ConstantOfShape makes) that reaches a position where
an operator takes its weight, bias or scale (`Operator.parameters`), or a fixed float tensor of more than one value
that is an operand of an operator of trait `SCALES`. It counts once, however often it is used.

On the way there it may pass through any operators whose inputs are fixed too: split, joined, cut, dequantised,
or normalised as weight normalisation does. What a weight is divided by, indices and shapes are none; nor are
buffers: masks, grids, and the mean and deviation that images are normalised by.

Weights made by ConstantOfShape are never materialised; only shapes are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from deploykit.graph.element_types import FLOATS, ElementType, tensor_bytes
from deploykit.graph.nodes import attribute
from deploykit.graph.operators import OPERATORS, Kind, Trait, has
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Operators all of whose inputs hold values; of others the first does, beside shapes, indices, scales and divisors.
_ALL = frozenset({"Concat", "MatMul", "Gemm", "Einsum"})
#: What is the same for every image of a batch is spread over it, by sizes that depend on it.
_SPREAD = frozenset({"Expand", "Tile", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "Identity"})
#: Results of these are numbers of their own: counts, shapes, norms.
_NO_VALUES = frozenset({Kind.MAKES, Kind.RANDOM, Kind.REDUCTION})
#: Fewer whole numbers may be anything.
_GRID = 16
#: Values of an additive mask are zeros and numbers below this one.
_MASKED_BELOW = -99.0


@dataclass(frozen=True)
class Constant:
    """A fixed tensor: its number of values, their ONNX type, the bytes the file stores, and itself where stored."""

    elements: int
    element_type: int
    stored_bytes: int
    tensor: onnx.TensorProto | None = None

    def values(self) -> np.ndarray | None:
        """What it holds, where the file states that here."""
        tensor = self.tensor
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        given = tensor.raw_data or tensor.float_data or tensor.double_data or tensor.int32_data
        return np.asarray(onnx.numpy_helper.to_array(tensor)) if given else None


def _of_tensor(tensor: onnx.TensorProto) -> Constant:
    elements = math.prod(tensor.dims)
    size = tensor_bytes(elements, tensor.data_type)
    return Constant(elements, int(tensor.data_type), size, tensor)


def _of_node(node: onnx.NodeProto) -> Constant | None:
    """Describe what a Constant node holds."""
    for entry in node.attribute:
        if entry.name == "value":
            return _of_tensor(entry.t)
        if entry.name == "sparse_value":
            values = _of_tensor(entry.sparse_tensor.values)
            stored = values.stored_bytes + _of_tensor(entry.sparse_tensor.indices).stored_bytes
            return Constant(values.elements, values.element_type, stored)
        if entry.name in ("value_float", "value_floats"):
            elements = 1 if entry.name == "value_float" else len(entry.floats)
            return Constant(elements, ElementType.FLOAT, 4 * elements)
        if entry.name in ("value_int", "value_ints"):
            elements = 1 if entry.name == "value_int" else len(entry.ints)
            return Constant(elements, ElementType.INT64, 8 * elements)
    return None


class Constants:
    """What the fixed tensors of one graph hold, and those of the graphs around it."""

    def __init__(self, view: GraphView, outer: Constants | None = None) -> None:
        self.view = view
        self._outer = outer
        self._held = {tensor.name: _of_tensor(tensor) for tensor in view.stored}
        for sparse in view.graph.sparse_initializer:
            self._held[sparse.values.name] = _of_tensor(sparse.values)
        self.stored_bytes = sum(constant.stored_bytes for constant in self._held.values())
        for node in view.nodes:
            if node.op_type == "Constant":
                self._add_constant(node)
            elif node.op_type == "ConstantOfShape" and view.all_fixed(node):
                self._add_filled(node)

    def _add_constant(self, node: onnx.NodeProto) -> None:
        constant = _of_node(node)
        if constant is not None:
            self._held[node.output[0]] = constant
            self.stored_bytes += constant.stored_bytes

    def _add_filled(self, node: onnx.NodeProto) -> None:
        shape = self.view.shape(node.output[0])
        if shape is not None:
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            element_type = ElementType.FLOAT if value is None else int(value.data_type)
            # What the file stores of it is its shape, which is a constant of its own.
            self._held[node.output[0]] = Constant(math.prod(shape), element_type, 0)

    def roots(self, name: str, factor: bool = False) -> Iterator[Root]:
        """The tensors that hold the values of a fixed tensor; one that depends on an input has none.

        Args:
            name: the name of the tensor that is asked about.
            factor: whether it only scales or shifts a weight: a single value, or a mask, is then no parameter.
        """
        constant = self._held.get(name)
        if constant is not None:
            root = Root(self, name, constant, constant.element_type in FLOATS)
            if not factor or (constant.elements > 1 and not root.is_buffer()):
                yield root
            return
        node = self.view.producer(name)
        if node is None:
            if self._outer is not None:
                yield from self._outer.roots(name, factor)
            return
        operator = OPERATORS.get(node.op_type)
        if operator is None or operator.kind in _NO_VALUES:
            return
        if not self.view.is_fixed(name) and node.op_type not in _SPREAD:
            return
        if node.op_type in ("Mul", "Add", "Sub", "Sum"):
            yield from self._joined([list(self.roots(source, factor)) for source in node.input])
            return
        sources = node.input[:1]
        if node.op_type in _ALL:
            sources = node.input
        elif node.op_type == "Where":
            sources = node.input[1:]
        for source in filter(None, sources):
            for root in self.roots(source, factor):
                yield replace(root, real=True) if node.op_type == "DequantizeLinear" else root

    def _joined(self, operands: list[list[Root]]) -> Iterator[Root]:
        """A weight and what scales or shifts it: the largest operand is the weight."""
        operands = [operand for operand in operands if operand]
        if not operands:
            return
        weight = max(operands, key=lambda roots: sum(root.constant.elements for root in roots))
        stored = all(not root.real for root in weight)
        for operand in operands:
            for root in operand:
                # Stored integers are made real by a scale, which is no parameter of its own.
                single = root.constant.elements <= 1 or root.is_buffer(_size(weight))
                if operand is weight or not (stored or single):
                    yield root

    def fills(self, name: str, value: float) -> bool:
        """Whether all values of a stored tensor are this one."""
        constant = self._held.get(name)
        if constant is None:
            return False
        values = constant.values()
        return values is not None and bool(np.all(values == value))

    @property
    def outer(self) -> Constants | None:
        """Those of the graph around it."""
        return self._outer


def _size(roots: list[Root]) -> int:
    return sum(root.constant.elements for root in roots)


@dataclass(frozen=True)
class Root:
    """A tensor that holds values.

    Attributes:
        owner: the constants of its graph; tensors of different graphs may share a name.
        name: the name of the tensor in that graph.
        constant: how many values the tensor holds, and of which type.
        real: whether its values are real numbers: floats, or quantised from them.
    """

    owner: Constants
    name: str
    constant: Constant
    real: bool

    def is_buffer(self, among: int = 0) -> bool:
        """Whether the values of a factor or addend show that nobody learned them: masks, grids, strides.

        Args:
            among: how many values a weight has that it is applied to: zeros and ones of that many prune it.
        """
        values = self.constant.values()
        if values is None or values.dtype.kind != "f" or values.size < 2:
            return False
        low, high = float(values.min()), float(values.max())
        if low == high:  # a fresh scale or offset
            return False
        if high == 0 and low <= _MASKED_BELOW:
            return bool(np.all((values == 0) | (values <= _MASKED_BELOW)))
        if low == 0 and high == 1 and values.size == among:
            return bool(np.all((values == 0) | (values == 1)))
        # Grids, anchors and strides are whole numbers and halves; training does not end at such values alone.
        return values.size >= _GRID and bool(np.all(values * 2 == np.round(values * 2)))


def parameters_of(node: onnx.NodeProto, constants: Constants) -> Iterator[Root]:
    """The parameters that a node takes, which others may take as well."""
    operator = OPERATORS.get(node.op_type)
    if operator is None or _stands_for_groups(node, constants):
        return
    if Trait.SCALES in operator.traits:
        for place in _operands(node, constants.view):
            for root in constants.roots(node.input[place], factor=True):
                if root.real or node.op_type.startswith("QLinear"):
                    yield root
        return
    if node.op_type == "MatMulNBits":
        yield from _packed(node, constants)
        return
    if node.op_type == "Concat":
        # A token that each image of a batch is joined with; anchors, padding and the like are no parameters.
        for name in node.input:
            for root in constants.roots(name, factor=True) if _is_spread(name, constants) else ():
                if root.real:
                    yield root
        return
    for place in operator.parameters:
        if place < len(node.input) and node.input[place]:
            for root in constants.roots(node.input[place]):
                if node.op_type != "Gather" or (root.real and root.constant.elements > 1):
                    yield root


def _is_spread(name: str, constants: Constants) -> bool:
    """Whether a tensor is a fixed one that is spread over the batch."""
    view = constants.view
    while (node := view.producer(name)) is not None and node.op_type in _SPREAD:
        if node.op_type in ("Expand", "Tile") and not view.is_fixed(name):
            return view.is_fixed(node.input[0])
        name = node.input[0]
    return False


def _packed(node: onnx.NodeProto, constants: Constants) -> Iterator[Root]:
    """The weight of a MatMulNBits, K by N values packed into bytes, and its bias."""
    values = int(attribute(node, "K", 0)) * int(attribute(node, "N", 0))
    for root in constants.roots(node.input[1]):
        yield replace(root, constant=replace(root.constant, elements=values), real=True)
    if len(node.input) > 5 and node.input[5]:
        yield from constants.roots(node.input[5])


def _operands(node: onnx.NodeProto, view: GraphView) -> Sequence[int]:
    """Positions of operands that may be scales or offsets: not a divisor, nor the mean that images are freed of."""
    if node.op_type.startswith("QLinear"):
        return (0, 3)
    if node.op_type == "Div":
        return (0,)
    if node.op_type == "Sub" and _is_image(node.input[0], view):
        return (0,)
    return range(len(node.input))


def _is_image(name: str, view: GraphView) -> bool:
    """Whether a tensor is what a caller feeds, at most in another type, order or scale."""
    while (node := view.producer(name)) is not None:
        if not has(node, Trait.REARRANGES) and node.op_type not in ("Cast", "Div", "Mul"):
            return False
        name = node.input[0]
    return view.outer is None and any(value.name == name for value in view.inputs)


def _stands_for_groups(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether an InstanceNormalization is half of a group's: ones and zeros, between two changes of shape."""
    if node.op_type != "InstanceNormalization":
        return False
    view = constants.view
    before, after = view.producer(node.input[0]), view.readers(node.output[0])
    return (
        before is not None
        and before.op_type == "Reshape"
        and [reader.op_type for reader in after] == ["Reshape"]
        and constants.fills(node.input[1], 1.0)
        and constants.fills(node.input[2], 0.0)
    )
