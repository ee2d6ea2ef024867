"""Taking the mean of the quantisation error out of each product, through its bias.

Rounded weights and activations shift the mean of a channel, by little, but the same way at every place and for
every image: averages behind it keep that whole, where they wear rounding noise down. A few calibration images go
through the quantised graph product by product; what the means of its channels have moved from those of the float
graph is taken off its bias before the next one is computed, as a shift goes on to all that lies behind. (Nagel et
al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.errors import UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import input_sets
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import captured_by, graph_inputs, opset, tensor_values
from deploykit.graph.read_write import open_proto
from deploykit.graph.shapes import tensor_shapes
from deploykit.lazy import np, onnx
from deploykit.ort_session import session_options

#: Images that means are taken over, at most and, where they are large, at least: all are held at once.
IMAGES, FEWEST = 8, 4
#: Values of all images together from which there are fewer.
_INPUT_VALUES = 1 << 21
#: Weights of a network, in bytes, up to which it is held in memory twice.
LARGEST_BYTES = 1 << 29

#: ReduceMean takes its axes as an input since this opset.
_AXES_AS_INPUT = 18


Feeds = dict[str, "np.ndarray"]


@dataclass(frozen=True)
class BiasedProduct:
    """A product of the quantised graph whose bias can be corrected.

    Attributes:
        result: name of its output in the float graph.
        bias: name under which the quantised graph reads its bias, dequantised.
        stored: name of the stored bias, int32, one value per channel.
        steps: what one step of each value of it means.
    """

    result: str
    bias: str
    stored: str
    steps: np.ndarray


def correct_biases(
    exact: onnx.ModelProto,
    quantised: onnx.ModelProto,
    products: Sequence[BiasedProduct],
    calibration: Calibration,
) -> int:
    """Correct the biases of a quantised graph, in place.

    Args:
        exact: the float graph that it was made from.
        quantised: with Q/DQ pairs, its nodes in an order that runs.
        products: those to correct.
        calibration: the images.

    Returns:
        How many biases were corrected.
    """
    if not products or exact.ByteSize() > LARGEST_BYTES:
        return 0
    shapes = tensor_shapes(exact)
    ranks = {p.result: rank for p in products if (rank := len(shapes.get(p.result, ()))) > 1}
    by_bias = {p.bias: p for p in products if p.result in ranks}
    if not by_bias:
        return 0
    sets = input_sets(exact, calibration, _images(exact))
    target = _means(exact, ranks, sets)
    stored = {tensor.name: tensor for tensor in quantised.graph.initializer}
    steps, corrected = _Steps(quantised, sets), 0
    for place, node in enumerate(quantised.graph.node):
        product = by_bias.get(node.input[2]) if len(node.input) > 2 else None
        if product is None:
            continue
        results = steps.run_to(place)
        axis = 1 if node.op_type == "Conv" else -1
        wanted, found = target[product.result], np.concatenate([_mean(r, axis) for r in results])
        # Rows that a threshold or an NMS chose are others in integers, or none: they tell nothing.
        if wanted.shape != found.shape or not len(found):
            continue
        errors = wanted - found
        corrected += 1
        shift = shift_bias(stored[product.stored], product, errors)
        for result in results:
            result += shift.reshape([-1] + [1] * (result.ndim - 2)) if axis == 1 else shift
    return corrected


def shift_bias(stored: onnx.TensorProto, product: BiasedProduct, errors: np.ndarray) -> np.ndarray:
    """Add what a product's channels lack to its stored bias, in whole steps; returns what was added.

    Args:
        stored: the bias, changed in place.
        product: whose it is.
        errors: what each image's channels lack, (images, channels).
    """
    bias = tensor_values(stored)
    changed = np.rint(bias + _sure(errors) / product.steps.astype(np.float64))
    changed = np.clip(changed, 1 - 2**31, 2**31 - 1).astype(np.int32)
    stored.CopyFrom(onnx.numpy_helper.from_array(changed, product.stored))
    return np.asarray(((changed.astype(np.float64) - bias) * product.steps).astype(np.float32))


def _images(model: onnx.ModelProto) -> int:
    """How many images to take: fewer where one has many values."""
    shapes = tensor_shapes(model)
    values = sum(math.prod(shapes.get(value.name, ())) for value in graph_inputs(model.graph))
    return max(FEWEST, min(IMAGES, _INPUT_VALUES // max(1, values)))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The means of each image's channels: (images, channels)."""
    others = tuple(i for i in range(1, values.ndim) if i != axis % values.ndim)
    return np.asarray(values.mean(axis=others, dtype=np.float64))


def _sure(errors: np.ndarray) -> np.ndarray:
    """The mean over images (images, channels), drawn to zero as far as their spread leaves it unsure."""
    mean = errors.mean(axis=0)
    unsure = errors.var(axis=0) / len(errors)
    return np.asarray(mean * (mean**2 / np.maximum(mean**2 + unsure, 1e-300)))


# ---- the float graph


