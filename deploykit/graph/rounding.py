"""A half-precision graph as a float32 graph that rounds where the other did.

A runtime without half-precision kernels puts casts around each float32 kernel and then removes the pairs
between two of them, so that nothing between the kernels is rounded and nothing overflows. Here the same
casts are written as part of the graph, which the runtime keeps: the values are those of half precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.compute_types import element_types
from deploykit.graph.walking import attribute_graphs

_HALF, _WIDE = TensorProto.FLOAT16, TensorProto.FLOAT

#: Operators that only pass on, compare or leave out values: of rounded values they make rounded ones.
_PASSING = frozenset(
    "Abs Clip Concat DepthToSpace Dropout Expand Flatten Gather Identity Max MaxPool Min Neg Pad Relu Reshape "
    "Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze Where".split()
)
#: Of those, the ones before which rounding may wait, as they keep the order of values: runtimes fuse them
#: with what comes before.
_MONOTONE = frozenset({"Relu", "Clip"})
_PRODUCTS = frozenset(
    "Conv ConvTranspose Gemm MatMul FusedConv NhwcFusedConv FusedGemm FusedMatMul FusedMatMulActivation".split()
)


def has_subgraphs(model: onnx.ModelProto) -> bool:
    """Whether a node holds graphs of its own, which `with_rounding` does not look into."""
    return any(True for node in model.graph.node for _ in attribute_graphs(node))


def with_rounding(model: onnx.ModelProto) -> int:
    """Rewrite float16 as float32 with a rounding after each node that makes new values, in place.

    Inputs and outputs of the graph keep their types. The model must have no sub-graphs.

    Returns:
        How many roundings were written.
    """
    return _Rewriter(model).run()


class _Rewriter:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.types = element_types(model)
        self.outputs = {value.name for value in self.graph.output}
        self.readers: Counter[str] = Counter(n for node in self.graph.node for n in node.input)
        self.first_reader = {n: node for node in self.graph.node for n in node.input if n}
        self.waiting: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.rounded = 0

    def run(self) -> int:
        for tensor in self.graph.initializer:
            if tensor.data_type == _HALF:
                tensor.CopyFrom(_widened(tensor))
        source = list(self.graph.node)
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

    def _cast(self, source: str, target: str, to: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], f"{target}_cast", to=to))

    def _widen_input(self, name: str, nodes: list[onnx.NodeProto]) -> None:
        wide = f"{name}_wide"
        self._cast(name, wide, _WIDE)
        for node in nodes:
            for place, read in enumerate(node.input):
                if read == name:
                    node.input[place] = wide

    def _rewrite(self, node: onnx.NodeProto) -> None:
        for place, read in enumerate(node.input):
            node.input[place] = self.renamed.get(read, read)
        self.nodes.append(node)
        for entry in node.attribute:
            if entry.name == "value" and entry.t.data_type == _HALF:
                entry.t.CopyFrom(_widened(entry.t))
            elif entry.name == "dtype" and entry.i == _HALF:
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
                node.output[place] = f"{name}_wide"
                self._cast(node.output[place], name, _HALF)
                if self.readers[name]:
                    self.renamed[name] = f"{name}_rounded"
                    self._cast(name, self.renamed[name], _WIDE)
                self.rounded += 1
            elif node.op_type == "Constant" or (node.op_type in _PASSING and not late):
                continue
            elif self._can_wait(name):
                self.waiting.add(name)
            else:
                node.output[place] = f"{name}_wide"
                self._cast(node.output[place], f"{name}_rounded", _HALF)
                self._cast(f"{name}_rounded", name, _WIDE)
                self.rounded += 1

    def _can_wait(self, name: str) -> bool:
        if self.readers[name] != 1:
            return False
        reader = self.first_reader[name]
        return reader.op_type in _MONOTONE and reader.input[0] == name


def _widened(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


def unrounded(model: onnx.ModelProto, kept: Collection[str] = ()) -> list[str]:
    """The products whose data comes from another product with no rounding to float16 on the way.

    Args:
        model: the graph as it will run.
        kept: names of products that compute in float32 on purpose; what comes from them is not looked at.
    """
    makers = {name: node for node in model.graph.node for name in node.output if name}

    def reaches_product(name: str, seen: set[str]) -> bool:
        node = makers.get(name)
        if node is None or name in seen:
            return False
        seen.add(name)
        if node.op_type == "Cast" and any(a.name == "to" and a.i == _HALF for a in node.attribute):
            return False
        if node.op_type in _PRODUCTS:
            return node.name not in kept
        return any(reaches_product(read, seen) for read in node.input if read)

    return [
        node.name or node.output[0]
        for node in model.graph.node
        if node.op_type in _PRODUCTS
        and node.name not in kept
        and any(reaches_product(name, set()) for name in node.input if name)
    ]
