"""What each operator is: one table for all that counts, folds, converts, checks or reads back a graph.

An operator is looked up by its name and domain: what another vendor calls MatMul need not be ONNX's. ONNX Runtime
keeps operators of both its domains under the same names in two more, for data in another order of axes.

To teach deploykit an operator, add it here; whoever asks for a kind or a trait then sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import TYPE_CHECKING, Any

from deploykit.graph import macs as rules
from deploykit.graph.macs import MacRule

if TYPE_CHECKING:
    import onnx

STANDARD = frozenset({""})
CONTRIBUTED = frozenset({"com.microsoft"})
#: ONNX's operators of classic machine learning; those that multiply keep their weights in attributes: no rules.
_LEARNING = frozenset({"ai.onnx.ml"})
#: Plugins of TensorRT, which exporters write in a domain of theirs or in ONNX's.
_PLUGINS = frozenset({"", "TRT"})
#: The opset of ONNX's own LayerNormalization; before it, ONNX Runtime keeps its own in ONNX's domain.
LAYER_NORM_SINCE = 17
#: ONNX Runtime's own that it keeps in ONNX's domain.
_IN_ONNX_DOMAIN = frozenset({"SimplifiedLayerNormalization"})
#: ONNX Runtime's own, of engines: the operators of ONNX and of ONNX Runtime on data in another order of axes.
_OTHER_LAYOUTS = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})


class Kind(Enum):
    """What an operator does with its inputs, in one word. Only the first four multiply and accumulate."""

    CONVOLUTION = "convolution"
    MATRIX_PRODUCT = "matrix product"
    RECURRENT = "recurrent"
    CONTRACTION = "contraction"  # products of a form that a node's attributes or body give
    ELEMENTWISE = "elementwise"
    ACTIVATION = "activation"
    POOLING = "pooling"
    NORMALISATION = "normalisation"
    REDUCTION = "reduction"
    MOVES = "moves data"
    MAKES = "makes values"  # constants, ranges, shapes
    RANDOM = "random"
    QUANTISATION = "quantisation"
    CONTROL_FLOW = "control flow"


class Arithmetic(Enum):
    """The numbers that a product multiplies, where its name tells."""

    FLOAT = "float"
    INTEGER = "integer"


class Trait(Flag):
    """Properties that cut across kinds; each is what one transform or count asks for."""

    NONE = 0
    #: Convolutions and matrix products of ONNX's own that recipes quantise and keep.
    PRODUCT = auto()
    #: The output holds the input's values, all and unchanged, in another shape or order.
    REARRANGES = auto()
    #: A weight stays the same weight through it: its values, or quantised ones.
    CARRIES_WEIGHT = auto()
    #: `view.fixed_value` computes it where its inputs are fixed.
    EVALUATED = auto()
    #: Of rounded values it makes rounded ones: it passes on, compares, negates or leaves out.
    SELECTS = auto()
    #: Keeps the order of values and is fused with what comes before, so that rounding may wait for it.
    MONOTONE = auto()
    #: Works value by value, or is a view or a join: a fusing runtime need not write what only such read.
    FUSED = auto()
    #: Quantised input and output share scale and zero point.
    SHARES_SCALE = auto()
    #: May stand between a DequantizeLinear and the operator that computes on its values.
    SEEN_THROUGH = auto()
    #: ONNX Runtime's CPU provider has an integer form of it.
    INTEGER_FORM = auto()
    #: No result is negative.
    NEVER_NEGATIVE = auto()
    #: No result is negative where no input is.
    KEEPS_SIGN = auto()
    #: A fixed float operand of more than one value is a parameter: a scale or offset written as arithmetic.
    SCALES = auto()


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: the operator's name, ONNX's `op_type`.
        kind: what it does with data: multiplies, moves, compares and the like.
        traits: properties beyond the kind.
        domains: in which the entry holds, "" for ONNX's own.
        data, weight, bias: positions among its inputs; None where it has none.
        parameters: positions of inputs that are parameters of the network where they are fixed. The running
            statistics of a BatchNormalization are none, nor are bounds, axes, shapes and pads.
        added: the position of what is added to the scores of an attention, by domain; a parameter where it is a
            table of relative positions, none where it is a mask.
        arithmetic: the numbers that it multiplies; None where it does not, or its name does not tell.
        macs: its rule for counting; None where it has no products, or they can't be counted.
        stands_for: the standard operator of the same output shape, and the positions of the inputs that it
            takes: for shape inference, which knows no operators of runtimes.
    """

    name: str
    kind: Kind
    traits: Trait = Trait.NONE
    domains: frozenset[str] = STANDARD
    data: int = 0
    weight: int | None = None
    bias: int | None = None
    parameters: tuple[int, ...] = ()
    added: Mapping[str, int] = field(default_factory=dict, hash=False)
    arithmetic: Arithmetic | None = None
    macs: MacRule | None = None
    stands_for: tuple[str, tuple[int, ...]] | None = None

    @property
    def multiplies(self) -> bool:
        """Whether it multiplies and accumulates."""
        return self.kind in _MULTIPLYING


