"""A model brought to the form that the rest works on: outputs declared, nodes in order, functions written out.

What a file may leave undeclared, and runtimes find out for themselves, is declared when it is read; functions are
written out before a graph is converted or built, and its opset is raised (`graph/opsets.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deploykit.errors import InvalidModel
from deploykit.graph.names import name_nodes, name_outputs, own_names, rename
from deploykit.graph.nodes import (
    all_nodes,
    attribute_graphs,
    captured_by,
    first_output,
    graph_inputs,
    graphs_below,
    is_standard,
    nodes_below,
    tensor_values,
)
from deploykit.graph.scope import Scope
from deploykit.graph.shapes import Shapes, inferred, skeleton, written_out
from deploykit.graph.view import MATERIALISE_ELEMENTS
from deploykit.lazy import np, onnx

#: From here on, stored tensors need not be inputs too; runtimes never insist on it.
_FREE_INITIALISERS = 4


def declare(model: onnx.ModelProto) -> bool:
    """Declare, in place, what is missing of outputs, and raise a version that forbids what the file does.

    Outputs may lack a type or a shape: extracted graphs do. What inference does not find stays open. Nodes without
    a name get one, by which layers are found again, as do tensors that runtimes need a name of; all get an order
    that runs.

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
    changed |= sort_nodes(graph)
    changed |= name_nodes(model)
    changed |= name_outputs(model)
    return changed


def sort_nodes(graph: onnx.GraphProto) -> bool:
    """Bring the nodes of a graph, and of the bodies in it, into an order that runs, in place; runtimes do so too.

    Returns:
        Whether it was another one. Where there is none, as nodes form a cycle, all stay where they are.
    """
    changed = False
    for node in graph.node:
        for body in attribute_graphs(node):
            changed |= sort_nodes(body)
    nodes = list(graph.node)
    order = _order(nodes)
    if order is None:
        return changed
    ordered = [nodes[place] for place in order]
    if all(one is other for one, other in zip(ordered, graph.node, strict=True)):
        return changed
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)
    return True


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int] | None:
    """Places of nodes in an order that runs, moved back no further than they must; None where they form a cycle.

    It is that of sweeps over the nodes, each of which takes the nodes that have all they need by then.
    """
    made = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    needs = [
        {made[name] for name in (*node.input, *captured_by(node)) if name in made} for node in nodes
    ]
    readers: list[list[int]] = [[] for _ in nodes]
    for place, before in enumerate(needs):
        for needed in before:
            readers[needed].append(place)
    sweeps, missing = [0] * len(nodes), [len(before) for before in needs]
    ready = [place for place, count in enumerate(missing) if not count]
    for place in ready:  # grows as nodes become ready
        for reader in readers[place]:
            sweeps[reader] = max(sweeps[reader], sweeps[place] + (place > reader))
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(ready) < len(nodes):
        return None
    return sorted(range(len(nodes)), key=lambda place: (sweeps[place], place))


def _is_open(value: onnx.ValueInfoProto) -> bool:
    if value.type.WhichOneof("value") not in (None, "tensor_type"):
        return False
    tensor = value.type.tensor_type
    return not tensor.HasField("shape") or not tensor.elem_type


def declare_sizes(model: onnx.ModelProto) -> None:
    """State, in place, the sizes of outputs that the file leaves open and inference tells.

    Args:
        model: whose inputs leave no size open, so that an open size of an output is none that may vary.
    """
    if not any(_open_sizes(value) for value in model.graph.output):
        return
    light = skeleton(model)
    for value in light.graph.output:
        for dim in _open_sizes(value):
            dim.Clear()
    try:
        known = inferred(light).graph
    except Exception:  # what is wrong with the graph is for others to say
        return
    for value, other in zip(model.graph.output, known.output, strict=True):
        shape, known = value.type.tensor_type.shape.dim, other.type.tensor_type.shape.dim
        for dim, found in zip(shape, known, strict=False):
            if not dim.dim_value and found.dim_value > 0:
                dim.Clear()
                dim.dim_value = found.dim_value


