"""Whether what meets in each node of a graph fits, which ONNX's checker leaves to the runtime: shapes, and memory.

A convolution whose weight takes other channels than its input has gets an output shape all the same, and so would
be counted, stored and built before a run refuses it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploykit import env
from deploykit.errors import UsageError
from deploykit.graph.element_types import tensor_bytes
from deploykit.graph.nodes import attribute, is_standard, node_name, opset
from deploykit.graph.operators import operator_of
from deploykit.graph.shapes import Shape
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx

#: Batches at which a graph whose batch is free is looked at: what fits at one of them is no misfit.
_BATCHES = (1, 2, 3, 4, 8)

#: Says what does not fit in a node, from the shapes of its inputs; "" where all does, or they do not tell.
Rule = Callable[[Any, Sequence["Shape | None"], GraphView], str]


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _convolution(node: onnx.NodeProto, shapes: Sequence[Shape | None], _: GraphView) -> str:
    operator = operator_of(node)
    place = (operator.weight if operator is not None else None) or 1
    data, weight = shapes[0], shapes[place] if len(shapes) > place else None
    if data is None or weight is None or len(weight) < 3:
        return ""
    group = int(attribute(node, "group", 1))
    transposed = node.op_type == "ConvTranspose"
    takes = weight[0] if transposed else weight[1] * group
    makes = weight[1] * group if transposed else weight[0]
    if len(data) != len(weight):
        return (
            f"its input {_text(data)} and its weight {_text(weight)} are not of as many dimensions"
        )
    if data[1] != takes:
        groups = f" in {group} groups" if group > 1 else ""
        wants = f"its weight {_text(weight)} takes {takes}{groups}"
        return f"its input {_text(data)} has {data[1]} channels and {wants}"
    bias = shapes[2] if node.op_type in ("Conv", "ConvTranspose") and len(shapes) > 2 else None
    if bias is not None and bias != (makes,):
        return f"its bias {_text(bias)} is not one value for each of its {makes} output channels"
    return "" if transposed else _window(node, data, weight[2:])


def _pooling(node: onnx.NodeProto, shapes: Sequence[Shape | None], _: GraphView) -> str:
    kernel, data = attribute(node, "kernel_shape"), shapes[0]
    return "" if data is None or kernel is None else _window(node, data, kernel)


def _window(node: onnx.NodeProto, data: Shape, kernel: Sequence[int]) -> str:
    """Whether a kernel finds a place in the data with its pads."""
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET", b"VALID", "VALID"):
        return ""
    planes = data[2:]
    pads = attribute(node, "pads") or [0] * 2 * len(planes)
    dilations = attribute(node, "dilations") or [1] * len(planes)
    if not len(planes) == len(kernel) == len(dilations) == len(pads) // 2:
        return ""
    for axis, size in enumerate(planes):
        if size + pads[axis] + pads[axis + len(planes)] < (kernel[axis] - 1) * dilations[axis] + 1:
            return f"its input {_text(data)} is smaller than its kernel {_text(kernel)}"
    return ""


def _product(node: onnx.NodeProto, shapes: Sequence[Shape | None], _: GraphView) -> str:
    a, b = shapes[0], shapes[1] if len(shapes) > 1 else None
    if not a or not b:
        return ""
    is_gemm = node.op_type == "Gemm"
    left = a[0] if is_gemm and attribute(node, "transA", 0) else a[-1]
    turned = is_gemm and attribute(node, "transB", 0)
    right = b[-1] if turned or len(b) == 1 else b[-2]
    if left == right:
        return ""
    return f"its operands {_text(a)} and {_text(b)} share no dimension, {left} meets {right}"


def _normalisation(node: onnx.NodeProto, shapes: Sequence[Shape | None], _: GraphView) -> str:
    data = shapes[0]
    by_value = not attribute(node, "spatial", 1)  # of old opsets: a mean for each value
    if data is None or len(data) < 2 or by_value:
        return ""
    for values in shapes[1:]:
        if values is not None and values != (data[1],):
            return f"its input {_text(data)} has {data[1]} channels and its values {_text(values)}"
    return ""


def _broadcast(_: onnx.NodeProto, shapes: Sequence[Shape | None], view: GraphView) -> str:
    if opset(view.model) < 7:  # it was told by attributes then
        return ""
    for a, b in itertools.combinations([shape for shape in shapes if shape], 2):
        if any(x != y and 1 not in (x, y) for x, y in zip(a[::-1], b[::-1], strict=False)):
            return f"its operands {_text(a)} and {_text(b)} can't be broadcast"
    return ""


def _concat(node: onnx.NodeProto, shapes: Sequence[Shape | None], _: GraphView) -> str:
    known = [shape for shape in shapes if shape]
    for a, b in itertools.pairwise(known):
        axis = int(attribute(node, "axis", 0)) % len(a)
        if len(a) != len(b) or any(
            x != y for i, (x, y) in enumerate(zip(a, b, strict=True)) if i != axis
        ):
            return f"its inputs {_text(a)} and {_text(b)} can't be joined along axis {axis}"
    return ""


def _reshape(node: onnx.NodeProto, shapes: Sequence[Shape | None], view: GraphView) -> str:
    data, target = shapes[0], view.constant(node.input[1]) if len(node.input) > 1 else None
    if data is None or target is None or attribute(node, "allowzero", 0):
        return ""
    wanted = [int(size) for size in target.ravel()]
    if any(size == 0 and place >= len(data) for place, size in enumerate(wanted)):
        return ""
    sizes = [data[place] if size == 0 else size for place, size in enumerate(wanted)]
    known = math.prod(size for size in sizes if size >= 0)
    values = math.prod(data)
    if values == known if -1 not in sizes else known and values % known == 0:
        return ""
    return f"its input {_text(data)} has {values:,} values, which do not make {_text(wanted)}"


def _recurrent(_: onnx.NodeProto, shapes: Sequence[Shape | None], __: GraphView) -> str:
    data, weight = shapes[0], shapes[1] if len(shapes) > 1 else None
    if data is None or weight is None or len(data) != 3 or len(weight) != 3 or data[2] == weight[2]:
        return ""
    wants = f"its weight {_text(weight)} takes {weight[2]}"
    return f"its input {_text(data)} has {data[2]} values a step and {wants}"


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"), _convolution),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pooling),
    **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger"), _product),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _normalisation),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "Concat": _concat,
    "Reshape": _reshape,
    **dict.fromkeys(
        "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual "
        "Max Mean Min Mod Mul Or Pow Sub Sum Where Xor".split(),
        _broadcast,
    ),
}


def misfits(view: GraphView) -> dict[str, str]:
    """What does not fit in which nodes of the main graph, by name, at the sizes that the view was made with."""
    found = {}
    for node in view.nodes:
        if not is_standard(node) or not node.input:
            continue
        rule = _RULES.get(node.op_type)
        if rule is None:
            continue
        shapes = [view.shape(name) if name else None for name in node.input]
        said = rule(node, shapes, view)
        if said:
            found[node_name(node)] = f"node {node_name(node)!r} ({node.op_type}): {said}"
    return found


def require_fit(model: onnx.ModelProto, view: GraphView | None = None, taken: str = "") -> None:
    """Refuse a graph with a node whose operands do not fit each other.

    Args:
        model: whose only free dimension is the batch.
        view: of the model, at batch 1; None makes one.
        taken: what was taken for what the file leaves open; empty where it leaves nothing open.

    Raises:
        UsageError: names the node, and what meets there.
    """
    first = misfits((view or GraphView(model)).expanded)
    if not first:
        return
    free = {
        dim.dim_param
        for value in GraphView(model).inputs
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    for batch in _BATCHES[1:] if free else ():
        later = misfits(GraphView(model, dims=dict.fromkeys(free, batch)).expanded)
        first = {name: text for name, text in first.items() if name in later}
        if not first:
            return
    text = next(iter(first.values()))
    if taken:
        raise UsageError(f"with what is {taken}, {text}: give sizes with --shape or --dim")
    raise UsageError(f"{text}; export the model again, or give --shape if it leaves sizes open")


def require_memory(view: GraphView) -> None:
    """Refuse a graph with a node that needs more memory than is left, for what it reads and makes of one image.

    Sizes are taken from inference, so that nothing is allocated to find out.

    Raises:
        UsageError: names the node, its largest tensor and the bytes.
    """
    view = view.expanded
    for node in view.nodes:
        sizes = {name: _bytes(view, name) for name in (*node.input, *node.output) if name}
        total = sum(sizes.values())
        if total <= env.LITTLE_BYTES:
            continue
        left = env.memory_left_bytes()
        if left is not None and total > left:
            largest = max(sizes, key=lambda name: sizes[name])
            shape = _text(view.shape(largest) or ())
            raise UsageError(
                f"node {node_name(node)!r} ({node.op_type}) reads and makes {total / 2**30:.3g} GiB, most of all "
                f"{largest!r} of {shape}, and {left / 2**30:.3g} GiB of memory are left: give smaller inputs, or "
                "use a machine with more"
            )


def _bytes(view: GraphView, name: str) -> int:
    """Bytes of a tensor, by its inferred shape; 0 where nothing tells."""
    shape, kind = view.shape(name), view.shapes.element_type(name)
    if shape is None or kind is None:
        return 0
    try:
        return tensor_bytes(math.prod(shape), kind) or 0
    except (KeyError, TypeError, ValueError):  # strings have no size
        return 0