_MULTIPLYING = frozenset({Kind.CONVOLUTION, Kind.MATRIX_PRODUCT, Kind.RECURRENT, Kind.CONTRACTION})
#: Kinds of which it is not known that they hold no products.
_MAY_MULTIPLY = _MULTIPLYING | {Kind.CONTROL_FLOW}


# ---- the table


def _convolution(
    name: str, weight: int = 1, bias: int | None = 2, macs: MacRule | None = None, **more: Any
) -> Operator:
    places = tuple(place for place in (weight, bias) if place is not None)
    given: dict[str, Any] = {"arithmetic": Arithmetic.FLOAT, "parameters": places} | more
    return Operator(name, Kind.CONVOLUTION, weight=weight, bias=bias, macs=macs, **given)


def _matrix_product(
    name: str,
    weight: int = 1,
    bias: int | None = None,
    *,
    transposes: bool = False,
    macs: bool = True,
    **more: Any,
) -> Operator:
    places = tuple(place for place in (0, weight, bias) if place is not None)
    given: dict[str, Any] = {"arithmetic": Arithmetic.FLOAT, "parameters": places} | more
    rule = rules.shared_dimension(0, weight, transposes=transposes) if macs else None
    return Operator(name, Kind.MATRIX_PRODUCT, weight=weight, bias=bias, macs=rule, **given)


def _recurrent(name: str, parameters: tuple[int, ...], **more: Any) -> Operator:
    return Operator(
        name, Kind.RECURRENT, weight=1, bias=3, parameters=parameters, macs=rules.recurrent, **more
    )


def _each(
    kind: Kind, names: str, traits: Trait = Trait.NONE, domains: frozenset[str] = STANDARD
) -> Iterator[Operator]:
    return (Operator(name, kind, traits, domains) for name in names.split())


_T = Trait
#: Every place: an operator that takes any number of operands, each of which may be a weight.
_ANY = tuple(range(8))
_VIEW = _T.REARRANGES | _T.CARRIES_WEIGHT | _T.EVALUATED | _T.SELECTS | _T.SEEN_THROUGH
_ORT: dict[str, Any] = {"domains": CONTRIBUTED}
_INT: dict[str, Any] = {"arithmetic": Arithmetic.INTEGER}

