"""What each layer of a graph computes, reads and writes for one image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx

from deploykit.graph.constants import Constants, tensor_bytes
from deploykit.graph.counting_rules import MACS
from deploykit.graph.lineage import node_name
from deploykit.graph.shapes import Shapes


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


def count_layers(model: onnx.ModelProto) -> dict[str, LayerCounts]:
    """The work of every node of the main graph that depends on an input, by name, at a batch of one.

    A graph with another fixed batch is counted at that batch.
    """
    shapes = Shapes(model)
    constants = Constants(shapes.graph, shapes.stored, shapes)

    def size(name: str) -> int:
        shape, element_type = shapes.shape(name), shapes.element_type(name)
        if shape is None or element_type is None:
            return 0
        return tensor_bytes(math.prod(shape), element_type)

    found: dict[str, LayerCounts] = {}
    for node in shapes.graph.node:
        outputs = [name for name in node.output if name]
        if node.op_type == "Constant" or all(constants.is_fixed(name) for name in outputs):
            continue
        outputs = [name for name in outputs if name in shapes.used] or outputs[:1]
        rule = MACS.get(node.op_type)
        macs: int | None = 0
        if rule is not None:
            sizes = [shapes.shape(name) if name else None for name in node.input]
            macs = rule(node, sizes, shapes.shape(outputs[0]))
        fixed = {name for name in node.input if name and constants.is_fixed(name)}
        found[node_name(node)] = LayerCounts(
            macs,
            sum(size(name) for name in fixed),
            {name: size(name) for name in node.input if name and name not in fixed},
            {name: size(name) for name in outputs},
        )
    return found
