"""The shape and type of every tensor of a graph, for a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import inliner, shape_inference

from deploykit.errors import InvalidModel, UsageError
from deploykit.graph.skeleton import skeleton
from deploykit.graph.walking import graph_inputs, graphs_below, nodes_below

Shape = tuple[int, ...]

#: ONNX Runtime's own operators that shape inference does not know, each with the standard operator
#: that has the same output shape and the positions of the inputs that it takes.
_STAND_INS: dict[str, tuple[str, tuple[int, ...]]] = {
    "FusedConv": ("Conv", (0, 1)),
    "FusedGemm": ("Gemm", (0, 1)),
    "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearSigmoid": ("Identity", (0,)),
    "QLinearLeakyRelu": ("Identity", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "Gelu": ("Identity", (0,)),
    "QuickGelu": ("Identity", (0,)),
    "QuantizeLinear": ("QuantizeLinear", (0, 1, 2)),
    "DequantizeLinear": ("DequantizeLinear", (0, 1, 2)),
}
#: Attributes that belong to ONNX Runtime's operator only.
_FOREIGN_ATTRIBUTES = frozenset({"activation", "activation_params", "activation_alpha"})


def _stand_in(node: onnx.NodeProto) -> None:
    """Make a node of ONNX Runtime's own domain, where one is known, its standard counterpart."""
    if node.op_type == "QLinearConcat":
        op_type, inputs = "Concat", list(node.input[2::3])
    elif node.op_type in _STAND_INS:
        op_type, places = _STAND_INS[node.op_type]
        inputs = [node.input[place] for place in places if place < len(node.input)]
    else:
        return
    kept = [a for a in node.attribute if a.name not in _FOREIGN_ATTRIBUTES]
    del node.input[:], node.attribute[:]
    node.input.extend(inputs)
    node.attribute.extend(kept)
    node.domain, node.op_type = "", op_type


def fixed_dims(model: onnx.ModelProto, dims: Mapping[str, int]) -> dict[str, int]:
    """Decide each symbolic dimension of the inputs: those that come first are the batch, and 1.

    Raises:
        UsageError: other dimensions are symbolic and not in `dims`; the message lists them.
    """
    fixed = dict(dims)
    inputs = graph_inputs(model.graph)
    for value in inputs:
        shape = value.type.tensor_type.shape.dim
        if shape and shape[0].dim_param:
            fixed.setdefault(shape[0].dim_param, 1)
    missing = sorted(
        {
            dim.dim_param or f"{value.name}[{place}]"
            for value in inputs
            for place, dim in enumerate(value.type.tensor_type.shape.dim)
            if place > 0 and not dim.HasField("dim_value") and dim.dim_param not in fixed
        }
    )
    if missing:
        raise UsageError(
            f"the model's inputs have dynamic dimensions beside the batch: {', '.join(missing)}; "
            "give each a size, or export the model with a fixed input size"
        )
    return fixed


def _fix(value: onnx.ValueInfoProto, fixed: Mapping[str, int], batch: bool) -> None:
    for place, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.dim_param in fixed:
            dim.dim_value = fixed[dim.dim_param]
        elif batch and place == 0 and not dim.HasField("dim_value"):
            dim.dim_value = 1


def _shape_of(value: onnx.ValueInfoProto) -> Shape | None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    if any(not dim.HasField("dim_value") or dim.dim_value < 0 for dim in tensor.shape.dim):
        return None
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)


class Shapes:
    """Shapes and element types of the tensors of a main graph, by name.

    Attributes:
        graph: the graph they belong to, the model's functions expanded, large weights as inputs.
        stored: the initialisers of the model.
        used: names of the tensors that some node, body or output of the graph reads.
    """

    def __init__(self, model: onnx.ModelProto, dims: Mapping[str, int] | None = None) -> None:
        self._shapes: dict[str, Shape] = {}
        self._types: dict[str, int] = {}
        fixed = fixed_dims(model, dims or {})
        light = skeleton(model)
        if light.functions:
            light = inliner.inline_local_functions(light)
        self.stored = list(model.graph.initializer)
        self.graph = onnx.GraphProto()
        self.graph.CopyFrom(light.graph)
        self.used = {name for node in nodes_below(self.graph.node) for name in node.input}
        for graph in graphs_below(self.graph):
            self.used.update(value.name for value in graph.output)
        for value in light.graph.input:
            _fix(value, fixed, batch=True)
        for value in [*light.graph.value_info, *light.graph.output]:
            _fix(value, fixed, batch=False)
        self._read([*light.graph.input, *light.graph.value_info, *light.graph.output])
        # What the file declares of inner tensors was written for another batch: a fallback only.
        outputs = [self._without_shape(value) for value in light.graph.output]
        del light.graph.value_info[:], light.graph.output[:]
        light.graph.output.extend(outputs)
        for node in light.graph.node:
            if node.domain == "com.microsoft":
                _stand_in(node)
        if all(entry.domain not in ("", "ai.onnx") for entry in light.opset_import):
            light.opset_import.append(onnx.helper.make_opsetid("", 20))
        try:
            inferred = shape_inference.infer_shapes(light, data_prop=True)
        except shape_inference.InferenceError as error:
            line = " ".join(str(error).split())[:200]
            raise InvalidModel(
                f"the model's shapes contradict each other: {line}; export the model again"
            ) from None
        self._read([*inferred.graph.value_info, *inferred.graph.output])
        for tensor in model.graph.initializer:
            self._shapes[tensor.name] = tuple(tensor.dims)
            self._types[tensor.name] = int(tensor.data_type)

    @staticmethod
    def _without_shape(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
        bare = onnx.ValueInfoProto(name=value.name)
        bare.type.tensor_type.elem_type = value.type.tensor_type.elem_type
        return bare

    def _read(self, values: Any) -> None:
        for value in values:
            shape = _shape_of(value)
            if shape is not None:
                self._shapes[value.name] = shape
            if value.type.tensor_type.elem_type:
                self._types[value.name] = int(value.type.tensor_type.elem_type)

    def shape(self, name: str) -> Shape | None:
        """Give a tensor's shape; None where it could not be inferred."""
        return self._shapes.get(name)

    def element_type(self, name: str) -> int | None:
        """Give a tensor's ONNX element type; None where it could not be inferred."""
        return self._types.get(name)
