"""Folding what follows a convolution or matrix product into its weights: BatchNorm, per-channel scale and shift.

The factors are multiplied in float64 and rounded once. Only where the product's output has no other
reader, so that nothing else changes its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploykit.errors import BuildFailed
from deploykit.graph.edit import GraphEditor
from deploykit.graph.element_types import tensor_bytes
from deploykit.graph.nodes import attribute, attribute_graphs, captured_by, is_standard
from deploykit.graph.operators import Trait, operator_of
from deploykit.graph.read_write import open_proto
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx
from deploykit.ort_session import session_options

#: Weights of more bytes are not computed.
LARGEST_BYTES = 1 << 29


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift per channel (axis 1); either may be one number for all channels."""

    scale: np.ndarray
    shift: np.ndarray


def fold_batchnorm(
    model: onnx.ModelProto, wanted: Callable[[GraphView, onnx.NodeProto], bool] | None = None
) -> int:
    """Fold BatchNorm and per-channel Mul, Add, Sub, Div into the product before; the model is changed.

    Outputs stay the same up to rounding. A product whose output something else reads, too, is left alone,
    as is a BatchNorm in training mode or one with statistics that are no constants.

    Args:
        model: the model, changed in place.
        wanted: says of a node behind a product whether it is to be folded; None folds all.

    Returns:
        The number of nodes folded away.
    """
    editor = GraphEditor(model)
    folded = 0
    for node in editor.live_nodes():
        if _is_foldable(node):
            folded += _fold_into(editor, node, wanted)
    if folded or wanted is None:
        editor.finish()
    return folded


def _is_foldable(node: onnx.NodeProto) -> bool:
    """Whether a per-channel factor behind it can move into its weight and bias: a product that has a bias."""
    operator = operator_of(node)
    return (
        is_standard(node)
        and operator is not None
        and Trait.PRODUCT in operator.traits
        and operator.bias is not None
    )


def compute_fixed_operands(model: onnx.ModelProto) -> int:
    """Store the weights and biases that nodes compute from stored tensors alone, as weight normalisation does.

    Recipes look at a product's weight; what ONNX Runtime would fold when it loads the graph is computed here by it.
    Products in bodies of If, Loop and Scan get theirs in the body, wherever it is computed.

    Args:
        model: the model, changed in place.

    Returns:
        How many were computed; none where they take too many bytes, or ONNX Runtime can't compute them.
    """
    return _compute_fixed(GraphEditor(model))


def _compute_fixed(editor: GraphEditor) -> int:
    """What `compute_fixed_operands` does, of one graph and of the bodies below it, which are finished first."""
    below = sum(
        _compute_fixed(GraphEditor(editor.model, graph=body, outer=editor))
        for node in editor.nodes
        if node.op_type != "SequenceMap"  # whose products no recipe takes
        for body in attribute_graphs(node)
    )
    wanted = list(
        dict.fromkeys(
            name
            for node in editor.nodes
            if _is_foldable(node) or node.op_type == "MatMul"
            if not editor.all_fixed(node)
            for name in node.input
            if name and editor.is_fixed(name) and not editor.is_visible_constant(name)
        )
    )
    values = _computed(editor, wanted) if wanted else {}
    for name, value in values.items():
        stored = editor.add_initializer(f"{name}_computed", value)
        for reader, slot in editor.consumers(name):
            editor.set_input(reader, slot, stored)
    if values or below:
        editor.finish()
    return len(values) + below


