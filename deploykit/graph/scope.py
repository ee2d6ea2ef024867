"""What is known of the tensors of one graph, and the inference of a single node's outputs from it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from deploykit.graph.macs import Shape
from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.operators import (
    CONTRIBUTED,
    LAYER_NORM_SINCE,
    Kind,
    has_no_macs,
    is_contributed,
    operator_of,
)
from deploykit.lazy import np, onnx

#: Values up to this many elements are followed: shapes, pads, axes, conditions.
_VALUE_ELEMENTS = 4096
#: Float values up to this many: the scales of a Resize and what they are computed from.
_FLOAT_ELEMENTS = 256


@dataclass
class Body:
    """A run of the graph within a node.

    Attributes:
        scope: types and values of the tensors of the body in this run.
        times: how often it runs; 1 where that is not known.
        known: whether it is known how often.
    """

    scope: Scope
    times: int
    known: bool


@dataclass
class Scope:
    """What is known of the tensors of one graph for one run of it.

    Attributes:
        graph: the graph or body that is described.
        outer: the scope of the graph around it; None for the main graph.
        opsets: the versions of the operator sets that the model imports, by domain.
        types: ONNX's types, which hold the shapes, by the name of the tensor.
        values: the values of tensors that are small and fixed, by name.
        lengths: how many tensors sequences hold, by name.
        bodies: what runs within a node, by `nodes.first_output`: one branch of an If, each run of a Loop.
        chosen: nodes, likewise, of which the branch with more work was taken as the condition is not known.
        macs: of the graph and what runs in it, as far as known.
        is_partial: whether something in it may multiply that could not be counted.
        partial: nodes, as in `chosen`, of which such is in a branch that was not taken.
        stated: types by tensor that inference of the whole graph found; used where a node alone does not tell.
    """

    graph: onnx.GraphProto
    outer: Scope | None
    opsets: Mapping[str, int]
    types: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    bodies: dict[str, list[Body]] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)
    macs: int = 0
    is_partial: bool = False
    partial: list[str] = field(default_factory=list)
    stated: Mapping[str, Any] = field(default_factory=dict)

    def type_of(self, name: str) -> Any:
        """The type of a tensor; looks outward; None where it is not known."""
        known = self.types.get(name)
        return known if known is not None or self.outer is None else self.outer.type_of(name)

    def value(self, name: str) -> Any:
        """The value of a small fixed tensor; looks outward; None where it is not known."""
        if name in self.values or name in self.types or self.outer is None:
            return self.values.get(name)
        return self.outer.value(name)

    def length(self, name: str) -> int | None:
        """How many tensors a sequence holds; looks outward; None where it is not known."""
        if name in self.lengths or name in self.types or self.outer is None:
            return self.lengths.get(name)
        return self.outer.length(name)

    def shape(self, name: str) -> Shape | None:
        """The shape of a tensor, where all of it is known."""
        return shape_of_type(self.type_of(name))

    def element_type(self, name: str) -> int | None:
        """ONNX's number of the type of a tensor's values."""
        known = self.type_of(name)
        return int(known.tensor_type.elem_type) or None if known is not None else None


def shape_of_type(known_type: Any) -> Shape | None:
    """The shape that a type states, where all of it is known."""
    if known_type is None or not known_type.tensor_type.HasField("shape"):
        return None
    dims = known_type.tensor_type.shape.dim
    return tuple(d.dim_value for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def tensor_type(element_type: int, shape: Sequence[int | None] | None) -> Any:
    """ONNX's type of a tensor; None stands for what is not known."""
    return onnx.helper.make_tensor_type_proto(element_type, shape)


def value_limit(element_type: int) -> int:
    """How many values of a type are followed at most."""
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
    return _VALUE_ELEMENTS if element_type in whole else _FLOAT_ELEMENTS


def scopes_below(scope: Scope, times: int = 1) -> Iterator[tuple[Scope, int]]:
    """A scope, and those within its nodes, each with how often it runs as far as known."""
    yield scope, times
    for bodies in scope.bodies.values():
        for body in bodies:
            yield from scopes_below(body.scope, times * body.times)


