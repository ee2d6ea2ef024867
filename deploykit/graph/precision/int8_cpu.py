"""int8 for ONNX Runtime's CPU provider: u8 activations, s8 weights per channel, int32 bias.

ONNX Runtime replaces DequantizeLinear, operator, QuantizeLinear by one integer operator where it knows
one. Each activation that enters or leaves such an operator gets a pair, so that whole stretches of the
network stay in integers. A ReLU or Clip right behind is part of the operator: the quantised range ends
where the activation does. Operators that only move values share their input's scale.
"""

from __future__ import annotations

from typing import Any

from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import collect_ranges
from deploykit.graph.edit import GraphEditor, raise_opset
from deploykit.graph.element_types import ElementType
from deploykit.graph.fold import batchnorm_affine, fold_batchnorm, remove_passing_nodes
from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.operators import OPERATORS, Kind, Trait, has
from deploykit.graph.precision.qdq import (
    QdqWriter,
    Quantiser,
    asymmetric_u8,
    channel_scales,
    scales_with_room,
)
from deploykit.graph.precision.recipe import KeepRules, Product, needs, product_of, range_facts
from deploykit.graph.shapes import tensor_shapes
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Products that also have a form with integer inputs and a float output.
_FLOAT_OUTPUT = frozenset({"Gemm", "MatMul"})

#: DequantizeLinear has had scales per channel since this opset.
OPSET_PER_CHANNEL = 13


def to_int8(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "int8")
    facts = raise_opset(model, OPSET_PER_CHANNEL, "int8")
    remove_passing_nodes(model)
    folded = fold_batchnorm(model)
    replaced = batchnorm_to_depthwise(model, keep)
    if replaced:
        facts["batchnorm_as_depthwise"] = replaced
        folded += fold_batchnorm(model)
    facts["nodes_folded"] = folded
    editor = GraphEditor(model)
    _sums_to_additions(editor)
    regions = IntegerRegions(editor, keep)
    ranges = collect_ranges(model, sorted(regions.roots()), calibration, symmetric=False)
    quantisers = {root: asymmetric_u8(*bounds) for root, bounds in ranges.items()}
    _write(editor, regions, quantisers)
    editor.finish()
    return facts | range_facts(calibration, ranges, regions.products, model)


def _sums_to_additions(editor: GraphEditor) -> None:
    """A Sum of two is an Add, for which ONNX Runtime has an integer form."""
    for node in editor.live_nodes():
        if node.op_type == "Sum" and is_standard(node) and len(node.input) == 2:
            node.op_type = "Add"


def _write(editor: GraphEditor, regions: IntegerRegions, quantisers: dict[str, Quantiser]) -> None:
    writer = QdqWriter(editor)
    for product in regions.products:
        node = product.node
        scale = quantisers[regions.root(product.activation)].scale
        scales = channel_scales(product.weight, product.channel_axis, 127.0)
        scales = scales_with_room(scales, product.bias, scale)
        editor.set_input(
            node, 1, writer.weight(node.input[1], product.weight, product.channel_axis, scales)
        )
        if product.bias is not None:
            steps = (scales.astype(np.float64) * scale).astype(np.float32)
            editor.set_input(node, 2, writer.bias(node.input[2], product.bias, steps))
    for node, slot, value in regions.constant_operands:
        quantiser = asymmetric_u8(float(value.min(initial=0)), float(value.max(initial=0)))
        editor.set_input(node, slot, writer.constant(node.input[slot], value, quantiser))
    for tensor in regions.tensors:
        readers = None if regions.made_in_integers(tensor) else regions.integer_readers(tensor)
        writer.pair(tensor, quantisers[regions.root(tensor)], readers)


# ---- BatchNorm that no product takes in, as in DenseNet


def batchnorm_to_depthwise(model: onnx.ModelProto, keep: KeepRules) -> int:
    """Replace BatchNorm nodes on images (rank 4) by depthwise 1x1 convolutions; the model is changed.

    ONNX Runtime has no integer BatchNorm: each one would cost a way to float and back. As a convolution it
    runs in integers, and the ReLU behind it is part of it.

    The node keeps its name. Returns how many were replaced.
    """
    candidates = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not candidates:
        return 0
    shapes = tensor_shapes(model)
    editor = GraphEditor(model)
    replaced = 0
    for node in editor.live_nodes():
        if node.op_type != "BatchNormalization" or not is_standard(node) or keep.keeps(node):
            continue
        affine = batchnorm_affine(editor, node)
        if affine is None or len(shapes.get(node.input[0], ())) != 4:
            continue
        _replace(editor, node, affine.scale, affine.shift)
        replaced += 1
    editor.finish()
    return replaced


