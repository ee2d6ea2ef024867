"""Parameters, multiply-accumulates and bytes of any ONNX graph and its layers, from its structure alone.

What counts as a parameter: a fixed tensor (an initialiser, a Constant, what ConstantOfShape makes)
at a position where an operator takes its weight, bias or scale (`Operator.parameters`), or a fixed float
tensor of more than one value where an operator has the trait `SCALES`: Add, Sub, Mul, Div, Sum. It may
come through a DequantizeLinear or a change of shape, and counts once however often it is used.

Weights made by ConstantOfShape are never materialised; only shapes are looked at.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploykit.graph.element_types import FLOATS, ElementType, tensor_bytes
from deploykit.graph.nodes import attribute_graphs, node_name
from deploykit.graph.operators import OPERATORS, Trait, has, has_no_macs
from deploykit.graph.read_write import read_model
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.spec import Counts, OnnxModel, OperatorCounts


def operator_name(node: onnx.NodeProto) -> str:
    """Name an operator, with its domain where that is not ONNX's own: "com.microsoft.Attention"."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def has_work(graph: onnx.GraphProto) -> bool:
    """Whether a graph, its bodies included, has an operator that is not known to have no MACs."""
    for node in graph.node:
        bodies = list(attribute_graphs(node))
        if any(has_work(body) for body in bodies):
            return True
        if not bodies and not has_no_macs(node):
            return True
    return False


@dataclass(frozen=True)
class Constant:
    """A fixed tensor: its number of values, their ONNX type, and the bytes the file stores."""

    elements: int
    element_type: int
    stored_bytes: int


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
            return Constant(elements, ElementType.FLOAT, 4 * elements)
        if attribute.name in ("value_int", "value_ints"):
            elements = 1 if attribute.name == "value_int" else len(attribute.ints)
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

    def root(self, name: str) -> str | None:
        """Follow a tensor back to the one that holds its values, if it depends on no input."""
        while name not in self._held:
            node = self.view.producer(name)
            if node is None:
                return self._outer.root(name) if self._outer is not None else None
            if not has(node, Trait.CARRIES_WEIGHT) or not self.view.is_fixed(name):
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
            node = self.view.producer(name)
            if node is None:
                return self._outer is not None and self._outer.is_float(name)
            if node.op_type == "DequantizeLinear":
                return True
            if not has(node, Trait.CARRIES_WEIGHT):
                return False
            name = node.input[0]
        return self._held[name].element_type in FLOATS


def _made(node: onnx.NodeProto, view: GraphView) -> list[str]:
    """What a node makes; the mask of a Dropout or the indices of a MaxPool that nobody reads are not made."""
    outputs = [output for output in node.output if output]
    return [output for output in outputs if view.is_read(output)] or outputs[:1]


def _bytes_of(name: str, view: GraphView) -> int | None:
    """The size of a tensor for one image; None where its shape or type is not known."""
    shape, element_type = view.shape(name), view.shapes.element_type(name)
    if shape is None or element_type is None:
        return None
    return tensor_bytes(math.prod(shape), element_type)


def has_rule(node: onnx.NodeProto) -> bool:
    """Whether the MACs of an operator can be counted."""
    operator = OPERATORS.get(node.op_type)
    return operator is not None and operator.macs is not None


def macs_of(node: onnx.NodeProto, view: GraphView) -> int | None:
    """The MACs of a node that has a rule; None where its shapes do not tell, 0 where it has no rule."""
    operator = OPERATORS.get(node.op_type)
    if operator is None or operator.macs is None:
        return 0
    inputs = [view.shape(name) if name else None for name in node.input]
    outputs = _made(node, view)
    return operator.macs(node, inputs, view.shape(outputs[0]) if outputs else None)