def _computed(view: GraphView, names: Sequence[str]) -> dict[str, np.ndarray]:
    """What nodes, of graphs around too, make of stored tensors alone, by name; float32 ones."""
    around = [view]  # outermost first, as they run
    while (outer := around[0].outer) is not None:
        around.insert(0, outer)
    needed: set[int] = set()
    read: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        makers = (one.producer(name) for one in around)
        node = next((maker for maker in makers if maker is not None), None)
        if node is None:
            read[name] = None
        elif id(node) not in needed:
            needed.add(id(node))
            sources = _without_example(view, node).input
            waiting += [source for source in (*sources, *captured_by(node)) if source]
    stored = [
        tensor for name in read for one in around if (tensor := one.initializer(name)) is not None
    ]
    if sum(tensor_bytes(math.prod(t.dims), t.data_type) for t in stored) > LARGEST_BYTES:
        return {}
    graph = onnx.helper.make_graph(
        [
            _without_example(view, node)
            for one in around
            for node in one.nodes
            if id(node) in needed
        ],
        "fixed",
        [],
        [onnx.helper.make_empty_tensor_value_info(name) for name in names],
        stored,
    )
    opsets = view.model.opset_import
    part = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=view.model.ir_version)
    try:
        session = open_proto(part, session_options(optimise=False), BuildFailed)
        values = dict(zip(names, session.run(list(names), {}), strict=True))
    except (
        Exception
    ):  # whatever ONNX Runtime raises: the product then stays in float, and it is said why
        return {}
    return {name: value for name, value in values.items() if value.dtype == np.float32}


def _without_example(view: GraphView, node: onnx.NodeProto) -> onnx.NodeProto:
    """A CastLike as the Cast that it is, where the type is known: of what it casts like, nothing else is read."""
    kind = view.types.get(node.input[1]) if node.op_type == "CastLike" else None
    if not kind:
        return node
    return onnx.helper.make_node("Cast", node.input[:1], node.output, name=node.name, to=kind)


def remove_passing_nodes(model: onnx.ModelProto) -> int:
    """Remove Identity, inference-mode Dropout and Casts to the same type; outputs stay the same.

    The model is changed.

    Returns:
        The number of nodes removed.
    """
    editor = GraphEditor(model)
    removed = 0
    for node in editor.live_nodes():
        if is_standard(node) and _passes_on(editor, node):
            removed += editor.bypass(node)
    editor.finish()
    return removed


def _passes_on(view: GraphView, node: onnx.NodeProto) -> bool:
    if node.op_type == "Identity":
        return not view.is_constant(node.input[0])
    if node.op_type == "Cast":
        same = view.types.get(node.input[0]) == attribute(node, "to")
        return same and not view.is_constant(node.input[0])
    if node.op_type != "Dropout" or any(view.is_read(name) for name in node.output[1:]):
        return False
    if len(node.input) > 2 and node.input[2]:
        training = view.constant(node.input[2])
        return training is not None and not bool(training)
    return True


def _fold_into(
    editor: GraphEditor,
    product: onnx.NodeProto,
    wanted: Callable[[GraphView, onnx.NodeProto], bool] | None,
) -> int:
    folded = 0
    while True:
        output = product.output[0]
        readers = editor.consumers(output)
        if len(readers) != 1 or not editor.read_only_by(output, readers[0][0]):
            return folded
        follower, slot = readers[0]
        if wanted is not None and not wanted(editor, follower):
            return folded
        affine = _affine(editor, follower, slot, _channel_axis_rank(editor, product))
        if affine is None or not _apply(editor, product, affine):
            return folded
        # The product takes over the follower's output name, which readers and graph outputs go by.
        name = follower.output[0]
        editor.remove(follower)
        editor.take_over(product, output, name)
        folded += 1


def _channel_axis_rank(view: GraphView, product: onnx.NodeProto) -> int | None:
    """Rank of the product's output: that of the weight, which is the same for all three operators."""
    weight = view.constant(product.input[1])
    return None if weight is None else weight.ndim


def _affine(view: GraphView, node: onnx.NodeProto, slot: int, rank: int | None) -> Affine | None:
    if rank is None or not is_standard(node):
        return None
    if node.op_type == "BatchNormalization":
        return batchnorm_affine(view, node)
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or len(node.input) != 2:
        return None
    if slot == 1 and node.op_type in ("Sub", "Div"):
        return None
    value = view.constant(node.input[1 - slot])
    channel = None if value is None else _per_channel(value, rank)
    if channel is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type == "Mul":
        return Affine(channel, zero)
    if node.op_type == "Div":
        return Affine(1.0 / channel, zero) if np.all(channel != 0) else None
    return Affine(one, channel if node.op_type == "Add" else -channel)