_PRODUCTS = (
    _convolution("Conv", macs=rules.filter_per_output(1), traits=_T.PRODUCT),
    _convolution("ConvTranspose", macs=rules.filter_per_input(1), traits=_T.PRODUCT),
    _convolution("DeformConv", 1, 3, macs=rules.filter_per_output(1), arithmetic=None),
    _convolution("ConvInteger", 1, None, macs=rules.filter_per_output(1), **_INT),
    _convolution(
        "QLinearConv", 3, 8, macs=rules.filter_per_output(3), domains=STANDARD | CONTRIBUTED, **_INT
    ),
    _convolution("QLinearConvTranspose", 3, 8, macs=rules.filter_per_input(3), **_ORT, **_INT),
    _convolution("FusedConv", macs=rules.filter_per_output(1), stands_for=("Conv", (0, 1)), **_ORT),
    *(
        _convolution(name, macs=rules.filter_per_output(1), **_ORT)
        for name in ("NhwcConv", "NhwcFusedConv")
    ),
    _convolution("ConvTransposeWithDynamicPads", 1, 3, macs=rules.filter_per_input(1), **_ORT),
    _convolution(
        "CausalConvWithState",
        macs=rules.filter_per_output(1),
        domains=STANDARD | CONTRIBUTED,
        arithmetic=None,
        stands_for=("Identity", (0,)),
    ),
    _matrix_product("Gemm", 1, 2, transposes=True, traits=_T.PRODUCT),
    _matrix_product("MatMul", traits=_T.PRODUCT),
    _matrix_product("MatMulInteger", **_INT),
    _matrix_product("QLinearMatMul", 3, **_INT),
    _matrix_product("FusedGemm", 1, 2, transposes=True, stands_for=("Gemm", (0, 1)), **_ORT),
    _matrix_product("FusedMatMul", transposes=True, **_ORT),
    _matrix_product("TransposeMatMul", transposes=True, **_ORT),
    _matrix_product("GemmFastGelu", 1, 2, stands_for=("MatMul", (0, 1)), **_ORT),
    _matrix_product("MatMulInteger16", stands_for=("MatMul", (0, 1)), **_ORT, **_INT),
    _matrix_product("FusedMatMulActivation", transposes=True, **_ORT),
    _matrix_product("QGemm", 3, 6, transposes=True, stands_for=("Gemm", (0, 3)), **_ORT, **_INT),
    _matrix_product("MatMulIntegerToFloat", 1, 6, stands_for=("MatMul", (0, 1)), **_ORT, **_INT),
    _matrix_product("DynamicQuantizeMatMul", 1, 4, stands_for=("MatMul", (0, 1)), **_ORT, **_INT),
    *(
        Operator(name, Kind.MATRIX_PRODUCT, domains=CONTRIBUTED, weight=1, macs=rules.columns)
        for name in ("MatMulNBits", "MatMulBnb4")
    ),
    _recurrent("LSTM", (1, 2, 3, 7)),
    _recurrent("GRU", (1, 2, 3)),
    _recurrent("RNN", (1, 2, 3)),
    _recurrent("DynamicQuantizeLSTM", (1, 2, 3, 7), stands_for=("LSTM", (0, 1, 2)), **_ORT, **_INT),
    Operator("Einsum", Kind.CONTRACTION, parameters=_ANY, macs=rules.einsum),
    Operator(
        "Attention",
        Kind.CONTRACTION,
        domains=STANDARD | CONTRIBUTED,
        parameters=(0, 1, 2),
        added={"": 3, "com.microsoft": 5},
        macs=rules.attention,
    ),
    Operator(
        "QAttention",
        Kind.CONTRACTION,
        domains=CONTRIBUTED,
        parameters=(1, 2),
        arithmetic=Arithmetic.INTEGER,
        macs=rules.projecting_attention(8),
    ),
    # How much of their cache is filled, values tell: `past_sequence_length` is an input of theirs.
    Operator(
        "DecoderMaskedSelfAttention",
        Kind.CONTRACTION,
        domains=CONTRIBUTED,
        parameters=(1, 2),
        added={"com.microsoft": 5},
    ),
    Operator(
        "MultiHeadAttention",
        Kind.CONTRACTION,
        domains=CONTRIBUTED,
        parameters=(0, 1, 2, 3),
        added={"com.microsoft": 5},
        macs=rules.multi_head_attention(6),
    ),
    Operator(
        "DecoderMaskedMultiHeadAttention",
        Kind.CONTRACTION,
        domains=CONTRIBUTED,
        parameters=(10,),
        added={"com.microsoft": 4},
    ),
    Operator(
        "GroupQueryAttention",
        Kind.CONTRACTION,
        domains=CONTRIBUTED,
        parameters=(11, 14, 15),
        added={"com.microsoft": 10},
        macs=rules.group_query_attention,
    ),
    Operator(
        "LinearAttention",
        Kind.CONTRACTION,
        domains=STANDARD | CONTRIBUTED,
        macs=rules.linear_attention,
    ),
    Operator(
        "MoE",
        Kind.CONTRACTION,
        domains=CONTRIBUTED,
        parameters=(2, 3, 4, 5, 6, 7),
        macs=rules.experts,
        stands_for=("Identity", (0,)),
    ),
    # The products of a fast Fourier transform are those of the algorithm that a runtime chooses.
    *(Operator(name, Kind.CONTRACTION) for name in ("DFT", "STFT")),
    *(Operator(name, Kind.CONTRACTION, domains=CONTRIBUTED) for name in ("Rfft", "Irfft")),
    Operator("AffineGrid", Kind.CONTRACTION, macs=rules.affine_grid),
)

