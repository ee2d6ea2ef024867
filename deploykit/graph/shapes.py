"""The shape and type of every tensor of a graph, by ONNX's inference on a copy without its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from deploykit.errors import InvalidModel, UsageError, one_line
from deploykit.graph.macs import Shape
from deploykit.graph.nodes import attribute_graphs, graph_inputs
from deploykit.graph.operators import CONTRIBUTED, Arithmetic, Kind, is_contributed, operator_of
from deploykit.graph.propagate import propagate
from deploykit.graph.scope import Scope, stand_in
from deploykit.lazy import onnx

__all__ = [
    "OpenShape",
    "Shape",
    "Shapes",
    "declared_types",
    "element_types",
    "elements",
    "open_shapes",
    "sequences_among",
    "sequences_of",
    "skeleton",
    "tensor_shapes",
    "types_in_body",
]

#: Tensors up to this many elements keep their values in a skeleton: shapes, axes, pads, scales.
SMALL_ELEMENTS = 256

#: A shape in which None stands for a size that is not known.
OpenShape = tuple["int | None", ...]


def elements(tensor: onnx.TensorProto) -> int:
    """Count the values of a stored tensor, by its dimensions."""
    return math.prod(tensor.dims)


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model with its weights turned into inputs of the same type and shape.

    `onnx.checker` and `onnx.shape_inference` serialise the whole model on every call; for VGG that would be
    three more copies of half a gigabyte. What they decide depends on the types and shapes of weights, and on
    the values of small tensors only (the target of a Reshape, the pads of a Pad).

    Small tensors, and those inside nodes (Constant) and sub-graphs, are copied as they are. The model given
    is not changed.
    """
    copy = onnx.ModelProto()
    copy.ir_version = model.ir_version
    copy.producer_name = model.producer_name
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    graph = copy.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    listed = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if elements(tensor) <= SMALL_ELEMENTS:
            graph.initializer.append(tensor)
        elif tensor.name not in listed:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return copy


def written_out(light: onnx.ModelProto) -> onnx.ModelProto:
    """A skeleton with the nodes of its functions in the place of their calls.

    Raises:
        InvalidModel: a function can't be brought to the model's opset, or has no types.
    """
    from onnx import inliner  # no part of what `import onnx` brings

    # To raise the opset of a function it wants to know types, and does not look at stored tensors for them.
    values = [*light.graph.input, *light.graph.output, *light.graph.value_info]
    declared = {value.name for value in values}
    typed = onnx.ModelProto()
    typed.CopyFrom(light)
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in light.graph.initializer
        if tensor.name not in declared
    )
    try:
        return inliner.inline_local_functions(typed, convert_version=True)
    except Exception as error:  # whatever the inliner and the converter of opsets raise
        reason = one_line(error, 160)
        raise InvalidModel(
            f"its functions can't be written out ({reason}); export the model again without functions"
        ) from error


#: ONNX follows the values of lists one by one: each operator on so many takes 40 MB and a quarter of a second.
_LONGEST_LIST = 2**18


