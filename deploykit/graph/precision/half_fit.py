"""Which nodes a 16-bit float type can't serve, by their constants and measured values, and how far that reaches.

A mask of -1e9 becomes infinite in float16, an epsilon of 1e-10 becomes 0. The node that adds it stays in
float32, and so do those behind it, as far as they need the values: a cast between them would lose them
again. Values too large reach on until an operator bounds them (Softmax, a normalisation); an epsilon has
done its work behind the logarithm or quotient that it guards. Activations that were next to nothing when
they were measured, such as the power of quiet audio, stay in float32 with what makes and reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deploykit.graph.element_types import ElementType
from deploykit.graph.fold import batchnorm_affine
from deploykit.graph.nodes import attribute, is_standard, node_name
from deploykit.graph.operators import Kind, Trait, has, operator_of
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Values from here on become infinite; values up to there become 0.
LARGEST: dict[int, float] = {ElementType.FLOAT16: 65520.0, ElementType.BFLOAT16: 3.3961775e38}
SMALLEST: dict[int, float] = {ElementType.FLOAT16: 2.0**-25, ElementType.BFLOAT16: 2.0**-134}

#: How many times larger than on the inputs tried an activation may get.
_ROOM = 2.0

#: How many of the type's least steps the largest value of an activation must span: of fewer, rounding takes 1%.
_LEAST_STEPS = 256.0

#: What is fed up to here may be samples of 16 bits with a sign, which reach no further whatever the input.
_SIXTEEN_BITS = 32768.0

#: Operators whose results are of ordinary size however large what they read is.
_BOUNDING = frozenset(
    """Softmax LogSoftmax Hardmax Sigmoid HardSigmoid Tanh Softsign Erf Sign Sin Cos Exp Log
    InstanceNormalization LayerNormalization GroupNormalization RMSNormalization BatchNormalization
    LpNormalization MeanVarianceNormalization""".split()
)
#: Operators through which a small value stays one that matters, and those behind which it has done its work.
_CARRIES_SMALL = frozenset(
    """Add Sub Sum Sqrt Max Min Clip Where Reciprocal Pow Abs Neg Expand Reshape Unsqueeze Squeeze Transpose
    Identity Flatten Concat Slice Tile""".split()
)
_USES_SMALL = frozenset({"Log", "Div", "Mul"})
#: Operators that compute with a constant value by value, so that one lost value changes a result.
_BOUNDS = frozenset({"Clip", "Min", "Max"})
#: Share of a BatchNorm's largest scale or shift by which rounded statistics may change any of them.
_NORM_ERROR = 0.01
#: Share of a weight that rounding may take, and the largest value from which on it takes less in any case.
_WEIGHT_ERROR, _FINE_WEIGHT = 0.01, 2.0**-10
#: The share by which rounding to float16 changes a value at most.
_HALF_STEP = 2.0**-11
#: What makes places, lengths and angles of whole numbers or inputs, which need more than the 11 bits of float16.
_MAKES_PLACES = frozenset(
    """Add Cast Ceil Clip Concat CumSum Div Expand Flatten Floor Gather Identity MatMul Max Min Mod Mul Range
    Reshape Round Slice Squeeze Sub Tile Transpose Unsqueeze""".split()
)
_ANGLES = frozenset({"Cos", "Sin", "Tan"})
_COMPARES = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
#: The inputs of operators that are scales, bounds or coordinates; these operators stay in float32 themselves.
_READS_PLACES: Mapping[str, tuple[int, ...]] = {
    "GridSample": (1,), "Range": (0, 1, 2), "Resize": (1, 2), "RoiAlign": (1,), "Upsample": (1,)
}  # fmt: skip
_MORE_DIGITS = "places and lengths need more digits"
#: Of these the other inputs are shapes and indices, which are in whole numbers whatever the values are.
_MOVES = frozenset("Expand Flatten Gather Reshape Slice Squeeze Tile Transpose Unsqueeze".split())
#: A product with a constant that adds up more than coordinates is a layer, and what it makes no place.
_COORDINATES = 4
#: What comes as near to 0 as it likes, and what passes that on to a logarithm: 1 - p is as near to 0 as p to 1.
_NEAR_ZERO = frozenset({"Exp", "Sigmoid", "Softmax", "Softplus"})
_LEADS_TO_LOG = _MOVES | frozenset(
    "Add Clip Concat Div Identity Max Min Mul ReduceMean ReduceSum Split Sub Sum".split()
)
#: What is added to a probability from here on keeps it away from 0.
_FAR_FROM_ZERO = 2.0**-10
_LOGARITHMS = frozenset({"Log", "ReduceLogSum"})
#: Nodes between the two that are looked at.
_STEPS_TO_LOG = 6
_REDUCES_SQUARES = frozenset({"ReduceSumSquare", "ReduceL2"})
_ADDS_UP = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"})


@dataclass
class Unfit:
    """What stays in float32 for the sake of values.

    Attributes:
        by_value: why, by the id of a node whose constants don't fit, or that reads what such a node makes.
        by_form: the same of nodes that need more than 16 bits with ordinary inputs, whatever was measured: those
            that add up squares, logarithms of probabilities, and the arithmetic of scales and coordinates.
        large: names of tensors that may hold values beyond the type.
    """

    by_value: dict[int, str] = field(default_factory=dict)
    by_form: dict[int, str] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)

    def reason(self, node: onnx.NodeProto) -> str | None:
        """Why a node stays in float32; None where its values don't ask for that."""
        return self.by_value.get(id(node)) or self.by_form.get(id(node))


