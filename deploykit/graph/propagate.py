"""Shapes, types and small values of all tensors of a graph and of the bodies in it, node by node.

ONNX's inference of a whole graph gives up where a shape passes through a chain of small operators (the Concat,
Reshape, Slice, Transpose and Cast that PyTorch writes for the pads of a Pad), and says nothing of bodies. Here
every node is inferred with the values of its inputs, and what is small and fixed, a shape above all, is computed
with ONNX's reference operators. Bodies are entered with the shapes that they get: an If whose condition is known
takes that branch, else the one with more work; a Loop runs as often as its trip count says, what is mapped over a
sequence once for each tensor in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.graph.nodes import attribute, attribute_graphs, first_output
from deploykit.graph.operators import has_no_macs, operator_of
from deploykit.graph.scope import (
    Body,
    Scope,
    domain_of,
    evaluate,
    infer,
    shape_of_type,
    tensor_type,
    value_limit,
)
from deploykit.graph.sequences import element_of, follow_sequences
from deploykit.lazy import np, onnx

#: A Loop that has to be run to know its end is given up after this many nodes.
_LOOP_NODES = 20_000


def propagate(
    graph: onnx.GraphProto,
    opsets: Mapping[str, int],
    types: Mapping[str, Any],
    stored: Sequence[onnx.TensorProto],
    stated: Mapping[str, Any],
) -> Scope:
    """Follow all tensors of a model's main graph.

    Args:
        graph: with functions written out.
        opsets: the versions of the operator sets that the model imports, by domain.
        types: of its inputs, each dimension a number.
        stored: the initialisers of the graph.
        stated: types that inference of the whole graph gave, for what a node alone does not tell.
    """
    scope = Scope(graph, None, opsets, dict(types), stated=stated)
    _enter(scope, stored)
    return scope


def _enter(scope: Scope, stored: Sequence[onnx.TensorProto]) -> None:
    for tensor in stored:
        scope.types[tensor.name] = tensor_type(tensor.data_type, list(tensor.dims))
        small = math.prod(tensor.dims) <= value_limit(tensor.data_type)
        if small and tensor.data_location != onnx.TensorProto.EXTERNAL:
            scope.values[tensor.name] = onnx.numpy_helper.to_array(tensor)
    for sparse in scope.graph.sparse_initializer:
        dims = tensor_type(sparse.values.data_type, list(sparse.dims))
        scope.types[sparse.values.name] = dims
    for node in scope.graph.node:
        _follow(scope, node)


def _follow(scope: Scope, node: onnx.NodeProto) -> None:
    if any(True for _ in attribute_graphs(node)):
        _enter_bodies(scope, node)
        return
    infer(scope, node)
    for name in filter(scope.stated.get, node.output):
        if scope.shape(name) is None:
            scope.types[name] = scope.stated[name]
    evaluate(scope, node)
    follow_sequences(scope, node)
    operator = operator_of(node)
    if operator is not None and operator.macs is not None and node.output:
        shapes = [scope.shape(name) if name else None for name in node.input]
        macs = operator.macs(node, shapes, scope.shape(node.output[0]))
        scope.macs += macs or 0
        scope.is_partial |= macs is None
    elif not has_no_macs(node):
        scope.is_partial = True


# ---- bodies


def _enter_bodies(scope: Scope, node: onnx.NodeProto) -> None:
    known = {"If": _if, "Loop": _loop, "Scan": _scan, "SequenceMap": _sequence_map}.get(
        node.op_type
    )
    if known is not None and not domain_of(node):
        known(scope, node)
    bodies = scope.bodies.get(first_output(node))
    scope.is_partial |= bodies is None or first_output(node) in scope.partial
    for body in bodies or ():
        scope.macs += body.times * body.scope.macs
        scope.is_partial |= body.scope.is_partial or (not body.known and body.scope.macs > 0)


def _run(
    scope: Scope, graph: onnx.GraphProto, types: Mapping[str, Any], values: Mapping[str, Any]
) -> Scope:
    inner = Scope(graph, scope, scope.opsets)
    inner.types.update({name: onnx.TypeProto() if t is None else t for name, t in types.items()})
    inner.values.update({name: value for name, value in values.items() if value is not None})
    _enter(inner, graph.initializer)
    return inner


def _put(scope: Scope, name: str, known_type: Any, value: Any = None) -> None:
    if name and known_type is not None:
        scope.types[name] = known_type
    if name and value is not None:
        scope.values[name] = value


def _if(scope: Scope, node: onnx.NodeProto) -> None:
    branches = {e.name: e.g for e in node.attribute if e.type == onnx.AttributeProto.GRAPH}
    condition = scope.value(node.input[0])
    names = ["then_branch", "else_branch"]
    if condition is not None:
        names = [names[0] if bool(np.all(condition)) else names[1]]
    runs = [_run(scope, branches[name], {}, {}) for name in names]
    largest = max(runs, key=lambda run: (run.macs, run.is_partial))
    if any(run.is_partial for run in runs if run is not largest):
        scope.partial.append(first_output(node))
    scope.bodies[first_output(node)] = [Body(largest, 1, known=True)]
    if len(runs) > 1 and runs[0].macs != runs[1].macs:
        scope.chosen.append(first_output(node))
    for place, output in enumerate(node.output):
        sides = [(run, run.graph.output[place].name) for run in runs]
        known_type = largest.type_of(largest.graph.output[place].name)
        if len(runs) > 1 and runs[0].macs == runs[1].macs:
            known_type = _common([run.type_of(name) for run, name in sides])
        value = sides[0][0].value(sides[0][1]) if len(runs) == 1 else None
        _put(scope, output, known_type, value)


def _common(types: Sequence[Any]) -> Any:
    """The type that all of `types` agree on: a dimension in which they differ is left open."""
    one, other = types
    if one is None or other is None:
        return one or other
    if one.WhichOneof("value") != "tensor_type" or other.WhichOneof("value") != "tensor_type":
        return one
    first, second = one.tensor_type.shape.dim, other.tensor_type.shape.dim
    if len(first) != len(second) or not one.tensor_type.HasField("shape"):
        return tensor_type(one.tensor_type.elem_type, None)
    dims = [
        a.dim_value if a.HasField("dim_value") and a.dim_value == b.dim_value else None
        for a, b in zip(first, second, strict=True)
    ]
    return tensor_type(one.tensor_type.elem_type, dims)


def _loop(scope: Scope, node: onnx.NodeProto) -> None:
    graph = attribute(node, "body")
    limit = scope.value(node.input[0]) if node.input[0] else None
    going = scope.value(node.input[1]) if len(node.input) > 1 and node.input[1] else True
    most = None if limit is None else max(int(np.ravel(limit)[0]), 0)
    states = list(node.input[2:])
    types: list[Any] = [scope.type_of(name) for name in states]
    once = _iteration(scope, graph, types, [None] * len(types), None)
    after = [once.type_of(value.name) for value in graph.output[1 : len(states) + 1]]
    steady = all(shape_of_type(a) == shape_of_type(b) for a, b in zip(types, after, strict=True))
    if going is not None and not bool(np.all(going)):
        bodies: list[Body] = []
    elif going is not None and most is not None and steady and _always(graph, once):
        bodies = [Body(once, most, known=True)] if most else []
        if once.chosen and bodies:  # which branch of an If runs may depend on the number of the run
            values = [scope.value(name) for name in states]
            if not _iteration(scope, graph, types, values, 0).chosen:
                bodies = _simulated(scope, graph, node, most, going) or bodies
    else:
        bodies = _simulated(scope, graph, node, most, going) or [Body(once, 1, known=False)]
    scope.bodies[first_output(node)] = bodies
    last = bodies[-1].scope if bodies else None
    known = all(body.known for body in bodies)
    trips = sum(body.times for body in bodies) if known else None
    for place, output in enumerate(node.output):
        if place < len(states):
            name = graph.output[place + 1].name
            known_type = types[place] if last is None else last.type_of(name)
            if not known and not steady:
                known_type = None if known_type is None else _common([types[place], known_type])
            single = last is not None and known and bodies[-1].times == 1
            value = last.value(name) if single and last is not None else None
            _put(scope, output, known_type, value)
        else:
            _put(
                scope, output, _stacked((last or once).type_of(graph.output[place + 1].name), trips)
            )


def _iteration(
    scope: Scope,
    graph: onnx.GraphProto,
    types: Sequence[Any],
    values: Sequence[Any],
    step: int | None,
) -> Scope:
    names = [value.name for value in graph.input]
    given = [
        tensor_type(onnx.TensorProto.INT64, []),
        tensor_type(onnx.TensorProto.BOOL, []),
        *types,
    ]
    count = None if step is None else np.array(step, np.int64)
    held = [count, None if step is None else np.array(True), *values]
    return _run(
        scope,
        graph,
        dict(zip(names, given, strict=False)),
        dict(zip(names, held, strict=False)),
    )


def _always(graph: onnx.GraphProto, run: Scope) -> bool:
    """Whether a Loop goes on until its trip count: its condition is passed on, or fixed."""
    name, passed = graph.output[0].name, graph.input[1].name
    producers = {output: node for node in graph.node for output in node.output}
    while name in producers and producers[name].op_type in ("Identity", "Cast"):
        name = producers[name].input[0]
    value = run.value(name)
    return name == passed or (value is not None and bool(np.all(value)))


def _simulated(
    scope: Scope, graph: onnx.GraphProto, node: onnx.NodeProto, most: int | None, going: Any
) -> list[Body]:
    """Run a Loop as long as its condition is known; nothing where it is not, or where it takes too long."""
    if going is None:
        return []
    types = [scope.type_of(name) for name in node.input[2:]]
    values = [scope.value(name) for name in node.input[2:]]
    bodies: list[Body] = []
    allowed = _LOOP_NODES // max(len(graph.node), 1)
    while most is None or len(bodies) < most:
        if len(bodies) >= allowed:
            return []
        run = _iteration(scope, graph, types, values, len(bodies))
        bodies.append(Body(run, 1, known=True))
        names = [value.name for value in graph.output]
        going = run.value(names[0])
        if going is None:
            return []
        if not bool(np.all(going)):
            break
        types = [run.type_of(name) for name in names[1 : len(types) + 1]]
        values = [run.value(name) for name in names[1 : len(values) + 1]]
    return bodies


def _stacked(known_type: Any, count: int | None, axis: int = 0) -> Any:
    """The type of many results of one type behind each other."""
    if known_type is None or not known_type.tensor_type.HasField("shape"):
        return known_type
    dims: list[int | None] = [
        d.dim_value if d.HasField("dim_value") else None for d in known_type.tensor_type.shape.dim
    ]
    dims.insert(axis % (len(dims) + 1), count)
    return tensor_type(known_type.tensor_type.elem_type, dims)


def _scan(scope: Scope, node: onnx.NodeProto) -> None:
    graph, scanned = attribute(node, "body"), int(attribute(node, "num_scan_inputs", 0))
    if scope.opsets.get("", 0) < 9:
        return
    states = len(node.input) - scanned
    axes = attribute(node, "scan_input_axes") or [0] * scanned
    types: list[Any] = [scope.type_of(name) for name in node.input[:states]]
    lengths = set()
    for name, axis in zip(node.input[states:], axes, strict=True):
        shape, kind = scope.shape(name), scope.element_type(name)
        if shape is None or kind is None:
            types.append(None)
            continue
        rest = list(shape)
        if not -len(rest) <= axis < len(rest):
            types.append(None)
            continue
        lengths.add(rest.pop(axis))
        types.append(tensor_type(kind, rest))
    names = [value.name for value in graph.input]
    run = _run(scope, graph, dict(zip(names, types, strict=False)), {})
    trips = lengths.pop() if len(lengths) == 1 else None
    scope.bodies[first_output(node)] = [Body(run, 1 if trips is None else trips, trips is not None)]
    outputs = attribute(node, "scan_output_axes") or [0] * (len(node.output) - states)
    for place, output in enumerate(node.output):
        known_type = run.type_of(graph.output[place].name)
        if place >= states:
            known_type = _stacked(known_type, trips, outputs[place - states])
        _put(scope, output, known_type)


def _sequence_map(scope: Scope, node: onnx.NodeProto) -> None:
    graph = attribute(node, "body")
    names = [value.name for value in graph.input]
    types = {
        name: element_of(scope.type_of(given))
        for name, given in zip(names, node.input, strict=False)
    }
    run = _run(scope, graph, types, {})
    count = scope.length(node.input[0])
    if count != 0:
        scope.bodies[first_output(node)] = [Body(run, count or 1, known=count is not None)]
    for value, output in zip(graph.output, node.output, strict=False):
        element = run.type_of(value.name)
        if output and element is not None:
            scope.types[output] = onnx.helper.make_sequence_type_proto(element)
            if count is not None:
                scope.lengths[output] = count
