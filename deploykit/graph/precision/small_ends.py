"""Small products at the end of a network whose own rounding to 8 bits is most of the noise of what comes out.

A convolution in integers writes integers: 256 steps are all that the last one leaves of an output. Kept in float it
costs next to nothing. Whether that gains anything is measured, on calibration images, on the quantised graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploykit.errors import UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import input_sets
from deploykit.graph.count import has_work, product_macs
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import attribute_graphs, captured_by, node_name
from deploykit.graph.operators import has_no_macs
from deploykit.graph.precision.bias_correction import IMAGES, LARGEST_BYTES
from deploykit.graph.precision.int8_regions import IntegerRegions
from deploykit.graph.precision.recipe import Product
from deploykit.graph.read_write import open_proto
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx
from deploykit.ort_session import session_options

#: Of the products' MACs and of their weights, what the layers that are kept may have together.
LARGEST_SHARE = 0.01
#: Decibels that a layer has to gain: half of the noise is then its own.
LEAST_GAIN_DB = 3.0
#: An output as near as this is left as it is.
GOOD_DB = 40.0

Feeds = Mapping[str, "np.ndarray"]


def costly_ends(
    exact: onnx.ModelProto,
    quantised: onnx.ModelProto,
    regions: IntegerRegions,
    calibration: Calibration,
) -> dict[str, float]:
    """The last products before the outputs that are better kept in float, with the decibels that it gains each.

    Args:
        exact: the float graph that the quantised one was made from.
        quantised: with Q/DQ pairs.
        regions: the plan of the float graph by which it was quantised.
        calibration: the images.

    Returns:
        By the name of what a product makes: those that gain `LEAST_GAIN_DB` or more, the largest gain first, and
        together have no more than `LARGEST_SHARE` of the network.
    """
    if exact.ByteSize() > LARGEST_BYTES:
        return {}
    view = regions.view
    shares = _shares(view, _last(view, regions.products), regions)
    ends = [p for p in regions.products if shares.get(p.node.output[0], 1.0) <= LARGEST_SHARE]
    gains = _gains(exact, quantised, ends, regions, calibration) if ends else {}
    chosen: dict[str, float] = {}
    left = LARGEST_SHARE
    for name, gain in sorted(gains.items(), key=lambda one: -one[1]):
        if gain >= LEAST_GAIN_DB and shares[name] <= left:
            chosen[name] = gain
            left -= shares[name]
    return chosen


def gain_at_outputs(
    exact: onnx.ModelProto,
    quantised: onnx.ModelProto,
    apart: onnx.ModelProto,
    calibration: Calibration,
) -> float | None:
    """By how many decibels the worst output is nearer in one quantised graph than in another, up to `GOOD_DB`.

    Args:
        exact: the float graph that both were made from.
        quantised: as it would be.
        apart: as it could be.
        calibration: the images.

    Returns:
        None where it is less than `LEAST_GAIN_DB`.
    """
    types = GraphView(exact).types
    names = [v.name for v in exact.graph.output if types.get(v.name) == ElementType.FLOAT]
    if not names or exact.ByteSize() > LARGEST_BYTES:
        return None
    sets = input_sets(exact, calibration, IMAGES)
    wanted, before, after = (_run(graph, names, sets) for graph in (exact, quantised, apart))
    # How many rows there are of one may depend on values: such can't be compared.
    alike = [n for n in names if _shapes(wanted[n]) == _shapes(before[n]) == _shapes(after[n])]
    if not alike:
        return None
    now, then = (
        min(_snr_db(wanted[name], found[name]) for name in alike) for found in (before, after)
    )
    gain = min(then, GOOD_DB) - min(now, GOOD_DB)
    return gain if gain >= LEAST_GAIN_DB else None


def _shapes(values: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return [value.shape for value in values]


def small_among(
    model: onnx.ModelProto, inside: Mapping[str, Product], others: Sequence[Product]
) -> dict[str, tuple[str, str]]:
    """The smallest products in bodies that have `LARGEST_SHARE` of a network together, by what they make.

    Args:
        model: before or after it was quantised.
        inside: products in bodies, by what they make in the float graph.
        others: those of the main graph.

    Returns:
        What each is called and an empty reason.
    """
    macs = product_macs(GraphView(model))
    total = sum(found or 0 for found in macs.values())
    weights = sum(product.weight.size for product in (*inside.values(), *others))
    shares = {}
    for result, product in inside.items():
        own = macs.get(node_name(product.node))
        if own is not None and total:
            share = max(own / total, product.weight.size / weights)
            shares[result] = (share, node_name(product.node))
    chosen, left = {}, LARGEST_SHARE
    for result, (share, name) in sorted(shares.items(), key=lambda one: one[1]):
        if share <= left:
            chosen[result] = (name, "")
            left -= share
    return chosen


def _last(view: GraphView, products: Sequence[Product]) -> list[Product]:
    """The products of whose results a graph's output is made without another product, in bodies neither."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in view.nodes:
        for name in filter(None, (*node.input, *captured_by(node))):
            readers.setdefault(name, []).append(node)

    def is_last(result: str) -> bool:
        waiting, seen, ends = [result], {result}, False
        while waiting:
            name = waiting.pop()
            ends |= name in view.outputs
            for reader in readers.get(name, ()):
                bodies = list(attribute_graphs(reader))
                if any(map(has_work, bodies)) or not (bodies or has_no_macs(reader)):
                    return False
                waiting += [made for made in reader.output if made and made not in seen]
                seen.update(reader.output)
        return ends

    return [product for product in products if is_last(product.node.output[0])]