_OTHERS = (
    *_each(Kind.ELEMENTWISE, "Add Mul",
           _T.SCALES | _T.FUSED | _T.INTEGER_FORM | _T.KEEPS_SIGN),
    *_each(Kind.ELEMENTWISE, "Sub Div", _T.SCALES | _T.FUSED),
    *_each(Kind.ELEMENTWISE, "Sum", _T.SCALES),
    *_each(Kind.ELEMENTWISE, "Max Min Neg", _T.SELECTS | _T.FUSED),
    *_each(Kind.ELEMENTWISE, "Abs Where", _T.SELECTS),
    *_each(Kind.ELEMENTWISE, "Cast", _T.CARRIES_WEIGHT | _T.EVALUATED | _T.FUSED),
    *_each(Kind.ELEMENTWISE, """
        Acos Acosh And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CastLike Ceil
        Cos Cosh Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log Mean Mod Not Or Pow
        Reciprocal Round Sign Sin Sinh Sqrt Tan Xor"""),
    *_each(Kind.ACTIVATION, "Relu",
           _T.SELECTS | _T.MONOTONE | _T.FUSED | _T.NEVER_NEGATIVE),
    *_each(Kind.ACTIVATION, "Clip", _T.SELECTS | _T.MONOTONE | _T.FUSED),
    *_each(Kind.ACTIVATION, "Sigmoid", _T.FUSED | _T.NEVER_NEGATIVE | _T.INTEGER_FORM),
    *_each(Kind.ACTIVATION, "HardSwish LeakyRelu", _T.FUSED | _T.INTEGER_FORM),
    *_each(Kind.ACTIVATION, "Softmax", _T.NEVER_NEGATIVE),
    *_each(Kind.ACTIVATION, "Elu HardSigmoid Mish Selu Softplus Tanh", _T.FUSED),
    *_each(Kind.ACTIVATION, "Celu Hardmax LogSoftmax Shrink Softsign Swish ThresholdedRelu"),
    *_each(Kind.POOLING, "MaxPool",
           _T.SELECTS | _T.SHARES_SCALE | _T.SEEN_THROUGH | _T.KEEPS_SIGN),
    *_each(Kind.POOLING, "AveragePool GlobalAveragePool", _T.INTEGER_FORM | _T.KEEPS_SIGN),
    *_each(Kind.POOLING, "GlobalLpPool GlobalMaxPool LpPool MaxUnpool"),
    Operator("BatchNormalization", Kind.NORMALISATION, _T.FUSED, parameters=(1, 2)),
    *(Operator(name, Kind.NORMALISATION, parameters=(1, 2))
      for name in ("InstanceNormalization", "GroupNormalization", "LayerNormalization")),
    Operator("RMSNormalization", Kind.NORMALISATION, parameters=(1,)),
    Operator("PRelu", Kind.ACTIVATION, _T.FUSED, parameters=(1,)),
    *_each(Kind.NORMALISATION, "LRN LpNormalization MeanVarianceNormalization"),
    *_each(Kind.REDUCTION, """
        ArgMax ArgMin CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
        ReduceProd ReduceSum ReduceSumSquare TopK"""),
    *_each(Kind.MOVES, "Reshape Flatten Squeeze Unsqueeze", _VIEW | _T.SHARES_SCALE | _T.FUSED),
    *_each(Kind.MOVES, "Transpose", _VIEW | _T.SHARES_SCALE),
    *_each(Kind.MOVES, "Identity", _VIEW | _T.FUSED),
    *_each(Kind.MOVES, "Concat", _T.SELECTS | _T.FUSED | _T.KEEPS_SIGN),
    *_each(Kind.MOVES, "Dropout", _T.SELECTS | _T.FUSED),
    *_each(Kind.MOVES, "Slice", _T.SELECTS | _T.SHARES_SCALE | _T.SEEN_THROUGH),
    Operator("Gather", Kind.MOVES, _T.SELECTS | _T.SHARES_SCALE, parameters=(0,)),
    Operator("GatherBlockQuantized", Kind.MOVES, domains=CONTRIBUTED, parameters=(0,)),
    Operator("TorchEmbedding", Kind.MOVES, domains=CONTRIBUTED, parameters=(0,),
             stands_for=("Gather", (0, 1))),
    Operator("RelativePositionBias", Kind.MOVES, domains=CONTRIBUTED, parameters=(0,)),
    *_each(Kind.MOVES, "DepthToSpace", _T.SELECTS | _T.SHARES_SCALE),
    *_each(Kind.MOVES, "Expand SpaceToDepth Split Tile", _T.SELECTS),
    Operator("Pad", Kind.MOVES, _T.SELECTS, STANDARD | CONTRIBUTED),
    *(Operator(name, Kind.MOVES, domains=STANDARD | CONTRIBUTED, parameters=(0,))
      for name in ("GatherND", "GridSample")),
    Operator("GatherElements", Kind.MOVES, parameters=(0,)),
    *_each(Kind.MOVES, "Trilu Unique", domains=STANDARD | CONTRIBUTED),
    *_each(Kind.MOVES, """
        CropAndResize ExpandDims RemovePadding RestorePadding UnfoldTensor""", domains=CONTRIBUTED),
    *_each(Kind.MOVES, """
        ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer"""),
    *_each(Kind.MOVES, """
        CenterCropPad Compress Resize ReverseSequence Scatter ScatterElements ScatterND
        Upsample BitCast Col2Im ConcatFromSequence Optional OptionalGetElement
        OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
        SplitToSequence TensorScatter"""),
    *_each(Kind.POOLING, "MaxRoiPool RoiAlign NonMaxSuppression"),
    *_each(Kind.POOLING, """
        BatchedNMSDynamic_TRT BatchedNMS_TRT EfficientNMS_TRT MultilevelCropAndResize_TRT NMSDynamic_TRT NMS_TRT
        PyramidROIAlign_TRT ROIAlign_TRT""", domains=_PLUGINS),
    *_each(Kind.MAKES, "BlackmanWindow HammingWindow HannWindow MelWeightMatrix"),
    *_each(Kind.REDUCTION, "CumProd NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss"),
    *_each(Kind.ELEMENTWISE, "SwiGLU"),
    Operator("RotaryEmbedding", Kind.ELEMENTWISE, domains=STANDARD | CONTRIBUTED,
             stands_for=("Identity", (0,))),
    *(Operator(name, Kind.ELEMENTWISE, domains=CONTRIBUTED, parameters=places,
               stands_for=("Identity", (0,)))
      for name, places in (("BiasAdd", (1,)), ("BiasDropout", (1,)), ("BiasSoftmax", ()),
                           ("BitmaskBiasDropout", (1,)), ("BitmaskDropout", ()), ("ComplexMul", ()),
                           ("ComplexMulConj", ()), ("MulInteger", ()), ("GatedAdd", ()),
                           ("ScaledSiLU", ()), ("MRotaryEmbedding", ()), ("LinearAttentionGate", (1, 2)))),
    *_each(Kind.ELEMENTWISE, "BiasSplitGelu IsAllFinite", domains=CONTRIBUTED),
    *_each(Kind.MAKES, "Constant ConstantOfShape", _T.EVALUATED),
    *_each(Kind.MAKES, "EyeLike NonZero OneHot Shape Size"),
    Operator("Range", Kind.MAKES, domains=STANDARD | CONTRIBUTED),
    *_each(Kind.RANDOM, """
        Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike"""),
    *_each(Kind.CONTROL_FLOW, "If Loop Scan SequenceMap"),
    *_each(Kind.MOVES, """
        ArrayFeatureExtractor CastMap CategoryMapper DictVectorizer FeatureVectorizer LabelEncoder OneHotEncoder
        ZipMap""", domains=_LEARNING),
    *(Operator(name, Kind.ELEMENTWISE, domains=_LEARNING, stands_for=("Identity", (0,)))
      for name in ("Binarizer", "Imputer", "Normalizer", "Scaler")),
    *_each(Kind.REDUCTION, """
        TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor""", domains=_LEARNING),
    *_each(Kind.QUANTISATION, "DynamicQuantizeLinear"),
    *(Operator(name, Kind.QUANTISATION, _T.CARRIES_WEIGHT | _T.FUSED, STANDARD | CONTRIBUTED,
               stands_for=(name, (0, 1, 2)))
      for name in ("QuantizeLinear", "DequantizeLinear")),
    Operator("Gelu", Kind.ACTIVATION, _T.FUSED, STANDARD | CONTRIBUTED,
             stands_for=("Identity", (0,))),
    Operator("QuickGelu", Kind.ACTIVATION, domains=CONTRIBUTED, stands_for=("Identity", (0,))),
    *(Operator(name, Kind.ACTIVATION, domains=CONTRIBUTED, parameters=(1,),
               stands_for=("Identity", (0,)))
      for name in ("BiasGelu", "FastGelu")),
    Operator("QLinearSoftmax", Kind.ACTIVATION, domains=CONTRIBUTED,
             stands_for=("Identity", (0,))),
    *(Operator(f"QLinear{name}", Kind.ELEMENTWISE, _T.SCALES, CONTRIBUTED,
               stands_for=(name, (0, 3)))
      for name in ("Add", "Mul")),
    *(Operator(f"QLinear{name}", Kind.ACTIVATION, domains=CONTRIBUTED,
               stands_for=("Identity", (0,)))
      for name in ("Sigmoid", "LeakyRelu")),
    *(Operator(f"QLinear{name}", Kind.POOLING, domains=CONTRIBUTED, stands_for=(name, (0,)))
      for name in ("AveragePool", "GlobalAveragePool")),
    *_each(Kind.MOVES, "QLinearConcat", domains=CONTRIBUTED),
    Operator("EmbedLayerNormalization", Kind.NORMALISATION, domains=CONTRIBUTED,
             parameters=(2, 3, 4, 5, 6)),
    *_each(Kind.POOLING, "MaxpoolWithMask NhwcMaxPool", domains=CONTRIBUTED),
    *_each(Kind.REDUCTION, "QLinearReduceMean ReduceSumInteger", domains=CONTRIBUTED),
    *_each(Kind.ELEMENTWISE, "QLinearWhere", domains=CONTRIBUTED),
    *(Operator(name, Kind.NORMALISATION, domains=CONTRIBUTED, parameters=places,
               stands_for=("Identity", (0,)))
      for name, places in (("SkipLayerNormalization", (2, 3, 4)),
                           ("GroupNorm", (1, 2)), ("SkipGroupNorm", (1, 2, 4)),
                           ("GatedRMSNorm", (1,)), ("BranchwiseRMSNorm", (1,)),
                           ("SkipSimplifiedLayerNormalization", (2, 3)))),
    Operator("SimplifiedLayerNormalization", Kind.NORMALISATION, parameters=(1,),
             stands_for=("Identity", (0,))),
)  # fmt: skip

