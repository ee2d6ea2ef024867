"""Cross-layer equalisation: what the channels between two products span is made alike, and nothing else changes.

All channels of an activation share one scale of 8 bits, so that one which spans a hundredth of the widest has two
steps of 255. What lies between two products often keeps positive factors (a ReLU, a pool): a channel that the first
product makes s times larger and whose weights in the next are s times smaller is the same network, up to rounding.
(Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019.)

Unlike there, weights have a scale per output channel here: rows of the first product lose nothing whatever their
factor, nor does a depthwise convolution behind. Factors are chosen among a few families by the noise that they
leave at the outputs of the products behind, from rounding the activation and from rounding those products' weights.

Behind a ReLU6 a channel is only ever made larger, as far as it stays below the bound on the calibration images: it
is cut there on others, as every channel is at the end of the range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.channels import ChannelStatistics, channel_statistics
from deploykit.graph.edit import GraphEditor
from deploykit.graph.nodes import attribute, node_name
from deploykit.graph.precision.links import Link, Sink, Unfit, Walk
from deploykit.graph.precision.recipe import Product, product_of
from deploykit.graph.shapes import open_shapes
from deploykit.lazy import np, onnx

#: How much of a channel's factor comes from its activation; the rest is from the weights that read it.
_SHARES = (1.0, 0.875, 0.75, 0.625, 0.5)
#: Passes over all links: a product's weights stand between two, and each changes what the other weighs.
_PASSES = 2
#: The most that a channel may be raised beyond the others by the ranges of its weights: what was quiet on the
#: calibration images need not be on others.
_MOST_RAISED = 8.0
#: What may be left of the noise at most: where it falls by less than 10 dB, what the estimate does not see, such as
#: how noise adds up on its way to the outputs, decides whether a network gets better or worse.
_LARGEST_SHARE_LEFT = 0.1
#: Noise over signal of an output that counts at most: it is lost either way.
_MOST_NOISE = 0.1
#: Every channel then spans what the widest does, and is cut where an image goes beyond those seen: room for that,
#: over the root of their number.
_ROOM = 0.6


@dataclass(frozen=True)
class Equalised:
    """What was done: products whose channels got factors, why others did not, and a digest of all factors."""

    products: tuple[str, ...]
    skipped: Mapping[str, str]
    sha256: str

    def facts(self) -> dict[str, object]:
        """For the manifest."""
        return {"equalised": list(self.products), "equalised_not": dict(self.skipped)}


def equalise(model: onnx.ModelProto, calibration: Calibration) -> Equalised:
    """Equalise the channels between the products of a float model, in place; its function stays, up to rounding.

    Args:
        model: with BatchNorm folded.
        calibration: the images; what a channel spans is taken from the first of them.
    """
    editor = GraphEditor(model)
    shapes = open_shapes(model)
    links: list[Link] = []
    skipped: dict[str, str] = {}
    for node in editor.live_nodes():
        product = product_of(editor, node)
        if product is None or node.op_type == "MatMul":
            continue
        try:
            link = Walk(editor, shapes, product).link()
            if link.clips and link.minima:
                raise Unfit("it has a bound for all channels and one for each")
            links.append(link)
        except Unfit as reason:
            skipped[node_name(node)] = str(reason)
    if not links:
        editor.finish()
        return Equalised((), skipped, "")
    seen = channel_statistics(model, [link.measured for link in links], calibration)
    total = {id(link): np.ones(link.channels) for link in links}
    for _ in range(_PASSES):
        for link in links:
            statistics = seen.get(link.measured)
            if statistics is None or len(statistics.peak) != link.channels:
                skipped[node_name(link.source)] = "its channels could not be measured"
                continue
            done = total[id(link)]
            try:
                factors = _factors(editor, link, statistics.times(done), done)
            except Unfit as reason:
                if (done == 1.0).all():
                    skipped[node_name(link.source)] = str(reason)
                continue
            total[id(link)] = done * factors
            _apply(editor, link, factors)
    for link in links:
        _join_bounds(editor, link)
    changed = [link for link in links if (total[id(link)] != 1.0).any()]
    digest = hashlib.sha256()
    for link in changed:
        skipped.pop(node_name(link.source), None)
        digest.update(node_name(link.source).encode() + total[id(link)].tobytes())
    editor.finish()
    names = tuple(node_name(link.source) for link in changed)
    return Equalised(names, skipped, digest.hexdigest() if names else "")


# ---- which factors


def _factors(
    editor: GraphEditor, link: Link, seen: ChannelStatistics, done: np.ndarray
) -> np.ndarray:
    """The factors of a link's channels that leave the least noise.

    Args:
        editor: with the weights as they are now.
        link: the link.
        seen: of its measured tensor as it is now.
        done: factors that were applied already.

    Raises:
        Unfit: there are none that are better.
    """
    weight = product_of(editor, link.source)
    assert weight is not None
    rows = np.abs(
        np.moveaxis(weight.weight, weight.channel_axis or 0, 0).reshape(link.channels, -1)
    )
    spans = rows.max(axis=1).astype(np.float64)
    read = _importance(editor, link, seen)
    if link.minima:
        node, slot = link.minima[0]
        bound = editor.constant(node.input[slot])
        assert bound is not None
        bounds = bound.reshape(-1).astype(np.float64)
        if len(link.minima) == 1 and (bounds != bounds[0]).any():
            return np.asarray(bounds.max() / bounds)
        raise Unfit("its bounds are alike already")
    plain = np.ones(link.channels)
    least = _LARGEST_SHARE_LEFT * _noise(editor, link, seen, plain)
    best = None
    room = 1.0 + _ROOM / seen.images**0.5
    for share in _SHARES:
        factors = _family(seen.peak, spans, read, share, room)
        if link.clips:
            factors = _below(min(link.clips), factors, seen.peak, done, room)
        noise = _noise(editor, link, seen, factors)
        if noise < least:
            least, best = noise, factors
    if best is None:
        raise Unfit("its channels are alike enough")
    return best


def _family(
    peak: np.ndarray, spans: np.ndarray, read: np.ndarray, share: float, room: float
) -> np.ndarray:
    """Factors by which channels span alike (share 1), or as they weigh in what reads them; the peak stays.

    All but the widest are left some room below it.
    """
    alive = (peak > 0.0) & (read > 0.0)
    if not alive.any():
        return np.ones_like(peak)
    factors = np.ones_like(peak)
    factors[alive] = read[alive] ** (1.0 - share) / peak[alive] ** share
    # What a channel's weights can make of it bounds how far it is raised, and says it for one that was silent.
    reach = np.maximum(spans, 1e-12 * spans.max(initial=1e-300))
    typical = float(np.median(factors[alive] * reach[alive]))
    least, most = factors[alive].min(), factors[alive].max()
    factors[~alive] = np.clip(typical / reach[~alive], least, most)
    factors = np.minimum(factors, _MOST_RAISED * typical / reach)
    factors *= peak.max() / (room * (factors * peak).max())
    widest = int(peak.argmax())
    factors[widest] = min(1.0, factors[widest] * room)
    return np.asarray(factors)


def _below(
    bound: float, factors: np.ndarray, peak: np.ndarray, done: np.ndarray, room: float
) -> np.ndarray:
    """Factors that leave a ReLU6 what it is, whose one bound all channels share.

    A channel that is made larger meets the bound at a smaller value, which it never reached; one that was made
    smaller would pass it.

    Args:
        bound: above.
        factors: as they would be without it.
        peak: of each channel, as it is now.
        done: factors that were applied already.
        room: by how much channels of other images may be larger.
    """
    least = 1.0 / done
    most = np.maximum(least, bound / (room * np.maximum(peak, 1e-12 * bound)))
    return np.asarray(np.clip(factors, least, most))


def _importance(editor: GraphEditor, link: Link, seen: ChannelStatistics) -> np.ndarray:
    """How much each channel's rounding weighs at the outputs of what reads it, as an amplitude."""
    total = np.zeros(link.channels)
    for squares, signal in _read_by(editor, link, seen):
        total += (squares.sum(axis=2) / signal[:, None]).sum(axis=0)
    return np.sqrt(total)


