"""One node: the types of its outputs from those of its inputs, and their values where these are small and fixed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from deploykit.graph.macs import Shape
from deploykit.graph.nodes import attribute
from deploykit.graph.operators import CONTRIBUTED, OPERATORS, Kind, has_no_macs
from deploykit.graph.scope import Scope, tensor_type, value_limit
from deploykit.lazy import np, onnx

#: Attributes that belong to ONNX Runtime's operator only.
_FOREIGN_ATTRIBUTES = frozenset({"activation", "activation_params", "activation_alpha"})
#: Results that are no larger than their inputs though their shape is not inferred.
_BOUNDED = frozenset({"NonZero", "Unique", "Compress"})


def infer(scope: Scope, node: onnx.NodeProto) -> None:
    """Add the types of a node's outputs to `scope`, as far as they can be told."""
    if node.domain in CONTRIBUTED:
        shape = _contributed_shape(scope, node)
        if shape is not None:
            kind = scope.element_type(node.input[0])
            scope.types[node.output[0]] = tensor_type(kind or onnx.TensorProto.FLOAT, shape)
            return
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        stand_in(copy)
        node = copy
    types = {name: scope.type_of(name) for name in node.input if name}
    if any(found is None for found in types.values()):
        types = {n: onnx.TypeProto() if t is None else t for n, t in types.items()}
    schema = _schema(node.op_type, domain_of(node), scope.opsets.get(domain_of(node), 0))
    if schema is None:
        return
    values = {
        name: onnx.numpy_helper.from_array(np.asarray(scope.value(name)))
        for name in types
        if scope.value(name) is not None
    }
    imports = [onnx.helper.make_opsetid(d, v) for d, v in scope.opsets.items()]
    # What can't be inferred stays unknown; a graph that contradicts itself was refused before.
    with contextlib.suppress(Exception):
        found = onnx.shape_inference.infer_node_outputs(
            schema, node, types, values, opset_imports=imports
        )
        scope.types.update({n: t for n, t in found.items() if n and t.WhichOneof("value")})


def domain_of(node: onnx.NodeProto) -> str:
    """The domain of a node's operator, "" for ONNX's own."""
    return "" if node.domain == "ai.onnx" else str(node.domain)


@cache
def _schema(op_type: str, domain: str, version: int) -> Any:
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
    if node.op_type == "Attention" and len(shapes) > 1 and shapes[1] is not None:
        sizes = attribute(node, "qkv_hidden_sizes")
        return (*first[:2], sizes[2] if sizes else shapes[1][-1] // 3)
    if node.op_type == "MultiHeadAttention":
        if len(first) == 5:
            return (*first[:2], first[2] * first[4])
        value = shapes[2] if len(shapes) > 2 else None
        last = first[-1] if value is None else value[-1]
        return (*first[:2], value[1] * value[3] if value and len(value) == 4 else last)
    if node.op_type == "MatMulNBits":
        return (*first[:-1], int(attribute(node, "N", 0)))
    if node.op_type in ("FusedMatMul", "FusedMatMulActivation") and shapes[1] is not None:
        return _product_shape(node, first, shapes[1])
    if node.op_type == "QLinearConvTranspose" and len(shapes) > 3 and shapes[3] is not None:
        return _transposed_shape(scope, node)
    return None


def _product_shape(node: onnx.NodeProto, a: Shape, b: Shape) -> Shape | None:
    if min(len(a), len(b)) < 2 or attribute(node, "transBatchA") or attribute(node, "transBatchB"):
        return None
    rows = a[-1] if attribute(node, "transA") else a[-2]
    cols = b[-2] if attribute(node, "transB") else b[-1]
    return (*np.broadcast_shapes(a[:-2], b[:-2]), rows, cols)


def _transposed_shape(scope: Scope, node: onnx.NodeProto) -> Shape | None:
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.op_type, plain.domain = "ConvTranspose", ""
    del plain.input[:], plain.output[1:]
    plain.input.extend(["x", "w"])
    inner = Scope(scope.graph, None, scope.opsets)
    for name, source in (("x", node.input[0]), ("w", node.input[3])):
        inner.types[name] = tensor_type(onnx.TensorProto.FLOAT, scope.shape(source))
    infer(inner, plain)
    return inner.shape(node.output[0])


def evaluate(scope: Scope, node: onnx.NodeProto) -> None:
    """Compute what is small and fixed."""
    name = node.output[0] if node.output else ""
    if node.op_type in ("Shape", "Size") and not node.domain:
        shape = scope.shape(node.input[0])
        if shape is not None:
            picked = shape[slice(attribute(node, "start", 0), attribute(node, "end"))]
            value = math.prod(shape) if node.op_type == "Size" else picked
            scope.values[name] = np.array(value, np.int64)
        return
    operator = OPERATORS.get(node.op_type)
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
    found = iter(ReferenceEvaluator(model).run(None, dict(values)))
    return [next(found) if name else None for name in node.output]


def stand_in(node: onnx.NodeProto) -> None:
    """Make a node of ONNX Runtime's own domain, where one is known, its standard counterpart."""
    operator = OPERATORS.get(node.op_type)
    if node.op_type == "QLinearConcat":
        op_type, inputs = "Concat", list(node.input[2::3])
    elif operator is not None and operator.stands_for is not None:
        op_type, places = operator.stands_for
        inputs = [node.input[place] for place in places if place < len(node.input)]
    else:
        return
    attributes = [a for a in node.attribute if a.name not in _FOREIGN_ATTRIBUTES]
    del node.input[:], node.attribute[:]
    node.input.extend(inputs)
    node.attribute.extend(attributes)
    node.domain, node.op_type = "", op_type
