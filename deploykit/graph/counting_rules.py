"""Which inputs of an operator are parameters, and how many multiply-accumulates it takes.

One MAC is one product that is added up: bias, scale and activation are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx

from deploykit.graph.shapes import Shape

#: Inputs that hold parameters when they are fixed. The running statistics of BatchNormalization
#: (3, 4) are not among them, nor are bounds, axes, shapes and pads of other operators.
PARAMETER_INPUTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "FusedConv": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "Gemm": (0, 1, 2),
    "FusedGemm": (0, 1, 2),
    "QGemm": (0, 3, 6),
    "MatMul": (0, 1),
    "FusedMatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1, 6),
    "QLinearMatMul": (0, 3),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1,),
    "PRelu": (1,),
    "Gather": (0,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
}

#: Operators whose fixed inputs are parameters when they are floats with more than one value: scales
#: and offsets that graphs write as arithmetic. A single number is a constant of the formula.
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "QLinearAdd", "QLinearMul"})

#: Operators that hold no matrix product or convolution.
NO_MACS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip
    Compress Concat Constant ConstantOfShape Cos Cosh CumSum DepthToSpace DequantizeLinear
    DynamicQuantizeLinear Div Dropout Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization
    IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization
    LpPool Max MaxPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not
    OneHot Or PRelu Pad Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence Round Scatter ScatterElements ScatterND
    Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
    Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unique
    Unsqueeze Upsample Where Xor
    """.split()
)

#: The same of ONNX Runtime's own domain.
NO_MACS_CONTRIBUTED = frozenset(
    """
    BiasGelu FastGelu Gelu QuickGelu QLinearAdd QLinearAveragePool QLinearConcat
    QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
    QLinearSoftmax QLinearWhere QuantizeLinear DequantizeLinear SkipLayerNormalization
    SimplifiedLayerNormalization
    """.split()
)


def _flag(node: onnx.NodeProto, name: str) -> bool:
    return any(attribute.name == name and attribute.i for attribute in node.attribute)


def _convolution(weight: int) -> Callable[..., int | None]:
    """Each output takes one product per value of its filter; groups are in the filter's shape."""

    def rule(_: onnx.NodeProto, inputs: list[Shape | None], output: Shape | None) -> int | None:
        kernel = inputs[weight]
        return (
            None if output is None or kernel is None else math.prod(output) * math.prod(kernel[1:])
        )

    return rule


def _transposed(_: onnx.NodeProto, inputs: list[Shape | None], __: Shape | None) -> int | None:
    """Each input is multiplied with every value of its filter."""
    data, kernel = inputs[0], inputs[1]
    return None if data is None or kernel is None else math.prod(data) * math.prod(kernel[1:])


def _product(
    left: int, right: int, transposes: tuple[str, str] = ("", "")
) -> Callable[..., int | None]:
    """Each output takes one product per value of the dimension that both operands share."""

    def rule(node: onnx.NodeProto, inputs: list[Shape | None], output: Shape | None) -> int | None:
        a, b = inputs[left], inputs[right]
        if output is None:
            return None
        if a:
            shared = a[-2] if len(a) > 1 and _flag(node, transposes[0]) else a[-1]
        elif b:
            shared = b[-1] if _flag(node, transposes[1]) or len(b) == 1 else b[-2]
        else:
            return None
        return math.prod(output) * shared

    return rule


#: Gives the MACs of a node from the shapes of its inputs and of its output, or None where these are
#: not known.
MACS: dict[str, Callable[..., int | None]] = {
    "Conv": _convolution(1),
    "FusedConv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed,
    "Gemm": _product(0, 1, ("transA", "transB")),
    "FusedGemm": _product(0, 1, ("transA", "transB")),
    "QGemm": _product(0, 3, ("transA", "transB")),
    "MatMul": _product(0, 1),
    "FusedMatMul": _product(0, 1, ("transA", "transB")),
    "MatMulInteger": _product(0, 1),
    "MatMulIntegerToFloat": _product(0, 1),
    "QLinearMatMul": _product(0, 3),
}


def has_no_macs(node: onnx.NodeProto) -> bool:
    """Whether an operator is known to hold no matrix product or convolution."""
    if node.domain in ("", "ai.onnx"):
        return node.op_type in NO_MACS
    return node.domain == "com.microsoft" and node.op_type in NO_MACS_CONTRIBUTED