#: Attributes that belong to ONNX Runtime's operator only.
_FOREIGN_ATTRIBUTES = frozenset(
    {"activation", "activation_params", "activation_alpha", "channels_last"}
)
_PROJECTING = frozenset({"Attention", "QAttention", "DecoderMaskedSelfAttention"})
_FUSED_PRODUCTS = frozenset({"FusedMatMul", "FusedMatMulActivation", "TransposeMatMul"})
#: Operators whose results have the type of another input than the first: of a table, of scales, of a bias.
_TYPED_AT = {"EmbedLayerNormalization": 2, "GatherBlockQuantized": 2, "QAttention": 3}
#: Operators of which ONNX infers nothing: what they make is like what they read.
_AS_DATA = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
#: Results that are no larger than their inputs though their shape is not inferred.
_BOUNDED = frozenset({"NonZero", "Unique", "Compress"})


def infer(scope: Scope, node: onnx.NodeProto) -> None:
    """Add the types of a node's outputs to `scope`, as far as they can be told."""
    stood_in_for, version = is_contributed(node), 0
    if stood_in_for:
        known = _caches(scope, node)
        first = _contributed_shape(scope, node)
        if first is not None:
            known[0] = first
        kind = scope.element_type(node.input[0]) or onnx.TensorProto.FLOAT
        typed_at = _TYPED_AT.get(node.op_type)
        if typed_at is not None and typed_at < len(node.input):
            kind = scope.element_type(node.input[typed_at]) or onnx.TensorProto.FLOAT
        for place, shape in known.items():
            if place < len(node.output) and node.output[place]:
                scope.types[node.output[place]] = tensor_type(kind, shape)
        if first is not None:
            return
        taken_over = _is_taken_over(node)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        stand_in(copy)
        node = copy
        if taken_over:  # models that use it are of opsets in which ONNX had none yet
            version = onnx.defs.get_schema(node.op_type).since_version
    if node.op_type in _AS_DATA and is_standard(node):
        if (data := scope.type_of(node.input[0])) is not None:
            scope.types[node.output[0]] = data
        return
    types = {name: scope.type_of(name) for name in node.input if name}
    if any(known_type is None for known_type in types.values()):
        types = {n: onnx.TypeProto() if t is None else t for n, t in types.items()}
    schema = _schema(node.op_type, domain_of(node), version or scope.opsets.get(domain_of(node), 0))
    if schema is None:
        return
    if stood_in_for:  # what stands in for it may make less, as an Identity does
        del node.output[schema.max_output :]
    values = {
        name: onnx.numpy_helper.from_array(np.asarray(scope.value(name)))
        for name in types
        if scope.value(name) is not None
    }
    imports = [onnx.helper.make_opsetid(d, v) for d, v in scope.opsets.items()]
    # What can't be inferred stays unknown; a graph that contradicts itself was refused before.
    with contextlib.suppress(Exception):
        inferred = onnx.shape_inference.infer_node_outputs(
            schema, node, types, values, opset_imports=imports
        )
        scope.types.update({n: t for n, t in inferred.items() if n and t.WhichOneof("value")})


def domain_of(node: onnx.NodeProto) -> str:
    """The domain of a node's operator, "" for ONNX's own."""
    return "" if node.domain == "ai.onnx" else str(node.domain)


