"""The bytes that one run of a graph moves at the least, whatever a runtime fuses.

A lower bound: weights are read once; of the activations only those count that even a runtime which fuses all
pointwise work into its neighbours has to write and read again. What lies between a quantiser and its
dequantiser counts in the quantised type, one byte for int8.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from deploykit.graph.constants import Constants, tensor_bytes
from deploykit.graph.counting import stated_batch
from deploykit.graph.loading import read_model
from deploykit.graph.shapes import Shapes
from deploykit.graph.walking import graph_inputs

#: Work on single values, views and joins: what only these read need never be written on its own.
_FUSED = frozenset(
    """
    Add BatchNormalization Cast Clip Concat DequantizeLinear Div Dropout Elu Flatten Gelu HardSigmoid HardSwish
    Identity LeakyRelu Max Min Mish Mul Neg PRelu QuantizeLinear Relu Reshape Selu Sigmoid Softplus Squeeze Sub
    Tanh Unsqueeze
    """.split()
)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
#: Bytes of a value in the types that a graph's float tensors can be computed in.
_FLOAT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class Traffic:
    """Bytes moved by a run, for one image but for the weights.

    Attributes:
        weight_bytes: stored constants, read once per run whatever the batch.
        activation_bytes: tensors that are written once and read once; inputs and outputs count half, as they
            are only read or only written.
        largest_bytes: the largest of those tensors.
    """

    weight_bytes: int
    activation_bytes: int
    largest_bytes: int


def traffic(source: onnx.ModelProto | Path, computed_in: str = "fp32") -> Traffic | None:
    """What a graph moves at the least; None where the shape of a tensor is not known.

    Args:
        source: the graph that an engine was built from.
        computed_in: as read back from the engine ("int8+fp32"): float tensors of an emulated or of a lowered
            precision have that type's size, not the graph's.

    Raises:
        InvalidModel, UsageError: as `deploykit.graph.counting.count_graph`.
    """
    model = source if isinstance(source, onnx.ModelProto) else read_model(source)
    shapes = Shapes(model)
    constants = Constants(shapes.graph, shapes.stored, shapes, None)
    float_bytes = _FLOAT_BYTES.get(computed_in.split("+")[-1])

    def size(name: str) -> int | None:
        shape, kind = shapes.shape(name), shapes.element_type(name)
        if shape is None or kind is None:
            return None
        if kind in _FLOATS and float_bytes is not None:
            return math.prod(shape) * float_bytes
        return tensor_bytes(math.prod(shape), kind)

    ends = [value.name for value in [*graph_inputs(model.graph), *model.graph.output]]
    moved = [size(name) for name in ends]
    twice = [size(name) for name in _kept(shapes.graph, constants, set(ends))]
    weights = [_stored_bytes(tensor, float_bytes) for tensor in shapes.stored]
    known = [found for found in [*moved, *twice] if found is not None]
    if len(known) < len(moved) + len(twice):
        return None
    batch = stated_batch(model)
    total = sum(found for found in twice if found) + sum(found for found in moved if found) // 2
    return Traffic(sum(weights), total // batch, max(known, default=0) // batch)


def _kept(graph: onnx.GraphProto, constants: Constants, ends: set[str]) -> list[str]:
    """Tensors between nodes that have to be written: some reader is more than pointwise."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in set(node.input):
            readers[name].append(node)

    def written(name: str) -> bool:
        # A dequantiser's output is made where it is read: its readers read the quantised tensor.
        return any(
            written(reader.output[0])
            if reader.op_type == "DequantizeLinear"
            else reader.op_type not in _FUSED
            for reader in readers[name]
        )

    return [
        name
        for node in graph.node
        if node.op_type != "DequantizeLinear"
        for name in node.output
        if name and name not in ends and not constants.is_fixed(name) and written(name)
    ]


def _stored_bytes(tensor: onnx.TensorProto, float_bytes: int | None) -> int:
    elements = int(math.prod(tensor.dims))
    if tensor.data_type in _FLOATS and float_bytes is not None:
        return elements * float_bytes
    return tensor_bytes(elements, tensor.data_type)