def _noise(editor: GraphEditor, link: Link, seen: ChannelStatistics, factors: np.ndarray) -> float:
    """Noise over signal at the outputs of the products that read the channels, if these had such factors."""
    step = (seen.peak * factors).max() / 255.0
    total = 0.0
    for squares, signal in _read_by(editor, link, seen):
        scaled = squares / np.square(factors)[None, :, None]
        rounding = step**2 * scaled.sum(axis=(1, 2))
        taps = squares.shape[2]
        energy = seen.square * np.square(factors)
        reads = squares.max(axis=2) > 0.0
        weights = scaled.max(axis=(1, 2)) / 127.0**2 * taps * (reads * energy[None]).sum(axis=1)
        # Outputs that are nearly silent would decide alone else.
        total += float(np.minimum((rounding + weights) / signal, _MOST_NOISE).mean())
    return total


def _read_by(
    editor: GraphEditor, link: Link, seen: ChannelStatistics
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each product that reads the channels: its weights' squares (outputs, channels, taps), and what it makes.

    Weights of groups that do not read a channel are zero. What it makes is the power of each output, from these
    channels alone.
    """
    for sink in link.sinks:
        product = product_of(editor, sink.node)
        assert product is not None
        squares = _spread(product, sink, link.channels)
        signal = (squares * seen.square[None, :, None]).sum(axis=(1, 2))
        kept = signal > 1e-12 * max(float(signal.max(initial=0.0)), 1e-300)
        if kept.any():
            yield squares[kept], signal[kept]


def _spread(product: Product, sink: Sink, channels: int) -> np.ndarray:
    """Squares of a product's weights by channel of a link: (outputs, channels, taps)."""
    weight = np.square(product.weight.astype(np.float64))
    if product.node.op_type == "Gemm":
        rows = weight if product.channel_axis == 0 else weight.T
        part = rows[:, sink.first : sink.first + channels * sink.block]
        return np.asarray(part.reshape(len(rows), channels, sink.block))
    outputs, width = weight.shape[:2]
    taps = weight.reshape(outputs, width, -1)
    groups = int(attribute(product.node, "group", 1))
    if groups == 1:
        return np.asarray(taps[:, sink.first : sink.first + channels])
    if width == 1 and sink.first == 0 and groups == channels:
        # Depthwise: each output reads one channel, which stands for all in a sum over channels.
        spread = np.zeros((outputs, channels, taps.shape[2]))
        spread[np.arange(outputs), np.arange(outputs) * channels // outputs] = taps[:, 0]
        return spread
    spread = np.zeros((outputs, channels, taps.shape[2]))
    for output in range(outputs):
        start = output * groups // outputs * width - sink.first
        low, high = max(0, start), min(channels, start + width)
        if low < high:
            spread[output, low:high] = taps[output, low - start : high - start]
    return spread


# ---- writing them


def _apply(editor: GraphEditor, link: Link, factors: np.ndarray) -> None:
    """Multiply the channels that a product makes, and divide the weights that read them."""
    product = product_of(editor, link.source)
    assert product is not None
    axis = product.channel_axis or 0
    shape = [-1 if k == axis else 1 for k in range(product.weight.ndim)]
    _store(editor, link.source, 1, product.weight * factors.reshape(shape))
    if product.bias is not None:
        _store(editor, link.source, 2, product.bias * factors)
    for node, slot in link.minima:
        bound = editor.constant(node.input[slot])
        assert bound is not None
        _store(editor, node, slot, (bound.reshape(-1) * factors).reshape(bound.shape))
    for sink in link.sinks:
        read = product_of(editor, sink.node)
        assert read is not None
        _store(editor, sink.node, 1, read.weight / _divisors(read, sink, factors))


def _divisors(product: Product, sink: Sink, factors: np.ndarray) -> np.ndarray:
    """Factors in the shape in which they meet the weight of a product that reads them."""
    if product.node.op_type == "Gemm":
        features = product.weight.shape[1 if product.channel_axis == 0 else 0]
        row = np.ones(features)
        part = np.repeat(factors, sink.block)
        row[sink.first : sink.first + len(part)] = part
        return row[None, :] if product.channel_axis == 0 else row[:, None]
    outputs, width = product.weight.shape[:2]
    groups = int(attribute(product.node, "group", 1))
    row = np.ones(groups * width)
    row[sink.first : sink.first + len(factors)] = factors
    by_output = np.repeat(row.reshape(groups, width), outputs // groups, axis=0)
    return np.asarray(by_output.reshape(outputs, width, *[1] * (product.weight.ndim - 2)))


def _store(editor: GraphEditor, node: onnx.NodeProto, slot: int, value: np.ndarray) -> None:
    """Let a node read a value in float32 of its own; others that read the old one keep it."""
    base = node.input[slot].removesuffix("_equalised")
    old = editor.initializer(node.input[slot])
    rounded = value.astype(np.float32)
    if node.input[slot].endswith("_equalised") and old is not None:
        old.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(rounded), old.name))
        return
    editor.set_input(node, slot, editor.add_initializer(f"{base}_equalised", rounded))


def _join_bounds(editor: GraphEditor, link: Link) -> None:
    """Write a bound that came to be one for all channels as a Clip, which has an integer form behind a product."""
    for node, slot in link.minima:
        bound = editor.constant(node.input[slot])
        assert bound is not None
        middle = float(np.median(bound))
        if np.abs(bound - middle).max() > 1e-6 * middle:
            continue
        least = editor.add_initializer(f"{node.input[slot]}_least", np.asarray(0.0, np.float32))
        most = editor.add_initializer(f"{node.input[slot]}_most", np.asarray(middle, np.float32))
        clip = onnx.helper.make_node(
            "Clip", [node.input[1 - slot], least, most], [node.output[0]], name=node.name
        )
        editor.replace(node, clip)
