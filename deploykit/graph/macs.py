"""Rules for counting: the multiply-accumulates of a node, from the shapes of its inputs and of its first output.

One MAC is one product that is added up; bias, scale, activation, pooling and normalisation are not counted. A
rule gives None where the shapes do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
Shapes = Sequence["Shape | None"]

#: Gives the MACs of a node from the shapes of its inputs and of its first output; None where these do not tell.
MacRule = Callable[["onnx.NodeProto", Shapes, "Shape | None"], "int | None"]


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    return next((attribute for attribute in node.attribute if attribute.name == name), None)


def _integer(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    entry = _attribute(node, name)
    return default if entry is None else int(entry.i)


def _at(inputs: Shapes, place: int) -> Shape | None:
    return inputs[place] if place < len(inputs) else None


def filter_per_output(weight: int) -> MacRule:
    """Each output takes one product per value of its filter; groups are in the filter's shape."""

    def rule(_: onnx.NodeProto, inputs: Shapes, output: Shape | None) -> int | None:
        kernel = _at(inputs, weight)
        return None if output is None or not kernel else math.prod(output) * math.prod(kernel[1:])

    return rule


def filter_per_input(weight: int) -> MacRule:
    """Each input is multiplied with every value of its filter: a transposed convolution."""

    def rule(_: onnx.NodeProto, inputs: Shapes, __: Shape | None) -> int | None:
        data, kernel = _at(inputs, 0), _at(inputs, weight)
        return None if data is None or not kernel else math.prod(data) * math.prod(kernel[1:])

    return rule


def shared_dimension(left: int, right: int, *, transposes: bool) -> MacRule:
    """Each output takes one product per value of the dimension that both operands share."""
    names = ("transA", "transB") if transposes else ("", "")

    def rule(node: onnx.NodeProto, inputs: Shapes, output: Shape | None) -> int | None:
        a, b = _at(inputs, left), _at(inputs, right)
        if output is None:
            return None
        if a:
            shared = a[-2] if len(a) > 1 and _integer(node, names[0]) else a[-1]
        elif b:
            shared = b[-1] if _integer(node, names[1]) or len(b) == 1 else b[-2]
        else:
            return None
        return math.prod(output) * shared

    return rule


def columns(node: onnx.NodeProto, inputs: Shapes, _: Shape | None) -> int | None:
    """A product with a packed matrix of K by N, which attributes state (MatMulNBits)."""
    data = _at(inputs, 0)
    return None if data is None else math.prod(data) * _integer(node, "N")


def experts(node: onnx.NodeProto, inputs: Shapes, _: Shape | None) -> int | None:
    """Every row meets as many experts as it is sent to, each of two or three matrices (MoE)."""
    data, matrices = _at(inputs, 0), [_at(inputs, place) for place in (2, 4, 6)]
    stated = [place < len(node.input) and bool(node.input[place]) for place in (2, 4, 6)]
    if not data or any(there and not one for there, one in zip(stated, matrices, strict=True)):
        return None
    each = sum(math.prod(one[1:]) for one in matrices if one)
    return math.prod(data[:-1]) * _integer(node, "k", 1) * each


def recurrent(_: onnx.NodeProto, inputs: Shapes, __: Shape | None) -> int | None:
    """Every step of every sequence meets each value of the weights for the input and of those for the state once.

    X is (steps, batch, input), or (batch, steps, input) by `layout`; W and R hold all gates and directions.
    """
    data, weight, recurrence = (_at(inputs, place) for place in range(3))
    if data is None or len(data) != 3 or weight is None or recurrence is None:
        return None
    return data[0] * data[1] * (math.prod(weight) + math.prod(recurrence))


def affine_grid(_: onnx.NodeProto, __: Shapes, output: Shape | None) -> int | None:
    """Each coordinate of the grid is a row of the matrix times a point with a one behind it."""
    return None if output is None else math.prod(output) * (output[-1] + 1)


