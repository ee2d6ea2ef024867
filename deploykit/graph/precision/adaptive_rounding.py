"""Rounding weights so that what a product makes moves least, rather than each weight by itself.

The nearest of two steps is best for one weight alone. What counts is the sum over all inputs, and these go
together: the error that one weight leaves can be taken up by those behind it, as far as their inputs resemble its
own. Weights of an output are rounded one after the other, and after each, its error is spread over the rest by the
second moments of the inputs on calibration images. (Frantar et al., OPTQ, 2023, after Hassibi and Stork, Optimal
Brain Surgeon, 1993; in place of the trained rounding of Nagel et al., AdaRound, 2020, which needs gradients.)

Moments come from every other image; an output takes its new weights where they leave less error on the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from deploykit import env
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.channels import image_count
from deploykit.graph.calibrate.ranges import input_sets
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import attribute, tensor_values
from deploykit.graph.precision.bias_correction import (
    LARGEST_BYTES,
    BiasedProduct,
    Feeds,
    open_to_calibrate,
)
from deploykit.graph.precision.qdq import along
from deploykit.graph.precision.recipe import product_of
from deploykit.graph.precision.weight_steps import within_pairs
from deploykit.graph.shapes import tensor_shapes
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Images at most, and at least where they are large.
_MOST_IMAGES, _LEAST_IMAGES = 128, 8
_INPUT_VALUES = 1 << 22
#: Places of a convolution, of all images together, that its moments are taken over.
_ROWS = 4096
#: Inputs of an output, from which on a product keeps its nearest weights: moments grow with their square.
_MOST_INPUTS = 4608
#: Values of activations of one set of images that leave the network at once.
_VALUES_AT_ONCE = 1 << 24
#: Of the mean second moment; added to each, as moments of few images are unsure.
_DAMPING = 0.05
#: What may be left of an output's squared error at most, on images that were not looked at.
_LARGEST_SHARE_LEFT = 0.8


@dataclass
class _Task:
    """A product whose weights are to be rounded.

    Attributes:
        node: in the float graph.
        weight: in float, (groups, outputs of each, inputs).
        stored: name of its weights in int8.
        scales: in the shape of `weight`, with 1 for its inputs.
        axis: of outputs in the stored weights.
        kernel: of a convolution.
        rows: samples of its inputs, (samples, groups, inputs), of images to learn from and of others.
    """

    node: onnx.NodeProto
    weight: np.ndarray
    stored: str
    scales: np.ndarray
    axis: int
    kernel: tuple[int, ...]
    rows: tuple[list[np.ndarray], list[np.ndarray]] = field(default_factory=lambda: ([], []))


def round_weights(
    exact: onnx.ModelProto,
    quantised: onnx.ModelProto,
    products: Sequence[BiasedProduct],
    calibration: Calibration,
    *,
    centred: bool,
) -> dict[str, int]:
    """Round the weights of a quantised graph anew, in place.

    Args:
        exact: the float graph that it was made from.
        quantised: with Q/DQ pairs.
        products: those with a bias, which alone are looked at.
        calibration: the images.
        centred: whether means of errors are left to the biases.

    Returns:
        By node, how many outputs of it have other weights than the nearest.
    """
    if not products or exact.ByteSize() > LARGEST_BYTES:
        return {}
    tasks = list(_tasks(exact, quantised, products))
    if not tasks:
        return {}
    images = image_count(exact, _MOST_IMAGES, _LEAST_IMAGES, _INPUT_VALUES)
    sets = input_sets(exact, calibration, images)
    stored = {tensor.name: tensor for tensor in quantised.graph.initializer}
    changed: dict[str, int] = {}
    for group in _groups(exact, tasks, sets):
        _sample(exact, group, sets)
        for task in group:
            steps = tensor_values(stored[task.stored])
            better, outputs = _better(task, steps, centred=centred)
            if outputs:
                value = onnx.numpy_helper.from_array(better, task.stored)
                stored[task.stored].CopyFrom(value)
                changed[task.node.name or task.node.output[0]] = outputs
            task.rows[0].clear()
            task.rows[1].clear()
    return changed


# ---- what is to be rounded


def _tasks(
    exact: onnx.ModelProto, quantised: onnx.ModelProto, products: Sequence[BiasedProduct]
) -> Iterator[_Task]:
    view, written = GraphView(exact), GraphView(quantised)
    by_bias = {node.input[2]: node for node in written.nodes if len(node.input) > 2}
    shapes = tensor_shapes(exact)
    for one in products:
        node, made = view.producer(one.result), by_bias.get(one.bias)
        product = product_of(view, node) if node is not None else None
        restored = written.producer(made.input[1]) if made is not None else None
        if node is None or product is None or restored is None or product.channel_axis is None:
            continue
        if len(written.consumers(restored.output[0])) > 1:
            continue  # several products read it, each with inputs of its own
        if len(written.consumers(restored.input[0])) > 1:
            continue
        if node.op_type == "Conv":
            if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
                continue
            groups = int(attribute(node, "group", 1))
            weight = product.weight.reshape(groups, product.channels // groups, -1)
        elif node.op_type == "Gemm" and len(shapes.get(node.input[0], ())) == 2:
            weight = product.weight if product.channel_axis == 0 else product.weight.T
            weight = weight[None]
        else:
            continue
        scales = written.constant(restored.input[1])
        if scales is None or weight.shape[2] > _MOST_INPUTS or weight.shape[2] < 2:
            continue
        whole = np.broadcast_to(scales.reshape(-1), (product.channels,)).astype(np.float64)
        yield _Task(
            node, weight, restored.input[0], whole.reshape(*weight.shape[:2], 1),
            product.channel_axis, tuple(product.weight.shape[2:]),
        )  # fmt: skip


def _groups(
    model: onnx.ModelProto, tasks: Sequence[_Task], sets: Sequence[Feeds]
) -> Iterator[list[_Task]]:
    """Tasks whose inputs may leave the network at once; those of one tensor together."""
    shapes = tensor_shapes(model)
    images = max((len(v) for feeds in sets for v in feeds.values() if v.ndim), default=1)
    group: list[_Task] = []
    total, seen = 0, set[str]()
    for task in sorted(tasks, key=lambda t: t.node.input[0]):
        name = task.node.input[0]
        size = 0 if name in seen else images * math.prod(shapes.get(name, (1,))[1:])
        rows = _ROWS * task.weight.shape[0] * task.weight.shape[2]
        if group and total + size + rows > _VALUES_AT_ONCE:
            yield group
            group, total, seen = [], 0, set()
            size = images * math.prod(shapes.get(name, (1,))[1:])
        group.append(task)
        seen.add(name)
        total += size + rows
    if group:
        yield group


# ---- what they read


def _sample(model: onnx.ModelProto, tasks: Sequence[_Task], sets: Sequence[Feeds]) -> None:
    """Run the float graph; keep some of what each product reads."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    names = list(dict.fromkeys(task.node.input[0] for task in tasks))
    inputs = {value.name for value in changed.graph.input}
    made = [name for name in names if name not in inputs]
    for name in made:
        value = onnx.helper.make_tensor_value_info(name, ElementType.FLOAT, None)
        changed.graph.output.append(value)
    session = open_to_calibrate(changed) if made else None
    changed.Clear()
    images = sum(len(next(iter(feeds.values()))) for feeds in sets)
    each = max(1, _ROWS // max(1, images))
    seen = 0
    for feeds in sets:
        known = dict(feeds)
        if session is not None:
            known.update(zip(made, session.run(made, feeds), strict=True))
        count = len(known[names[0]])
        for task in tasks:
            values = np.asarray(known[task.node.input[0]])
            for place in range(len(values)):
                rows = _rows(task, values[place], each, seed=seen + place)
                task.rows[(seen + place) % 2].append(rows)
        seen += count


def _rows(task: _Task, values: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """What a product reads of one image, at some places: (places, groups, inputs)."""
    groups, inputs = task.weight.shape[0], task.weight.shape[2]
    if task.node.op_type == "Gemm":
        return np.asarray(values.reshape(1, groups, inputs))
    rank = values.ndim - 1
    kernel = task.kernel
    pads = list(attribute(task.node, "pads", [0] * 2 * rank))
    strides = list(attribute(task.node, "strides", [1] * rank))
    dilations = list(attribute(task.node, "dilations", [1] * rank))
    padded = np.pad(values, [(0, 0), *((pads[k], pads[k + rank]) for k in range(rank))])
    sizes = [
        (padded.shape[k + 1] - dilations[k] * (kernel[k] - 1) - 1) // strides[k] + 1
        for k in range(rank)
    ]
    total = math.prod(sizes)
    chosen = np.arange(total)
    if total > count:
        chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    starts = [c * s for c, s in zip(np.unravel_index(chosen, sizes), strides, strict=True)]
    taps = [
        padded[(slice(None), *(s + t * d for s, t, d in zip(starts, tap, dilations, strict=True)))]
        for tap in np.ndindex(*kernel)
    ]
    return np.stack(taps, axis=-1).swapaxes(0, 1).reshape(len(chosen), groups, inputs)


# ---- rounding


def _better(task: _Task, steps: np.ndarray, *, centred: bool) -> tuple[np.ndarray, int]:
    """The stored weights with those of some outputs rounded anew, and how many outputs these are."""
    learned, judged = (_moments(rows, centred=centred) for rows in task.rows)
    if learned is None or judged is None:
        return steps, 0
    rounded = _spread(task.weight.astype(np.float64), task.scales, learned)
    found = _stored_as(rounded, task, steps)
    if env.adds_pairs_in_int16():
        found = within_pairs(found, task.axis)
    before = _errors(task, steps, judged)
    after = _errors(task, found, judged)
    better = (after < _LARGEST_SHARE_LEFT * before).reshape(-1)
    differs = np.moveaxis(found != steps, task.axis, 0).reshape(len(better), -1).any(axis=1)
    better &= differs
    taken = np.where(along(better, task.axis, steps.ndim), found, steps)
    return np.ascontiguousarray(taken.astype(np.int8)), int(better.sum())


def _moments(parts: Sequence[np.ndarray], *, centred: bool) -> np.ndarray | None:
    """Second moments of inputs, (groups, inputs, inputs); None where there are no samples."""
    if not parts:
        return None
    rows = np.concatenate(parts).astype(np.float64)
    if centred:
        rows -= rows.mean(axis=0)
    return np.asarray(np.matmul(rows.transpose(1, 2, 0), rows.transpose(1, 0, 2)) / len(rows))


def _spread(weight: np.ndarray, scales: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Steps of weights (groups, outputs, inputs), the error of each spread over those behind it."""
    inputs = weight.shape[2]
    diagonal = moments[:, np.arange(inputs), np.arange(inputs)]
    damping = np.maximum(_DAMPING * diagonal.mean(axis=1), 1e-12)
    damped = moments + damping[:, None, None] * np.eye(inputs)
    # The factor of the inverse, upper: row k tells how what is left takes up the error of input k.
    upper = np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(1, 2)
    left = weight.copy()
    steps = np.empty_like(left)
    for k in range(inputs):
        steps[:, :, k] = np.clip(np.rint(left[:, :, k] / scales[:, :, 0]), -127, 127)
        error = (left[:, :, k] - steps[:, :, k] * scales[:, :, 0]) / upper[:, None, k, k]
        left[:, :, k + 1 :] -= error[:, :, None] * upper[:, None, k, k + 1 :]
    return steps


def _stored_as(steps: np.ndarray, task: _Task, like: np.ndarray) -> np.ndarray:
    """Steps (groups, outputs, inputs) in the shape in which the weights are stored."""
    if task.node.op_type == "Gemm" and task.axis == 1:
        return np.ascontiguousarray(steps[0].T.astype(np.int8))
    return steps.astype(np.int8).reshape(like.shape)


def _errors(task: _Task, steps: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """The mean squared error of each output that stored weights leave: (groups, outputs)."""
    rows = steps.T[None] if task.node.op_type == "Gemm" and task.axis == 1 else steps
    off = rows.reshape(task.weight.shape) * task.scales - task.weight
    return np.asarray(np.einsum("goi,goi->go", np.matmul(off, moments), off))
