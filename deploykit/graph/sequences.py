"""How many tensors the sequences of a graph hold, which no type says: how often the body of a SequenceMap runs."""

from __future__ import annotations

import math

from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.scope import Scope
from deploykit.lazy import np, onnx


def follow_sequences(scope: Scope, node: onnx.NodeProto) -> None:
    """Add to `scope` the length of the sequence that a node makes, or of the one that it measures, if known."""
    if not is_standard(node) or not node.output:
        return
    name, result = node.op_type, node.output[0]
    before = scope.length(node.input[0]) if node.input else None
    found: int | None = None
    if name == "SequenceLength":
        if before is not None:
            scope.values[result] = np.array(before, np.int64)
    elif name == "SequenceConstruct":
        found = len(node.input)
    elif name == "SequenceEmpty":
        found = 0
    elif name == "SplitToSequence":
        found = _parts(scope, node)
    elif before == 0 and name == "SequenceInsert":
        found, element = (
            1,
            scope.type_of(node.input[1]),
        )  # of an empty one, no type tells the shapes
        if element is not None and element.WhichOneof("value"):
            scope.types[result] = onnx.helper.make_sequence_type_proto(element)
    elif before is not None and name in ("SequenceInsert", "SequenceErase", "Identity"):
        found = before + {"SequenceInsert": 1, "SequenceErase": -1}.get(name, 0)
    if found is not None:
        scope.lengths[result] = found


def _parts(scope: Scope, node: onnx.NodeProto) -> int | None:
    """How many tensors a SplitToSequence makes: of one value each, of so many, or as many as sizes are given."""
    sizes = scope.value(node.input[1]) if len(node.input) > 1 and node.input[1] else np.array(1)
    if sizes is None:
        return None
    if np.ndim(sizes):
        return int(np.size(sizes))
    shape = scope.shape(node.input[0])
    return None if shape is None else math.ceil(shape[attribute(node, "axis", 0)] / int(sizes))


def element_of(known_type: onnx.TypeProto | None) -> onnx.TypeProto | None:
    """The type of what a sequence holds; that of a tensor is its own."""
    if known_type is None or known_type.WhichOneof("value") != "sequence_type":
        return known_type
    return known_type.sequence_type.elem_type