def _open_sizes(value: onnx.ValueInfoProto) -> list[Any]:
    return [dim for dim in value.type.tensor_type.shape.dim if not dim.dim_value]


def _declare_outputs(model: onnx.ModelProto) -> bool:
    try:
        known = inferred(skeleton(model)).graph
    except Exception:  # what is wrong with the graph is for the checker to say
        return False
    inferred_values = {value.name: value for value in [*known.output, *known.value_info]}
    changed = False
    for value in model.graph.output:
        other = inferred_values.get(value.name)
        if _is_open(value) and other is not None and other.type.tensor_type.elem_type:
            tensor, known = value.type.tensor_type, other.type.tensor_type
            if not tensor.elem_type:
                tensor.elem_type = known.elem_type
                changed = True
            if not tensor.HasField("shape") and known.HasField("shape"):
                tensor.shape.CopyFrom(known.shape)
                changed = True
    return changed


def inline_functions(model: onnx.ModelProto) -> int:
    """Put the nodes of the model's own functions in the place of their calls; the model is changed.

    Returns:
        How many functions the model had.

    Raises:
        InvalidModel: a function is written for another opset than the model and can't be brought to it.
    """
    count = len(model.functions)
    if not count:
        return 0
    own = {(function.domain, function.name) for function in model.functions}
    light = skeleton(model)
    inlined = written_out(light)
    left = next((n for n in all_nodes(inlined) if (n.domain, n.op_type) in own), None)
    if left is not None:
        raise InvalidModel(
            f"its function {left.op_type!r} is written for another opset than the model and can't be "
            "written out; export the model again without functions"
        )
    replace_graph(model, inlined)
    del model.functions[:]
    return count


def store_dense(model: onnx.ModelProto) -> int:
    """Store the sparse tensors of a model, of bodies too, as dense ones, in place: recipes convert no others.

    Runtimes make dense ones of them, too. Those of more than `MATERIALISE_ELEMENTS` values stay as they are.

    Returns:
        How many were.
    """
    count = 0
    for graph in graphs_below(model.graph):
        for place in range(len(graph.sparse_initializer) - 1, -1, -1):
            sparse = graph.sparse_initializer[place]
            if math.prod(sparse.dims) <= MATERIALISE_ELEMENTS:
                graph.initializer.append(_dense(sparse, sparse.values.name))
                del graph.sparse_initializer[place]
                count += 1
    for node in all_nodes(model):
        for entry in node.attribute:
            held = entry.name == "sparse_value" and entry.HasField("sparse_tensor")
            if held and math.prod(entry.sparse_tensor.dims) <= MATERIALISE_ELEMENTS:
                tensor = _dense(entry.sparse_tensor, "value")
                entry.CopyFrom(onnx.helper.make_attribute("value", tensor))
                count += 1
    return count


