"""What a file may leave undeclared and runtimes find out for themselves, declared when it is read."""

from __future__ import annotations

from deploykit.graph.nodes import graph_inputs
from deploykit.graph.shapes import skeleton
from deploykit.lazy import onnx

#: From here on, stored tensors need not be inputs too; runtimes never insist on it.
_FREE_INITIALISERS = 4


def declare(model: onnx.ModelProto) -> bool:
    """Declare, in place, what is missing of outputs, and raise a version that forbids what the file does.

    Outputs may lack a type or a shape: extracted graphs do. What inference does not find stays open.

    Returns:
        Whether anything was changed.
    """
    changed = False
    graph = model.graph
    if model.ir_version < _FREE_INITIALISERS:
        listed = {value.name for value in graph.input}
        if any(tensor.name not in listed for tensor in graph.initializer):
            model.ir_version = _FREE_INITIALISERS
            changed = True
    if any(_is_open(value) for value in graph.output) and graph_inputs(graph):
        changed |= _declare_outputs(model)
    return changed


def _is_open(value: onnx.ValueInfoProto) -> bool:
    if value.type.WhichOneof("value") not in (None, "tensor_type"):
        return False
    tensor = value.type.tensor_type
    return not tensor.HasField("shape") or not tensor.elem_type


def _declare_outputs(model: onnx.ModelProto) -> bool:
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True).graph
    except Exception:  # what is wrong with the graph is for the checker to say
        return False
    found = {value.name: value for value in [*inferred.output, *inferred.value_info]}
    changed = False
    for value in model.graph.output:
        other = found.get(value.name)
        if _is_open(value) and other is not None and other.type.tensor_type.elem_type:
            tensor, known = value.type.tensor_type, other.type.tensor_type
            if not tensor.elem_type:
                tensor.elem_type = known.elem_type
                changed = True
            if not tensor.HasField("shape") and known.HasField("shape"):
                tensor.shape.CopyFrom(known.shape)
                changed = True
    return changed