@dataclass
class _Tally:
    """Sums that grow as nodes are looked at, by operator."""

    nodes: Counter[str] = field(default_factory=Counter)
    macs: Counter[str] = field(default_factory=Counter)
    parameters: Counter[str] = field(default_factory=Counter)
    activation_bytes: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    stored_bytes: int = 0
    seen: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add_parameters(self, node: onnx.NodeProto, constants: Constants) -> None:
        operator = OPERATORS.get(node.op_type)
        if operator is None:
            return
        scales = Trait.SCALES in operator.traits
        for place in range(len(node.input)) if scales else operator.parameters:
            name = node.input[place] if place < len(node.input) else ""
            root = constants.root(name) if name else None
            constant = constants.held(root) if root is not None else None
            if root is None or constant is None:
                continue
            if (scales or node.op_type == "Gather") and (
                constant.elements <= 1 or not constants.is_float(name)
            ):
                continue
            # Tensors of different graphs may share a name, and one tensor may be read from several.
            owner = self.seen[constants.owner(root)]
            if root not in owner:
                owner.add(root)
                self.parameters[operator_name(node)] += constant.elements

    def add_body(self, view: GraphView, outer: Constants | None = None) -> None:
        """Count what a graph holds; the work of the bodies of If, Loop and Scan is not known."""
        constants = Constants(view, outer)
        self.stored_bytes += constants.stored_bytes
        for node in view.nodes:
            if not view.all_fixed(node):
                self.add_parameters(node, constants)
            for body in view.bodies(node):
                self.add_body(body, constants)

    def add_work(self, node: onnx.NodeProto, view: GraphView) -> None:
        name = operator_name(node)
        self.nodes[name] += 1
        outputs = _made(node, view)
        if outputs and all(view.is_fixed(output) for output in outputs):
            return
        known = True
        for output in outputs:
            size = _bytes_of(output, view)
            known = known and size is not None
            self.activation_bytes[name] += size or 0
        bodies = list(attribute_graphs(node))
        if has_rule(node):
            macs = macs_of(node, view)
            known = known and macs is not None
            self.macs[name] += macs or 0
        elif bodies:
            known = known and not any(has_work(body) for body in bodies)
        elif not has_no_macs(node):
            known = False
        if not known:
            self.uncounted[name] += 1


def stated_batch(view: GraphView) -> int:
    """Give the fixed batch that all inputs and outputs of a graph start with; 1 where they differ."""
    values = [*view.inputs, *view.graph.output]
    firsts = {
        value.type.tensor_type.shape.dim[0].dim_value if value.type.tensor_type.shape.dim else 0
        for value in values
    }
    return int(firsts.pop()) if len(firsts) == 1 and min(firsts) > 1 else 1


def count_graph(
    source: GraphView | onnx.ModelProto | OnnxModel | str | os.PathLike[str],
    dims: Mapping[str, int] | None = None,
) -> Counts:
    """Count a model for one image.

    A symbolic batch is taken as 1; a graph with a fixed batch above 1 on all inputs and outputs is
    counted as it is, and MACs and activation bytes are divided by the batch, rounding down.

    Args:
        source: the model, a view of it, or its path.
        dims: sizes for other symbolic dimensions of the inputs, by name; a view has its own.

    Raises:
        InvalidModel: the file can't be read, or its shapes contradict each other.
        UsageError: inputs have symbolic dimensions that are neither the batch nor in `dims`.
    """
    if isinstance(source, OnnxModel):
        source = source.path
    if not isinstance(source, GraphView):
        model = source if isinstance(source, onnx.ModelProto) else read_model(source)
        source = GraphView(model, dims=dims)
    view = source.expanded
    tally = _Tally()
    tally.add_body(view)
    for node in view.nodes:
        tally.add_work(node, view)
    batch = stated_batch(source)
    by_operator = {
        name: OperatorCounts(
            nodes=tally.nodes[name],
            macs=tally.macs[name] // batch,
            parameters=tally.parameters[name],
            activation_bytes=tally.activation_bytes[name] // batch,
        )
        for name in sorted({*tally.nodes, *tally.parameters})
    }
    return Counts(
        parameters=sum(one.parameters for one in by_operator.values()),
        macs=sum(one.macs for one in by_operator.values()),
        activation_bytes=sum(one.activation_bytes for one in by_operator.values()),
        weight_bytes=tally.stored_bytes,
        by_operator=by_operator,
        uncounted=dict(sorted(tally.uncounted.items())),
    )


@dataclass(frozen=True)
class LayerCounts:
    """One layer's work.

    Attributes:
        macs: multiply-accumulates; None where its shapes don't tell. 0 where it has none.
        weight_bytes: of the constants it reads, as the graph stores them.
        inputs: names of the tensors it reads that depend on an input, with their bytes.
        outputs: the same of what it writes; a mask or index that nobody reads is left out.
    """

    macs: int | None
    weight_bytes: int
    inputs: dict[str, int]
    outputs: dict[str, int]


def count_layers(source: GraphView | onnx.ModelProto) -> dict[str, LayerCounts]:
    """The work of every node of the main graph that depends on an input, by name, at a batch of one.

    A graph with another fixed batch is counted at that batch.
    """
    view = GraphView.of(source).expanded
    counts: dict[str, LayerCounts] = {}
    for node in view.nodes:
        if node.op_type == "Constant" or view.all_fixed(node):
            continue
        sizes = {name: _bytes_of(name, view) or 0 for name in node.input if name}
        counts[node_name(node)] = LayerCounts(
            macs_of(node, view),
            sum(size for name, size in sizes.items() if view.is_fixed(name)),
            {name: size for name, size in sizes.items() if not view.is_fixed(name)},
            {name: _bytes_of(name, view) or 0 for name in _made(node, view)},
        )
    return counts
