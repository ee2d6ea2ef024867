"""Which fixed tensors nobody learned: by what their exporter says of them, and by the values that they hold.

PyTorch's exporter states of every tensor whether it is a parameter or a buffer. Of other files the values tell:
masks hold zeros and very negative numbers, grids and anchors whole numbers and halves, tables of positions sines
and cosines, and the frequencies of such a geometric sequence.
"""

from __future__ import annotations

import ast
import contextlib
import re
from enum import Enum

from deploykit.lazy import np, onnx

#: What PyTorch's exporter writes on a tensor: which input of the traced program it is.
INPUT_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
#: What onnxscript writes on a tensor that it computed: the names of what it was computed from.
FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
#: What our own export writes on a tensor that it computed from parameters: the name and the size of each.
LEARNED_FROM = "deploykit.learned_from"
#: Names that exporters give to what no module holds; PyTorch's operators are named so too, with a number behind.
_NUMBERED = re.compile(
    r"_?val_\d+|(add|arange|cat|clone|cos|div|exp|expand|eye|floor_divide|full|lift_fresh_copy|lifted_tensor|linspace|meshgrid|mul|neg"
    r"|ones|outer|pad|permute|pow|repeat|reshape|rsub|scalar_tensor|select|sin|slice|stack|sub|transpose|tril|triu|unsqueeze|view"
    r"|where|zeros)(_default)?(_\d+)?"
)
_CONSTANT = re.compile(r"(.*/)?Constant(_\d+)?_output_0")
#: Names that TorchScript's exporter gives to weights that it turned or joined.
_FOLDED = re.compile(r"onnx::[A-Za-z]+_\d+")
_MADE = re.compile(r"_?val_\d+|/.*_output_\d+|(.*/)?Constant(_\d+)?_output_0")
#: A name in a module's dictionary of states: "blocks.0.gamma".
_STATE = re.compile(r"(?!p2o\.)[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)+")

#: Fewer whole numbers that are all small may be anything.
_GRID = 16
#: Values of an additive mask are zeros and numbers below this one.
_MASKED_BELOW = -99.0
#: A gathered table has at most this part of different values in what was gathered.
_REPEATED = 0.75
#: Rounding of sines and cosines in half precision.
_TOLERANCE = 4e-3
#: Fewer numbers in a geometric sequence may be anything; more are no sequence of frequencies.
_FEWEST_FREQUENCIES, _MOST_FREQUENCIES = 8, 4096


class Origin(Enum):
    """What an exporter says of a fixed tensor."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    COMPUTED = "computed from what a module holds"
    UNKNOWN = "unknown"


def origins_of(graph: onnx.GraphProto) -> dict[str, Origin]:
    """What is said of the fixed tensors of a graph, by name; those of which nothing is said are left out."""
    origins: dict[str, Origin] = {}
    folded: dict[str, str] = {}
    inputs = {value.name for value in graph.input}
    for value in graph.value_info:
        for entry in value.metadata_props:
            if entry.key == INPUT_KIND:
                learned = entry.value == "PARAMETER"
                origins[value.name] = Origin.PARAMETER if learned else Origin.BUFFER
            elif entry.key == FOLDED_FROM:
                folded[value.name] = entry.value
    learned_names = {name for name, origin in origins.items() if origin is Origin.PARAMETER}
    for name, sources in folded.items():
        if origins.get(name) is not Origin.BUFFER:
            origins[name] = _of_computed(sources, inputs, learned_names)
    return origins


def learned_from(graph: onnx.GraphProto) -> dict[str, dict[str, int]]:
    """Of tensors that were computed from several parameters, as weight normalisation does, the sizes of these."""
    found: dict[str, dict[str, int]] = {}
    for value in graph.value_info:
        for entry in value.metadata_props:
            if entry.key == LEARNED_FROM:
                with contextlib.suppress(SyntaxError, TypeError, ValueError, AttributeError):
                    sizes = ast.literal_eval(entry.value)
                    found[value.name] = {str(name): int(size) for name, size in sizes.items()}
    return found


def _of_computed(sources: str, inputs: set[str], learned: set[str]) -> Origin:
    """What a tensor is that the exporter computed: of its own numbers and shapes alone, it is nobody's weight."""
    try:
        names = sources_of(sources)
    except (SyntaxError, TypeError, ValueError):
        return Origin.UNKNOWN
    if any(name in learned or is_in_state(name) for name in names):
        return Origin.COMPUTED
    made = all(name in inputs or _NUMBERED.fullmatch(name) for name in names)
    return Origin.BUFFER if made else Origin.UNKNOWN


