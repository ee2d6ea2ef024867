"""Convolutions and matrix products with constant weights: what the int8 and fp8 recipes quantise."""

from __future__ import annotations

from dataclasses import dataclass

from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Products that both targets compute in 8 bits; neither does transposed convolutions.
_QUANTISABLE = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Product:
    """A product of an activation with a constant weight.

    Attributes:
        node: the Conv, Gemm or MatMul.
        activation: name of its data input (input 0).
        weight: its constant second operand, float32.
        channel_axis: the weight's axis of output channels.
        channels: how many there are.
        bias: constant third operand as one value per channel, or None.
        has_bias: whether there is a third operand at all, constant or not.
    """

    node: onnx.NodeProto
    activation: str
    weight: np.ndarray
    channel_axis: int
    channels: int
    bias: np.ndarray | None
    has_bias: bool


def product_of(view: GraphView, node: onnx.NodeProto) -> Product | None:
    """Describe a node as a product, or None where it is none with a constant float32 weight.

    A Gemm with a transposed activation, or factors other than 1, is not one; neither is a weight that is
    not constant, or a batch of matrices.
    """
    if not is_standard(node) or node.op_type not in _QUANTISABLE:
        return None
    if view.is_constant(node.input[0]):
        return None
    weight = view.constant(node.input[1])
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or not weight.size:
        return None
    if node.op_type in ("Gemm", "MatMul") and weight.ndim != 2:
        return None
    if node.op_type == "Gemm" and (
        attribute(node, "transA", 0)
        or attribute(node, "alpha", 1.0) != 1.0
        or attribute(node, "beta", 1.0) != 1.0
    ):
        return None
    channels_first = node.op_type == "Conv" or attribute(node, "transB", 0)
    axis = 0 if channels_first else 1
    channels = weight.shape[axis]
    has_bias = len(node.input) > 2 and bool(node.input[2])
    bias = view.constant(node.input[2]) if has_bias else None
    if bias is not None:
        bias = _per_channel(bias, channels)
    return Product(node, node.input[0], weight, axis, channels, bias, has_bias)


def _per_channel(bias: np.ndarray, channels: int) -> np.ndarray | None:
    if bias.dtype != np.float32:
        return None
    if bias.size == 1:
        return np.repeat(bias.reshape(-1), channels)
    # A Gemm's bias of shape (channels,) or (1, channels); (channels, 1) would vary along the batch.
    return bias.reshape(-1) if bias.size == channels == bias.shape[-1] else None