def _shares(
    view: GraphView, products: Sequence[Product], regions: IntegerRegions
) -> dict[str, float]:
    """The share of the network of each product, by MACs or by weights, whichever is larger; by its result."""
    if not products:
        return {}
    macs = product_macs(view)
    total = sum(found or 0 for found in macs.values())
    weights = sum(product.weight.size for product in regions.products)
    shares = {}
    for product in products:
        own = macs.get(node_name(product.node))
        if own is not None and total and weights:
            shares[product.node.output[0]] = max(own / total, product.weight.size / weights)
    return shares


@dataclass(frozen=True)
class _End:
    """A product at the end: its result; where it stands in either graph; what it would read in float there.

    Attributes:
        result: what the product makes.
        compared: what it makes with the activation that is part of it.
        nodes: the product and that activation, in the float graph.
        rounded: `compared` as others read it in the quantised graph.
        source: the activation of the product in the quantised graph, rounded only where others make it so.
    """

    result: str
    compared: str
    nodes: list[onnx.NodeProto]
    rounded: str
    source: str


def _gains(
    exact: onnx.ModelProto,
    quantised: onnx.ModelProto,
    products: Sequence[Product],
    regions: IntegerRegions,
    calibration: Calibration,
) -> dict[str, float]:
    """By how many decibels each result comes nearer where its product alone is computed in float.

    Channel by channel, as outputs are parts of it: scores that boxes stand beside are nothing in a sum over both.
    """
    after = GraphView(quantised)
    ends = {p.activation: end for p in products if (end := _found(after, p, regions)) is not None}
    sets = input_sets(exact, calibration, IMAGES)
    wanted = _run(exact, [end.compared for end in ends.values()], sets)
    names = [name for end in ends.values() for name in (end.rounded, end.source)]
    found = _run(quantised, names, sets)
    gains = {}
    for activation, end in ends.items():
        alone = _alone(exact, end, activation)
        feeds = [{activation: values} for values in found[end.source]]
        apart = _run(alone, [end.compared], feeds)[end.compared]
        axis = 1 if end.nodes[0].op_type == "Conv" else -1
        now = _channels_db(wanted[end.compared], found[end.rounded], axis)
        gains[end.result] = _channels_db(wanted[end.compared], apart, axis) - now
    return gains


