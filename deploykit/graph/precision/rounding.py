"""A half-precision graph as a float32 graph that rounds where the other did.

A runtime without half-precision kernels puts casts around each float32 kernel and then removes the pairs
between two of them, so that nothing between the kernels is rounded and nothing overflows. Here the same
casts are written as part of the graph, which the runtime keeps: the values are those of half precision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from deploykit.graph.element_types import ElementType
from deploykit.graph.names import own_names
from deploykit.graph.nodes import (
    attribute_graphs,
    graphs_below,
    node_name,
    nodes_below,
    tensor_values,
)
from deploykit.graph.operators import Arithmetic, Trait, arithmetic, has
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

_HALF, _WIDE = ElementType.FLOAT16, ElementType.FLOAT


def with_rounding(model: onnx.ModelProto) -> int:
    """Rewrite float16 as float32 with a rounding after each node that makes new values, in place.

    Inputs and outputs of the graph keep their types. What goes in and out of bodies (of If, Loop, Scan) must
    not be float16: see `rounds_bodies`.

    Returns:
        How many roundings were written.
    """
    return _Rewriter(GraphView(model)).run()


def rounds_bodies(model: onnx.ModelProto) -> bool:
    """Whether every body takes and gives other types than float16, so that `with_rounding` can go into it."""
    return not any(
        value.type.tensor_type.elem_type == _HALF
        for node in nodes_below(model.graph.node)
        for body in attribute_graphs(node)
        for value in [*body.input, *body.output]
    )


class _Rewriter:
    def __init__(
        self, view: GraphView, renamed: dict[str, str] | None = None, taken: set[str] | None = None
    ) -> None:
        below = graphs_below(view.graph)
        self.taken: set[str] = {n for g in below for n in own_names(g)} if taken is None else taken
        self.graph = view.graph
        # Of the graph as it was: what is rewritten below keeps its names but for those that are rounded.
        self.view = view
        self.types = dict(self.view.types)
        self.bodies = {id(node): list(view.bodies(node)) for node in view.nodes}
        for inner in self.bodies.values():
            for body in inner:
                _ = body.types  # as long as the graph is as it was
        self.outputs = self.view.outputs
        self.waiting: set[str] = set()
        self.renamed = dict(renamed or {})
        self.nodes: list[onnx.NodeProto] = []
        self.rounded = 0

    def run(self) -> int:
        for tensor in self.graph.initializer:
            if tensor.data_type == _HALF:
                tensor.CopyFrom(_widened(tensor))
        source = self.view.nodes
        constants = {tensor.name for tensor in self.graph.initializer}
        for value in self.graph.input:
            if value.type.tensor_type.elem_type == _HALF:
                if value.name in constants:  # an old file's weight, listed among the inputs
                    value.type.tensor_type.elem_type = _WIDE
                else:
                    self._widen_input(value.name, source)
        for node in source:
            self._rewrite(node)
        for value in self.graph.value_info:
            if value.type.tensor_type.elem_type == _HALF:
                value.type.tensor_type.elem_type = _WIDE
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        return self.rounded

    def _unique(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _cast(self, source: str, target: str, to: int) -> None:
        self.nodes.append(
            onnx.helper.make_node("Cast", [source], [target], f"{target}_cast", to=to)
        )

    def _widen_input(self, name: str, nodes: list[onnx.NodeProto]) -> None:
        wide = self._unique(f"{name}_wide")
        self._cast(name, wide, _WIDE)
        for node in nodes:
            for place, read in enumerate(node.input):
                if read == name:
                    node.input[place] = wide

    def _rewrite(self, node: onnx.NodeProto) -> None:
        for place, read in enumerate(node.input):
            node.input[place] = self.renamed.get(read, read)
        for body in self.bodies[id(node)]:
            self.rounded += _Rewriter(body, self.renamed, self.taken).run()
        self.nodes.append(node)
        for entry in node.attribute:
            if entry.name == "value" and entry.t.data_type == _HALF:
                entry.t.CopyFrom(_widened(entry.t))
            elif entry.name in ("dtype", "output_datatype") and entry.i == _HALF:
                entry.i = _WIDE
        if node.op_type == "Cast":
            to = next(entry for entry in node.attribute if entry.name == "to")
            if to.i == _HALF:
                to.i = _WIDE
        late = any(name in self.waiting for name in node.input)
        for place, name in enumerate(node.output):
            if not name or self.types.get(name) != _HALF:
                continue
            if name in self.outputs:
                node.output[place] = self._unique(f"{name}_wide")
                self._cast(node.output[place], name, _HALF)
                if self.view.consumers(name):
                    self.renamed[name] = self._unique(f"{name}_rounded")
                    self._cast(name, self.renamed[name], _WIDE)
                self.rounded += 1
            elif node.op_type == "Constant" or (has(node, Trait.SELECTS) and not late):
                continue
            elif self._can_wait(name):
                self.waiting.add(name)
            else:
                node.output[place] = self._unique(f"{name}_wide")
                half = self._unique(f"{name}_rounded")
                self._cast(node.output[place], half, _HALF)
                self._cast(half, name, _WIDE)
                self.rounded += 1

    def _can_wait(self, name: str) -> bool:
        consumers = self.view.consumers(name)
        if len(consumers) != 1:
            return False
        reader, slot = consumers[0]
        return has(reader, Trait.MONOTONE) and slot == 0


def _widened(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(tensor_values(tensor).astype(np.float32), tensor.name)


def unrounded(source: GraphView | onnx.ModelProto, kept: Collection[str] = ()) -> list[str]:
    """The products whose data comes from another product with no rounding to float16 on the way.

    Args:
        source: the graph as it will run.
        kept: names of products that compute in float32 on purpose, and of tensors that they make, see
            `kept_names`; what comes from them is not looked at.
    """
    view = GraphView.of(source)

    def is_kept(node: onnx.NodeProto) -> bool:
        # ONNX Runtime calls a Gemm that has taken in its activation "fused" and its name, and a convolution in
        # its blocked layout after what it makes.
        name = node.name.removeprefix("fused ").partition("_nchwc")[0]
        return not {node.name, name, *node.output}.isdisjoint(kept)

    dry: set[str] = set()  # what was found to come from none

    def reaches_product(names: Iterable[str]) -> bool:
        waiting, seen = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            node = view.producer(name)
            if node is None or name in seen or name in dry:
                continue
            seen.add(name)
            if node.op_type == "Cast" and any(
                a.name == "to" and a.i == _HALF for a in node.attribute
            ):
                continue
            if arithmetic(node) is not Arithmetic.FLOAT:
                waiting += node.input
            elif not is_kept(node):
                return True
        dry.update(seen)
        return False

    return [
        node_name(node)
        for node in view.nodes
        if arithmetic(node) is Arithmetic.FLOAT
        and not is_kept(node)
        and reaches_product(node.input)
    ]


def kept_names(model: onnx.ModelProto, kept: Collection[str]) -> set[str]:
    """Names by which a runtime may call the products `kept`: their own, and of the tensors that they end in.

    A product that takes in the activation, the addition or the batch norm behind it makes what that made.
    """
    view = GraphView(model)
    names = set(kept)
    for node in view.nodes:
        if arithmetic(node) is not Arithmetic.FLOAT or node_name(node) not in kept:
            continue
        waiting = list(node.output)
        while waiting:
            name = waiting.pop()
            names.add(name)
            waiting += [
                made
                for reader in view.readers(name)
                if arithmetic(reader) is None and has(reader, Trait.FUSED)
                for made in reader.output
                if made not in names and view.types.get(made) == _WIDE
            ]
    return names