def _dense(sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    values, places = tensor_values(sparse.values), tensor_values(sparse.indices)
    dims = tuple(sparse.dims)
    if places.ndim == 2:  # one index for each axis
        places = np.ravel_multi_index(tuple(places.T), dims)
    full = np.zeros(math.prod(dims), values.dtype)
    full[places] = values
    return onnx.numpy_helper.from_array(full.reshape(dims), name)


def write_out_decided(model: onnx.ModelProto, batch: int | None = None) -> int:
    """Put, in place of every If of the main graph that the sizes of the inputs decide, the branch that runs.

    Exporters write an If for what a size alone decides, and TensorRT, which has to make sense of both branches,
    fails on such.

    Args:
        model: without functions; it is changed.
        batch: of all runs, the size of free dimensions; None where it varies, so that nothing is decided.

    Returns:
        How many were written out.
    """
    inputs = graph_inputs(model.graph)
    free = [dim for value in inputs for dim in _open_sizes(value)]
    if any(map(_is_open, inputs)) or (free and batch is None):
        return 0
    names = [dim.dim_param for dim in free]
    for dim in free:
        dim.dim_value = batch
    count = 0
    while any(node.op_type == "If" for node in model.graph.node):
        scope = Shapes(model).scope
        decided = None if scope is None else _decided(model.graph, scope)
        if decided is None:
            break
        place, branch = decided
        _splice(model.graph, place, branch)
        count += 1
    for dim, name in zip(free, names, strict=True):
        dim.Clear()
        dim.dim_param = name
    if count:
        del model.graph.value_info[:]
    return count


def _decided(graph: onnx.GraphProto, scope: Scope) -> tuple[int, onnx.GraphProto] | None:
    """The place of the first If whose condition is known, and the branch that it takes."""
    for place, node in enumerate(graph.node):
        condition = (
            scope.value(node.input[0]) if node.op_type == "If" and is_standard(node) else None
        )
        if condition is not None and np.size(condition) == 1:
            name = "then_branch" if bool(np.all(condition)) else "else_branch"
            return place, next(entry.g for entry in node.attribute if entry.name == name)
    return None


def _splice(graph: onnx.GraphProto, place: int, branch: onnx.GraphProto) -> None:
    """Put a branch in the place of its If; tensors of the branch get names that the graph does not have."""
    node = graph.node[place]
    body = onnx.GraphProto()
    body.CopyFrom(branch)
    own = own_names(body)
    taken = {name for inner in nodes_below(graph.node) for name in (*inner.input, *inner.output)}
    taken |= {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    names: dict[str, str] = {}
    for name in sorted(own):
        renamed = f"{node.output[0]}/{name}"
        while renamed in taken:
            renamed += "_"
        names[name] = renamed
        taken.add(renamed)
    rename(body, names)
    ends = [
        onnx.helper.make_node(
            "Identity",
            [value.name],
            [output],
            name=f"{node.name or node.output[0]}/{value.name}",
        )
        for value, output in zip(body.output, node.output, strict=True)
        if output
    ]
    nodes = [*graph.node[:place], *body.node, *ends, *graph.node[place + 1 :]]
    kept = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(body.initializer)


def declare_ranks(model: onnx.ModelProto) -> int:
    """Declare, in place, how many dimensions the states of Loops have, where their bodies leave it out.

    Some runtimes read a body by itself, and can't tell what a convolution in it is given.

    Returns:
        How many states were declared.
    """
    loops = [n for n in model.graph.node if n.op_type == "Loop" and is_standard(n)]
    if not any(_without_rank(value) for loop in loops for value in _states(loop)):
        return 0
    shapes = Shapes(model)
    count = 0
    for loop in loops:
        runs = shapes.scope.bodies.get(first_output(loop), ()) if shapes.scope is not None else ()
        body = next(attribute_graphs(loop))
        for place, value in enumerate(_states(loop), start=2):
            given = shapes.shape(loop.input[place]) if place < len(loop.input) else None
            made = [run.scope.shape(body.output[place - 1].name) for run in runs]
            ranks = {None if shape is None else len(shape) for shape in [given, *made]}
            rank = ranks.pop() if made and len(ranks) == 1 else None
            if rank is not None and _without_rank(value):
                value.type.tensor_type.shape.SetInParent()
                for _ in range(rank):
                    value.type.tensor_type.shape.dim.add()
                count += 1
    return count


def _states(loop: onnx.NodeProto) -> list[onnx.ValueInfoProto]:
    """What the body of a Loop is given beside the count of runs and the condition."""
    return list(next(attribute_graphs(loop)).input[2:])


def _without_rank(value: onnx.ValueInfoProto) -> bool:
    return not value.type.WhichOneof("value") or (
        value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
    )


def replace_graph(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Put the nodes of another graph, and the constants that it has, beside the model's own weights, in place."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    del graph.node[:]
    graph.node.extend(converted.graph.node)
    for tensor in converted.graph.initializer:
        if tensor.name in stored:
            stored[tensor.name].CopyFrom(tensor)
        else:
            graph.initializer.append(tensor)
    for index in range(len(graph.input) - 1, -1, -1):
        if graph.input[index].name in stored:
            del graph.input[index]
    del graph.value_info[:]
    del model.opset_import[:]
    model.opset_import.extend(converted.opset_import)
    name_nodes(model)
