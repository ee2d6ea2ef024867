"""A model brought to the form that the rest works on: outputs declared, functions written out, opset raised.

What a file may leave undeclared, and runtimes find out for themselves, is declared when it is read; functions and
opset are brought up before a graph is converted or built.

ONNX's converter of opsets gets some operators wrong, which is put right here, as the network must compute the same
afterwards. Found by running each operator before and after (`tests/graph/test_normalise.py` does so):

- A linear Upsample or Resize before opset 11 takes asymmetric coordinates; the converter leaves the later
  default, half_pixel.
- A Hardmax before opset 13 works on its input flattened to a matrix; the converter leaves its axis alone.
- A GroupNormalization before opset 21 has a scale and bias per group; the converter expands them wrongly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from deploykit.errors import InvalidModel
from deploykit.graph.nodes import (
    all_nodes,
    attribute,
    attribute_graphs,
    captured_by,
    graph_inputs,
    graphs_below,
    is_standard,
    nodes_below,
    opset,
)
from deploykit.graph.shapes import skeleton, written_out
from deploykit.lazy import np, onnx

#: From here on, stored tensors need not be inputs too; runtimes never insist on it.
_FREE_INITIALISERS = 4


def declare(model: onnx.ModelProto) -> bool:
    """Declare, in place, what is missing of outputs, and raise a version that forbids what the file does.

    Outputs may lack a type or a shape: extracted graphs do. What inference does not find stays open. Nodes without
    a name get one, by which layers are found again, and all an order that runs.

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
    return changed


def name_nodes(model: onnx.ModelProto) -> bool:
    """Name, in place, nodes that have no name by what they make.

    Of a node without one, nobody can tell after a runtime optimised the graph which it was.

    Returns:
        Whether any was named.
    """
    nodes = list(nodes_below(model.graph.node))
    taken = {node.name for node in nodes}
    unnamed = [node for node in nodes if not node.name]
    for node in unnamed:
        name = next((output for output in node.output if output), node.op_type)
        if name in taken:
            name = next(new for n in itertools.count(2) if (new := f"{name}_{n}") not in taken)
        node.name = name
        taken.add(name)
    return bool(unnamed)


def sort_nodes(graph: onnx.GraphProto) -> bool:
    """Bring the nodes of a graph, and of the bodies in it, into an order that runs, in place; runtimes do so too.

    Returns:
        Whether it was another one. Where there is none, as nodes form a cycle, all stay where they are.
    """
    changed = False
    for node in graph.node:
        for body in attribute_graphs(node):
            changed |= sort_nodes(body)
    made = {name for node in graph.node for name in node.output if name}
    ready: set[str] = set()
    waiting, ordered = list(graph.node), []
    while waiting:
        left = []
        for node in waiting:
            needs = {name for name in (*node.input, *captured_by(node)) if name in made}
            if needs <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                left.append(node)
        if len(left) == len(waiting):
            return changed
        waiting = left
    if all(one is other for one, other in zip(ordered, graph.node, strict=True)):
        return changed
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)
    return True


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
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except Exception:  # what is wrong with the graph is for others to say
        return
    for value, other in zip(model.graph.output, inferred.output, strict=True):
        shape, known = value.type.tensor_type.shape.dim, other.type.tensor_type.shape.dim
        for dim, found in zip(shape, known, strict=False):
            if not dim.dim_value and found.dim_value > 0:
                dim.Clear()
                dim.dim_value = found.dim_value


def _open_sizes(value: onnx.ValueInfoProto) -> list[Any]:
    return [dim for dim in value.type.tensor_type.shape.dim if not dim.dim_value]


def _declare_outputs(model: onnx.ModelProto) -> bool:
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True).graph
    except Exception:  # what is wrong with the graph is for the checker to say
        return False
    inferred_values = {value.name: value for value in [*inferred.output, *inferred.value_info]}
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
    _take_graph(model, inlined)
    del model.functions[:]
    return count


def raise_opset(model: onnx.ModelProto, least: int, precision: str) -> dict[str, Any]:
    """Convert the model, in place, to opset `least` if it is older; returns what to say of it.

    Only the graph without its weights goes through ONNX's converter, which copies its model several times.

    Raises:
        InvalidModel: ONNX's converter can't do it.
    """
    present = opset(model)
    if present >= least:
        return {}
    light = skeleton(model)
    linear = _before_conversion(light.graph, present, least)
    try:
        converted = onnx.version_converter.convert_version(light, least)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InvalidModel(
            f"opset {present} is too old for {precision} and can't be raised to {least} ({reason}); "
            f"export the model with opset {least} or newer"
        ) from error
    _after_conversion(converted.graph, linear)
    _take_graph(model, converted)
    minimum = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.ir_version = max(model.ir_version, minimum)
    return {"opset_raised": f"{present} to {least}"}