def sources_of(folded_from: str) -> list[str]:
    """The names in what onnxscript writes of a tensor that it computed.

    Raises:
        SyntaxError, TypeError, ValueError: it is no list.
    """
    return [str(name) for name in ast.literal_eval(folded_from)]


def is_of_code(name: str) -> bool:
    """Whether a tensor is named as PyTorch's exporter names the numbers in the code of a network."""
    return _NUMBERED.fullmatch(name) is not None


def is_constant_of_code(name: str) -> bool:
    """Whether a tensor is named as PyTorch names what stands in the code of a network, not in its state."""
    return _CONSTANT.fullmatch(name) is not None


def is_of_module_code(name: str) -> bool:
    """Whether a tensor is named as TorchScript's exporter names a number in the code of a module."""
    return name.startswith("/") and is_constant_of_code(name)


def is_made_up(name: str) -> bool:
    """Whether a tensor has a name that PyTorch's exporters give to what no module holds."""
    return _MADE.fullmatch(name) is not None


def is_turned(name: str) -> bool:
    """Whether a tensor is named as TorchScript's exporter names a weight that it turned or joined."""
    return _FOLDED.fullmatch(name) is not None


def is_folded(name: str) -> bool:
    """Whether a tensor is named as exporters name a weight that they computed from those of modules."""
    return is_turned(name) or is_made_up(name)


def is_own(name: str) -> bool:
    """Whether a tensor has a name that a network gives: in a module's state, or no word of an exporter."""
    if is_in_state(name):
        return True
    words = name.isidentifier() and "const" not in name.lower()
    return words and not is_folded(name) and _NUMBERED.fullmatch(name) is None


def is_bias_without_keys(values: np.ndarray | None) -> bool:
    """Whether a bias is one of queries, keys and values joined, of which that of the keys is none: zeros."""
    if values is None or values.ndim != 1 or values.size < 6 or values.size % 3:
        return False
    queries, keys, rest = values.reshape(3, -1)
    return not keys.any() and bool(queries.all() and rest.all())


def has_one_of_two(values: np.ndarray | None) -> bool:
    """Whether of the two biases of a recurrent layer, one behind the other for each direction, one is zeros."""
    if values is None or values.ndim != 2 or values.shape[1] % 2:
        return False
    first, second = (half.any() for half in np.split(values, 2, axis=1))
    return bool(first != second)


def is_in_state(name: str) -> bool:
    """Whether a tensor is named as PyTorch names what a module within the network holds."""
    return _STATE.fullmatch(name) is not None and "const" not in name.lower()


def is_buffer(values: np.ndarray | None, among: int = 0) -> bool:
    """Whether the values of a factor or addend show that nobody learned them: masks, grids, strides, positions.

    Args:
        values: of the tensor; None where the file does not hold them.
        among: how many values a weight has that it is applied to: zeros and ones of that many prune it.
    """
    if values is None or values.dtype.kind != "f" or values.size < 2:
        return False
    low, high = float(values.min()), float(values.max())
    if low == high:  # a fresh scale or offset, which is small; a stride is none
        return values.size >= _GRID and abs(low) > 1 and (low * 2).is_integer()
    if high == 0 and low <= _MASKED_BELOW:
        return bool(np.all((values == 0) | (values <= _MASKED_BELOW)))
    if low == 0 and high == 1 and values.size == among:
        return bool(np.all((values == 0) | (values == 1)))
    # Grids, anchors and strides are whole numbers and halves; training does not end at such values alone.
    if values.size >= _GRID or max(-low, high) > 1:
        with np.errstate(over="ignore", invalid="ignore"):
            if bool(np.all(values * 2 == np.round(values * 2))):
                return True
    return is_frequencies(values) or (low >= -1.01 and high <= 1.01 and is_sinusoidal(values))