def _per_channel(value: np.ndarray, rank: int) -> np.ndarray | None:
    """The value as one number per channel (axis 1 of `rank`), if it does not vary along other axes."""
    if value.dtype != np.float32 or value.ndim > rank:
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(n != 1 for axis, n in enumerate(shape) if axis != 1):
        return None
    return value.reshape(-1).astype(np.float64)


def batchnorm_affine(view: GraphView, node: onnx.NodeProto) -> Affine | None:
    """A BatchNorm's scale and shift per channel; None in training mode or with statistics not constant."""
    if attribute(node, "training_mode", 0) or len([name for name in node.output if name]) > 1:
        return None
    if attribute(node, "spatial", 1) != 1:
        return None
    values = [view.constant(name) for name in node.input[1:5]]
    if len(values) != 4 or any(v is None or v.dtype != np.float32 for v in values):
        return None
    gamma, beta, mean, variance = (np.asarray(v, dtype=np.float64) for v in values)
    scale = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    return Affine(scale, beta - mean * scale)


def _apply(editor: GraphEditor, product: onnx.NodeProto, affine: Affine) -> bool:
    """Multiply the product's weight and bias; False, and nothing changed, where that is not possible."""
    weight = editor.constant(product.input[1])
    if weight is None or weight.dtype != np.float32:
        return False
    bias_name = product.input[2] if len(product.input) > 2 else ""
    bias = editor.constant(bias_name) if bias_name else None
    if bias_name and bias is None:
        return False
    shape, channels = _broadcast(product, weight)
    if affine.scale.size not in (1, channels) or affine.shift.size not in (1, channels):
        return False
    scale = np.broadcast_to(affine.scale, channels)
    if product.op_type == "ConvTranspose":
        new_weight = _scale_transposed(product, weight, scale)
    else:
        new_weight = weight.astype(np.float64) * scale.reshape(shape)
    old_bias = np.zeros(1) if bias is None else bias.astype(np.float64)
    if product.op_type == "Gemm":
        alpha, beta = (
            float(attribute(product, "alpha", 1.0)),
            float(attribute(product, "beta", 1.0)),
        )
        if alpha != 1.0 or beta != 1.0 or (bias is not None and bias.size not in (1, channels)):
            return False
    new_bias = np.broadcast_to(old_bias.reshape(-1), channels) * scale + affine.shift
    with np.errstate(over="ignore"):
        stored = new_weight.astype(np.float32), new_bias.astype(np.float32)
    if not (np.isfinite(stored[0]).all() and np.isfinite(stored[1]).all()):
        return False
    editor.set_input(product, 1, editor.add_initializer(f"{product.input[1]}_folded", stored[0]))
    base = bias_name or f"{product.input[1]}_bias"
    editor.set_input(product, 2, editor.add_initializer(f"{base}_folded", stored[1]))
    return True


def _broadcast(product: onnx.NodeProto, weight: np.ndarray) -> tuple[tuple[int, ...], int]:
    """The shape in which one number per output channel meets the weight, and the number of channels."""
    if product.op_type == "Conv":
        return (-1,) + (1,) * (weight.ndim - 1), weight.shape[0]
    if product.op_type == "ConvTranspose":
        return (), weight.shape[1] * int(attribute(product, "group", 1))
    transposed = bool(attribute(product, "transB", 0))
    return ((-1, 1), weight.shape[0]) if transposed else ((1, -1), weight.shape[1])


def _scale_transposed(product: onnx.NodeProto, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A transposed convolution's weight is (inputs, outputs per group, ...): groups split axis 0."""
    group = int(attribute(product, "group", 1))
    split = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:]).astype(np.float64)
    factor = scale.reshape(group, 1, weight.shape[1], *(1,) * (weight.ndim - 2))
    return np.asarray((split * factor).reshape(weight.shape))