def unfit_nodes(
    view: GraphView,
    types: Mapping[str, int],
    data_type: int,
    around: Iterable[str] = (),
    peaks: Mapping[str, float] | None = None,
) -> Unfit:
    """Find the nodes of a graph that must not be written in `data_type` for the sake of their values.

    Args:
        view: the graph; what it reads of graphs around it is looked up there.
        types: element types by tensor.
        data_type: ElementType.FLOAT16 or BFLOAT16.
        around: tensors of the graphs around it that may hold values beyond the type.
        peaks: the largest magnitude of activations that was measured, by tensor.
    """
    finder = _Finder(view, types, data_type, peaks or {})
    finder.unfit.large.update(around)
    return finder.find()


class _Finder:
    def __init__(
        self,
        view: GraphView,
        types: Mapping[str, int],
        data_type: int,
        peaks: Mapping[str, float],
    ) -> None:
        self.view, self.types, self.peaks = view, types, peaks
        self.largest, self.smallest = LARGEST[data_type], SMALLEST[data_type]
        self.data_type = data_type
        self.unfit = Unfit()
        self.fed = _fed_to(view)
        self.small: set[str] = set()
        self.squared: set[str] = set()
        self.losses: dict[str, tuple[float | None, float | None]] = {}

    def find(self) -> Unfit:
        for node in self.view.nodes:
            if is_standard(node):
                self._by_places(node)
                self._by_logarithms(node)
        for node in self.view.nodes:
            if node.op_type == "Constant" or not is_standard(node):
                continue
            self._by_constants(node)
            self._by_peaks(node)
            self._by_inputs(node)
            if self.data_type == ElementType.FLOAT16:
                self._by_squares(node)
        return self.unfit

    # ---- constants

    def _by_constants(self, node: onnx.NodeProto) -> None:
        if node.op_type == "BatchNormalization":
            if not norm_fits(self.view, node, self.data_type):
                self._keep(node, "its statistics are out of range", large=False, small=False)
            return
        for name, value in self._values(node):
            if value is None or value.dtype != np.float32 or not value.size:
                continue
            over, under = self._lost_of(name, value)
            if over is not None and not self._bound(node, over):
                compares = not any(self.types.get(n) == ElementType.FLOAT for n in node.output)
                divides = node.op_type == "Div" and name == node.input[1]
                large = not (compares or divides or node.op_type in _BOUNDING)
                self._keep(node, f"{name} reaches {over:.3g}", large=large, small=divides)
            elif under is not None and self._by_value(node):
                self._keep(node, f"{name} is {under:.3g}", large=False, small=True)
            elif (lost := self._share_lost(node, name, value)) > _WEIGHT_ERROR and not (
                node.op_type == "Mul" and self._drowns(node.output[0], lost)
            ):
                self._keep(node, f"{name} would be off by {lost:.0%}", large=False, small=False)

    def _values(self, node: onnx.NodeProto) -> list[tuple[str, np.ndarray | None]]:
        """The constants of a node, each under the name of its tensor, or of what they are where they have none."""
        if node.op_type == "ConstantOfShape":
            fill = attribute(node, "value")
            return [("its value", None if fill is None else onnx.numpy_helper.to_array(fill))]
        found = [(name, self._stored(name)) for name in node.input if name]
        if node.op_type in ("Cast", "CastLike"):
            # A number that is stored as an integer or in float64 is written in 16 bits by the cast itself.
            floats = self.types.get(node.output[0]) == ElementType.FLOAT
            with np.errstate(over="ignore"):
                return [
                    (name, value.astype(np.float32))
                    for name, value in found[:1]
                    if floats and value is not None and value.dtype.kind in "iuf"
                ]
        if node.op_type == "Clip":  # before opset 11 its bounds are attributes
            bounds = ((name, attribute(node, name)) for name in ("min", "max"))
            found += [
                (f"its {name}", np.asarray(bound, np.float32))
                for name, bound in bounds
                if bound is not None
            ]
        return found

    def _lost_of(self, name: str, value: np.ndarray) -> tuple[float | None, float | None]:
        """`_lost`, remembered of tensors, which many nodes may read; one number need not have a name of its own."""
        if value.size == 1:
            return self._lost(value)
        if name not in self.losses:
            self.losses[name] = self._lost(value)
        return self.losses[name]

    def _bound(self, node: onnx.NodeProto, value: float) -> bool:
        """Whether an infinite constant means the same: a bound, or what pads a maximum."""
        if node.op_type in _BOUNDS:
            return True
        readers = self.view.readers(node.output[0])
        return node.op_type == "Pad" and value < 0 and all(r.op_type == "MaxPool" for r in readers)

    def _by_value(self, node: onnx.NodeProto) -> bool:
        """Whether each value of a constant operand acts on its own: not as one of many that are added up."""
        operator = operator_of(node)
        if operator is None or operator.multiplies or operator.kind is Kind.NORMALISATION:
            return False
        return node.op_type not in ("Gather", "Resize", "Upsample", "PRelu")

    def _stored(self, name: str) -> np.ndarray | None:
        view: GraphView | None = self.view
        while view is not None:
            producer = view.producer(name)
            if view.initializer(name) is not None:
                return view.constant(name)
            if producer is not None:
                return view.constant(name) if producer.op_type == "Constant" else None
            view = view.outer
        return None

    def _lost(self, value: np.ndarray) -> tuple[float | None, float | None]:
        """The largest value that becomes infinite; and the largest of all, where all of them become 0."""
        low, high = float(value.min()), float(value.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            finite = value[np.isfinite(value)]
            if not finite.size:
                return None, None
            low, high = float(finite.min()), float(finite.max())
        peak = high if high >= -low else low
        if abs(peak) >= self.largest:
            return peak, None
        return None, peak if 0 < abs(peak) <= self.smallest else None

    def _share_lost(self, node: onnx.NodeProto, name: str, value: np.ndarray) -> float:
        """The share that rounding takes of what a node multiplies by; of a divisor, of any of its values."""
        if node.op_type == "Div" and name == node.input[1]:
            divisors = value[(value != 0) & (np.abs(value) < _FINE_WEIGHT)]
            return float(np.max(self._lost_by_rounding(divisors) / np.abs(divisors), initial=0.0))
        multiplies = has(node, Trait.PRODUCT) or node.op_type in ("Div", "Mul")
        return self._rounded_off(value) if multiplies else 0.0

    def _rounded_off(self, weight: np.ndarray) -> float:
        """The share of a weight, as a length, that rounding takes: much only where most values are subnormal."""
        if float(np.max(np.abs(weight))) >= _FINE_WEIGHT:
            return 0.0
        length = float(np.linalg.norm(weight.astype(np.float64)))
        return float(np.linalg.norm(self._lost_by_rounding(weight))) / length if length else 0.0

    def _lost_by_rounding(self, values: np.ndarray) -> np.ndarray:
        narrow = values.astype(onnx.helper.tensor_dtype_to_np_dtype(self.data_type))
        return np.abs(values.astype(np.float64) - narrow.astype(np.float64))

    def _drowns(self, name: str, lost: float) -> bool:
        """Whether a tensor is only added to what is itself rounded by more than that share of the tensor."""
        return self._is_only_added(name, lost * self.peaks.get(name, math.inf) / _HALF_STEP)

    def _keep(self, node: onnx.NodeProto, reason: str, *, large: bool, small: bool) -> None:
        self.unfit.by_value.setdefault(id(node), reason)
        made = [n for n in node.output if n]
        if large:
            self.unfit.large.update(made)
        if small:
            self.small.update(made)

    # ---- what was measured

    def _by_peaks(self, node: onnx.NodeProto) -> None:
        """What reads or makes values that other inputs may well drive out of range, or that are next to nothing."""
        for name in (*node.output, *node.input):
            peak = self.peaks.get(name, 0.0)
            if math.isinf(peak):  # a mask of infinities, which float16 has, too
                continue
            least = self.smallest * _LEAST_STEPS
            if 0.0 < peak < least and not (
                self._adds(node, least) if name in node.input else self._is_only_added(name, least)
            ):
                self._keep(node, f"{name} is {peak:.3g} at most", large=False, small=False)
                return
            if name in self.fed and peak <= _SIXTEEN_BITS:
                continue
            if peak * _ROOM >= self.largest and (
                peak >= self.largest or not self._from_constant(name, peak)
            ):
                self._keep(node, f"{name} reaches {peak:.3g}", large=False, small=False)
                return

    def _is_only_added(self, name: str, least: float) -> bool:
        """Whether all that reads a tensor adds it to something, and makes values that reach `least`."""
        readers = self.view.readers(name)
        return self.view.read_only_by(name, *readers) and all(
            self._adds(reader, least) for reader in readers
        )

    def _adds(self, node: onnx.NodeProto, least: float) -> bool:
        """Whether a node makes values that reach `least` by adding, or moves what is only added so."""
        if node.op_type in ("Add", "Sum"):
            return self.peaks.get(node.output[0], 0.0) >= least
        return node.op_type in _MOVES and self._is_only_added(node.output[0], least)

    def _from_constant(self, name: str, peak: float) -> bool:
        """Whether a large constant, a mask, makes most of a tensor's size: that is no larger on other inputs."""
        producer = self.view.producer(name)
        values = [self._stored(read) for read in producer.input if read] if producer else []
        return any(
            value is not None
            and value.dtype == np.float32
            and float(np.max(np.abs(value), initial=0.0)) >= peak / 2
            for value in values
        )

    # ---- what reads such values

    def _by_inputs(self, node: onnx.NodeProto) -> None:
        if any(name in self.unfit.large for name in node.input):
            bounded = node.op_type in _BOUNDING or self._clips(node)
            self._keep(
                node,
                f"{self._from(node, self.unfit.large)} is too large",
                large=not bounded,
                small=False,
            )
        elif any(name in self.small for name in node.input):
            uses = node.op_type in _USES_SMALL
            if uses or node.op_type in _CARRIES_SMALL:
                self._keep(
                    node,
                    f"{self._from(node, self.small)} is too small",
                    large=False,
                    small=not uses,
                )

    def _from(self, node: onnx.NodeProto, tensors: set[str]) -> str:
        name = next(name for name in node.input if name in tensors)
        producer = self.view.producer(name)
        return name if producer is None else f"what {node_name(producer)} makes"

    def _clips(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "Clip" or len(node.input) < 3:
            return False
        bounds = [self._stored(name) for name in node.input[1:3] if name]
        return len(bounds) == 2 and all(
            b is not None and bool(np.all(np.abs(b) < self.largest)) for b in bounds
        )

    # ---- places, lengths and angles

    def _by_places(self, node: onnx.NodeProto) -> None:
        """What ends in an angle, a whole number, scales or coordinates, and comes from an input or whole numbers.

        By arithmetic alone: what a layer makes has no more digits than the layer. Whole numbers that are compared,
        tokens or places with a length, must be told apart, too.
        """
        kind = self.types.get(node.output[0]) if node.op_type == "Cast" else None
        ends = node.op_type in _ANGLES or kind in (ElementType.INT32, ElementType.INT64)
        compares = node.op_type in _COMPARES
        slots = (0,) if ends else (0, 1) if compares else _READS_PLACES.get(node.op_type, ())
        waiting = [name for slot, name in enumerate(node.input) if slot in slots]
        chain, placed = {id(node): node}, False
        while waiting:
            name = waiting.pop()
            if not name or self.view.is_fixed(name):
                continue
            made = self.view.producer(name)
            if self.types.get(name) != ElementType.FLOAT:
                placed |= not compares or name not in node.input
            elif made is None:
                placed |= not compares
            elif is_standard(made) and made.op_type in _MAKES_PLACES and id(made) not in chain:
                if made.op_type == "MatMul" and self._is_layer(made):
                    continue
                chain[id(made)] = made
                waiting += made.input[:1] if made.op_type in _MOVES else made.input
        for one in chain.values() if placed else ():
            if ends:
                self._keep(one, _MORE_DIGITS, large=False, small=False)
            elif compares or one is not node:
                self.unfit.by_form.setdefault(id(one), _MORE_DIGITS)

    def _is_layer(self, product: onnx.NodeProto) -> bool:
        """Whether a product is one with a constant weight over more than coordinates."""
        weights = (self.view.constant(n) for n in product.input[:2])
        return any(
            w is not None and w.ndim > 1 and min(w.shape[-2:]) > _COORDINATES for w in weights
        )

    # ---- logarithms

    def _by_logarithms(self, node: onnx.NodeProto) -> None:
        """A probability of 1e-9, or what is left to 1 of one, is 0 in 16 bits, and its logarithm infinite.

        bfloat16 has room for the first, and too few digits for the second as well.
        """
        takes = node.op_type in _LOGARITHMS
        path = self._from_probability(node.input[0], _STEPS_TO_LOG) if takes else []
        subtracts = any(one.op_type == "Sub" for one in path)
        if self.data_type == ElementType.BFLOAT16 and not subtracts:
            return
        for one in [*path, node] if path else ():
            self.unfit.by_form.setdefault(id(one), "its logarithm is taken near 0")

    def _from_probability(self, name: str, steps: int) -> list[onnx.NodeProto]:
        """The nodes that lead from a probability to a tensor; none where it does not come from one."""
        made = self.view.producer(name)
        if made is None or not steps or not is_standard(made):
            return []
        if made.op_type in _NEAR_ZERO:
            return [made]
        if made.op_type not in _LEADS_TO_LOG or self._leaves_zero(made):
            return []
        sources = made.input[:1] if made.op_type in _MOVES else made.input
        before = [one for source in sources for one in self._from_probability(source, steps - 1)]
        return [*before, made] if before else []

    def _leaves_zero(self, node: onnx.NodeProto) -> bool:
        """Whether a node adds what keeps its result away from 0; an epsilon does not."""
        return node.op_type in ("Add", "Sum") and any(
            value is not None
            and value.dtype == np.float32
            and value.size > 0
            and float(value.min()) >= _FAR_FROM_ZERO
            for _, value in self._values(node)
        )

    # ---- squares

    def _by_squares(self, node: onnx.NodeProto) -> None:
        """Norms written as arithmetic: 256 is the largest value whose square float16 can hold."""
        if node.op_type == "Sub":
            self._by_moments(node)
        added_up = self._squares(node) and any(
            map(self._adds_squares, self.view.readers(node.output[0]))
        )
        if added_up or self._adds_squares(node) or node.op_type in _REDUCES_SQUARES:
            self._keep_square(node)
        elif any(name in self.squared for name in node.input):
            uses = node.op_type in _USES_SMALL
            if uses or node.op_type in _CARRIES_SMALL:
                self._keep_square(node, carries=not uses)

    def _by_moments(self, node: onnx.NodeProto) -> None:
        """A variance as the mean of squares less the mean's square: both are large and what is left is small."""
        mean, product = (self.view.producer(name) for name in node.input)
        if mean is None or product is None or mean.op_type not in _ADDS_UP:
            return
        squares = self.view.producer(mean.input[0])
        if squares is None or not (self._multiplies(squares) and self._multiplies(product)):
            return
        means = [made for made in map(self.view.producer, product.input) if made is not None]
        for one in (squares, mean, product, *(m for m in means if m.op_type in _ADDS_UP)):
            self._keep_square(one, carries=False)
        self._keep_square(node)

    def _multiplies(self, node: onnx.NodeProto) -> bool:
        """Whether a node makes the squares of an activation, or the products of two."""
        return self._squares(node) or (
            node.op_type == "Mul" and not any(map(self.view.is_fixed, node.input))
        )

    def _squares(self, node: onnx.NodeProto) -> bool:
        if node.op_type == "Mul":
            return len(set(node.input)) == 1
        exponent = self._stored(node.input[1]) if node.op_type == "Pow" else None
        return exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2.0

    def _adds_squares(self, node: onnx.NodeProto) -> bool:
        """Whether a node adds up the squares of a tensor, or those of several value by value."""
        added = node.input[:1] if node.op_type in _ADDS_UP else node.input
        makers = [self.view.producer(name) for name in added]
        return (node.op_type in _ADDS_UP or node.op_type in ("Add", "Sum")) and all(
            maker is not None and self._squares(maker) for maker in makers
        )

    def _keep_square(self, node: onnx.NodeProto, *, carries: bool = True) -> None:
        self.unfit.by_form.setdefault(id(node), "adds up squares")
        if carries:
            self.squared.update(name for name in node.output if name)


def _fed_to(view: GraphView) -> set[str]:
    """What a caller feeds, which bodies read by its name in the main graph.

    The inputs of a body are none of it: what a loop carries was computed.
    """
    main = view
    while main.outer is not None:
        main = main.outer
    return {value.name for value in main.inputs}


def norm_fits(view: GraphView, node: onnx.NodeProto, data_type: int) -> bool:
    """Whether a BatchNorm does the same with its constants in a 16-bit type."""
    exact = batchnorm_affine(view, node)
    if exact is None:
        return True  # constants of others' making are looked at where they are read
    kind = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    with np.errstate(all="ignore"):
        gamma, beta, mean, variance = (
            np.asarray(view.constant(name)).astype(kind).astype(np.float64)
            for name in node.input[1:5]
        )
        scale = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
        shift = beta - mean * scale
        if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
            return False
        error = np.max(np.abs(scale - exact.scale), initial=0.0)
        return bool(error <= _NORM_ERROR * np.max(np.abs(exact.scale), initial=0.0))
