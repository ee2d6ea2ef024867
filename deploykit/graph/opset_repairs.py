"""What ONNX's converter of opsets gets wrong, put right: the network must compute the same afterwards.

Found by running each operator before and after (`tests/graph/test_opset_repairs.py` does so):

- A linear Upsample or Resize before opset 11 takes asymmetric coordinates; the converter leaves the later
  default, half_pixel.
- A Hardmax before opset 13 works on its input flattened to a matrix; the converter leaves its axis alone.
- A GroupNormalization before opset 21 has a scale and bias per group; the converter expands them wrongly.
"""

from __future__ import annotations

from collections.abc import Callable

from deploykit.errors import InvalidModel
from deploykit.graph.nodes import attribute, is_standard
from deploykit.lazy import np, onnx

#: Since when Resize has coordinate modes, Hardmax takes one axis, and GroupNormalization has values per channel.
_COORDINATES, _ONE_AXIS, _PER_CHANNEL = 11, 13, 21
_LINEAR = ("linear", "bilinear")

Nodes = list["onnx.NodeProto"]


def before_conversion(graph: onnx.GraphProto, present: int, least: int) -> list[bool]:
    """Rewrite, in place, nodes that would be converted wrongly from opset `present` to `least`.

    Returns:
        What `after_conversion` needs: of each resizing, in the order of the graph, whether it is linear.
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


def after_conversion(graph: onnx.GraphProto, linear: list[bool]) -> None:
    """Give linear resizings the coordinates that they had; the converter keeps the order, but no names.

    Raises:
        InvalidModel: the converter did not keep one Resize for each.
    """
    if not any(linear):
        return
    found = [node for node in graph.node if node.op_type == "Resize" and is_standard(node)]
    if len(found) != len(linear):
        raise InvalidModel(
            f"raising the opset made {len(found)} Resize nodes of {len(linear)}; export the model with opset 11 "
            "or newer"
        )
    for node, is_linear in zip(found, linear, strict=True):
        if is_linear:
            kept = [a for a in node.attribute if a.name != "coordinate_transformation_mode"]
            mode = onnx.helper.make_attribute("coordinate_transformation_mode", "asymmetric")
            del node.attribute[:]
            node.attribute.extend([*kept, mode])


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
