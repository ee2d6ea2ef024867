"""The bytes that one run of a graph moves at the least, whatever a runtime fuses.

A lower bound: weights are read once; of the activations only those count that even a runtime which fuses all
pointwise work into its neighbours has to write and read again. What lies between a quantiser and its
dequantiser counts in the quantised type, one byte for int8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from deploykit.graph.count import stated_batch
from deploykit.graph.element_types import FLOATS, ElementType, tensor_bytes
from deploykit.graph.operators import Trait, has
from deploykit.graph.read_write import read_model
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx

#: Float types that a runtime may lower, or compute an emulated precision in; doubles stay as they are.
_LOWERED = FLOATS - {ElementType.DOUBLE}
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


def traffic(
    source: GraphView | onnx.ModelProto | Path, computed_in: str = "fp32"
) -> Traffic | None:
    """What a graph moves at the least; None where the shape of a tensor is not known.

    Args:
        source: the graph that an engine was built from.
        computed_in: as read back from the engine ("int8+fp32"): float tensors of an emulated or of a lowered
            precision have that type's size, not the graph's.

    Raises:
        InvalidModel, UsageError: as `deploykit.graph.count.count_graph`.
    """
    given = GraphView.of(read_model(source) if isinstance(source, Path) else source)
    view = given.expanded
    float_bytes = _FLOAT_BYTES.get(computed_in.split("+")[-1])

    def size(name: str) -> int | None:
        shape, kind = view.shape(name), view.shapes.element_type(name)
        if shape is None or kind is None:
            return None
        if kind in _LOWERED and float_bytes is not None:
            return math.prod(shape) * float_bytes
        return tensor_bytes(math.prod(shape), kind)

    ends = [value.name for value in [*given.inputs, *given.graph.output]]
    once = [size(name) for name in ends]
    twice = [size(name) for name in _materialised(view, set(ends))]
    weights = [_stored_bytes(tensor, float_bytes) for tensor in view.stored]
    known_once = [n for n in once if n is not None]
    known_twice = [n for n in twice if n is not None]
    if len(known_once) < len(once) or len(known_twice) < len(twice):
        return None
    batch = stated_batch(given)
    total = sum(known_twice) + sum(known_once) // 2
    largest = max([*known_once, *known_twice], default=0)
    return Traffic(sum(weights), total // batch, largest // batch)


def _materialised(view: GraphView, ends: set[str]) -> list[str]:
    """Tensors between nodes that have to be written: some reader is more than pointwise."""

    def written(name: str) -> bool:
        # A dequantiser's output is made where it is read: its readers read the quantised tensor.
        return any(
            written(reader.output[0])
            if reader.op_type == "DequantizeLinear"
            else not has(reader, Trait.FUSED)
            for reader in view.readers(name)
        )

    return [
        name
        for node in view.nodes
        if node.op_type != "DequantizeLinear"
        for name in node.output
        if name and name not in ends and not view.is_fixed(name) and written(name)
    ]


def _stored_bytes(tensor: onnx.TensorProto, float_bytes: int | None) -> int:
    elements = int(math.prod(tensor.dims))
    if tensor.data_type in _LOWERED and float_bytes is not None:
        return elements * float_bytes
    return tensor_bytes(elements, tensor.data_type)