#: Operators whose weights lie in a few bits each, which the runtime unpacks as it computes.
_PACKED = frozenset({"GatherBlockQuantized", "MatMulBnb4", "MatMulNBits"})

#: Every operator that is known.
OPERATORS = (*_PRODUCTS, *_OTHERS)

_BY_DOMAIN = {
    (domain, operator.name): operator
    for operator in OPERATORS
    for domain in (*operator.domains, *_OTHER_LAYOUTS)
}

#: The convolutions and matrix products of ONNX's own that recipes quantise or keep in float32.
PRODUCTS = tuple(op.name for op in OPERATORS if _T.PRODUCT in op.traits)


def operator_of(node: onnx.NodeProto) -> Operator | None:
    """The operator of a node; None where none of that name is known in the node's domain."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return _BY_DOMAIN.get((domain, node.op_type))


def kind_of(node: onnx.NodeProto) -> Kind | None:
    """What a node's operator does with data; None where it is not known."""
    operator = operator_of(node)
    return None if operator is None else operator.kind


def is_contributed(node: onnx.NodeProto) -> bool:
    """Whether ONNX infers nothing of an operator: ONNX Runtime's own, and those of classic machine learning."""
    return node.domain in CONTRIBUTED | _LEARNING or (
        node.op_type in _IN_ONNX_DOMAIN and node.domain in ("", "ai.onnx")
    )


def has(node: onnx.NodeProto, trait: Trait) -> bool:
    """Whether the operator of a node has a trait; one that is not known has none."""
    operator = operator_of(node)
    return operator is not None and trait in operator.traits


def arithmetic(node: onnx.NodeProto) -> Arithmetic | None:
    """The numbers that a node multiplies, where it is a product whose name tells."""
    operator = operator_of(node)
    return None if operator is None else operator.arithmetic


def is_quantised(node: onnx.NodeProto) -> bool:
    """Whether an operator makes a model a quantised one: it quantises, dequantises or multiplies what was."""
    operator = operator_of(node)
    return operator is not None and (
        operator.kind is Kind.QUANTISATION
        or operator.arithmetic is Arithmetic.INTEGER
        or operator.name in _PACKED
    )


def names(trait: Trait) -> frozenset[str]:
    """The names of all operators that have a trait."""
    return frozenset(operator.name for operator in OPERATORS if trait in operator.traits)


def has_no_macs(node: onnx.NodeProto) -> bool:
    """Whether an operator is known, in its domain, to hold no matrix product or convolution."""
    operator = operator_of(node)
    return operator is not None and operator.kind not in _MAY_MULTIPLY