@cache
def _schema(op_type: str, domain: str, version: int) -> Any:
    if op_type == "LayerNormalization" and not domain:
        version = max(version, LAYER_NORM_SINCE)
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def _contributed_shape(scope: Scope, node: onnx.NodeProto) -> Shape | None:
    """The first output of ONNX Runtime's operators that no standard one stands for."""
    shapes = [scope.shape(name) if name else None for name in node.input]
    first = shapes[0] if shapes else None
    if first is None:
        return None
    weight = shapes[1] if len(shapes) > 1 else None
    if node.op_type in _PROJECTING and weight is not None:
        sizes = attribute(node, "qkv_hidden_sizes")
        return (*first[:2], sizes[2] if sizes else weight[-1] // 3)
    if node.op_type == "GroupQueryAttention":
        heads, keys = (int(attribute(node, n, 0)) for n in ("num_heads", "kv_num_heads"))
        packed = len(node.input) < 2 or not node.input[1]
        return (*first[:2], first[2] * heads // (heads + 2 * keys) if packed else first[2])
    if node.op_type == "EmbedLayerNormalization" and len(shapes) > 2 and shapes[2] is not None:
        return (*first, shapes[2][-1])
    if node.op_type in ("MultiHeadAttention", "DecoderMaskedMultiHeadAttention"):
        if len(first) == 5:
            return (*first[:2], first[2] * first[4])
        value = shapes[2] if len(shapes) > 2 else None
        last = first[-1] if value is None else value[-1]
        return (*first[:2], value[1] * value[3] if value and len(value) == 4 else last)
    if node.op_type == "GatherBlockQuantized" and weight is not None and first:
        held = per_byte(node, scope.element_type(node.input[0]))
        axis = int(attribute(node, "gather_axis", 0)) % len(first)
        table = (*first[:-1], first[-1] * held)
        return (*table[:axis], *weight, *table[axis + 1 :])
    if node.op_type in ("MatMulNBits", "MatMulBnb4"):
        return (*first[:-1], int(attribute(node, "N", 0)))
    if node.op_type in _FUSED_PRODUCTS and weight is not None:
        return _product_shape(node, first, weight)
    filters = shapes[3] if len(shapes) > 3 else None
    if node.op_type == "QLinearConvTranspose" and filters is not None:
        return _convolved("ConvTranspose", node, first, filters, scope.opsets)
    if node.op_type == "QLinearConv" and filters is not None:
        return _convolved("Conv", node, first, filters, scope.opsets)
    if node.op_type in ("NhwcConv", "NhwcFusedConv") and weight is not None:
        return _convolved("Conv", node, first, weight, scope.opsets)
    if node.op_type == "RelativePositionBias" and len(first) == 2:  # of buckets and heads
        told = [scope.value(name) for name in node.input[1:3]]
        lengths = [
            int(np.ravel(value)[0]) for value in told if value is not None and np.size(value)
        ]
        return (1, first[1], *lengths) if len(lengths) == 2 else None
    if node.op_type == "BiasSplitGelu":
        return (*first[:-1], first[-1] // 2)
    if node.op_type == "NhwcMaxPool":
        return _convolved("MaxPool", node, first, None, scope.opsets)
    if _has_channels_last(node) and node.op_type == "QLinearGlobalAveragePool":
        return (first[0], *[1] * (len(first) - 2), first[-1])
    if _has_channels_last(node) and node.op_type == "QLinearAveragePool":
        return _convolved("AveragePool", node, first, None, scope.opsets)
    return None


def per_byte(node: onnx.NodeProto, element_type: int | None) -> int:
    """How many values of a GatherBlockQuantized one of its stored values holds: 8-bit types are packed."""
    bits = int(attribute(node, "bits", 4))
    packed = element_type in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8) and bits in (2, 4)
    return 8 // bits if packed else 1


def _has_channels_last(node: onnx.NodeProto) -> bool:
    return node.op_type.startswith("Nhwc") or bool(attribute(node, "channels_last", 0))


def _caches(scope: Scope, node: onnx.NodeProto) -> dict[int, Shape]:
    """Shapes of the outputs behind the first one, by position, of ONNX Runtime's operators that have such."""
    first = scope.shape(node.input[0]) if node.input and node.input[0] else None
    if first is None:
        return {}
    if node.op_type in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
        return {3: first}
    if node.op_type == "LinearAttentionGate":
        return {1: first}
    if node.op_type == "GroupQueryAttention" and len(first) == 3:
        heads, keys = (int(attribute(node, n, 0)) for n in ("num_heads", "kv_num_heads"))
        packed = len(node.input) < 2 or not node.input[1]
        past = node.input[3] if len(node.input) > 3 else ""
        before = scope.shape(past) if past else (0, 0, 0, 0)
        if before is not None and len(before) == 4 and heads and keys:
            size = first[2] // (heads + 2 * keys if packed else heads)
            return dict.fromkeys((1, 2), (first[0], keys, before[2] + first[1], size))
    return {}


def _product_shape(node: onnx.NodeProto, a: Shape, b: Shape) -> Shape | None:
    if min(len(a), len(b)) < 2 or attribute(node, "transBatchA") or attribute(node, "transBatchB"):
        return None
    rows = a[-1] if attribute(node, "transA") else a[-2]
    cols = b[-2] if attribute(node, "transB") else b[-1]
    return (*np.broadcast_shapes(a[:-2], b[:-2]), rows, cols)


def _convolved(
    op_type: str,
    node: onnx.NodeProto,
    data: Shape,
    filters: Shape | None,
    opsets: Mapping[str, int],
) -> Shape | None:
    """The output of a convolution or pool of ONNX Runtime's own, the channels last where it says so."""
    channels_last = _has_channels_last(node)
    if channels_last:
        data = (data[0], data[-1], *data[1:-1])
    shapes = {"x": data} if filters is None else {"x": data, "w": filters}
    plain = onnx.helper.make_node(op_type, list(shapes), ["y"])
    plain.attribute.extend(a for a in node.attribute if a.name not in _FOREIGN_ATTRIBUTES)
    inner = Scope(onnx.GraphProto(), None, opsets)
    for name, shape in shapes.items():
        inner.types[name] = tensor_type(onnx.TensorProto.FLOAT, shape)
    infer(inner, plain)
    made = inner.shape("y")
    return (made[0], *made[2:], made[1]) if made and channels_last else made


def evaluate(scope: Scope, node: onnx.NodeProto) -> None:
    """Compute what is small and fixed."""
    name = node.output[0] if node.output else ""
    if node.op_type in ("Shape", "Size") and is_standard(node):
        shape = scope.shape(node.input[0])
        if shape is not None:
            picked = shape[slice(attribute(node, "start", 0), attribute(node, "end"))]
            value = math.prod(shape) if node.op_type == "Size" else picked
            scope.values[name] = np.array(value, np.int64)
        return
    operator = operator_of(node)
    if domain_of(node) or operator is None or operator.kind is Kind.RANDOM:
        return
    values = {source: scope.value(source) for source in node.input if source}
    if any(value is None for value in values.values()) or not has_no_macs(node):
        return
    for output in filter(None, node.output):
        shape, kind = scope.shape(output), scope.element_type(output)
        if shape is None and node.op_type in _BOUNDED:
            continue
        if shape is None or kind is None or math.prod(shape) > value_limit(kind):
            return
    with contextlib.suppress(Exception):  # an operator that the reference lacks stays unknown
        computed = _reference(node, values, scope.opsets)
        for output, value in zip(node.output, computed, strict=False):
            if output and isinstance(value, np.ndarray | np.generic):
                scope.values[output] = np.asarray(value)
                kind = onnx.helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype)
                scope.types[output] = tensor_type(kind, list(np.asarray(value).shape))


def _reference(
    node: onnx.NodeProto, values: Mapping[str, Any], opsets: Mapping[str, int]
) -> Sequence[Any]:
    from onnx.reference import ReferenceEvaluator  # no part of what `import onnx` brings

    graph = onnx.GraphProto(name="one")
    graph.node.append(node)
    graph.input.extend(onnx.ValueInfoProto(name=name) for name in values)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
    imports = [onnx.helper.make_opsetid("", opsets.get("", 1))]
    model = onnx.ModelProto(ir_version=8, graph=graph, opset_import=imports)
    computed = iter(ReferenceEvaluator(model).run(None, dict(values)))
    return [next(computed) if name else None for name in node.output]


def _is_taken_over(node: onnx.NodeProto) -> bool:
    """Whether ONNX took an operator over from ONNX Runtime as it was: Pad, Range, Trilu and their like."""
    operator = operator_of(node)
    return (
        operator is not None
        and operator.kind in (Kind.MOVES, Kind.MAKES)
        and node.domain in CONTRIBUTED
        and "" in operator.domains
    )


def stand_in(node: onnx.NodeProto) -> None:
    """Make a node of ONNX Runtime's own domain its standard counterpart, where one is known.

    With the channels last there is none.
    """
    operator = operator_of(node)
    if _has_channels_last(node):
        return
    if node.op_type == "QLinearConcat":
        op_type, inputs = "Concat", list(node.input[2::3])
    elif operator is not None and operator.stands_for is not None:
        op_type, places = operator.stands_for
        inputs = [node.input[place] for place in places if place < len(node.input)]
    elif _is_taken_over(node):
        op_type, inputs = node.op_type, list(node.input)
    else:
        return
    # Inference of a single node refuses an attribute that its operator has not, such as an epsilon of an Identity.
    known = onnx.defs.get_schema(op_type).attributes
    attributes = [a for a in node.attribute if a.name in known]
    del node.input[:], node.attribute[:]
    node.input.extend(inputs)
    node.attribute.extend(attributes)
    node.domain, node.op_type = "", op_type