def is_frequencies(values: np.ndarray | None) -> bool:
    """Whether a tensor is a geometric sequence, as the frequencies are by which positions and times are encoded."""
    if values is None or not _FEWEST_FREQUENCIES <= values.size <= _MOST_FREQUENCIES:
        return False
    row = np.squeeze(values)
    if row.ndim != 1 or row.dtype.kind != "f" or float(row.min()) <= 0:
        return False
    tolerance = _TOLERANCE if row.dtype.itemsize < 4 else 1e-4
    steps = np.diff(np.log(row.astype(np.float64)))
    return bool(np.ptp(steps) < tolerance < abs(steps.mean()))


def is_sinusoidal(values: np.ndarray) -> bool:
    """Whether a tensor is a table of sines, cosines or both over positions, as encodings of positions hold."""
    table = np.squeeze(values).astype(np.float64)
    if table.ndim < 2 or table.size < _GRID:
        return False
    return any(
        _pairs(table, axis) or _waves(table, axis)
        for axis in range(table.ndim)
        if table.shape[axis] > 2
    )


def _pairs(table: np.ndarray, axis: int) -> bool:
    """Whether sines and cosines of the same angles stand along an axis, in turns or in blocks."""
    moved = np.moveaxis(table, axis, -1)
    length = moved.shape[-1]
    for block in {1, length // 8, length // 4, length // 2}:
        if block and length % (2 * block) == 0:
            squares = (moved.reshape(-1, length // (2 * block), 2, block) ** 2).sum(2)
            ones = np.abs(squares - 1) < _TOLERANCE
            # The place of a token that is no part of the image holds zeros.
            if ones.mean() > 0.5 and bool(np.all(ones | (squares == 0))):
                return True
    return False


def _waves(table: np.ndarray, axis: int) -> bool:
    """Whether the places along an axis are multiples of one angle: cosines, or sines, alone."""
    first, second, third = (np.take(table, place, axis=axis) for place in range(3))
    if np.ptp(second) < _TOLERANCE:
        return False
    if bool(np.all(np.abs(first - 1) < _TOLERANCE)):
        return bool(np.all(np.abs(third - (2 * second**2 - 1)) < _TOLERANCE))
    if bool(np.all(np.abs(first) < _TOLERANCE)):
        return bool(np.all(np.abs(third**2 - 4 * second**2 * (1 - second**2)) < _TOLERANCE))
    return False


def gathered_from(values: np.ndarray | None) -> int | None:
    """How many values a table has that an offset of attention was gathered from; None where it is none.

    An offset by relative position repeats the entries of a table, one for each head, at all pairs that are as far
    from each other. Exporters fold the gathering, so that the table itself is nowhere in the file.
    """
    if values is None or values.dtype.kind != "f" or values.ndim < 2 or values.size < _GRID:
        return None
    values = np.ascontiguousarray(np.squeeze(values))
    if values.ndim < 2 or values.min() == values.max():
        return None
    positions = values.shape[-2] * values.shape[-1]
    heads_first = values.reshape(-1, positions)
    heads_last = values.reshape(-1, values.shape[-1]).T
    sizes = [
        _different(columns) * len(columns)
        for columns in (heads_first, heads_last)
        # Single values of half precision are alike by chance.
        if len(columns) > 1 or values.dtype.itemsize >= 4
    ]
    smallest = min(sizes, default=values.size)
    return smallest if smallest <= _REPEATED * values.size else None


def is_same_weight(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two matrices hold the same weight, as it is or transposed; single numbers repeated are none."""
    for turned in (other, other.T):
        # Of two that differ, the first row shows it nearly always.
        if (
            one.shape == turned.shape
            and one.dtype == turned.dtype
            and one.size > 1
            and np.array_equal(one[0], turned[0])
            and np.array_equal(one, turned)
        ):
            return bool(np.any(one != one.flat[0]))
    return False


def _different(columns: np.ndarray) -> int:
    """How many columns of a matrix differ from each other."""
    bits = columns.view(f"u{columns.dtype.itemsize}").astype(np.uint64)
    code = np.zeros(columns.shape[1], np.uint64)
    for row in bits:  # wraps around at 64 bits, as meant
        code = (code ^ row) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(29)
    return int(np.unique(code).size)