def inferred(light: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX's inference with the values of small tensors; without them where a list is too long to follow.

    Raises:
        Exception: whatever ONNX raises.
    """
    plain = onnx.shape_inference.infer_shapes(light)
    values = [*plain.graph.input, *plain.graph.value_info, *plain.graph.output]
    shapes = (value.type.tensor_type.shape.dim for value in values)
    if any(len(dims) == 1 and dims[0].dim_value > _LONGEST_LIST for dims in shapes):
        return plain
    return onnx.shape_inference.infer_shapes(light, data_prop=True)


def infer(light: onnx.ModelProto, *, data_prop: bool) -> onnx.ModelProto:
    """ONNX's inference on a skeleton, which is changed where inference is known to tell nothing.

    Raises:
        InvalidModel: it can't be done: types or shapes contradict each other, or are none.
    """
    _stand_in_for_norms(light.graph.node)
    try:
        return inferred(light) if data_prop else onnx.shape_inference.infer_shapes(light)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError, TypeError) as error:
        line = one_line(error, 200)
        raise InvalidModel(
            f"the model's shapes contradict each other: {line}; export the model again"
        ) from None


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Map tensors of the main graph to element types, as declared, stored and inferred."""
    light = skeleton(model)
    _stand_in_for_contributed(light.graph)
    given = declared_types(model.graph, inner=False)
    while True:
        types = _types_of(infer(light, data_prop=False).graph.value_info) | given
        told = [one for one in _told_by_schemas(light) if not types.get(one.name)]
        if not told:
            return types
        light.graph.value_info.extend(told)


def _told_by_schemas(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    """Tensors of which no inference tells the type but the definition of the operator that makes them does."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for node in model.graph.node:
        if node.domain != "ai.onnx.ml":
            continue
        try:
            schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
        except onnx.defs.SchemaError:
            continue
        for name, formal in zip(node.output, schema.outputs, strict=False):
            if name and formal.type_str == "tensor(float)":
                yield onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def _stand_in_for_norms(nodes: Iterable[onnx.NodeProto]) -> None:
    """Let normalisations of which ONNX's inference tells nothing be the Identity of their data, in place.

    They are a GroupNormalization, and a LayerNormalization as ONNX Runtime has it before ONNX does.
    """
    for node in nodes:
        is_layer = node.op_type == "LayerNormalization" and len(node.output) == 1
        is_group = node.op_type == "GroupNormalization"
        if (is_layer or is_group) and node.domain in ("", "ai.onnx"):
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]


#: Outputs of ONNX Runtime's operators that have the type of their data, where those are more than the first.
_TYPED_AS_DATA = {
    "SkipLayerNormalization": (0, 3),
    "SkipSimplifiedLayerNormalization": (0, 3),
    "SkipGroupNorm": (0, 1),
    "Attention": (0, 1),
    "MultiHeadAttention": (0, 1, 2),
    "GroupQueryAttention": (0, 1, 2),
}
#: A shape that nobody states.
_ANY_SHAPE = "deploykit_any_shape"


def _stand_in_for_contributed(graph: onnx.GraphProto) -> None:
    """Let what ONNX Runtime's own float operators make have the type of their data, and no shape, in place.

    ONNX's inference tells nothing of them, so that all that lies behind would have no type.
    """
    nodes = []
    for node in graph.node:
        operator = operator_of(node)
        if (
            node.domain not in CONTRIBUTED
            or operator is None
            or operator.arithmetic is Arithmetic.INTEGER
            or operator.kind is Kind.QUANTISATION
        ):
            nodes.append(node)
            continue
        place = {"EmbedLayerNormalization": 2, "GatherBlockQuantized": 2}.get(node.op_type, 0)
        nodes += [
            onnx.helper.make_node("Reshape", [node.input[place], _ANY_SHAPE], [node.output[out]])
            for out in _TYPED_AS_DATA.get(node.op_type, (0,))
            if out < len(node.output) and node.output[out] and place < len(node.input)
        ]
    if len(nodes) != len(graph.node) or any(node.input[1:] == [_ANY_SHAPE] for node in nodes):
        del graph.node[:]
        graph.node.extend(nodes)
        graph.input.append(
            onnx.helper.make_tensor_value_info(_ANY_SHAPE, onnx.TensorProto.INT64, None)
        )


#: Operators that make sequences of what is none.
_SEQUENCE_MAKERS = frozenset(
    {"SequenceConstruct", "SequenceEmpty", "SequenceMap", "SplitToSequence"}
)


def sequences_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The sequences of the main graph with their types, as inferred."""
    if not any(node.op_type in _SEQUENCE_MAKERS for node in model.graph.node):
        return []
    return sequences_among(infer(skeleton(model), data_prop=False).graph.value_info)


def sequences_among(values: Iterable[onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    """Those of some tensors that are sequences."""
    return [value for value in values if value.type.HasField("sequence_type")]


def types_in_body(
    model: onnx.ModelProto,
    graph: onnx.GraphProto,
    around: Mapping[str, int],
    sequences: Iterable[onnx.ValueInfoProto],
) -> tuple[dict[str, int], list[onnx.ValueInfoProto]]:
    """What the nodes of a body make: element types of tensors, and sequences with their types.

    Args:
        model: that the body is of.
        graph: the body.
        around: element types in the graphs around it.
        sequences: those of the graphs around it.
    """
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = graph.name
    light.graph.node.extend(graph.node)
    _stand_in_for_norms(light.graph.node)
    _stand_in_for_contributed(light.graph)
    known = {**around, **declared_types(graph, inner=False)}
    made = {name for node in graph.node for name in node.output}
    light.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, kind, None)
        for name, kind in known.items()
        if name not in made and kind
    )
    light.graph.input.extend(value for value in sequences if value.name not in made)
    light.graph.input.extend(sequences_among(graph.input))
    try:
        told = onnx.shape_inference.infer_shapes(light, data_prop=False).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError, TypeError):
        return {}, []
    return _types_of(told.value_info), sequences_among(told.value_info)


def declared_types(graph: onnx.GraphProto, *, inner: bool = True) -> dict[str, int]:
    """Map the inputs, outputs and stored tensors of a graph to element types; inner tensors too if asked."""
    values = [*(graph.value_info if inner else ()), *graph.input, *graph.output]
    stored = {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
    return _types_of(values) | stored


def _types_of(values: Iterable[onnx.ValueInfoProto]) -> dict[str, int]:
    return {
        value.name: int(value.type.tensor_type.elem_type)
        for value in values
        if value.type.HasField("tensor_type")
    }


def tensor_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes by inference alone, the batch, and any other dimension that is not known, as 1."""
    return {name: [size or 1 for size in shape] for name, shape in open_shapes(model).items()}


def open_shapes(model: onnx.ModelProto) -> dict[str, OpenShape]:
    """Shapes by inference alone, None for the batch and for any other dimension that is not known."""
    light = infer(skeleton(model), data_prop=True).graph
    return {
        value.name: tuple(
            int(d.dim_value) if d.HasField("dim_value") and d.dim_value >= 0 else None
            for d in value.type.tensor_type.shape.dim
        )
        for value in [*light.input, *light.value_info, *light.output]
        if value.type.tensor_type.HasField("shape")
    }


def fixed_dims(model: onnx.ModelProto, dims: Mapping[str, int]) -> dict[str, int]:
    """Decide each symbolic dimension of the inputs: the only one, or those that come first, are the batch, and 1.

    Raises:
        UsageError: other dimensions are symbolic and not in `dims`; the message lists them.
    """
    fixed = dict(dims)
    inputs = graph_inputs(model.graph)
    names = {
        dim.dim_param
        for value in inputs
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param and dim.dim_param not in fixed
    }
    if len(names) == 1:  # as `graph.inputs` leaves a graph: the batch, on whichever axis
        fixed.setdefault(names.pop(), 1)
    for value in inputs:
        shape = value.type.tensor_type.shape.dim
        if shape and shape[0].dim_param:
            fixed.setdefault(shape[0].dim_param, 1)
    missing = sorted(
        {
            dim.dim_param or f"{value.name}[{place}]"
            for value in inputs
            for place, dim in enumerate(value.type.tensor_type.shape.dim)
            if place > 0
            and (not dim.HasField("dim_value") or dim.dim_value <= 0)
            and dim.dim_param not in fixed
        }
    )
    if missing:
        raise UsageError(
            f"the model's inputs have dynamic dimensions beside the batch: {', '.join(missing)}; "
            "give each a size with --shape or --dim"
        )
    return fixed


def _fix(value: onnx.ValueInfoProto, fixed: Mapping[str, int], batch: bool) -> None:
    for place, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.dim_param in fixed:
            dim.dim_value = fixed[dim.dim_param]
        elif batch and place == 0 and (not dim.HasField("dim_value") or dim.dim_value <= 0):
            dim.dim_value = 1


def _shape_of(value: onnx.ValueInfoProto) -> Shape | None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    if any(not dim.HasField("dim_value") or dim.dim_value < 0 for dim in tensor.shape.dim):
        return None
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)


class Shapes:
    """Shapes and element types of the tensors of a main graph, by name, for a batch of one.

    Attributes:
        expanded: the model they belong to, its functions written out, then without its large weights.
        scope: what is known node by node, of bodies too; None where the graph's own inference told all.
    """

    def __init__(self, model: onnx.ModelProto, dims: Mapping[str, int] | None = None) -> None:
        """Infer the shapes; `dims` gives sizes to symbolic dimensions beside the batch.

        Raises:
            UsageError: see `fixed_dims`.
            InvalidModel: the shapes contradict each other.
        """
        self._shapes: dict[str, Shape] = {}
        self._types: dict[str, int] = {}
        fixed = fixed_dims(model, dims or {})
        light = skeleton(model)
        self.expanded = model
        if light.functions:
            light = written_out(light)
            self.expanded = onnx.ModelProto()
            self.expanded.CopyFrom(light)
        for value in light.graph.input:
            _fix(value, fixed, batch=True)
        for value in [*light.graph.value_info, *light.graph.output]:
            _fix(value, fixed, batch=False)
        self._read([*light.graph.input, *light.graph.value_info, *light.graph.output])
        fed = {value.name: value.type for value in light.graph.input}
        # What the file declares of inner tensors was written for another batch: a fallback only.
        outputs = [self._without_shape(value) for value in light.graph.output]
        del light.graph.value_info[:], light.graph.output[:]
        light.graph.output.extend(outputs)
        for node in light.graph.node:
            if is_contributed(node):
                stand_in(node)
        if all(entry.domain not in ("", "ai.onnx") for entry in light.opset_import):
            light.opset_import.append(onnx.helper.make_opsetid("", 20))
        told = infer(light, data_prop=True).graph
        values = [*told.value_info, *told.output]
        self._read(values)
        self.scope = None
        stated = {v.name: v.type for v in values if _shape_of(v) is not None}
        nodes = self.expanded.graph.node
        if any(name and name not in stated for node in nodes for name in node.output) or any(
            True for node in nodes for _ in attribute_graphs(node)
        ):
            opsets = {
                "" if o.domain == "ai.onnx" else o.domain: o.version for o in light.opset_import
            }
            self.scope = propagate(
                self.expanded.graph, opsets, fed, model.graph.initializer, stated
            )
            self._fill(self.scope, stated)
        for tensor in model.graph.initializer:
            self._shapes[tensor.name] = tuple(tensor.dims)
            self._types[tensor.name] = int(tensor.data_type)

    def _fill(self, scope: Scope, stated: Mapping[str, onnx.TypeProto]) -> None:
        """Take over what inference did not tell; before what the file declares, which may be of another batch."""
        for name in scope.types:
            shape, kind = scope.shape(name), scope.element_type(name)
            if name not in stated and shape is not None:
                self._shapes[name] = shape
            if kind is not None:
                self._types.setdefault(name, kind)

    @staticmethod
    def _without_shape(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
        bare = onnx.ValueInfoProto(name=value.name)
        bare.type.tensor_type.elem_type = value.type.tensor_type.elem_type
        return bare

    def _read(self, values: Iterable[onnx.ValueInfoProto]) -> None:
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
