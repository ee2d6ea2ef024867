"""From the nodes of an ONNX Runtime engine back to the layers of the float graph they come from.

The runtime leaves no record of what it merged but the names that it gives. Most are those of a *node* of
the source, with something put before or behind; in its blocked layout (`…_nchwc`) they are those of the
*tensor* in which the merged layers end. What no name speaks of is placed by the graph's order: a product
takes in what directly follows it, and what else there is was merged into what comes next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploykit.graph.lineage import Layer, layers, neighbours
from deploykit.graph.operators import PRODUCTS, Trait, names
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx

#: Operators that the runtime adds to move values between layouts and types.
_MOVERS = frozenset(
    "ReorderInput ReorderOutput Transpose QuantizeLinear DequantizeLinear Cast".split()
)
#: What any node can have taken in before itself: operators that only move values or do nothing.
_ABSORBED = names(Trait.CARRIES_WEIGHT) | {"Pad", "Dropout"}
_BEFORE = re.compile(r"^(fused |InsertedPrecisionFreeCast_|_inlfunc_SequenceMap_(token_\d+_)?)+")
_BEHIND = re.compile(r"(_token_\d+|/[A-Za-z]*Fusion/?)+$")
#: Behind a tensor's name: the layout, and what became a depthwise convolution or was moved past a Q/DQ pair.
_TENSOR = re.compile(r"(?P<tensor>.*?)(?P<depthwise>_bn|_mul)?_nchwc$")
_KIND = re.compile(r"^(QLinear|NhwcFused|Nhwc|Fused|Q)(?=[A-Z])")
#: Nodes that compute in integers.
_INTEGER = re.compile(r"^(QLinear|QGemm)|Integer")


@dataclass(frozen=True)
class EngineNode:
    """One node of the engine, as it is executed.

    Attributes:
        index: in the engine's graph, which is also its order of execution.
        name: as the engine has it; where it has none, that of its first output.
        op_type: its operator.
        layers: names of the float graph's layers that it computes; none where the runtime added it.
        main: of these, the one that it is called by: the product, else the one its name speaks of.
    """

    index: int
    name: str
    op_type: str
    layers: tuple[str, ...] = ()
    main: str | None = None

    @property
    def integer(self) -> bool:
        """Whether it computes in integers."""
        return bool(_INTEGER.search(self.op_type)) or self.op_type == "NhwcMaxPool"


@dataclass
class _Group:
    """The layers that one engine node computes, while they are being gathered."""

    anchor: Layer
    kind: str
    open: bool
    members: set[str] = field(default_factory=set)

    def takes(self, layer: Layer) -> bool:
        """Whether this layer, which only this group reads, can have been merged into it."""
        if layer.op_type in _ABSORBED:
            return True
        if not self.open:
            return False
        if self.kind in PRODUCTS:
            return True
        return layer.op_type not in PRODUCTS and layer.op_type != "BatchNormalization"

    def add(self, layer: Layer) -> None:
        self.members.add(layer.node)
        if layer.op_type == self.kind or layer.op_type in PRODUCTS:
            self.open = False  # what it begins with


def plain_name(name: str) -> str:
    """What a node of the engine is called without what the runtime put before or behind its name."""
    tensor = _TENSOR.fullmatch(name)
    return str(tensor["tensor"]) if tensor else _BEHIND.sub("", _BEFORE.sub("", name))


def trace_layers(source: GraphView | onnx.ModelProto, engine: onnx.ModelProto) -> list[EngineNode]:
    """For every node of the engine, in order, the layers of `source` that it computes.

    A layer that is in no node's list was removed, or could not be traced. Weights are not looked at.

    Args:
        source: the float graph, or a view of it.
        engine: the optimised graph, of the same network in any precision.
    """
    view = GraphView.of(source)
    source_layers = layers(view)
    groups = _anchored(source_layers, engine)
    readers, makers = neighbours(view, source_layers)
    placed = {group.anchor.node: index for index, group in groups.items()}
    pending = []
    for layer in reversed(source_layers):
        if layer.node in placed:
            continue
        behind = {placed.get(reader) for reader in readers[layer.node]}
        index = behind.pop() if len(behind) == 1 else None
        if index is not None and groups[index].takes(layer):
            groups[index].add(layer)
            placed[layer.node] = index
        else:
            pending.append(layer)
    for layer in reversed(pending):
        before = [placed[maker] for maker in makers[layer.node] if maker in placed]
        if before:  # the one that runs last has all that the layer needs
            placed[layer.node] = max(before)
            groups[max(before)].members.add(layer.node)
    return [
        _node(i, node, groups.get(i), source_layers) for i, node in enumerate(engine.graph.node)
    ]


def _node(
    index: int, node: onnx.NodeProto, group: _Group | None, source_layers: Sequence[Layer]
) -> EngineNode:
    name = node.name or node.output[0]
    if group is None:
        return EngineNode(index, name, node.op_type)
    members = [layer for layer in source_layers if layer.node in group.members]
    products = [layer.node for layer in members if layer.op_type in PRODUCTS]
    main = products[0] if products else group.anchor.node
    return EngineNode(index, name, node.op_type, tuple(layer.node for layer in members), main)


def _anchored(source_layers: Sequence[Layer], engine: onnx.ModelProto) -> dict[int, _Group]:
    """Engine nodes whose name speaks of a layer; a name as it stands counts before one that was cut."""
    by_node = {layer.node: layer for layer in source_layers}
    by_tensor = {layer.tensor: layer for layer in source_layers}
    taken: set[str] = set()
    groups: dict[int, _Group] = {}

    def anchor(index: int, layer: Layer | None, kind: str, closed: bool) -> None:
        if layer is None or layer.node in taken:
            return
        taken.add(layer.node)
        groups[index] = _Group(layer, kind, not closed, {layer.node})

    nodes = [(i, n, _KIND.sub("", n.op_type)) for i, n in enumerate(engine.graph.node)]
    for index, node, kind in nodes:
        layer = by_node.get(node.name)
        if layer is not None and (node.op_type not in _MOVERS or layer.op_type == node.op_type):
            # A product is called by its own name, so what is before it is in another node.
            anchor(index, layer, kind, layer.op_type == kind or kind in PRODUCTS)
    for index, node, kind in nodes:
        if index in groups or node.op_type in _MOVERS:
            continue
        name = _BEHIND.sub("", _BEFORE.sub("", node.name))
        tensor = _TENSOR.fullmatch(name)
        if tensor is None:
            layer = by_node.get(name)
            anchor(index, layer, kind, layer is None or layer.op_type == kind or kind in PRODUCTS)
            continue
        text = str(tensor["tensor"]).removesuffix("_pre_q")
        layer = by_tensor.get(text) or by_node.get(text)
        depthwise = tensor["depthwise"] is not None
        anchor(index, layer, kind, depthwise or layer is None or layer.op_type == kind)
    return groups