def _take_graph(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Put the converted nodes, and the constants that came with them, beside the model's own weights."""
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


#: Since when Resize has coordinate modes, Hardmax takes one axis, and GroupNormalization has values per channel.
_COORDINATES, _ONE_AXIS, _PER_CHANNEL = 11, 13, 21
_LINEAR = ("linear", "bilinear")

Nodes = list["onnx.NodeProto"]


def _before_conversion(graph: onnx.GraphProto, present: int, least: int) -> list[bool]:
    """Rewrite, in place, nodes that would be converted wrongly from opset `present` to `least`.

    Returns:
        What `_after_conversion` needs: of each resizing, in the order of the graph, whether it is linear.
    """
    taken = {name for node in graph.node for name in node.output} | {
        tensor.name for tensor in graph.initializer
    }
    linear: list[bool] = []
    nodes: Nodes = []
    for node in graph.node:
        if not is_standard(node):
            nodes.append(node)
        elif node.op_type in ("Upsample", "Resize") and present < _COORDINATES <= least:
            linear.append(_text(attribute(node, "mode", b"nearest")) in _LINEAR)
            nodes.append(node)
        elif node.op_type == "Hardmax" and present < _ONE_AXIS <= least:
            nodes += _flattened(node, taken)
        elif node.op_type == "GroupNormalization" and present < _PER_CHANNEL <= least:
            nodes += _by_group(node, graph, taken)
        else:
            nodes.append(node)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    return linear


def _after_conversion(graph: onnx.GraphProto, linear: list[bool]) -> None:
    """Give linear resizings the coordinates that they had; the converter keeps the order, but no names.

    Raises:
        InvalidModel: the converter did not keep one Resize for each.
    """
    if not any(linear):
        return
    resizes = [node for node in graph.node if node.op_type == "Resize" and is_standard(node)]
    if len(resizes) != len(linear):
        raise InvalidModel(
            f"raising the opset made {len(resizes)} Resize nodes of {len(linear)}; export the model with opset 11 "
            "or newer"
        )
    for node, is_linear in zip(resizes, linear, strict=True):
        if is_linear:
            others = [a for a in node.attribute if a.name != "coordinate_transformation_mode"]
            mode = onnx.helper.make_attribute("coordinate_transformation_mode", "asymmetric")
            del node.attribute[:]
            node.attribute.extend([*others, mode])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _names(node: onnx.NodeProto, taken: set[str]) -> Callable[[str], str]:
    """Makes names of inner tensors of what takes a node's place, unique in the graph."""

    def unique(suffix: str) -> str:
        name, count = f"{node.output[0]}_{suffix}", 0
        while name in taken:
            count += 1
            name = f"{node.output[0]}_{suffix}_{count}"
        taken.add(name)
        return name

    return unique


def _flattened(node: onnx.NodeProto, taken: set[str]) -> Nodes:
    """A Hardmax of the input as a matrix, and the shape back."""
    unique = _names(node, taken)
    axis = int(attribute(node, "axis", 1))
    shape, matrix, chosen = unique("shape"), unique("matrix"), unique("chosen")
    make = onnx.helper.make_node
    return [
        make("Shape", [node.input[0]], [shape], name=shape),
        make("Flatten", [node.input[0]], [matrix], name=matrix, axis=axis),
        make("Hardmax", [matrix], [chosen], name=node.name or chosen, axis=1),
        make("Reshape", [chosen, shape], [node.output[0]], name=unique("back")),
    ]


def _by_group(node: onnx.NodeProto, graph: onnx.GraphProto, taken: set[str]) -> Nodes:
    """An InstanceNormalization of the groups as channels, and the shape back."""
    unique = _names(node, taken)
    shape, groups, grouped, normal = (unique(n) for n in ("shape", "groups", "grouped", "normal"))
    target = np.asarray([0, int(attribute(node, "num_groups")), -1], np.int64)
    graph.initializer.append(onnx.numpy_helper.from_array(target, groups))
    epsilon = float(attribute(node, "epsilon", 1e-5))
    make = onnx.helper.make_node
    return [
        make("Shape", [node.input[0]], [shape], name=shape),
        make("Reshape", [node.input[0], groups], [grouped], name=grouped),
        make(
            "InstanceNormalization", [grouped, *node.input[1:3]], [normal],
            name=node.name or normal, epsilon=epsilon,
        ),
        make("Reshape", [normal, shape], [node.output[0]], name=unique("back")),
    ]  # fmt: skip


# ---- names


def part_names(model: onnx.ModelProto) -> int:
    """Give nodes that share their name with an earlier one of their graph names of their own, in place.

    ONNX Runtime refuses such graphs, and rules and reports go by names. Returns how many were renamed.
    """
    renamed = 0
    for graph in graphs_below(model.graph):
        taken = {node.name for node in graph.node}
        seen: set[str] = set()
        for node in graph.node:
            if node.name and node.name in seen:
                count = 1
                while f"{node.name}_{count}" in taken:
                    count += 1
                node.name = f"{node.name}_{count}"
                taken.add(node.name)
                renamed += 1
            seen.add(node.name)
    return renamed
