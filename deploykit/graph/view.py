"""One read-only view of a graph: who makes a tensor, who reads it, what it holds, of which type and shape.

A view is made once per graph, in one pass over its nodes, and passed on; shapes, types and what depends on
them are worked out when they are first asked for. The graph must not be changed while it is viewed, except
through `deploykit.graph.edit.GraphEditor`, which is a view that keeps itself up to date.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from deploykit.graph.nodes import (
    attribute,
    attribute_graphs,
    captured_by,
    graph_inputs,
    is_standard,
    node_name,
    nodes_below,
    tensor_values,
)
from deploykit.graph.operators import Kind, Trait, has, operator_of
from deploykit.graph.scope import Scope
from deploykit.graph.shapes import (
    Shape,
    Shapes,
    declared_types,
    element_types,
    sequences_among,
    sequences_of,
    types_in_body,
)
from deploykit.lazy import np, onnx

#: Values are computed only up to this many elements: 2 GB of float32.
MATERIALISE_ELEMENTS = 1 << 29

#: Gives the value of a tensor by name, or None where it is not fixed.
Lookup = Callable[[str], "np.ndarray | None"]

#: A reader of a tensor: the node, and the position among its inputs.
Reader = tuple["onnx.NodeProto", int]


class GraphView:
    """A graph, indexed for reading: a model's main graph, or a body within a node of another graph.

    Names are looked up in this graph alone, unless a method says that it looks outward.

    Attributes:
        model: the model that it belongs to.
        graph: the graph that is viewed, the main one or a body.
        outer: the view of the graph around it; None for the main graph.
        nodes: its nodes, in an order that runs.
        inputs: what a caller feeds; old files list stored tensors among the inputs, which are left out here.
        outputs: the names of the outputs of the graph.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        graph: onnx.GraphProto | None = None,
        outer: GraphView | None = None,
        stored: Iterable[onnx.TensorProto] | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> None:
        """Index a graph.

        Args:
            model: the model that the graph is part of.
            graph: a body within it; None is the main graph.
            outer: the view of the graph around a body.
            stored: its initialisers, where `graph` holds only some of them.
            dims: sizes of symbolic dimensions of the inputs beside the batch, which is taken as 1.
        """
        self._dims = dims
        self.model = model
        self.graph = model.graph if graph is None else graph
        self.outer = outer
        self.nodes: list[onnx.NodeProto] = list(self.graph.node)
        self.outputs = {value.name for value in self.graph.output}
        self._tensors: dict[str, onnx.TensorProto] = {
            tensor.name: tensor for tensor in (self.graph.initializer if stored is None else stored)
        }
        self.inputs = [
            value for value in graph_inputs(self.graph) if value.name not in self._tensors
        ]
        self._fed = {value.name for value in self.graph.input}
        self._producers: dict[str, onnx.NodeProto] = {}
        self._consumers: dict[str, list[Reader]] = {}
        self._captured: set[str] = set()
        for node in self.nodes:
            self._index(node)

    @classmethod
    def of(cls, source: GraphView | onnx.ModelProto) -> GraphView:
        """The view itself, or a new one of a model's main graph."""
        return source if isinstance(source, GraphView) else cls(source)

    def _index(self, node: onnx.NodeProto) -> None:
        for name in node.output:
            if name:
                self._producers[name] = node
        for slot, name in enumerate(node.input):
            if name:
                self._consumers.setdefault(name, []).append((node, slot))
        for body in attribute_graphs(node):
            self._capture(body)

    def _capture(self, body: onnx.GraphProto) -> None:
        for node in body.node:
            self._captured.update(node.input)
            for inner in attribute_graphs(node):
                self._capture(inner)
        self._captured.update(value.name for value in body.output)

    # ---- nodes

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that makes a tensor, or None for inputs and initialisers."""
        return self._producers.get(name)

    def consumers(self, name: str) -> list[Reader]:
        """The nodes that read a tensor, each with the position among its inputs."""
        return list(self._consumers.get(name, ()))

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor, each once, in the order of the graph."""
        unique = {id(node): node for node, _ in self._consumers.get(name, ())}
        return list(unique.values())

    def read_only_by(self, name: str, *nodes: onnx.NodeProto) -> bool:
        """Whether `nodes` alone need the tensor: no other reader, no sub-graph, no output of the graph."""
        if name in self.outputs or name in self._captured:
            return False
        known = {id(node) for node in nodes}
        return all(id(reader) in known for reader, _ in self._consumers.get(name, ()))

    def is_read(self, name: str) -> bool:
        """Whether anything at all needs the tensor: a node, a body within one, an output of the graph."""
        return bool(
            name and (self._consumers.get(name) or name in self.outputs or name in self._captured)
        )

    @cached_property
    def by_name(self) -> dict[str, onnx.NodeProto]:
        """The nodes by name, or by that of their first output where they have none."""
        return {node_name(node): node for node in self.nodes if node.name or node.output}

    def bodies(self, node: onnx.NodeProto) -> Iterator[GraphView]:
        """Views of the graphs within a node, this one around them."""
        return (GraphView(self.model, graph=body, outer=self) for body in attribute_graphs(node))

    # ---- values

    def initializer(self, name: str) -> onnx.TensorProto | None:
        """The stored tensor of that name."""
        return self._tensors.get(name)

    @property
    def stored(self) -> list[onnx.TensorProto]:
        """The stored tensors, dense ones."""
        return list(self._tensors.values())

    def is_constant(self, name: str) -> bool:
        """Whether `constant` can tell the value: an initialiser, or computed from such by simple nodes."""
        waiting, seen = [name], {name}
        while waiting:  # chains may be as long as the graph, which is more than calls may nest
            tensor = waiting.pop()
            if tensor in self._tensors:
                continue
            node = self._producers.get(tensor)
            if node is None or not is_standard(node) or not has(node, Trait.EVALUATED):
                return False
            sources = [source for source in node.input if source and source not in seen]
            seen.update(sources)
            waiting += sources
        return True

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a tensor that is fixed, or None where it depends on an input or is too large."""
        if not self.is_constant(name):
            return None
        values: dict[str, np.ndarray | None] = {}
        waiting, begun = [name], set[str]()
        while waiting:
            top = waiting[-1]
            stored = self._tensors.get(top)
            if stored is not None:
                values[top] = tensor_values(stored)
            elif top not in values:
                node = self._producers[top]
                missing = [one for one in node.input if one and one not in values]
                if missing and top in begun:  # nodes in a cycle, which nobody refused yet
                    return None
                begun.add(top)
                waiting += missing
                if missing:
                    continue
                values[top] = fixed_value(node, values.get)
            waiting.pop()
        return values[name]

    def is_fixed(self, name: str) -> bool:
        """Whether a tensor does not depend on what a caller feeds; looks outward.

        Unlike `is_constant`, any operator but a random one may lie between the stored tensors and this one.
        """
        return name in self._fixed or (self.outer is not None and self.outer.is_fixed(name))

    def is_visible_constant(self, name: str) -> bool:
        """Whether `constant` can tell the value, in this graph or in one around it."""
        return self.is_constant(name) or (
            self.outer is not None and self.outer.is_visible_constant(name)
        )

    def all_fixed(self, node: onnx.NodeProto) -> bool:
        """Whether all that a node makes is fixed."""
        return all(self.is_fixed(name) for name in node.output if name)

    @cached_property
    def _fixed(self) -> set[str]:
        fixed = {*self._tensors, *(s.values.name for s in self.graph.sparse_initializer)}
        for node in self.nodes:
            if node.op_type in ("Constant", "SequenceEmpty"):
                fixed.add(node.output[0])
                continue
            # Of what a tensor is cast like, only the type is read.
            values = node.input[:1] if node.op_type == "CastLike" else node.input
            inputs = [name for name in values if name]
            if not inputs or any(_is_random(one) for one in nodes_below([node])):
                continue
            # What a body reads of the graphs around it; names that these don't know are its own.
            inputs += [name for name in captured_by(node) if self._knows(name)]
            around = self.outer
            if all(n in fixed or (around is not None and around.is_fixed(n)) for n in inputs):
                fixed.update(name for name in node.output if name)
        return fixed

    def _knows(self, name: str) -> bool:
        """Whether a name is that of a tensor of this graph or of one around it."""
        here = name in self._producers or name in self._tensors or name in self._fed
        return here or (self.outer is not None and self.outer._knows(name))

    # ---- types and shapes

    @cached_property
    def types(self) -> dict[str, int]:
        """ONNX element types by tensor, as declared, stored and inferred; in a body, of those around it too."""
        if self.outer is None:
            _ = self._sequences  # for bodies, of the graph as it is now
            return element_types(self.model)
        return self.outer.types | self._told[0] | declared_types(self.graph)

    @cached_property
    def _sequences(self) -> list[onnx.ValueInfoProto]:
        """The sequences of this graph and of those around it, with their types."""
        if self.outer is None:
            return sequences_of(self.model)
        own = [*sequences_among(self.graph.input), *self._told[1]]
        names = {value.name for value in own}
        return [*own, *(value for value in self.outer._sequences if value.name not in names)]

    @cached_property
    def _told(self) -> tuple[dict[str, int], list[onnx.ValueInfoProto]]:
        """What inference tells of a body."""
        assert self.outer is not None, "the main graph is no body"
        return types_in_body(self.model, self.graph, self.outer.types, self.outer._sequences)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Sizes of symbolic dimensions of the inputs beside the batch, by name, as they were given."""
        return self._dims or {}

    @cached_property
    def shapes(self) -> Shapes | Scope:
        """Shapes and types for a batch of one, of the main graph; of a run of a body where it was made for one.

        Raises:
            UsageError: inputs have dynamic dimensions beside the batch.
            InvalidModel: the shapes contradict each other.
        """
        return Shapes(self.model, self._dims) if self.outer is None else self.outer.shapes

    def shape(self, name: str) -> Shape | None:
        """The shape of a tensor for a batch of one; None where it can't be inferred."""
        return self.shapes.shape(name)

    @property
    def scope(self) -> Scope | None:
        """What is known node by node, of what runs in bodies too; None where nothing of a graph asked for that."""
        return self.shapes if isinstance(self.shapes, Scope) else self.shapes.scope

    @cached_property
    def expanded(self) -> GraphView:
        """The same graph with the model's own functions written out, large weights only in `stored`."""
        if not self.model.functions:
            return self
        if isinstance(self.shapes, Scope):  # functions were written out before
            return self
        view = GraphView(self.shapes.expanded, stored=self.stored, dims=self._dims)
        view.shapes = self.shapes
        return view


