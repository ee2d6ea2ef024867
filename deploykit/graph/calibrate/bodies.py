"""Ranges of what is computed in the bodies of If, Loop and Scan.

The reductions stand in the body, and what they give leaves it as further outputs of the node around: a value of a
branch, one for each step of a loop. The other branch of an If gives zeros there, so that a branch that never ran
has a range of zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploykit.errors import UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.histogram import WideningHistogram, choose_range
from deploykit.graph.calibrate.ranges import Range, input_sets, run_images
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import GRAPH, graph_inputs
from deploykit.graph.read_write import open_proto
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx
from deploykit.ort_session import session_options

#: Values per step and tensor that go into a histogram: a loop has many steps. A prime, so that all columns count.
SAMPLE_VALUES = 1021

#: Where a body is: the node's position in the graph around it and the attribute, from the main graph inwards.
Place = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class BodyRanges:
    """What was seen of tensors in bodies.

    Attributes:
        ranges: by body and tensor, without bodies that never ran and tensors that must be finite and are not.
        swings: by tensor, how many times larger the largest magnitude of one step of a loop was than that of
            another, at most, of those that were not all zero: one scale for all leaves the least of them little.
    """

    ranges: dict[Place, dict[str, Range]]
    swings: dict[str, float]


def bodies_below(view: GraphView, place: Place = ()) -> Iterator[tuple[Place, GraphView]]:
    """The bodies within the nodes of a graph from which something can be measured, each with its place.

    Those of If, Loop and Scan: what a SequenceMap makes are sequences.
    """
    for index, node in enumerate(view.nodes):
        for entry in node.attribute:
            if entry.type == GRAPH and node.op_type != "SequenceMap":
                inner = GraphView(view.model, graph=entry.g, outer=view)
                yield (*place, (index, entry.name)), inner
                yield from bodies_below(inner, (*place, (index, entry.name)))


def collect_body_ranges(
    model: onnx.ModelProto,
    wanted: Mapping[Place, Sequence[str]],
    calibration: Calibration,
    *,
    symmetric: bool,
    infinite: Collection[tuple[Place, str]] = (),
) -> BodyRanges:
    """The ranges of tensors in bodies over the calibration images; they contain zero.

    Args:
        model: the float graph, which is not changed.
        wanted: names of float32 tensors by the body in which they are read or made.
        calibration: images and method.
        symmetric: whether the quantised type will be symmetric, for methods that weigh errors.
        infinite: those that may hold infinities (a mask of attention); their range is infinite.

    Raises:
        UsageError: images that don't fit the network.
    """
    if not any(wanted.values()):  # most networks have no bodies, and a copy of one is large
        return BodyRanges({}, {})
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    histograms = calibration.method != "minmax"
    probes = 3 if histograms else 2
    keys: list[tuple[Place, str]] = []
    results: list[str] = []
    for index, (place, names) in enumerate(wanted.items()):
        keys += [(place, name) for name in names]
        results += _expose(
            changed.graph, place, names, f"deploykit_body_{index}", histograms=histograms
        )
    info = onnx.helper.make_tensor_value_info
    changed.graph.output.extend(info(name, ElementType.FLOAT, None) for name in results)
    session = open_proto(  # weights may stand in a file of their own
        changed,
        session_options(optimise=True),
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )
    inputs = graph_inputs(model.graph)
    extremes = dict.fromkeys(keys, (0.0, 0.0))
    histogram_of = {key: WideningHistogram() for key in keys}
    swings: dict[str, float] = {}
    for feeds in input_sets(model, calibration, calibration.count):
        found = run_images(session, inputs, feeds, results)
        values = [found[name] for name in results]
        for k, key in enumerate(keys):
            lows, highs, *sample = values[probes * k : probes * (k + 1)]
            least, largest = extremes[key]
            extremes[key] = (
                min(least, float(np.min(lows, initial=0.0))),
                max(largest, float(np.max(highs, initial=0.0))),
            )
            swings[key[1]] = max(swings.get(key[1], 1.0), _swing(lows, highs))
            for seen in sample:
                histogram_of[key].add(seen[np.isfinite(seen)])
    ranges: dict[Place, dict[str, Range]] = {place: {} for place in wanted}
    for key, (low, high) in extremes.items():
        finite = np.isfinite([low, high]).all()
        if low < high and (finite or key in infinite):
            place, name = key
            ranges[place][name] = (
                choose_range(histogram_of[key], (low, high), calibration, symmetric=symmetric)
                if histograms and finite
                else (low, high)
            )
    return BodyRanges(ranges, swings)


def _swing(low: np.ndarray, high: np.ndarray) -> float:
    """How many times larger the largest magnitude is than the least that isn't zero, of the steps of a loop."""
    peaks = np.maximum(-np.asarray(low, np.float64), high).reshape(-1)
    peaks = peaks[(peaks > 0) & np.isfinite(peaks)]
    return float(peaks.max() / peaks.min()) if peaks.size else 1.0


