"""Products written in another form of equal value, for which runtimes have integer kernels.

A Gemm loses its factors, its transposed or constant first operand and a bias that is none per channel. A MatMul
gets its constant as the second operand, as a matrix where it is one; an Einsum that is such a product becomes one.
A bias of a convolution that other nodes compute is added behind it. A transposed convolution becomes the
convolution that computes all phases of its output as channels, which are then put in their places (Shi et al.,
Real-Time Single Image and Video Super-Resolution, 2016): where the stride divides the kernel with no more work.

The product itself keeps the node's name, and what comes last makes its output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Any

from deploykit.graph.edit import GraphEditor
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import attribute, attribute_graphs, is_standard, node_name
from deploykit.graph.precision.recipe import KeepRules, body_editors, per_channel
from deploykit.graph.shapes import infer, skeleton
from deploykit.graph.transposed import padding_of
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Columns of a batch of matrices share a scale up to this ratio of their largest values: the least loses two bits.
WIDEST_COLUMNS = 4.0

#: Of a transposed convolution with strides and dilations, how many times the products it may take in integers.
LARGEST_SPREAD = 4

#: A node behind a product: its operator, its further inputs, its attributes.
Step = tuple[str, "list[str]", "dict[str, Any]"]

#: An Einsum of two operands that names its result.
_EINSUM = re.compile(r"([A-Za-z.]+),([A-Za-z.]+)->([A-Za-z.]+)")

#: To the end, as Slice has it.
_END = 2**63 - 1


def write_integer_forms(model: onnx.ModelProto, keep: KeepRules) -> int:
    """Rewrite the products of a model that are not kept, in place, and those in bodies; returns how many were.

    Args:
        model: with BatchNorm folded.
        keep: layers that stay as they are.
    """
    shapes = _shapes(model)
    editor = GraphEditor(model)
    written = 0
    for _, body in body_editors(editor):
        written += _write(body, keep, shapes)
        body.finish()
    written += _write(editor, keep, shapes)
    editor.finish()
    return written


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shapes of all tensors by inference, 0 where a size is open; without names that stand for several."""
    found: dict[str, list[int]] = {}
    several: set[str] = set()
    waiting = [infer(skeleton(model), data_prop=True).graph]
    while waiting:
        graph = waiting.pop()
        waiting += [body for node in graph.node for body in attribute_graphs(node)]
        for value in [*graph.input, *graph.value_info, *graph.output]:
            if value.type.tensor_type.HasField("shape"):
                shape = [int(d.dim_value) for d in value.type.tensor_type.shape.dim]
                if found.setdefault(value.name, shape) != shape:
                    several.add(value.name)
    return {name: shape for name, shape in found.items() if name not in several}


def _write(editor: GraphEditor, keep: KeepRules, shapes: Mapping[str, Sequence[int]]) -> int:
    written = 0
    for node in editor.live_nodes():
        if not is_standard(node) or keep.keeps(node) or not _all_float(editor, node):
            continue
        if node.op_type == "Gemm":
            written += _plain_gemm(editor, node)
        elif node.op_type == "MatMul":
            written += _plain_matmul(editor, node, shapes)
        elif node.op_type == "ConvTranspose":
            written += _as_convolution(editor, node, shapes)
        elif node.op_type == "Conv":
            written += _bias_apart(editor, node)
        elif node.op_type == "Einsum":
            written += _plain_einsum(editor, node, shapes)
    return written


def _all_float(view: GraphView, node: onnx.NodeProto) -> bool:
    return all(view.types.get(name) == ElementType.FLOAT for name in node.input if name)


def _constant(view: GraphView, name: str) -> np.ndarray | None:
    value = view.constant(name) if name and view.is_constant(name) else None
    return None if value is None or not value.size else value


def _put(
    editor: GraphEditor, old: onnx.NodeProto, op_type: str, inputs: Sequence[str], **attributes: Any
) -> tuple[onnx.NodeProto, str]:
    """Put a product in the place of another, with its name; returns it and the output that is still to be made."""
    result, name = old.output[0], node_name(old)
    made = editor.unique(f"{result}_product")
    new = onnx.helper.make_node(op_type, list(inputs), [made], name=name, **attributes)
    editor.replace(old, new)
    return new, result


