"""The part of an activation's range that changes anything behind it.

A HardSwish makes zero of all that lies below -3, a SiLU nearly so: where the output of a convolution is read by
such functions alone, steps of its 8 bits that lie further out are lost. What is behind the tensor, value by value
and with constants of one value, is run over its range, and the range ends where the results stop to change.
"""

from __future__ import annotations

from deploykit.errors import InvalidModel
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import is_standard
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx
from deploykit.ort_session import open_session, session_options

Range = tuple[float, float]

#: Functions that come to an end, at least on one side.
_SATURATING = frozenset(
    """Celu Clip Elu Erf Gelu HardSigmoid HardSwish Max Min Mish Relu Selu Sigmoid Softplus Softsign Swish Tanh
    ThresholdedRelu""".split()
)
_BY_VALUE = _SATURATING | frozenset("Abs Add Div Identity LeakyRelu Mul Neg Pow Sub".split())

#: Results count as equal up to this share of all that they span: a sixty-fourth of a step of 8 bits.
TOLERANCE = 1.0 / 16384.0
_POINTS = 2049
#: Activations are written in a few nodes; a longer chain is something else.
_LONGEST = 16


def useful_range(view: GraphView, tensor: str, bounds: Range) -> Range:
    """The part of `bounds`, containing zero, beyond which what reads the tensor gives what it gives at its ends.

    Args:
        view: the float graph.
        tensor: name of a float32 tensor.
        bounds: its least and largest value.
    """
    low, high = bounds
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        return bounds
    # An end at zero may be there for the zero point alone: what the function makes there is then no result of it,
    # and says nothing of how much others may differ.
    tolerance = TOLERANCE if low < 0.0 < high else 0.0
    nodes, ends = _behind(view, tensor)
    if tensor in ends or not any(node.op_type in _SATURATING for node in nodes):
        return bounds
    points = np.linspace(low, high, _POINTS, dtype=np.float32)
    results = _values(view, tensor, nodes, ends, points)
    if results is None:
        return bounds
    first = min(_same_from_start(values, tolerance) for values in results)
    last = _POINTS - 1 - min(_same_from_start(values[::-1], tolerance) for values in results)
    return min(max(low, float(points[first])), 0.0), max(min(high, float(points[last])), 0.0)


def _behind(view: GraphView, tensor: str) -> tuple[list[onnx.NodeProto], list[str]]:
    """The nodes that compute from the tensor alone, in the order of the graph, and what others read of them."""
    made: dict[str, onnx.NodeProto | None] = {tensor: None}
    waiting = [tensor]
    while waiting and len(made) <= _LONGEST:
        for node in view.readers(waiting.pop(0)):
            result = node.output[0]
            if result in made or not is_standard(node) or node.op_type not in _BY_VALUE:
                continue
            if all(not name or name in made or _single(view, name) for name in node.input):
                made[result] = node
                waiting.append(result)
    inside = {id(node) for node in made.values() if node is not None}
    nodes = [node for node in view.nodes if id(node) in inside]
    return nodes, [n for n in made if view.is_read(n) and not view.read_only_by(n, *nodes)]


def _single(view: GraphView, name: str) -> bool:
    value = view.constant(name) if view.is_constant(name) else None
    return value is not None and value.size == 1 and value.dtype == np.float32


def _values(
    view: GraphView,
    tensor: str,
    nodes: list[onnx.NodeProto],
    ends: list[str],
    points: np.ndarray,
) -> list[np.ndarray] | None:
    """What the ends are at each point; None where the nodes don't run or give what is not finite."""
    constants = {n for node in nodes for n in node.input if n and view.is_constant(n)}
    stored = []
    for name in sorted(constants):
        value = view.constant(name)
        assert value is not None
        stored.append(onnx.numpy_helper.from_array(value.reshape(()), name))
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "behind",
        [info(tensor, ElementType.FLOAT, [None])],
        [info(name, ElementType.FLOAT, None) for name in ends],
        stored,
    )
    model = onnx.helper.make_model(
        graph, opset_imports=view.model.opset_import, ir_version=view.model.ir_version
    )
    try:
        session = open_session(
            model.SerializeToString(), session_options(optimise=False, threads=1), InvalidModel
        )
        results = session.run(ends, {tensor: points})
    except Exception:  # ONNX Runtime has a class per status code, without a common base
        return None
    if not results or not all(np.isfinite(values).all() for values in results):
        return None
    return [np.asarray(values, np.float64) for values in results]


def _same_from_start(values: np.ndarray, tolerance: float) -> int:
    """The last place up to which all values are the one that stands there, within that share of their span."""
    margin = tolerance * float(np.ptp(values))
    above = np.maximum.accumulate(values) - values
    below = values - np.minimum.accumulate(values)
    return int(np.flatnonzero((above <= margin) & (below <= margin))[-1])
