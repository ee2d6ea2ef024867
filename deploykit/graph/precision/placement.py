"""Where TensorRT wants Q/DQ pairs: before each product, and on the other operand of a fused addition."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from deploykit.graph.editing import GraphEditor
from deploykit.graph.nodes import is_standard
from deploykit.graph.precision.keep import KeepRules
from deploykit.graph.precision.products import Product, product_of


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


def _residual(editor: GraphEditor, addition: onnx.NodeProto, quantised: set[int]) -> str | None:
    """The operand of an addition that does not come straight from the product it will be fused with."""
    if len(addition.input) != 2 or addition.input[0] == addition.input[1]:
        return None
    for main, other in (addition.input, reversed(addition.input)):
        maker = editor.producer(main)
        if (
            maker is not None
            and id(maker) in quantised
            and maker.op_type == "Conv"
            and editor.read_only_by(main, addition)
            and not editor.is_constant(other)
        ):
            return str(other)
    return None