def _behind(
    editor: GraphEditor,
    node: onnx.NodeProto,
    steps: Sequence[tuple[str, list[str], dict[str, Any]]],
    result: str,
) -> None:
    """Put nodes behind a product, one after the other; the last makes `result`."""
    if not steps:
        editor.take_over(node, node.output[0], result)
        return
    source = node.output[0]
    for index, (op_type, inputs, attributes) in enumerate(steps):
        last = index == len(steps) - 1
        source = editor.add_node(
            op_type, [source, *inputs], result if last else f"{result}_{op_type}",
            name=f"{node.name}_{op_type}", exact_output=last, **attributes,
        )  # fmt: skip


# ---- matrix products


def _plain_gemm(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    transposed = [bool(attribute(node, name, 0)) for name in ("transA", "transB")]
    first, second = (_constant(editor, name) for name in node.input[:2])
    swapped = first is not None and second is None
    weight = first if swapped else second
    if weight is None or weight.ndim != 2 or (first is not None and second is not None):
        return False
    data, place = (node.input[1], 0) if swapped else (node.input[0], 1)
    if swapped:  # the product's transpose: the constant comes second there
        transposed = [not transposed[1], not transposed[0]]
    offset = node.input[2] if len(node.input) > 2 else ""
    bias = _constant(editor, offset)
    channels = weight.shape[0 if transposed[1] else 1]
    if bias is not None:
        turned = bias.T if swapped and bias.ndim == 2 else bias.reshape(-1, 1) if swapped else bias
        fits = turned.size == 1 or turned.size == channels == turned.shape[-1]
        within = per_channel(turned, channels) if fits else None
    else:
        within = None
    apart = bool(offset) and within is None and beta != 0.0
    plain = alpha == 1.0 and not transposed[0] and not swapped and not apart
    if plain and beta == 1.0:
        return False
    if alpha != 1.0:
        scaled = (weight.astype(np.float64) * alpha).astype(np.float32)
        if not np.isfinite(scaled).all():
            return False
        name = editor.add_initializer(f"{node.input[place]}_alpha", scaled)
    else:
        name = node.input[place]
    if transposed[0]:
        data = editor.add_node("Transpose", [data], f"{data}_transposed", perm=[1, 0])
    inputs = [data, name]
    if within is not None and beta != 0.0:
        inputs.append(
            editor.add_initializer(
                f"{offset}_beta", (within.astype(np.float64) * beta).astype(np.float32)
            )
        )
    steps: list[Step] = []
    if swapped:
        steps.append(("Transpose", [], {"perm": [1, 0]}))
    if apart:
        if beta != 1.0:
            factor = editor.add_initializer(f"{offset}_factor", np.asarray(beta, np.float32))
            offset = editor.add_node("Mul", [offset, factor], f"{offset}_beta")
        steps.append(("Add", [offset], {}))
    gemm, result = _put(editor, node, "Gemm", inputs, transB=int(transposed[1]))
    _behind(editor, gemm, steps, result)
    return True


def _plain_matmul(
    editor: GraphEditor, node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]
) -> bool:
    first, second = (_constant(editor, name) for name in node.input)
    if (first is None) == (second is None):
        return False
    turned = second is None
    weight = first if turned else second
    data = node.input[1 if turned else 0]
    rank = len(shapes[data]) if data in shapes else 0
    assert weight is not None
    if rank < 2 or (weight.ndim == 2 and not turned) or (turned and weight.ndim < 2):
        return False
    base = node.input[0 if turned else 1]
    steps: list[Step] = []
    whole = max(rank, weight.ndim)
    if turned:  # A X is the transpose of X' A'
        weight = np.swapaxes(weight, -1, -2)
        data = editor.add_node("Transpose", [data], f"{data}_transposed", perm=_swapped(rank))
        steps.append(("Transpose", [], {"perm": _swapped(whole)}))
    elif weight.ndim == 1:
        weight = weight.reshape(-1, 1)
        axes = editor.add_initializer(f"{base}_axes", np.asarray([-1], np.int64))
        steps.append(("Squeeze", [axes], {}))
    if weight.ndim <= rank and math.prod(weight.shape[:-2]) == 1:
        weight = weight.reshape(weight.shape[-2:])
    elif weight.ndim > 2:
        # One scale is all that a batch of matrices can have: columns of very different size get one behind it.
        peak = np.max(np.abs(weight), axis=-2, keepdims=True)
        peak = np.where(peak > 0, peak, peak.max(initial=0) or 1)
        if np.isfinite(peak).all() and peak.max() > WIDEST_COLUMNS * peak.min():
            factor = (peak / peak.max()).astype(np.float32)
            weight = (weight.astype(np.float64) / factor).astype(np.float32)
            steps.insert(0, ("Mul", [editor.add_initializer(f"{base}_columns", factor)], {}))
    name = editor.add_initializer(f"{base}_matrices", weight)
    product, result = _put(editor, node, "MatMul", [data, name])
    _behind(editor, product, steps, result)
    return True


