"""What the channels of activations hold on the first calibration images: largest magnitude and mean square."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deploykit.errors import UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import input_sets
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import graph_inputs
from deploykit.graph.read_write import open_proto
from deploykit.graph.shapes import tensor_shapes
from deploykit.lazy import np, onnx, ort
from deploykit.ort_session import session_options

#: Images at most, and at least where they are large: all of their inputs are held at once.
MOST_IMAGES, LEAST_IMAGES = 32, 4
#: Values of all images together from which there are fewer.
_INPUT_VALUES = 1 << 22


@dataclass(frozen=True)
class ChannelStatistics:
    """Of an activation, by channel.

    Attributes:
        peak: the largest magnitude.
        mean: the mean.
        square: the mean of squares.
        images: how many were seen.
    """

    peak: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    images: int

    def times(self, factors: np.ndarray) -> ChannelStatistics:
        """Of the activation whose channels are multiplied by positive factors."""
        return ChannelStatistics(
            self.peak * factors,
            self.mean * factors,
            self.square * np.square(factors),
            self.images,
        )


def image_count(model: onnx.ModelProto, most: int, least: int, values: int) -> int:
    """How many images to hold: fewer than `most` where all have more than so many values."""
    shapes = tensor_shapes(model)
    each = sum(math.prod(shapes.get(value.name, ())) for value in graph_inputs(model.graph))
    return max(least, min(most, values // max(1, each)))


def channel_statistics(
    model: onnx.ModelProto, tensors: Sequence[str], calibration: Calibration
) -> dict[str, ChannelStatistics]:
    """Run the first calibration images through a float32 model; the statistics of some of its tensors.

    Reductions are nodes of the graph, so that no activation leaves the session. Channels are axis 1.

    Args:
        model: the float graph, which is not changed.
        tensors: names of float32 tensors of its main graph; those of unknown rank, or with less than two axes, are
            left out of the result.
        calibration: the images.

    Raises:
        UsageError: images that don't fit the network.
    """
    shapes = tensor_shapes(model)
    wanted = [name for name in dict.fromkeys(tensors) if len(shapes.get(name, ())) >= 2]
    if not wanted:
        return {}
    sets = input_sets(
        model, calibration, image_count(model, MOST_IMAGES, LEAST_IMAGES, _INPUT_VALUES)
    )
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    del graph.output[:]
    names: list[str] = []
    for index, name in enumerate(wanted):
        for kind, nodes in _reductions(f"deploykit_channel_{index}", name, len(shapes[name])):
            graph.node.extend(nodes)
            graph.output.append(onnx.helper.make_tensor_value_info(kind, ElementType.FLOAT, None))
            names.append(kind)
    options = session_options(optimise=True)
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.enable_mem_pattern = False
    session = open_proto(
        changed,
        options,
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )
    changed.Clear()
    sums: dict[int, list[np.ndarray]] = {}
    images = 0
    for feeds in sets:
        values = session.run(names, feeds)
        for index in range(len(wanted)):
            rows = [np.asarray(v, np.float64) for v in values[4 * index : 4 * index + 4]]
            rows = [row.reshape(row.shape[0], row.shape[1]) for row in rows]
            high, low, mean, square = rows
            peak = np.maximum(high.max(axis=0), low.max(axis=0))
            found = [peak, mean.sum(axis=0), square.sum(axis=0)]
            if index in sums:
                before = sums[index]
                found = [np.maximum(before[0], peak), before[1] + found[1], before[2] + found[2]]
            sums[index] = found
        images += len(values[0])
    return {
        name: ChannelStatistics(peak, mean / images, square / images, images)
        for name, (peak, mean, square) in zip(wanted, sums.values(), strict=True)
        if np.isfinite(peak).all() and np.isfinite(square).all()
    }


def _reductions(base: str, name: str, rank: int) -> list[tuple[str, list[onnx.NodeProto]]]:
    """Nodes for the largest value of each image's channels, that of the negative, the mean, and that of squares."""
    made = []
    for kind, value, pool in (
        ("high", ("Identity", [name]), "GlobalMaxPool"),
        ("low", ("Neg", [name]), "GlobalMaxPool"),
        ("mean", ("Identity", [name]), "GlobalAveragePool"),
        ("square", ("Mul", [name, name]), "GlobalAveragePool"),
    ):
        result, operator, inputs = f"{base}_{kind}", *value
        if rank == 2:
            made.append((result, [onnx.helper.make_node(operator, inputs, [result])]))
            continue
        nodes = []
        if operator != "Identity":
            nodes.append(onnx.helper.make_node(operator, inputs, [f"{result}_values"]))
            inputs = [f"{result}_values"]
        nodes.append(onnx.helper.make_node(pool, inputs, [result]))
        made.append((result, nodes))
    return made
