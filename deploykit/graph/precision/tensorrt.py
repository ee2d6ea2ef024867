"""int8 and fp8 for TensorRT: symmetric pairs around the operands of products, no quantised bias.

TensorRT fuses a product with the bias, the activation and the residual addition behind it. For the last
it wants the addition's other operand quantised, too; everything else keeps float32 and TensorRT moves
the quantisation through pooling and concatenation by itself.

fp8 is E4M3, for TensorRT-RTX. Scales map the largest calibrated value to 448, the largest of E4M3. Unlike
int8, a value twice too large costs all it has above that limit, but small values keep their relative
precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.bodies import collect_body_ranges
from deploykit.graph.calibrate.ranges import Range, collect_ranges
from deploykit.graph.edit import GraphEditor
from deploykit.graph.element_types import ElementType
from deploykit.graph.fold import compute_fixed_operands, fold_batchnorm, remove_passing_nodes
from deploykit.graph.nodes import is_standard
from deploykit.graph.opsets import raise_opset
from deploykit.graph.precision.integer_forms import write_integer_forms
from deploykit.graph.precision.qdq import (
    QdqWriter,
    Quantiser,
    along,
    channel_scales,
    scale_of,
    symmetric_s8,
)
from deploykit.graph.precision.recipe import (
    KeepRules,
    Product,
    body_editors,
    needs,
    product_of,
    range_facts,
)
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: The nodes that read a tensor quantised, by tensor.
Readers = dict[str, "list[onnx.NodeProto]"]

#: DequantizeLinear has had scales per channel since this opset.
OPSET_PER_CHANNEL = 13

#: QuantizeLinear has had 8-bit floats since this opset.
OPSET_FLOAT8 = 19

#: The most values of a convolution's window, over height and width, that TensorRT has FP8 kernels for.
LARGEST_WINDOW = 32

#: The largest finite value of E4M3.
LARGEST_E4M3 = 448.0


def to_int8(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "int8")
    facts = raise_opset(model, OPSET_PER_CHANNEL, "int8")
    compute_fixed_operands(model)
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model, keep.leaves)
    if rewritten := write_integer_forms(model, keep):
        facts["products_rewritten"] = rewritten

    def write(
        editor: GraphEditor, products: list[Product], readers: Readers, ranges: dict[str, Range]
    ) -> None:
        writer = QdqWriter(editor)
        for product in products:
            scales = channel_scales(product.weight, product.channel_axis, 127.0)
            name = product.node.input[1]
            restored = writer.weight(name, product.weight, product.channel_axis, scales)
            editor.set_input(product.node, 1, restored)
        for tensor, nodes in readers.items():
            writer.pair(tensor, symmetric_s8(*ranges[tensor]), nodes)

    return facts | _quantise(model, keep, calibration, write)


def to_fp8(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "fp8")
    facts = raise_opset(model, OPSET_FLOAT8, "fp8")
    compute_fixed_operands(model)
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model, keep.leaves)
    if rewritten := write_integer_forms(model, keep):
        facts["products_rewritten"] = rewritten

    def write(
        editor: GraphEditor, products: list[Product], readers: Readers, ranges: dict[str, Range]
    ) -> None:
        writer = QdqWriter(editor)
        for product in products:
            scales = channel_scales(product.weight, product.channel_axis, LARGEST_E4M3)
            name = product.node.input[1]
            stored = _quantise_e4m3(product.weight, scales, product.channel_axis)
            restored = writer.weight_e4m3(name, stored, product.channel_axis, scales)
            editor.set_input(product.node, 1, restored)
        for tensor, nodes in readers.items():
            writer.pair(tensor, _quantiser_e4m3(*ranges[tensor]), nodes)

    return facts | _quantise(model, keep, calibration, write, _has_kernel)


def _quantise(
    model: onnx.ModelProto,
    keep: KeepRules,
    calibration: Calibration,
    write: Callable[[GraphEditor, list[Product], Readers, dict[str, Range]], None],
    suits: Callable[[Product], bool] = lambda product: True,
) -> dict[str, Any]:
    """Measure and quantise the main graph, or bodies of If, Loop and Scan where all products are there; facts.

    TensorRT for RTX 1.7 can't build branches with pairs: they are written where nothing else could be in 8 bits.
    """
    editor = GraphEditor(model)
    products, readers = quantised_operands(editor, keep, suits)
    seen = collect_ranges(
        model, sorted(readers), calibration, symmetric=True, infinite=_optional(products, readers)
    )
    # An addition of infinities, those of a mask, reads them in float.
    ranges = {tensor: bounds for tensor, bounds in seen.items() if np.isfinite(bounds).all()}
    readers = {tensor: nodes for tensor, nodes in readers.items() if tensor in ranges}
    inner = {
        place: (body, quantised_operands(body, keep, suits)) for place, body in body_editors(editor)
    }
    wanted = {place: sorted(found[1]) for place, (_, found) in inner.items() if found[1]}
    inside = collect_body_ranges(model, wanted, calibration, symmetric=True).ranges
    write(editor, products, readers, ranges)
    for place, (body, (body_products, body_readers)) in inner.items():
        known = inside.get(place, {})
        needed = body_readers.keys() - _optional(body_products, body_readers)
        if needed and all(tensor in known for tensor in needed):
            reached = {tensor: nodes for tensor, nodes in body_readers.items() if tensor in known}
            write(body, body_products, reached, known)
            products += body_products
            ranges |= known
        body.finish()
    editor.finish()
    return range_facts(calibration, ranges, products, model)


def _optional(products: list[Product], readers: Readers) -> set[str]:
    """The tensors that additions alone read quantised, which can as well read them in float."""
    return readers.keys() - {product.activation for product in products}


def _has_kernel(product: Product) -> bool:
    """Whether TensorRT convolves this in 8-bit floats; where not, it would do so in float32 unasked."""
    return product.node.op_type != "Conv" or math.prod(product.weight.shape[2:]) <= LARGEST_WINDOW


def _quantiser_e4m3(low: float, high: float) -> Quantiser:
    scale = scale_of(max(-low, high) / LARGEST_E4M3)
    return Quantiser(float(np.float32(scale)), 0, ElementType.FLOAT8E4M3FN)


def _quantise_e4m3(weight: np.ndarray, scales: np.ndarray, axis: int | None) -> np.ndarray:
    steps = np.clip(weight / along(scales, axis, weight.ndim), -LARGEST_E4M3, LARGEST_E4M3)
    return np.asarray(steps.astype(onnx.helper.tensor_dtype_to_np_dtype(ElementType.FLOAT8E4M3FN)))


# ---- where pairs go


def quantised_operands(
    editor: GraphEditor, keep: KeepRules, suits: Callable[[Product], bool] = lambda product: True
) -> tuple[list[Product], dict[str, list[onnx.NodeProto]]]:
    """The products to quantise, and for each activation to quantise the nodes that shall read it so.

    `suits` says of a product whether TensorRT has a kernel for it.
    """
    products = [
        product
        for node in editor.live_nodes()
        if not keep.keeps(node)
        and (product := product_of(editor, node)) is not None
        and suits(product)
    ]
    readers: dict[str, list[onnx.NodeProto]] = {}
    for product in products:
        readers.setdefault(product.activation, []).append(product.node)
    quantised = {id(product.node) for product in products}
    for node in editor.live_nodes():
        if is_standard(node) and node.op_type in ("Add", "Sum") and not keep.keeps(node):
            other = _residual(editor, node, quantised)
            if other is not None:
                readers.setdefault(other, []).append(node)
    return products, readers


def _residual(view: GraphView, addition: onnx.NodeProto, quantised: set[int]) -> str | None:
    """The operand of an addition that does not come straight from the product it will be fused with."""
    if len(addition.input) != 2 or addition.input[0] == addition.input[1]:
        return None
    for main, other in (addition.input, reversed(addition.input)):
        producer = view.producer(main)
        if (
            producer is not None
            and id(producer) in quantised
            and producer.op_type == "Conv"
            and view.read_only_by(main, addition)
            and not view.is_constant(other)
            and not _is_spread(view, other)
        ):
            return str(other)
    return None


def _is_spread(view: GraphView, name: str) -> bool:
    """Whether it is a bias that other nodes compute, as `write_integer_forms` puts it behind a convolution."""
    producer = view.producer(name)
    return producer is not None and producer.op_type == "Unsqueeze"