def _means(
    model: onnx.ModelProto, ranks: Mapping[str, int], sets: list[Feeds]
) -> dict[str, np.ndarray]:
    """The means of the channels of some tensors, (images, channels)."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    made = {name: node for node in graph.node for name in node.output}
    del graph.output[:]
    results = {}
    for index, (name, rank) in enumerate(ranks.items()):
        results[name] = f"deploykit_mean_{index}"
        graph.node.append(mean_node(changed, made[name], name, results[name], rank))
        value = onnx.helper.make_tensor_value_info(results[name], ElementType.FLOAT, None)
        graph.output.append(value)
    session = open_to_calibrate(changed)
    changed.Clear()
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ranks}
    for feeds in sets:
        outputs = session.run(list(results.values()), feeds)
        for name, values in zip(results, outputs, strict=True):
            parts[name].append(values.reshape(len(values), math.prod(values.shape[1:])))
    return {name: np.concatenate(values).astype(np.float64) for name, values in parts.items()}


def mean_node(
    model: onnx.ModelProto, producer: onnx.NodeProto, name: str, result: str, rank: int
) -> onnx.NodeProto:
    """A node that makes the means of the channels of what a product makes; its axes may become a tensor.

    Args:
        model: to which the node is to be added.
        producer: the product.
        name: of the tensor.
        result: of its means.
        rank: of the tensor, at least 2.
    """
    make = onnx.helper.make_node
    if producer.op_type == "Conv":
        return make("GlobalAveragePool", [name], [result])
    if rank == 2:
        return make("Identity", [name], [result])
    axes = list(range(1, rank - 1))
    if opset(model) < _AXES_AS_INPUT:
        return make("ReduceMean", [name], [result], axes=axes, keepdims=0)
    stored = onnx.numpy_helper.from_array(np.asarray(axes, np.int64), f"{result}_axes")
    model.graph.initializer.append(stored)
    return make("ReduceMean", [name, stored.name], [result], keepdims=0)


def open_to_calibrate(model: onnx.ModelProto, order: Any = None) -> Any:
    """A session on a graph that calibration runs, in an execution order of ONNX Runtime's or its default.

    Raises:
        UsageError: it can't be run.
    """
    options = session_options(optimise=True)
    if order is not None:
        # Else reductions wait until the end, and every activation is held for them.
        options.execution_order = order
        options.enable_mem_pattern = False
    return open_proto(
        model,
        options,
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )


# ---- the quantised graph, piece by piece


class _Steps:
    """Runs a graph in pieces, with all images at once, and holds of their tensors what is still to be read."""

    def __init__(self, model: onnx.ModelProto, sets: list[Feeds]) -> None:
        self.model = model
        self.done = 0
        self.sets = sets
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.reads = [
            [n for n in (*node.input, *captured_by(node)) if n] for node in model.graph.node
        ]
        self.last_read = {name: k for k, names in enumerate(self.reads) for name in names}

    def run_to(self, place: int) -> list[np.ndarray]:
        """Run all nodes up to `place`; what that one makes of each set of inputs, to be changed in place."""
        graph = self.model.graph
        pieces = range(self.done, place + 1)
        nodes = [graph.node[k] for k in pieces]
        made = {name for node in nodes for name in node.output if name}
        read = dict.fromkeys(name for k in pieces for name in self.reads[k])
        wanted = [n for n in made if self.last_read.get(n, -1) > place]
        result = graph.node[place].output[0]
        if result not in wanted:
            wanted.append(result)
        known = self.sets[0]
        inputs = [n for n in read if n in known and n not in made]
        piece = onnx.helper.make_graph(
            nodes,
            "piece",
            [_declared(n, known[n]) for n in inputs],
            # ONNX Runtime tells the types of more operators than ONNX's inference does.
            [onnx.helper.make_empty_tensor_value_info(n) for n in wanted],
            [self.stored[n] for n in read if n in self.stored],
        )
        opsets = self.model.opset_import
        model = onnx.helper.make_model(
            piece, opset_imports=opsets, ir_version=self.model.ir_version
        )
        session = open_to_calibrate(model)
        self.done = place + 1
        for known in self.sets:
            made_now = session.run(wanted, {n: known[n] for n in inputs})
            # A sequence is a list of tensors.
            for name, value in zip(wanted, made_now, strict=True):
                held: Any = value if isinstance(value, list) else np.array(value)
                known[name] = held
            for name in [n for n in known if self.last_read.get(n, -1) <= place and n != result]:
                del known[name]
        return [known[result] for known in self.sets]


def _declared(name: str, value: Any) -> onnx.ValueInfoProto:
    """The declaration of a tensor, or of a sequence of tensors, that a piece is fed."""
    info, kind_of = onnx.helper.make_tensor_value_info, onnx.helper.np_dtype_to_tensor_dtype
    if not isinstance(value, list):
        return info(name, kind_of(value.dtype), [None] * value.ndim)
    # Of an empty one ONNX Runtime tells no type: floats, as nearly all are.
    kind = kind_of(value[0].dtype) if value else ElementType.FLOAT
    return onnx.helper.make_tensor_sequence_value_info(name, kind, None)
