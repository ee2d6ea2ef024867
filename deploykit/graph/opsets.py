"""Raising the opset of a model, so that the network computes the same afterwards.

ONNX's converter of opsets does most of it. What it gets wrong, or has no rule for, is rewritten here, in bodies (of
If, Loop, Scan) too:

- An Upsample or Resize before opset 11 takes asymmetric coordinates, and the nearest value is the one before, or
  behind where it shrinks; the converter leaves the later defaults, half_pixel and rounding.
- A Hardmax before opset 13 works on its input flattened to a matrix; the converter leaves its axis alone.
- A GroupNormalization before opset 21 has a scale and bias per group; the converter expands them wrongly.
- A BatchNormalization before opset 9 may have a mean per element (`spatial=0`).
- A Dropout before opset 10 has a mask of the type of its data, which nothing reads.
- Before opset 7, arithmetic, comparisons and PRelu stretch their second input in their own way, and some operators
  of opset 1 write their attributes in another way or type.

Whether the network computes the same is then found out by running it before and after (`graph/equivalence.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from deploykit.errors import InvalidModel, one_line
from deploykit.graph.equivalence import Trial
from deploykit.graph.nodes import (
    attribute,
    attribute_graphs,
    captured_by,
    graphs_below,
    is_standard,
    node_name,
    opset,
)
from deploykit.graph.normalise import replace_graph
from deploykit.graph.shapes import inferred, skeleton
from deploykit.lazy import np, onnx

#: Since when inputs are stretched by numpy's rule, BatchNormalization has no element of its own, Dropout's mask is
#: boolean, Resize has coordinate modes, Hardmax takes one axis, and GroupNormalization has values per channel.
_BROADCASTING, _PER_CHANNEL_MEAN, _BOOLEAN_MASK = 7, 9, 10
_COORDINATES, _ONE_AXIS, _PER_CHANNEL = 11, 13, 21
_LINEAR = ("linear", "bilinear")
#: The converter passes over nodes of a domain that it does not know.
_HELD = "deploykit.held"
#: Where in the converter's code a reason was found.
_PLACE = re.compile(r"/\S+:\d+: (\S+: )?")
#: Their second input is a part of the shape of the first before opset 7; the converter does a few, where all sizes
#: are fixed.
_STRETCHING = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Greater", "Less", "Equal", "And", "Or", "Xor"}
)

Nodes = list["onnx.NodeProto"]


def raise_opset(model: onnx.ModelProto, least: int, precision: str) -> dict[str, Any]:
    """Convert the model, in place, to opset `least` if it is older, and run it before and after.

    Only the graph without its weights goes through ONNX's converter, which copies its model several times. A model
    that is refused is of no more use.

    Returns:
        What to say of it: "opset_raised" has both opsets, "opset_compared" what ran it before and after, or why
        nothing did.

    Raises:
        InvalidModel: ONNX's converter can't do it, or the network computes something else afterwards.
    """
    present = opset(model)
    if present >= least:
        return {}
    compared = []
    for step in [_BROADCASTING, least] if present < _BROADCASTING < least else [least]:
        old = skeleton(model)
        trial = Trial(model)
        convert(model, step, precision)
        trial.compare(model, old, partial(convert, least=step, precision=precision))
        compared.append(trial.said)
    return {"opset_raised": f"{present} to {least}", "opset_compared": "; ".join(compared)}


def convert(model: onnx.ModelProto, least: int, precision: str) -> None:
    """Convert a model, in place, to opset `least`, without a look at what it computes afterwards.

    Raises:
        InvalidModel: ONNX's converter can't do it.
    """
    present = opset(model)
    light = skeleton(model)
    try:
        _rewrite(light, present, least)
        converted = _converted(light, least)
    except Exception as error:
        node = _unconverted(light, least)
        what = "a node" if node is None else f"{node.op_type} node {node_name(node)!r}"
        reason = one_line(_PLACE.sub("", " ".join(str(error).split())), 160)
        raise InvalidModel(
            f"opset {present} is too old for {precision} and {what} can't be raised to {least} ({reason}); "
            f"export the model with opset {least} or newer"
        ) from error
    for graph in graphs_below(converted.graph):
        for node in graph.node:
            if node.domain == _HELD:
                node.domain = ""
    imports = [entry for entry in converted.opset_import if entry.domain != _HELD]
    del converted.opset_import[:]
    converted.opset_import.extend(imports)
    replace_graph(model, converted)
    minimum = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.ir_version = max(model.ir_version, minimum)


def _converted(light: onnx.ModelProto, least: int) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(light, least)
    except Exception:
        # The converter replaces tensors, and loses those that a body reads: they get a name that stays.
        if not _name_captured(light.graph):
            raise
        return onnx.version_converter.convert_version(light, least)


def _unconverted(light: onnx.ModelProto, least: int) -> onnx.NodeProto | None:
    """The first node that the converter refuses alone too."""
    try:
        known = inferred(light).graph
    except Exception:  # then the converter refuses the network for its shapes
        return None
    values = {v.name: v for v in (*known.value_info, *known.output, *known.input)}
    stored = {tensor.name: tensor for tensor in light.graph.initializer}
    nodes: Nodes = list(light.graph.node)
    for node in nodes:
        read = {name for name in (*node.input, *captured_by(node)) if name}
        alone = onnx.helper.make_graph(
            [node],
            "alone",
            [values[name] for name in sorted(read - stored.keys()) if name in values],
            [values[name] for name in node.output if name in values],
            [stored[name] for name in sorted(read & stored.keys())],
        )
        try:
            imports = list(light.opset_import)
            model = onnx.helper.make_model(
                alone, opset_imports=imports, ir_version=light.ir_version
            )
            onnx.version_converter.convert_version(model, least)
        except Exception:  # whatever the converter raises
            return node
    return None


def _name_captured(graph: onnx.GraphProto) -> bool:
    """Let bodies read copies of what nodes around them make, in place; whether there was anything to copy."""
    captured = {name for node in graph.node for name in captured_by(node)}
    captured -= {value.name for value in graph.output}
    taken = {name for inner in graphs_below(graph) for node in inner.node for name in node.output}
    nodes: Nodes = []
    changed = False
    for node in graph.node:
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name and name in captured:
                inner = _unique(name, "converted", taken)
                node.output[place] = inner
                nodes.append(
                    onnx.helper.make_node("Identity", [inner], [name], name=f"{name}_copy")
                )
                changed = True
    _put(graph, nodes)
    return changed


def _put(graph: onnx.GraphProto, nodes: Nodes) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _unique(name: str, suffix: str, taken: set[str]) -> str:
    """A name that is not `taken`, and is from then on."""
    new, count = f"{name}_{suffix}", 0
    while new in taken:
        count += 1
        new = f"{name}_{suffix}_{count}"
    taken.add(new)
    return new


# ---- what the converter gets wrong


def _rewrite(light: onnx.ModelProto, present: int, least: int) -> None:
    """Rewrite nodes of a skeleton, in place, that would be converted wrongly from opset `present` to `least`."""
    rewriter = _Rewriter(light, present, least)
    rewriter.rewrite(light.graph)
    if rewriter.holds:
        light.opset_import.append(onnx.helper.make_opsetid(_HELD, 1))


class _Rewriter:
    """Puts other nodes in the place of some, in a graph and its bodies."""

    def __init__(self, light: onnx.ModelProto, present: int, least: int) -> None:
        self.model, self.present, self.least = light, present, least
        self.main = light.graph
        self.holds = False
        self.taken = {n for graph in graphs_below(light.graph) for n in _names_in(graph)}
        self.ranks: dict[str, int] | None = None

    def crosses(self, limit: int) -> bool:
        """Whether the opset is raised from below `limit` to it or beyond."""
        return self.present < limit <= self.least

    def rewrite(self, graph: onnx.GraphProto) -> None:
        nodes: Nodes = []
        for node in graph.node:
            for body in attribute_graphs(node):
                self.rewrite(body)
            nodes += self.instead(node, graph) if is_standard(node) else [node]
        _put(graph, nodes)

    def instead(self, node: onnx.NodeProto, graph: onnx.GraphProto) -> Nodes:
        """The nodes that take the place of one, mostly itself."""
        kind = node.op_type
        if kind in ("Upsample", "Resize") and self.crosses(_COORDINATES):
            return self.resized(node)
        if kind == "Hardmax" and self.crosses(_ONE_AXIS):
            return self.flattened(node)
        if kind == "GroupNormalization" and self.crosses(_PER_CHANNEL):
            return self.by_group(node)
        if kind == "BatchNormalization" and self.crosses(_PER_CHANNEL_MEAN):
            if not attribute(node, "spatial", 1):
                return self.by_element(node)
        elif kind == "Dropout" and self.crosses(_BOOLEAN_MASK):
            self.drop_mask(node, graph)
        if self.crosses(_BROADCASTING):
            return self.before_broadcasting(node)
        return [node]

    # ---- parts

    def name(self, node: onnx.NodeProto, suffix: str) -> str:
        return _unique(node.output[0], suffix, self.taken)

    def constant(self, node: onnx.NodeProto, suffix: str, value: np.ndarray) -> str:
        """Store a constant in the main graph, which bodies see too."""
        name = self.name(node, suffix)
        self.main.initializer.append(onnx.numpy_helper.from_array(value, name))
        return name

    def hold(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Keep a node, which is right as it is in the later opset, from the converter."""
        self.infer()
        node.domain = _HELD
        self.holds = True
        return node

    def infer(self) -> dict[str, int]:
        """The number of dimensions of tensors; what the converter can't infer behind held nodes is declared."""
        if self.ranks is None:
            try:
                known = inferred(self.model).graph
            except Exception:  # what is wrong with the graph is for the converter to say
                known = self.main
            listed = {value.name for value in self.main.value_info}
            self.main.value_info.extend(v for v in known.value_info if v.name not in listed)
            values = [*known.input, *known.output, *known.value_info]
            self.ranks = {
                v.name: len(v.type.tensor_type.shape.dim)
                for v in values
                if v.type.tensor_type.HasField("shape")
            }
            self.ranks |= {tensor.name: len(tensor.dims) for tensor in self.main.initializer}
        return self.ranks

    def stored(self, name: str) -> np.ndarray | None:
        tensor = next((t for t in self.main.initializer if t.name == name), None)
        if tensor is not None:
            return np.asarray(onnx.numpy_helper.to_array(tensor))
        node = next((n for n in self.main.node if name in n.output), None)
        if node is None or node.op_type != "Constant":
            return None
        value = attribute(node, "value")
        return None if value is None else np.asarray(onnx.numpy_helper.to_array(value))

    # ---- rules

    def resized(self, node: onnx.NodeProto) -> Nodes:
        """A resizing in the coordinates that it has, written as opset 11 and later do."""
        scales = node.input[1] if len(node.input) > 1 else ""
        values = self.stored(scales) if scales else _upsample_scales(node)
        mode = {"mode": "linear"}
        if _text(attribute(node, "mode", b"nearest")) not in _LINEAR:
            rounding = None if values is None else _nearest_mode(values)
            if rounding is None:
                return [node]
            mode = {"mode": "nearest", "nearest_mode": rounding}
        if not scales:
            if values is None:
                return [node]
            scales = self.constant(node, "scales", values)
        roi = self.constant(node, "roi", np.zeros(0, np.float32))
        resize = onnx.helper.make_node(
            "Resize", [node.input[0], roi, scales], list(node.output), name=node.name,
            coordinate_transformation_mode="asymmetric", **mode,
        )  # fmt: skip
        return [self.hold(resize)]

    def flattened(self, node: onnx.NodeProto) -> Nodes:
        """A Hardmax of the input as a matrix, and the shape back."""
        axis = int(attribute(node, "axis", 1))
        shape, matrix, chosen = (self.name(node, n) for n in ("shape", "matrix", "chosen"))
        make = onnx.helper.make_node
        return [
            make("Shape", [node.input[0]], [shape], name=shape),
            make("Flatten", [node.input[0]], [matrix], name=matrix, axis=axis),
            make("Hardmax", [matrix], [chosen], name=node.name or chosen, axis=1),
            make("Reshape", [chosen, shape], [node.output[0]], name=self.name(node, "back")),
        ]

    def by_group(self, node: onnx.NodeProto) -> Nodes:
        """An InstanceNormalization of the groups as channels, and the shape back."""
        shape, grouped, normal = (self.name(node, n) for n in ("shape", "grouped", "normal"))
        groups = self.constant(
            node, "groups", np.asarray([0, int(attribute(node, "num_groups")), -1], np.int64)
        )
        epsilon = float(attribute(node, "epsilon", 1e-5))
        make = onnx.helper.make_node
        return [
            make("Shape", [node.input[0]], [shape], name=shape),
            make("Reshape", [node.input[0], groups], [grouped], name=grouped),
            make(
                "InstanceNormalization", [grouped, *node.input[1:3]], [normal],
                name=node.name or normal, epsilon=epsilon,
            ),
            make("Reshape", [normal, shape], [node.output[0]], name=self.name(node, "back")),
        ]  # fmt: skip

    def by_element(self, node: onnx.NodeProto) -> Nodes:
        """A normalisation by a mean and variance of each element, written out."""
        data, scale, shift, mean, variance = node.input[:5]
        epsilon = self.constant(
            node, "epsilon", np.asarray([attribute(node, "epsilon", 1e-5)], np.float32)
        )
        centred, wide, deviation, normal, scaled = (
            self.name(node, n) for n in ("centred", "variance", "deviation", "normal", "scaled")
        )
        parts = [
            ("Sub", [data, mean], centred),
            ("Add", [variance, epsilon], wide),
            ("Sqrt", [wide], deviation),
            ("Div", [centred, deviation], normal),
            ("Mul", [normal, scale], scaled),
            ("Add", [scaled, shift], node.output[0]),
        ]
        made = [onnx.helper.make_node(kind, ins, [out], name=out) for kind, ins, out in parts]
        made[-1].name = node.name or node.output[0]
        return made

    def drop_mask(self, node: onnx.NodeProto, graph: onnx.GraphProto) -> None:
        """Take away a mask that nothing reads, whose type would be wrong."""
        if len(node.output) < 2:
            return
        mask = node.output[1]
        read = {name for one in graph.node for name in (*one.input, *captured_by(one))}
        if mask not in read and mask not in {value.name for value in graph.output}:
            del node.output[1:]

    def before_broadcasting(self, node: onnx.NodeProto) -> Nodes:
        """What operators before opset 7 say in another way, and the converter has no rule for."""
        kind = node.op_type
        if kind == "Cast" and isinstance(attribute(node, "to", 1), bytes):
            name = _text(attribute(node, "to"))
            _set(node, to=onnx.TensorProto.DataType.Value(name))
            return [self.hold(node)]
        if kind == "Pad" and attribute(node, "paddings") is not None:
            _set(node, pads=list(attribute(node, "paddings")), paddings=None)
            return [self.hold(node)]
        if kind == "Split" and self.present < 2:
            if len(node.input) > 1:
                sizes = self.stored(node.input[1])
                if sizes is None:
                    return [node]
                _set(node, split=[int(size) for size in sizes])
                del node.input[1:]
            return [self.hold(node)]
        if kind == "Upsample" and self.present < 2:
            scales = _upsample_scales(node)
            if scales is None:
                return [node]
            _set(
                node, scales=[float(s) for s in scales], height_scale=None, width_scale=None,
                mode="linear" if _text(attribute(node, "mode", b"nearest")) in _LINEAR else "nearest",
            )  # fmt: skip
            return [self.hold(node)]
        if kind in ("LpPool", "GlobalLpPool") and self.present < 2:
            _set(node, p=int(attribute(node, "p", 2.0)))
            return [self.hold(node)]
        if kind in _STRETCHING:
            return self.stretched(node)
        if kind == "PRelu":
            ranks = self.infer()
            rank, slopes = ranks.get(node.input[0], 0), ranks.get(node.input[1], 0)
            if slopes == 1 and rank > 2:
                return self.aligned(node, list(range(1, rank - 1)))
        return [node]

    def stretched(self, node: onnx.NodeProto) -> Nodes:
        """An operator whose second input is a part of the shape of the first, from `axis` on."""
        ranks = self.infer()
        broadcast, axis = attribute(node, "broadcast", 0), attribute(node, "axis")
        _set(node, broadcast=None, axis=None)
        rank, other = ranks.get(node.input[0]), ranks.get(node.input[1])
        if broadcast and axis is not None and rank is not None and other is not None:
            missing = rank - (axis % rank) - other
            if missing > 0:
                made = self.aligned(node, list(range(other, other + missing)))
                return [*made[:-1], self.hold(made[-1])]
        return [self.hold(node)]

    def aligned(self, node: onnx.NodeProto, axes: list[int]) -> Nodes:
        """The node behind an Unsqueeze of its second input."""
        wide = self.name(node, "aligned")
        before = onnx.helper.make_node("Unsqueeze", [node.input[1]], [wide], name=wide, axes=axes)
        node.input[1] = wide
        return [before, node]