def _found(after: GraphView, product: Product, regions: IntegerRegions) -> _End | None:
    """Where a product stands in the quantised graph."""
    compared, follower = regions.result(product.node)
    rounded, maker = compared, after.producer(compared)
    if maker is None:
        return None
    if maker.op_type == "DequantizeLinear":  # an output of the graph keeps its name
        inner = after.producer(maker.input[0])
        maker = inner and after.producer(inner.input[0])
    else:
        quantise = [r for r in after.readers(compared) if r.op_type == "QuantizeLinear"]
        restored = [r for q in quantise for r in after.readers(q.output[0])]
        rounded = restored[0].output[0] if restored else compared
    if follower is not None:
        maker = maker and after.producer(maker.input[0])
    restore = maker and after.producer(maker.input[0])
    if restore is None or restore.op_type != "DequantizeLinear":
        return None
    source = restore.output[0]
    if not regions.made_in_integers(product.activation):
        quantise_input = after.producer(restore.input[0])
        if quantise_input is None:
            return None
        source = quantise_input.input[0]
    nodes = [product.node] if follower is None else [product.node, follower]
    return _End(product.node.output[0], compared, nodes, rounded, source)


def _alone(model: onnx.ModelProto, end: _End, activation: str) -> onnx.ModelProto:
    """A model of a product, and the activation that is part of it, on what it reads."""
    view = GraphView(model)
    read = {name for node in end.nodes for name in node.input if name}
    constants = {name: value for name in read if (value := _constant(view, name)) is not None}
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        end.nodes,
        "end",
        [info(activation, ElementType.FLOAT, None)],
        [info(end.compared, ElementType.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = model.opset_import
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)


def _constant(view: GraphView, name: str) -> np.ndarray | None:
    return view.constant(name) if view.is_constant(name) else None


def _run(
    model: onnx.ModelProto, names: Sequence[str], sets: Sequence[Feeds]
) -> dict[str, list[np.ndarray]]:
    """What a model makes of each set of inputs in tensors of its main graph."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    names = list(dict.fromkeys(names))
    held = {value.name for value in changed.graph.input}
    info = onnx.helper.make_tensor_value_info
    changed.graph.output.extend(
        info(name, ElementType.FLOAT, None) for name in names if name not in held
    )
    session = open_proto(
        changed,
        session_options(optimise=True),
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )
    made = [name for name in names if name not in held]
    results: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for feeds in sets:
        given = {value.name: feeds[value.name] for value in session.get_inputs()}
        values = dict(zip(made, session.run(made, given), strict=True)) if made else {}
        for name in names:
            results[name].append(values[name] if name in values else feeds[name])
    return results


def _snr_db(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Signal over noise of all that is finite of sets, in decibels; infinite where there is no noise."""
    signal = noise = 0.0
    for a, b in zip(wanted, found, strict=True):
        finite = np.isfinite(a)
        wide = a[finite].astype(np.float64)
        signal += float(np.square(wide).sum())
        noise += float(np.square(wide - b[finite]).sum())
    if not noise or not signal:
        return math.inf if not noise else -math.inf
    return 10 * math.log10(signal / noise)


def _channels_db(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray], axis: int) -> float:
    """Signal over noise of each channel of sets that is not silent, 0 to `GOOD_DB` decibels; their mean."""
    signal = noise = np.zeros(1)
    for a, b in zip(wanted, found, strict=True):
        finite = np.isfinite(a)
        wide, other = (np.where(finite, v, 0.0).astype(np.float64) for v in (a, b))
        others = tuple(k for k in range(a.ndim) if k != axis % a.ndim)
        signal = signal + np.square(wide).sum(axis=others)
        noise = noise + np.square(wide - other).sum(axis=others)
    heard = signal > 0.0
    if not heard.any():
        return GOOD_DB
    with np.errstate(divide="ignore"):
        ratios = 10 * np.log10(signal[heard] / noise[heard])
    return float(np.clip(ratios, 0.0, GOOD_DB).mean())