def _sample(body: onnx.GraphProto, name: str, result: str) -> None:
    """Let a body make `SAMPLE_VALUES` evenly spread values of a tensor, again where it has fewer.

    All steps of a loop give as many: its results are one tensor.
    """
    make = onnx.helper.make_node
    parts = {
        k: f"{result}_{k}" for k in ("flat", "each", "of", "values", "count", "spread", "places")
    }
    body.node.extend(
        [
            make("Constant", [], [parts["flat"]], value_ints=[-1]),
            make("Constant", [], [parts["each"]], value_ints=range(SAMPLE_VALUES)),
            make("Constant", [], [parts["of"]], value_ints=[SAMPLE_VALUES]),
            make("Reshape", [name, parts["flat"]], [parts["values"]]),
            make("Shape", [parts["values"]], [parts["count"]]),
            make("Mul", [parts["each"], parts["count"]], [parts["spread"]]),
            make("Div", [parts["spread"], parts["of"]], [parts["places"]]),
            make("Gather", [parts["values"], parts["places"]], [result]),
        ]
    )


def _expose(
    graph: onnx.GraphProto, place: Place, names: Sequence[str], base: str, *, histograms: bool
) -> list[str]:
    """Let extremes of tensors, and samples, leave the body at `place`; returns their names in `graph`."""
    (index, attribute), deeper = place[0], place[1:]
    node = graph.node[index]
    bodies = {entry.name: entry.g for entry in node.attribute if entry.type == GRAPH}
    make = onnx.helper.make_node
    if deeper:
        inner = _expose(bodies[attribute], deeper, names, base, histograms=histograms)
    else:
        inner = []
        for k, name in enumerate(names):
            for op_type in ("ReduceMin", "ReduceMax"):
                inner.append(f"{base}_{k}_{op_type}")
                bodies[attribute].node.append(make(op_type, [name], [inner[-1]], keepdims=0))
            if histograms:
                inner.append(f"{base}_{k}_sample")
                _sample(bodies[attribute], name, inner[-1])
    # The condition of a Loop is no output of the node.
    made = len(bodies[attribute].output) - (node.op_type == "Loop")
    node.output.extend([""] * (made - len(node.output)))
    for name, body in bodies.items():
        for result in inner:
            if name != attribute:
                nothing = np.zeros(1 if "_sample" in result else (), np.float32)
                value = onnx.numpy_helper.from_array(nothing)  # opsets before 12 take no number
                body.node.append(make("Constant", [], [result], value=value))
            info = onnx.helper.make_tensor_value_info(result, ElementType.FLOAT, None)
            body.output.append(info)
    if node.op_type == "Scan":
        # What it says of each of the outputs that it stacks, it has to say of all of them.
        for entry in node.attribute:
            if entry.name in ("scan_output_axes", "scan_output_directions") and entry.ints:
                entry.ints.extend([0] * len(inner))
    outer = [f"{result}_of_{len(place)}" for result in inner]
    node.output.extend(outer)
    return outer
