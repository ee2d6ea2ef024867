"""Ranges of what is computed in the bodies of If, Loop and Scan.

The reductions stand in the body, and what they give leaves it as further outputs of the node around: a value of a
branch, one for each step of a loop. The other branch of an If gives zeros there, so that a branch that never ran
has a range of zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploykit.errors import UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import Range, input_sets
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import GRAPH
from deploykit.lazy import np, onnx
from deploykit.ort_session import open_session, session_options

#: Where a body is: the node's position in the graph around it and the attribute, from the main graph inwards.
Place = tuple[tuple[int, str], ...]


def collect_body_ranges(
    model: onnx.ModelProto, wanted: Mapping[Place, Sequence[str]], calibration: Calibration
) -> dict[Place, dict[str, Range]]:
    """The extremes of tensors in bodies over the calibration images; ranges contain zero.

    Args:
        model: the float graph, which is not changed.
        wanted: names of float32 tensors by the body in which they are read or made.
        calibration: the images; its method is not used.

    Returns:
        Ranges by body and tensor, without those of bodies that never ran or that hold what is not finite.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    keys: list[tuple[Place, str]] = []
    results: list[str] = []
    for index, (place, names) in enumerate(wanted.items()):
        keys += [(place, name) for name in names for _ in range(2)]
        results += _expose(changed.graph, place, names, f"deploykit_body_{index}")
    if not results:
        return {}
    info = onnx.helper.make_tensor_value_info
    changed.graph.output.extend(info(name, ElementType.FLOAT, None) for name in results)
    session = open_session(
        changed.SerializeToString(),
        session_options(optimise=True),
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )
    ranges: dict[Place, dict[str, Range]] = {place: {} for place in wanted}
    for feeds in input_sets(model, calibration, calibration.count):
        values = session.run(results, feeds)
        for (place, name), low, high in zip(keys[::2], values[::2], values[1::2], strict=True):
            least, largest = ranges[place].get(name, (0.0, 0.0))
            ranges[place][name] = (
                min(least, float(np.min(low, initial=0.0))),
                max(largest, float(np.max(high, initial=0.0))),
            )
    return {
        place: {
            name: (low, high)
            for name, (low, high) in found.items()
            if low < high and np.isfinite([low, high]).all()
        }
        for place, found in ranges.items()
    }


def _expose(graph: onnx.GraphProto, place: Place, names: Sequence[str], base: str) -> list[str]:
    """Let least and largest values of tensors leave the body at `place`; returns their names in `graph`."""
    (index, attribute), deeper = place[0], place[1:]
    node = graph.node[index]
    bodies = {entry.name: entry.g for entry in node.attribute if entry.type == GRAPH}
    make = onnx.helper.make_node
    if deeper:
        inner = _expose(bodies[attribute], deeper, names, base)
    else:
        inner = []
        for k, name in enumerate(names):
            for op_type in ("ReduceMin", "ReduceMax"):
                inner.append(f"{base}_{k}_{op_type}")
                bodies[attribute].node.append(make(op_type, [name], [inner[-1]], keepdims=0))
    # The condition of a Loop is no output of the node.
    made = len(bodies[attribute].output) - (node.op_type == "Loop")
    node.output.extend([""] * (made - len(node.output)))
    for name, body in bodies.items():
        for result in inner:
            if name != attribute:
                body.node.append(make("Constant", [], [result], value_float=0.0))
            value = onnx.helper.make_tensor_value_info(result, ElementType.FLOAT, None)
            body.output.append(value)
    outer = [f"{result}_of_{len(place)}" for result in inner]
    node.output.extend(outer)
    return outer
