"""Where the channels that a product makes go, as far as positive factors of them pass unchanged.

Through ReLUs, pools, joins and the like, to all the products that read them. Whatever else reads them ends it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploykit.graph.edit import GraphEditor
from deploykit.graph.nodes import attribute, is_standard, node_name
from deploykit.graph.precision.recipe import Product, product_of
from deploykit.graph.shapes import OpenShape
from deploykit.lazy import np, onnx

#: Operators that keep positive factors of channels, without a further condition.
_HOMOGENEOUS = frozenset(
    "AveragePool GlobalAveragePool GlobalMaxPool Identity LeakyRelu MaxPool PRelu Relu".split()
)
#: Behind a product they are part of what is quantised.
_FUSED = frozenset({"Clip", "LeakyRelu", "Min", "PRelu", "Relu"})


class Unfit(Exception):
    """Why the channels of a product have to stay as they are, in a few words."""


@dataclass
class Sink:
    """A product that reads channels: its node, the first input feature, and features per channel."""

    node: onnx.NodeProto
    first: int
    block: int


@dataclass
class Link:
    """What lies between a product and those that read its channels.

    Attributes:
        source: the product's node.
        channels: how many it makes.
        measured: the tensor that is quantised behind it.
        sinks: the products that read the channels.
        clips: bounds above, by Clip: each is one number for all channels.
        minima: bounds above, one per channel: Min nodes with the slot of the constant.
    """

    source: onnx.NodeProto
    channels: int
    measured: str
    sinks: list[Sink] = field(default_factory=list)
    clips: list[float] = field(default_factory=list)
    minima: list[tuple[onnx.NodeProto, int]] = field(default_factory=list)


class Walk:
    """From a product along all that reads its channels, to the products that take their factors."""

    def __init__(
        self, editor: GraphEditor, shapes: Mapping[str, OpenShape], product: Product
    ) -> None:
        self.editor = editor
        self.shapes = shapes
        self.product = product
        self.seen: set[str] = set()
        self.gates: list[tuple[onnx.NodeProto, str]] = []

    def link(self) -> Link:
        """The link behind the product.

        Raises:
            Unfit: something reads the channels that is not to be scaled.
        """
        product = self.product
        if product.has_bias and product.bias is None:
            raise Unfit("its bias is not constant")
        if not np.isfinite(product.weight).all():
            raise Unfit("its weights are not finite")
        link = Link(product.node, product.channels, self._measured(product.node))
        self._go(link, product.node.output[0], 0, 1)
        for node, other in self.gates:
            if other in self.seen:
                raise Unfit(f"{node.op_type} {node_name(node)!r} multiplies it with itself")
        if not link.sinks:
            raise Unfit("no product reads it")
        return link

    def _measured(self, node: onnx.NodeProto) -> str:
        result = node.output[0]
        while True:
            readers = self.editor.readers(result)
            if len(readers) != 1 or not self.editor.read_only_by(result, readers[0]):
                return str(result)
            if not is_standard(readers[0]) or readers[0].op_type not in _FUSED:
                return str(result)
            result = readers[0].output[0]

    def _go(self, link: Link, tensor: str, first: int, block: int) -> None:
        if not self.editor.read_only_by(tensor, *self.editor.readers(tensor)):
            raise Unfit("it is an output, or read in a body")
        self.seen.add(tensor)
        for node, slot in self.editor.consumers(tensor):
            if not is_standard(node):
                raise Unfit(f"{node.op_type} {node_name(node)!r} reads it")
            self._through(link, node, slot, first, block)

    def _through(self, link: Link, node: onnx.NodeProto, slot: int, first: int, block: int) -> None:
        kind, result = node.op_type, node.output[0] if node.output else ""
        passes = False
        if kind in ("Conv", "Gemm") and slot == 0:
            if self._takes(node, first, link.channels * block):
                link.sinks.append(Sink(node, first, block))
                return
        elif kind in _HOMOGENEOUS:
            passes = slot == 0 and not any(node.output[1:])
        elif kind == "Clip":
            passes = slot == 0 and self._clip(link, node)
        elif kind == "Min":
            passes = first == 0 and block == 1 and self._minimum(link, node, slot)
        elif kind == "Pad":
            passes = slot == 0 and self._pads_zeros(node)
        elif kind in ("Flatten", "Reshape"):
            features = self._flattened(node)
            passes = slot == 0 and block == 1 and features is not None
            if passes and features is not None:
                first, block = first * features, features
        elif kind == "Concat":
            before = self._before(node, slot)
            passes = block == 1 and before is not None
            first += before or 0
        elif kind == "Mul" and len(node.input) == 2:
            passes = self._gate(node, slot)
        if not passes:
            raise Unfit(f"{kind} {node_name(node)!r} reads it")
        self._go(link, result, first, block)

    def _takes(self, node: onnx.NodeProto, first: int, features: int) -> bool:
        """Whether a node is a product whose weights can be divided, with that many features from `first` on."""
        product = product_of(self.editor, node)
        if product is None or not np.isfinite(product.weight).all():
            return False
        width = product.weight.shape[0 if product.channel_axis == 1 else 1]
        if node.op_type == "Conv":
            width *= int(attribute(node, "group", 1))
        return bool(first + features <= width)

    def _number(self, name: str) -> float | None:
        value = self.editor.constant(name) if name and self.editor.is_constant(name) else None
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def _clip(self, link: Link, node: onnx.NodeProto) -> bool:
        bounds = [*node.input[1:], "", ""][:2]
        if self._number(bounds[0]) != 0.0:
            return False
        if not bounds[1]:
            return True
        above = self._number(bounds[1])
        if above is None or not above > 0.0:
            return False
        if math.isfinite(above):
            link.clips.append(above)
        return True

    def _minimum(self, link: Link, node: onnx.NodeProto, slot: int) -> bool:
        """Whether this is a bound above, positive and one per channel, behind a ReLU."""
        if len(node.input) != 2:
            return False
        maker = self.editor.producer(node.input[slot])
        bound = self.editor.constant(node.input[1 - slot])
        rank = len(self.shapes.get(node.input[slot], ()))
        if bound is None or maker is None or maker.op_type != "Relu" or rank < 2:
            return False
        wanted = (link.channels, *[1] * (rank - 2))
        if bound.shape not in (wanted, (1, *wanted)) or bound.dtype != np.float32:
            return False
        if not (np.isfinite(bound).all() and (bound > 0).all()):
            return False
        link.minima.append((node, 1 - slot))
        return True

    def _pads_zeros(self, node: onnx.NodeProto) -> bool:
        if len(node.input) < 2 or any(node.input[3:]):
            return False
        pads = (
            self.editor.constant(node.input[1]) if self.editor.is_constant(node.input[1]) else None
        )
        if pads is None or pads.size < 4 or pads[1] or pads[pads.size // 2 + 1]:
            return False
        value = node.input[2] if len(node.input) > 2 else ""
        return not value or self._number(value) == 0.0

    def _flattened(self, node: onnx.NodeProto) -> int | None:
        """Features that each channel becomes, where the node makes rows of images."""
        before, after = (self.shapes.get(name) for name in (node.input[0], node.output[0]))
        if before is None or after is None or len(before) < 2 or len(after) != 2:
            return None
        if node.op_type == "Flatten" and attribute(node, "axis", 1) != 1:
            return None
        inner = [size for size in before[1:] if size is not None]
        features = math.prod(inner)
        if len(inner) < len(before) - 1 or after[1] != features or not before[1]:
            return None
        return features // before[1]

    def _before(self, node: onnx.NodeProto, slot: int) -> int | None:
        """Channels that a join along axis 1 puts before those of an operand."""
        rank = len(self.shapes.get(node.output[0], ()))
        axis = int(attribute(node, "axis", 1))
        if rank < 2 or axis % rank != 1:
            return None
        before = 0
        for name in node.input[:slot]:
            shape = self.shapes.get(name, ())
            if len(shape) != rank or shape[1] is None:
                return None
            before += shape[1]
        return before

    def _gate(self, node: onnx.NodeProto, slot: int) -> bool:
        """Whether the other factor, which stays as it is, does not widen the channels."""
        mine, other = self.shapes.get(node.input[slot]), self.shapes.get(node.input[1 - slot])
        result = self.shapes.get(node.output[0])
        if mine is None or other is None or result is None or node.input[0] == node.input[1]:
            return False
        self.gates.append((node, node.input[1 - slot]))
        same = mine[1:2] == result[1:2] and None not in mine[1:2]
        return len(mine) == len(result) and same
