"""What precision recipes share: layers to keep in float32, the products to quantise, and the facts they state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from deploykit.errors import UnknownName, UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.bodies import Place
from deploykit.graph.edit import GraphEditor
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import GRAPH, attribute, is_standard, node_name, nodes_below
from deploykit.graph.operators import Trait, has
from deploykit.graph.view import GraphView, views_below
from deploykit.lazy import np, onnx


@dataclass(frozen=True)
class KeepRules:
    """Layers that stay in float32.

    Attributes:
        nodes: names of ONNX nodes; `*` and `?` match as in file names.
        op_types: operator types ("Gemm").
        strict: whether a recipe must refuse, rather than keep a layer in float32 that nobody asked to keep.
    """

    nodes: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()
    strict: bool = False

    def keeps(self, node: onnx.NodeProto) -> bool:
        """Whether this node stays in float32."""
        return node.op_type in self.op_types or any(
            node.name == rule or fnmatchcase(node.name, rule) for rule in self.nodes
        )

    def leaves(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """Whether a node may be folded into the one before; see `fold_batchnorm`."""
        return not self.keeps(node)

    def check(self, model: onnx.ModelProto) -> None:
        """Raise UnknownName for a rule that no node, of bodies neither, meets: a typo must not pass in silence."""
        nodes = list(nodes_below(model.graph.node))
        names = [node.name for node in nodes if node.name]
        types = sorted({node.op_type for node in nodes})
        for rule in self.op_types:
            if rule not in types:
                raise UnknownName("operator type to keep", rule, types)
        for rule in self.nodes:
            if not any(name == rule or fnmatchcase(name, rule) for name in names):
                raise UnknownName(
                    "node to keep", rule, names, hint="see the nodes' names in the graph"
                )

    def kept(self, model: onnx.ModelProto) -> list[str]:
        """Names of the nodes that stay in float32, those of bodies too, in the order of the graph."""
        return [node_name(node) for node in nodes_below(model.graph.node) if self.keeps(node)]


def body_editors(editor: GraphEditor, place: Place = ()) -> Iterator[tuple[Place, GraphEditor]]:
    """Editors of all bodies below a graph, each after those within it, with the weights that their products read.

    Those of If, Loop and Scan: what a SequenceMap makes are sequences, from which nothing can be measured.

    A body that is changed is finished before the graph around it.
    """
    for index, node in enumerate(editor.nodes):
        for entry in node.attribute:
            if entry.type != GRAPH or node.op_type == "SequenceMap":
                continue
            inner = GraphEditor(editor.model, graph=entry.g, outer=editor)
            here = (*place, (index, entry.name))
            yield from body_editors(inner, here)
            _bring_weights(inner)
            yield here, inner


def _bring_weights(body: GraphEditor) -> None:
    """Store in a body the weights and biases of its products that stand in graphs around it."""
    brought: dict[str, str] = {}
    for node in body.live_nodes():
        if not is_standard(node) or not has(node, Trait.PRODUCT):
            continue
        # The constant of a matrix product may stand first, until it is written the other way round.
        turned = node.op_type in ("Gemm", "MatMul") and not body.is_fixed(node.input[1])
        for slot, name in list(enumerate(node.input))[0 if turned else 1 : 3]:
            around = body.outer
            while around is not None and name and not body.is_constant(name):
                value = around.constant(name) if around.is_constant(name) else None
                if value is not None:
                    if name not in brought:
                        brought[name] = body.add_initializer(f"{name}_inner", value)
                    body.set_input(node, slot, brought[name])
                    break
                around = around.outer


#: Products that both targets compute in 8 bits; neither does transposed convolutions.
_QUANTISABLE = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Product:
    """A product of an activation with a constant weight.

    Attributes:
        node: the Conv, Gemm or MatMul.
        activation: name of its data input (input 0).
        weight: its constant second operand, float32.
        channel_axis: the weight's axis of output channels; None for a batch of matrices, which has one scale.
        channels: how many there are.
        bias: constant third operand as one value per channel, or None.
        has_bias: whether there is a third operand at all, constant or not.
    """

    node: onnx.NodeProto
    activation: str
    weight: np.ndarray
    channel_axis: int | None
    channels: int
    bias: np.ndarray | None
    has_bias: bool


def product_of(view: GraphView, node: onnx.NodeProto) -> Product | None:
    """Describe a node as a product, or None where it is none with a constant float32 weight.

    A Gemm with a transposed activation, or factors other than 1, is not one; neither is a weight that is
    not constant. See `write_integer_forms` for those that can be written otherwise.
    """
    if not is_standard(node) or node.op_type not in _QUANTISABLE:
        return None
    if view.is_constant(node.input[0]):
        return None
    weight = view.constant(node.input[1])
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or not weight.size:
        return None
    if node.op_type == "Gemm" and weight.ndim != 2:
        return None
    if node.op_type == "Gemm" and (
        attribute(node, "transA", 0)
        or attribute(node, "alpha", 1.0) != 1.0
        or attribute(node, "beta", 1.0) != 1.0
    ):
        return None
    channels_first = node.op_type == "Conv" or attribute(node, "transB", 0)
    axis = 0 if channels_first else 1
    if node.op_type != "Conv" and weight.shape[-2 if axis else -1] == 1:
        return None  # adds nothing up: places times frequencies, say, which 8 bits can't hold
    if node.op_type == "MatMul" and weight.ndim > 2:
        return Product(node, node.input[0], weight, None, weight.shape[-1], None, False)
    channels = weight.shape[axis]
    has_bias = len(node.input) > 2 and bool(node.input[2])
    bias = view.constant(node.input[2]) if has_bias else None
    if bias is not None:
        bias = per_channel(bias, channels)
    return Product(node, node.input[0], weight, axis, channels, bias, has_bias)


def per_channel(bias: np.ndarray, channels: int) -> np.ndarray | None:
    """A bias as one value per channel; None where it varies otherwise, or is not float32."""
    if bias.dtype != np.float32:
        return None
    if bias.size == 1:
        return np.repeat(bias.reshape(-1), channels)
    # A Gemm's bias of shape (channels,) or (1, channels); (channels, 1) would vary along the batch.
    return bias.reshape(-1) if bias.size == channels == bias.shape[-1] else None


def needs(calibration: Calibration | None, precision: str) -> Calibration:
    """The calibration, or a UsageError in one line where there is none."""
    if calibration is None:
        raise UsageError(
            f"{precision} needs calibration images: give --data, or --synthetic-calibration "
            "for an engine to time but not to trust"
        )
    return calibration


def range_facts(
    calibration: Calibration,
    ranges: Mapping[str, tuple[float, float]],
    products: Sequence[Product],
    model: onnx.ModelProto,
) -> dict[str, Any]:
    """The calibration's part of a recipe: method, data, count, all ranges with their hash, what was kept.

    "kept" names the convolutions and matrix products of the model that are none of `products`.
    """
    quantised = {product.node.output[0] for product in products}
    listed = {name: [low, high] for name, (low, high) in sorted(ranges.items())}
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    facts = {
        "calibration": calibration.facts(),
        "products_quantised": len(products),
        "ranges": listed,
        "ranges_sha256": digest,
    }
    kept = [
        node_name(node)
        for node in nodes_below(model.graph.node)
        if has(node, Trait.PRODUCT) and node.output[0] not in quantised
    ]
    return facts | ({"kept": kept} if kept else {})


def why_in_float(model: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """Why products, by name, have no form in 8 bits, each in one clause that begins with its operator and name.

    Args:
        model: with the products as they stayed.
        names: of nodes of its main graph or of bodies.
    """
    found: dict[str, str] = {}
    for view in views_below(GraphView(model)):
        for node in view.nodes:
            if has(node, Trait.PRODUCT):
                found.setdefault(node_name(node), _why(view, node))
    return [found[name] for name in names if name in found]


def _why(view: GraphView, node: onnx.NodeProto) -> str:
    said = f"{node.op_type} {node_name(node)!r}"
    fixed = [view.is_fixed(name) for name in node.input[:2]]
    if not any(fixed):
        return f"{said} multiplies two activations"
    if all(fixed):
        return f"{said} multiplies constants"
    known = [name for name, found in zip(node.input[:2], fixed, strict=True) if found]
    if not all(view.is_visible_constant(name) for name in known):
        return f"{said} has a weight that other nodes compute"
    if view.outer is not None:
        return f"{said} is in a body that did not run on the calibration images, isn't finite or is a SequenceMap"
    if any(view.types.get(name) != ElementType.FLOAT for name in node.input[:2]):
        return f"{said} is not of float32"
    if node.op_type == "ConvTranspose":
        return f"{said} has no integer kernel, and with these strides, dilations and sizes no form as a convolution"
    return f"{said} has no form in 8 bits with this weight, bias or window"