def _plain_einsum(
    editor: GraphEditor, node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]
) -> bool:
    """Write the contraction of an activation with a constant as the MatMul that it is, such as "bnd,dhe->bhne".

    What is kept of the activation comes first, then what is summed over, as one axis; what the constant adds is one
    axis behind, which is then parted and put in its place.
    """
    if len(node.input) != 2 or sum(map(editor.is_constant, node.input)) != 1:
        return False
    place = 0 if editor.is_constant(node.input[0]) else 1
    data, name = node.input[1 - place], node.input[place]
    weight, known = _constant(editor, name), shapes.get(data, ())
    form = _EINSUM.fullmatch(attribute(node, "equation", b"").decode().replace(" ", ""))
    if weight is None or form is None:
        return False
    axes = _Contraction.of(form[2 - place], form[1 + place], form[3], len(known))
    if axes is None or len(axes.second) != weight.ndim:
        return False
    # A size of 1 would be repeated by an Einsum, where a MatMul refuses it.
    sizes = dict(zip(axes.second, weight.shape, strict=True))
    if any(known[axes.first.index(axis)] != sizes[axis] for axis in axes.summed):
        return False

    def stored(what: str, values: np.ndarray) -> str:
        return editor.add_initializer(f"{node.input[place]}_{what}", values)

    def shape(*ends: int) -> np.ndarray:
        return np.asarray([0] * len(axes.kept) + [*ends], np.int64)  # 0 leaves a size as it is

    ordered = axes.kept + axes.summed
    if ordered != axes.first:
        perm = [axes.first.index(axis) for axis in ordered]
        data = editor.add_node("Transpose", [data], f"{data}_transposed", perm=perm)
    if len(axes.summed) > 1:
        joined = stored("summed", shape(-1))
        data = editor.add_node("Reshape", [data, joined], f"{data}_joined")
    rows = math.prod(sizes[axis] for axis in axes.summed)
    order = axes.summed + axes.made
    matrix = weight.transpose([axes.second.index(axis) for axis in order]).reshape(rows, -1)
    if matrix.shape != weight.shape or order != axes.second:
        name = stored("matrix", matrix)
    product, result = _put(editor, node, "MatMul", [data, name])
    steps: list[Step] = []
    if len(axes.made) > 1:
        parted = stored("made", shape(*(sizes[axis] for axis in axes.made)))
        steps.append(("Reshape", [parted], {}))
    if axes.kept + axes.made != axes.result:
        perm = [(axes.kept + axes.made).index(axis) for axis in axes.result]
        steps.append(("Transpose", [], {"perm": perm}))
    _behind(editor, product, steps, result)
    return True


@dataclass(frozen=True)
class _Contraction:
    """The axes of a contraction, a letter each: of its operands and result, and what becomes of them."""

    first: str
    second: str
    result: str

    @classmethod
    def of(cls, first: str, second: str, result: str, rank: int) -> _Contraction | None:
        """The axes where `first` has that many; None where the contraction is none of a matrix.

        Each axis is then kept of the first operand, added by the second, or summed over in both.
        """
        free = [letter for letter in ascii_letters if letter not in first + second + result]
        more = rank - len(first.replace("...", ""))
        if ("..." in first) != ("..." in result) or "..." in second or not 0 <= more <= len(free):
            return None
        if more and "..." not in first:
            return None
        first, result = (text.replace("...", "".join(free[:more])) for text in (first, result))
        axes = cls(first, second, result)
        roles = (
            (first, axes.kept + axes.summed),
            (second, axes.summed + axes.made),
            (result, axes.kept + axes.made),
        )
        whole = all(len(text) == len(set(text)) and set(text) == set(has) for text, has in roles)
        return axes if whole and axes.kept and axes.summed and axes.made else None

    @property
    def kept(self) -> str:
        """Those of the first operand that the second has not, as the result has them."""
        return "".join(a for a in self.result if a in self.first and a not in self.second)

    @property
    def summed(self) -> str:
        """Those that both operands have and the result has not."""
        return "".join(a for a in self.first if a in self.second and a not in self.result)

    @property
    def made(self) -> str:
        """Those of the second operand alone, as the result has them."""
        return "".join(a for a in self.result if a in self.second and a not in self.first)