def _replace(
    editor: GraphEditor, node: onnx.NodeProto, scale: np.ndarray, shift: np.ndarray
) -> None:
    source, result, base = node.input[0], node.output[0], node.name or node.output[0]
    weight = editor.add_initializer(f"{base}_weight", scale.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = editor.add_initializer(f"{base}_bias", shift.astype(np.float32))
    editor.replace(
        node,
        onnx.helper.make_node(
            "Conv", [source, weight, bias], [result], name=node.name,
            kernel_shape=[1, 1], group=int(scale.size),
        ),
    )  # fmt: skip


# ---- which operators run in integers, and which tensors that quantises


class IntegerRegions:
    """The plan of a graph in integers.

    Attributes:
        products: convolutions and matrix products that are quantised.
        tensors: activations that get a pair, in the order of the graph.
        constant_operands: constant inputs of additions and multiplications: node, position, value.
    """

    def __init__(self, view: GraphView, keep: KeepRules) -> None:
        self.view = view
        self.keep = keep
        self.products: list[Product] = []
        self.constant_operands: list[tuple[onnx.NodeProto, int, np.ndarray]] = []
        self.tensors: list[str] = []
        self._types = view.types
        self._parents: dict[str, str] = {}
        self._made: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._listed: set[str] = set()
        self._fused: set[int] = set()
        for node in view.nodes:
            self._visit(node)
        self._leave_last_outputs_float()

    def root(self, tensor: str) -> str:
        """The tensor whose range decides the scale of this one."""
        while tensor in self._parents:
            tensor = self._parents[tensor]
        return tensor

    def roots(self) -> set[str]:
        """The tensors whose ranges are wanted."""
        return {self.root(tensor) for tensor in self.tensors}

    def made_in_integers(self, tensor: str) -> bool:
        """Whether an integer operator makes the tensor, so that all its readers see it quantised."""
        return tensor in self._made

    def integer_readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The integer operators that read the tensor."""
        return self._readers.get(tensor, [])

    # ---- building the plan

    def _visit(self, node: onnx.NodeProto) -> None:
        if not is_standard(node) or self.keep.keeps(node) or id(node) in self._fused:
            return
        product = product_of(self.view, node)
        if product is not None:
            self._add_product(product)
        elif has(node, Trait.SHARES_SCALE):
            self._add_moving(node)
        elif has(node, Trait.INTEGER_FORM) and OPERATORS[node.op_type].kind is Kind.ELEMENTWISE:
            self._add_elementwise(node)
        elif has(node, Trait.INTEGER_FORM):
            if node.input[0] in self._made and self._supported(node):
                self._read(node.input[0], node)
                self._make(node)
        elif node.op_type == "Concat":
            self._add_concat(node)

    def _add_product(self, product: Product) -> None:
        if product.has_bias and product.bias is None:
            return
        self.products.append(product)
        self._read(product.activation, product.node)
        self._make(product.node)

    def _add_moving(self, node: onnx.NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        if source not in self._made or len([name for name in node.output if name]) > 1:
            return
        self._read(source, node)
        self._made[result] = node
        self._list(result)
        self._parents[result] = source

    def _add_elementwise(self, node: onnx.NodeProto) -> None:
        if not any(name in self._made for name in node.input) or not self._all_float(node):
            return
        for slot, name in enumerate(node.input):
            if not self.view.is_constant(name):
                self._read(name, node)
                continue
            value = self.view.constant(name)
            if value is None:
                return
            self.constant_operands.append((node, slot, value))
        self._make(node)

    def _add_concat(self, node: onnx.NodeProto) -> None:
        names = list(node.input)
        if not any(name in self._made for name in names) or not self._all_float(node):
            return
        if any(self.view.is_constant(name) for name in names):
            return
        for name in names:
            self._read(name, node)
        result = self._make(node)
        for name in names:
            # Values that go nowhere else are stored in the result's steps at once: nothing to convert.
            alone = self.view.read_only_by(name, node) and names.count(name) == 1
            if alone and name in self._made and name not in self._parents:
                self._parents[name] = result

    def _all_float(self, node: onnx.NodeProto) -> bool:
        return all(self._types.get(name) == ElementType.FLOAT for name in node.input)

    def _supported(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "AveragePool":
            return True
        dilations = attribute(node, "dilations", [1])
        return all(d == 1 for d in dilations)

    def _read(self, tensor: str, node: onnx.NodeProto) -> None:
        self._readers.setdefault(tensor, []).append(node)
        self._list(tensor)

    def _list(self, tensor: str) -> None:
        if tensor not in self._listed:
            self._listed.add(tensor)
            self.tensors.append(tensor)

    def _make(self, node: onnx.NodeProto) -> str:
        """Note what an integer operator makes: its output, or that of the activation fused behind."""
        result = str(node.output[0])
        readers = self.view.consumers(result)
        if len(readers) == 1 and self.view.read_only_by(result, readers[0][0]):
            follower = readers[0][0]
            if not self.keep.keeps(follower) and self._fuses(follower):
                self._fused.add(id(follower))
                result = follower.output[0]
        self._made[result] = node
        self._list(result)
        return result

    def _fuses(self, node: onnx.NodeProto) -> bool:
        """Whether a quantised range from zero up makes this activation superfluous."""
        if not is_standard(node):
            return False
        if node.op_type == "Relu":
            return True
        if node.op_type != "Clip" or len(node.input) < 2 or not node.input[1]:
            return False
        least = self.view.constant(node.input[1])
        return least is not None and float(least.reshape(-1)[0]) == 0.0

    def _leave_last_outputs_float(self) -> None:
        """A matrix product that nothing in integers reads keeps a float output: logits lose nothing."""
        for tensor, node in list(self._made.items()):
            if node.op_type in _FLOAT_OUTPUT and not self._readers.get(tensor):
                del self._made[tensor]
                self.tensors.remove(tensor)