def _names_in(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (name for node in graph.node for name in node.output)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (value.name for value in graph.input)


def _upsample_scales(node: onnx.NodeProto) -> np.ndarray | None:
    """The scales that an Upsample has as attributes, of all dimensions; None where it has none."""
    scales = attribute(node, "scales")
    if scales is None:
        height, width = attribute(node, "height_scale"), attribute(node, "width_scale")
        if height is None or width is None:
            return None
        scales = [1.0, 1.0, height, width]
    return np.asarray(scales, np.float32)


def _nearest_mode(scales: np.ndarray) -> str | None:
    """How a later Resize finds the nearest value as one before opset 11 did; None where no way does for all axes.

    The value behind is taken along axes that shrink, which makes a difference where places lie between two values.
    """
    shrinks = scales[scales < 1.0].astype(np.float64)
    if np.all(np.abs(1.0 / shrinks - np.rint(1.0 / shrinks)) < 1e-5):
        return "floor"
    return None if (scales > 1.0).any() else "ceil"


def _set(node: onnx.NodeProto, **values: Any) -> None:
    """Set attributes; None takes one away."""
    others = [entry for entry in node.attribute if entry.name not in values]
    made = [onnx.helper.make_attribute(n, v) for n, v in values.items() if v is not None]
    del node.attribute[:]
    node.attribute.extend([*others, *made])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