def _bias_apart(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Add a convolution's bias that is computed behind it: integer kernels take stored ones alone."""
    weight = _constant(editor, node.input[1])
    offset = node.input[2] if len(node.input) > 2 else ""
    if weight is None or weight.ndim < 3 or not offset or editor.is_constant(offset):
        return False
    if editor.is_constant(node.input[0]):
        return False
    axes = np.arange(1, weight.ndim - 1, dtype=np.int64)
    stored = editor.add_initializer(f"{offset}_axes", axes)
    spread = editor.add_node("Unsqueeze", [offset, stored], f"{offset}_spread")
    product, result = _put(editor, node, "Conv", node.input[:2])
    product.attribute.extend(node.attribute)
    _behind(editor, product, [("Add", [spread], {})], result)
    return True


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


# ---- transposed convolutions


def _as_convolution(
    editor: GraphEditor, node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]
) -> bool:
    weight = _constant(editor, node.input[1])
    bias_name = node.input[2] if len(node.input) > 2 else ""
    bias = _constant(editor, bias_name)
    if weight is None or weight.ndim < 3 or (bias_name and bias is None):
        return False
    if editor.is_constant(node.input[0]):
        return False
    dims = weight.ndim - 2
    ones = [1] * dims
    strides = [int(s) for s in attribute(node, "strides", ones)]
    dilations = [int(d) for d in attribute(node, "dilations", ones)]
    known = shapes.get(node.input[0])
    size = None
    if known is not None and len(known) == dims + 2 and all(known[2:]):
        size = [int(n) for n in known[2:]]
    kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    padding = padding_of(node, kernel, strides, size)
    if padding is None:
        return False
    if set(strides) != {1} and dilations != ones:
        # The phases of a stride meet the values between those of the filter too, which are 0.
        if math.prod(kernel) > LARGEST_SPREAD * math.prod(weight.shape[2:]):
            return False
        weight, dilations = _spread(weight, dilations), ones
    plan = _Phases(weight.shape[2:], strides, dilations, *padding)
    places = plan.places(size)
    if places is None:
        return False
    group, phases = int(attribute(node, "group", 1)), math.prod(strides)
    name = editor.add_initializer(f"{node.input[1]}_phases", plan.weight(weight, group))
    inputs = [node.input[0], name]
    if bias is not None:
        inputs.append(
            editor.add_initializer(f"{bias_name}_phases", np.repeat(bias.reshape(-1), phases))
        )
    channels = weight.shape[1] * group
    activation = _activation(editor, node)
    product, result = _put(
        editor, node, "Conv", inputs, group=group, pads=plan.conv_pads,
        kernel_shape=list(plan.taps), strides=ones, dilations=dilations,
    )  # fmt: skip
    steps: list[Step] = []
    if (
        activation is not None
    ):  # value by value: it may as well come first, where it is part of the product
        steps.append((activation.op_type, list(activation.input[1:]), {}))
        result = activation.output[0]
        editor.remove(activation)
    if phases > 1:
        steps += _shuffled(editor, node, strides, channels, places)
    if plan.crops:
        steps.append(("Slice", _window(editor, node, plan), {}))
    _behind(editor, product, steps, result)
    return True