# ---- attention


def _heads(shape: Shape, heads: int) -> tuple[int, int, int] | None:
    """Batch, length and values of a position, of (batch, length, values) or (batch, heads, length, size)."""
    if len(shape) == 4:
        return shape[0], shape[2], shape[1] * shape[3]
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 and heads else None


def _products(batch: int, queries: int, keys: int, query_size: int, value_size: int) -> int:
    """Scores of every query with every key, and the values weighted by them."""
    return batch * queries * keys * (query_size + value_size)


def _before(node: onnx.NodeProto, inputs: Shapes, place: int) -> int | None:
    """Keys that a cache (..., length, size) holds already; None where there is one whose shape is not known."""
    if place >= len(node.input) or not node.input[place]:
        return 0
    past = _at(inputs, place)
    return None if past is None or len(past) < 2 else past[-2]


def attention(node: onnx.NodeProto, inputs: Shapes, output: Shape | None) -> int | None:
    """ONNX's own Attention, of projected queries, keys and values, or the one of ONNX Runtime, which projects."""
    if node.domain in ("", "ai.onnx"):
        return _standard_attention(node, inputs)
    return projecting_attention(4)(node, inputs, output)


def projecting_attention(past: int) -> MacRule:
    """Attention of ONNX Runtime that makes queries, keys and values itself; its cache is at `past`."""

    def rule(node: onnx.NodeProto, inputs: Shapes, output: Shape | None) -> int | None:
        data, weight, before = _at(inputs, 0), _at(inputs, 1), _before(node, inputs, past)
        if data is None or len(data) != 3 or not weight or before is None:
            return None
        if before and _integer(node, "past_present_share_buffer"):
            return None  # the cache is as long as sequences may get, and values tell how much of it is filled
        if output is None:
            sizes = _attribute(node, "qkv_hidden_sizes")
            query, value = (sizes.ints[0], sizes.ints[2]) if sizes else (weight[-1] // 3,) * 2
        else:
            value = output[-1]
            query = (weight[-1] - value) // 2
        projected = data[0] * data[1] * math.prod(weight)
        return projected + _products(data[0], data[1], data[1] + before, query, value)

    return rule


def _standard_attention(node: onnx.NodeProto, inputs: Shapes) -> int | None:
    query, key, value = (_at(inputs, place) for place in range(3))
    before = _before(node, inputs, 4)
    if query is None or key is None or value is None or before is None:
        return None
    query_heads, key_heads = _integer(node, "q_num_heads"), _integer(node, "kv_num_heads")
    q, k, v = _heads(query, query_heads), _heads(key, key_heads), _heads(value, key_heads)
    if q is None or k is None or v is None:
        return None
    query_heads = query[1] if len(query) == 4 else query_heads
    key_heads = key[1] if len(key) == 4 else key_heads
    # Queries may have more heads than keys and values, which each group of them then shares.
    value_size = v[2] // max(key_heads, 1) * query_heads
    return _products(q[0], q[1], k[1] + before, q[2], value_size)


def multi_head_attention(past: int) -> MacRule:
    """ONNX Runtime's: (batch, length, values) each, or packed as (batch, length, heads, 3, size).

    Args:
        past: position of the keys that a cache holds.
    """

    def rule(node: onnx.NodeProto, inputs: Shapes, _: Shape | None) -> int | None:
        query, key, value = (_at(inputs, place) for place in range(3))
        before = _before(node, inputs, past)
        if query is None or before is None:
            return None
        if len(query) == 5:
            size = query[2] * query[4]
            return _products(query[0], query[1], query[1] + before, size, size)
        if key is None or len(query) != 3:
            return None
        if len(key) == 5:
            return _products(query[0], query[1], key[1] + before, query[2], query[2])
        if len(key) == 4:
            last = value[1] * value[3] if value and len(value) == 4 else query[2]
            return _products(query[0], query[1], key[2] + before, query[2], last)
        last = value[-1] if value else query[2]
        return _products(query[0], query[1], key[1] + before, query[2], last)

    return rule


def group_query_attention(node: onnx.NodeProto, inputs: Shapes, _: Shape | None) -> int | None:
    """ONNX Runtime's, in which groups of queries share keys; all three may be packed into the queries.

    A cache (batch, heads, length, size) counts in full: how much of one that is shared from step to step is filled,
    values tell.
    """
    query, before = _at(inputs, 0), _before(node, inputs, 3)
    heads, key_heads = _integer(node, "num_heads"), _integer(node, "kv_num_heads")
    if query is None or len(query) != 3 or before is None or heads < 1 or key_heads < 1:
        return None
    packed = len(node.input) < 2 or not node.input[1]
    size = query[2] // (heads + 2 * key_heads if packed else heads)
    return _products(query[0], query[1], query[1] + before, heads * size, heads * size)


def linear_attention(node: onnx.NodeProto, inputs: Shapes, _: Shape | None) -> int | None:
    """Every step adds the product of its key and value to a state, and multiplies its query with that.

    Each head of the values has a state (key, value), as ONNX 27 defines it. The rules called delta take away first
    what the state holds for the key, one more product. Heads of queries may share a state, or states a query.
    """
    query, key, value = (_at(inputs, place) for place in range(3))
    heads, key_heads = _integer(node, "q_num_heads"), _integer(node, "kv_num_heads")
    if not query or not key or not value or len(query) != 3 or heads < 1 or key_heads < 1:
        return None
    state = query[2] // heads * (value[2] // key_heads)
    stated = _attribute(node, "update_rule")
    updates = 2 if stated is not None and stated.s.decode().endswith("delta") else 1
    return query[0] * query[1] * state * (max(heads, key_heads) + key_heads * updates)


# ---- Einsum


def einsum(node: onnx.NodeProto, inputs: Shapes, _: Shape | None) -> int | None:
    """Operands are taken in from left to right, as runtimes do; what only one of a pair has is summed before."""
    stated = _attribute(node, "equation")
    if stated is None or any(shape is None for shape in inputs):
        return None
    equation = stated.s.decode().replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(inputs):
        return None
    sizes: dict[str, int] = {}
    operands: list[set[str]] = []
    for term, shape in zip(terms, inputs, strict=True):
        labels = _labels(term, len(shape or ()))
        if labels is None:
            return None
        for label, size in zip(labels, shape or (), strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
        operands.append(set(labels))
    output_labels = _labels_of_output(right, operands) if arrow else _implied(left, operands)
    total, joined = 0, operands[0]
    for place, operand in enumerate(operands[1:], start=1):
        later = output_labels.union(*operands[place + 1 :])
        pair = {x for x in joined | operand if x in later or (x in joined and x in operand)}
        total += math.prod(sizes[label] for label in pair)
        joined = pair & later
    return total


def _labels(term: str, rank: int) -> list[str] | None:
    """One label per dimension; those of an ellipsis are named from the last one, as they broadcast."""
    before, dots, after = term.partition("...")
    spare = rank - len(before) - len(after)
    if spare < 0 or (spare and not dots):
        return None
    return [*before, *(f".{place}" for place in range(spare, 0, -1)), *after]


def _labels_of_output(right: str, operands: list[set[str]]) -> set[str]:
    output_labels = set(right.replace(".", ""))
    if "..." in right:
        output_labels |= {label for labels in operands for label in labels if label.startswith(".")}
    return output_labels


def _implied(left: str, operands: list[set[str]]) -> set[str]:
    """Without an arrow, the output has the ellipsis and every label that stands once."""
    letters = left.replace(".", "").replace(",", "")
    once = {label for label in letters if letters.count(label) == 1}
    return once | {label for labels in operands for label in labels if label.startswith(".")}