# ---- values that the graph fixes without an input


def views_below(view: GraphView) -> Iterator[GraphView]:
    """A view, and those of all bodies within its nodes."""
    yield view
    for node in view.nodes:
        for body in view.bodies(node):
            yield from views_below(body)


def _is_random(node: onnx.NodeProto) -> bool:
    operator = operator_of(node)
    return operator is not None and operator.kind is Kind.RANDOM


def fixed_value(node: onnx.NodeProto, lookup: Lookup) -> np.ndarray | None:
    """The first output of a node of trait `EVALUATED`, or None where it is not fixed or too large."""
    if node.op_type == "Constant":
        return _constant(node)
    source = lookup(node.input[0])
    if source is None:
        return None
    if node.op_type == "ConstantOfShape":
        return _filled(node, source)
    if node.op_type == "Identity":
        return source
    if node.op_type == "Transpose":
        return np.transpose(source, attribute(node, "perm"))
    if node.op_type == "Cast":
        return np.asarray(
            source.astype(onnx.helper.tensor_dtype_to_np_dtype(attribute(node, "to")))
        )
    if node.op_type == "Flatten":
        axis = int(attribute(node, "axis", 1))
        axis += source.ndim if axis < 0 else 0
        return source.reshape(math.prod(source.shape[:axis]), -1)
    if node.op_type == "Reshape":
        return _reshaped(node, source, lookup)
    axes = attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = lookup(node.input[1])
    if node.op_type == "Unsqueeze":
        return None if axes is None else np.expand_dims(source, tuple(int(a) for a in axes))
    return np.squeeze(source, None if axes is None else tuple(int(a) for a in axes))


def _constant(node: onnx.NodeProto) -> np.ndarray | None:
    for entry in node.attribute:
        value = onnx.helper.get_attribute_value(entry)
        if entry.name == "value":
            return np.asarray(onnx.numpy_helper.to_array(value))
        if entry.name in ("value_float", "value_floats"):
            return np.asarray(value, dtype=np.float32)
        if entry.name in ("value_int", "value_ints"):
            return np.asarray(value, dtype=np.int64)
    return None


def _filled(node: onnx.NodeProto, shape: np.ndarray) -> np.ndarray | None:
    dims = [int(n) for n in shape]
    if math.prod(dims) > MATERIALISE_ELEMENTS:
        return None
    value = attribute(node, "value")
    fill = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full(dims, fill.reshape(-1)[0], dtype=fill.dtype)


def _reshaped(node: onnx.NodeProto, source: np.ndarray, lookup: Lookup) -> np.ndarray | None:
    target = lookup(node.input[1]) if len(node.input) > 1 else attribute(node, "shape")
    if target is None:
        return None
    keeps_zero = not attribute(node, "allowzero", 0)
    dims = [source.shape[i] if n == 0 and keeps_zero else int(n) for i, n in enumerate(target)]
    return source.reshape(dims)