def _spread(weight: np.ndarray, dilations: Sequence[int]) -> np.ndarray:
    """A filter with zeros between its values, so that it needs no dilation."""
    sizes = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    spread = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    spread[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight
    return spread


def _activation(editor: GraphEditor, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The ReLU or Clip that alone reads what a node makes."""
    readers = editor.consumers(node.output[0])
    if len(readers) != 1 or not editor.read_only_by(node.output[0], readers[0][0]):
        return None
    reader, slot = readers[0]
    return (
        reader if is_standard(reader) and reader.op_type in ("Relu", "Clip") and slot == 0 else None
    )


def _shuffled(
    editor: GraphEditor,
    node: onnx.NodeProto,
    strides: Sequence[int],
    channels: int,
    places: list[int],
) -> list[Step]:
    """The nodes that put phases, which are channels, between each other along the axes."""
    dims = len(strides)
    if dims == 2 and strides[0] == strides[1]:
        return [("DepthToSpace", [], {"blocksize": strides[0], "mode": "CRD"})]
    apart = [0, channels, *strides, *places]
    joined = [0, channels, *(n if n < 0 else n * s for n, s in zip(places, strides, strict=True))]
    pairs = [axis for k in range(dims) for axis in (2 + dims + k, 2 + k)]
    shapes = [
        editor.add_initializer(f"{node.input[1]}_{what}", np.asarray(shape, np.int64))
        for what, shape in (("apart", apart), ("joined", joined))
    ]
    return [
        ("Reshape", [shapes[0]], {}),
        ("Transpose", [], {"perm": [0, 1, *pairs]}),
        ("Reshape", [shapes[1]], {}),
    ]


def _window(editor: GraphEditor, node: onnx.NodeProto, plan: _Phases) -> list[str]:
    starts = [first for first, _ in plan.crop]
    ends = [-last if last else _END for _, last in plan.crop]
    axes = list(range(2, 2 + len(starts)))
    return [
        editor.add_initializer(f"{node.input[1]}_{what}", np.asarray(values, np.int64))
        for what, values in (("starts", starts), ("ends", ends), ("axes", axes))
    ]


class _Phases:
    """A transposed convolution along its axes, phase by phase of the stride.

    Without padding, value q * stride + r of the result is the sum of x[q - j] * w[r + j * stride] over j: each
    phase r is a convolution of `taps` values.

    Attributes:
        taps: size of the convolution's window.
        conv_pads: its pads.
        crop: what is then to be cut off at the begin and the end of each axis.
        crops: whether anything is.
    """

    def __init__(
        self,
        kernel: Sequence[int],
        strides: Sequence[int],
        dilations: Sequence[int],
        pads: Sequence[int],
        more: Sequence[int],
    ) -> None:
        dims = len(kernel)
        self.strides = list(strides)
        self.taps = [-(-k // s) for k, s in zip(kernel, strides, strict=True)]
        begins, ends, self.crop = [], [], []
        windows = [(t - 1) * d + 1 for t, d in zip(self.taps, dilations, strict=True)]
        self._windows = windows
        kernel = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        for k, s, taps, begin, end, extra in zip(
            kernel, strides, windows, pads[:dims], pads[dims:], more, strict=True
        ):
            whole = min(begin // s, taps - 1)  # phases of the begin that need not be computed
            behind = max(0, -(-(k + extra - end - s) // s))
            begins.append(taps - 1 - whole)
            ends.append(behind)
            self.crop.append((begin - whole * s, (behind + 1) * s - k - extra + end))
        self.conv_pads = [*begins, *ends]
        self.crops = any(first or last for first, last in self.crop)

    def places(self, size: Sequence[int] | None) -> list[int] | None:
        """The values that the convolution makes along each axis, -1 where nobody asks; None if not known."""
        dims = len(self.taps)
        if (
            dims == 1
            or (dims == 2 and self.strides[0] == self.strides[1])
            or set(self.strides) == {1}
        ):
            return [-1] * dims
        if size is None or len(size) != dims:
            return None
        begins, ends = self.conv_pads[:dims], self.conv_pads[dims:]
        return [
            n + b + e - t + 1 for n, b, e, t in zip(size, begins, ends, self._windows, strict=True)
        ]

    def weight(self, weight: np.ndarray, group: int) -> np.ndarray:
        """The convolution's weight, output channels before phases, of one (inputs, outputs of a group, ...)."""
        dims = len(self.taps)
        inputs, outputs = weight.shape[:2]
        split = [n for pair in zip(self.taps, self.strides, strict=True) for n in pair]
        whole = [t * s for t, s in zip(self.taps, self.strides, strict=True)]
        room = [(0, n - k) for n, k in zip(whole, weight.shape[2:], strict=True)]
        filled = np.pad(weight, [(0, 0), (0, 0), *room])
        parts = filled.reshape(group, inputs // group, outputs, *split)
        taps, phases = range(3, 3 + 2 * dims, 2), range(4, 4 + 2 * dims, 2)
        turned = np.flip(parts, axis=tuple(taps)).transpose(0, 2, *phases, 1, *taps)
        return np.ascontiguousarray(turned.reshape(-1, inputs // group, *self.taps))
