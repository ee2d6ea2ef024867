"""Rules for MACs, against sums over the tensors that ONNX Runtime makes or against loops over indices."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import onnx
import pytest
from graph_models import make_model, tensor
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.count import count_graph, count_layers
from deploykit.graph.macs import einsum
from deploykit.spec import Counts

node = helper.make_node
info = helper.make_tensor_value_info
CONTRIBUTED = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[Any, ...]],
    weights: list[onnx.TensorProto] | None = None,
    **more: Any,
) -> onnx.ModelProto:
    made = make_model(nodes, weights or [], **more)
    del made.graph.input[:]
    made.graph.input.extend(info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items())
    return made


def multiplications(equation: str, *operands: np.ndarray) -> int:
    """Of a contraction of two operands, by going through all their indices."""
    left, _, right = equation.partition("->")
    terms = left.split(",")
    sizes = {
        x: n for t, a in zip(terms, operands, strict=True) for x, n in zip(t, a.shape, strict=True)
    }
    alone = {
        x for x in sizes if x not in right and sum(x in term for term in terms) == 1
    }  # summed before anything is multiplied
    labels = [x for x in sizes if x not in alone]
    return sum(1 for _ in itertools.product(*(range(sizes[x]) for x in labels)))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("nchw,cd->ndhw", [(2, 3, 4, 5), (3, 6)]),
        ("ij,kl->ik", [(2, 3), (4, 5)]),
        ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]),
        ("ij,ij->", [(3, 4), (3, 4)]),
    ],
)
def test_an_einsum_costs_a_product_per_pair_of_indices(
    equation: str, shapes: list[tuple[int, ...]]
) -> None:
    operands = [np.zeros(shape) for shape in shapes]
    found = einsum(node("Einsum", ["a", "b"], ["y"], equation=equation), shapes, None)
    assert found == multiplications(equation, *operands)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("...ij,...jk", [(2, 7, 3, 4), (7, 4, 5)], 2 * 7 * 3 * 4 * 5),
        ("ij,jk", [(2, 3), (3, 4)], 24),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 24 + 40),
        ("ii->i", [(3, 3)], 0),
        ("ij->ji", [(3, 4)], 0),
        ("ij,jk->ik", [(2, 3), None], None),
        ("ij->i", [(2, 3, 4)], None),
    ],
)
def test_einsums_of_any_form(equation: str, shapes: list[Any], macs: int | None) -> None:
    assert (
        einsum(node("Einsum", ["x"] * len(shapes), ["y"], equation=equation), shapes, None) == macs
    )


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_cost_their_weights_per_step(
    op_type: str, gates: int, directions: int
) -> None:
    weights = [tensor("W", directions, gates * 6, 5), tensor("R", directions, gates * 6, 6)]
    direction = "bidirectional" if directions == 2 else "forward"
    layer = node(op_type, ["x", "W", "R"], ["y"], hidden_size=6, direction=direction)
    counts = count_graph(model([layer], {"x": (7, 1, 5)}, weights, output=(7, directions, 1, 6)))
    assert counts.macs == 7 * directions * gates * 6 * (5 + 6)
    assert counts.parameters == directions * gates * 6 * (5 + 6)
    assert counts.remarks == (f"{op_type}: macs are for 7 steps of its sequence",)


def test_recurrent_layers_of_different_lengths_are_told_in_one_remark() -> None:
    weights = [
        tensor("W", 1, 24, 6),
        tensor("R", 1, 24, 6),
        *(tensor(f"z{n}", n, 1, 6) for n in (1, 2, 3, 4)),
    ]
    layers, last = [], "x"
    for longer in (1, 2, 3, 4):
        layers += [
            node("LSTM", [last, "W", "R"], [f"l{longer}"], hidden_size=6),
            node("Squeeze", [f"l{longer}", "one"], [f"s{longer}"]),
            node("Concat", [f"s{longer}", f"z{longer}"], [f"c{longer}"], axis=0),
        ]
        last = f"c{longer}"
    weights.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    last_layer = node("LSTM", [last, "W", "R"], ["y"], hidden_size=6, layout=0)
    counts = count_graph(
        model([*layers, last_layer], {"x": (7, 1, 6)}, weights, output=(17, 1, 1, 6))
    )
    assert counts.macs == (7 + 8 + 10 + 13 + 17) * 24 * 12
    assert counts.remarks == ("LSTM: macs are for 7 to 17 steps of its sequence",)
    few = count_graph(model(layers[:4], {"x": (7, 1, 6)}, weights, output=(8, 1, 1, 6)))
    assert few.remarks[0] == "LSTM: macs are for 7 and 8 steps of its sequence"


def test_steps_are_along_the_second_axis_where_the_batch_comes_first() -> None:
    weights = [tensor("W", 1, 18, 5), tensor("R", 1, 18, 6)]
    layer = node("GRU", ["x", "W", "R"], ["y"], hidden_size=6, layout=1)
    counts = count_graph(model([layer], {"x": (1, 7, 5)}, weights, output=(1, 7, 1, 6)))
    assert counts.remarks == ("GRU: macs are for 7 steps of its sequence",)


def test_the_steps_of_a_sequence_are_no_batch() -> None:
    weights = [tensor("W", 1, 24, 5), tensor("R", 1, 24, 6)]
    layer = node("LSTM", ["x", "W", "R"], ["y"], hidden_size=6)
    counts = count_graph(model([layer], {"x": (7, 1, 5)}, weights, output=(7, 1, 1, 6)))
    assert counts.macs == 7 * 24 * 11


def test_attention_multiplies_queries_with_keys_and_weighs_values() -> None:
    layer = node("Attention", ["q", "k", "v"], ["y"], q_num_heads=2, kv_num_heads=2)
    inputs = {"q": (1, 5, 8), "k": (1, 7, 8), "v": (1, 7, 12)}
    counts = count_graph(
        model([layer], inputs, output=(1, 5, 12), opsets=[helper.make_opsetid("", 23)])
    )
    assert (counts.macs, counts.uncounted) == (5 * 7 * 8 + 5 * 7 * 12, {})


@pytest.mark.parametrize(
    ("inputs", "weights", "attention", "macs", "parameters"),
    [
        ({"x": (1, 5, 8)}, ["x", "w", "b"], "Attention", 5 * 8 * 24 + 2 * 25 * 8, 8 * 24 + 24),
        ({"q": (1, 5, 8), "k": (1, 7, 8), "v": (1, 7, 8)}, ["q", "k", "v"], "MultiHeadAttention",
         2 * 5 * 7 * 8, 0),
        ({"x": (1, 5, 2, 3, 4)}, ["x"], "MultiHeadAttention", 2 * 25 * 8, 0),
    ],
    ids=["projecting", "plain", "packed"],
)  # fmt: skip
def test_attention_of_onnx_runtime(
    inputs: dict[str, tuple[int, ...]],
    weights: list[str],
    attention: str,
    macs: int,
    parameters: int,
) -> None:
    layers = [
        node(attention, weights, ["a"], num_heads=2, domain="com.microsoft"),
        node("MatMul", ["a", "p"], ["y"]),
    ]
    stored = [tensor("w", 8, 24), tensor("b", 24)] if "w" in weights else []
    made = model(layers, inputs, [*stored, tensor("p", 8, 3)], output=(1, 5, 3), opsets=CONTRIBUTED)
    counts = count_graph(made)
    assert (counts.macs, counts.parameters) == (macs + 5 * 24, parameters + 24)
    assert counts.uncounted == {}


@pytest.mark.parametrize(
    ("x", "w", "group", "output"),
    [
        ((1, 6, 9), (6, 2, 4), 2, 4),
        ((1, 6, 4, 4), (6, 2, 2, 2), 3, 6),
        ((1, 2, 3, 3, 3), (2, 4, 2, 2, 2), 1, 4),
    ],
    ids=["1-D", "groups", "3-D"],
)
def test_transposed_convolutions_of_any_rank(
    x: tuple[int, ...], w: tuple[int, ...], group: int, output: int
) -> None:
    layer = node("ConvTranspose", ["x", "w"], ["y"], group=group)
    made = model([layer], {"x": x}, [tensor("w", *w)], output=(1, output, *["n"] * (len(x) - 2)))
    assert count_graph(made).macs == math.prod(x) * output // group * math.prod(w[2:])


@pytest.mark.parametrize(
    ("inputs", "attributes", "macs", "output"),
    [
        ({"q": (1, 5, 16), "k": (1, 5, 8), "v": (1, 5, 8)}, {}, 2 * 25 * 16, 16),
        ({"q": (1, 5, 32)}, {}, 2 * 25 * 16, 16),
        ({"q": (1, 1, 16), "k": (1, 1, 8), "v": (1, 1, 8), "p": (1, 2, 7, 4), "r": (1, 2, 7, 4)}, {},
         2 * 8 * 16, 16),
    ],
    ids=["apart", "packed", "with a cache"],
)  # fmt: skip
def test_queries_in_groups_meet_each_key(
    inputs: dict[str, tuple[int, ...]], attributes: dict[str, Any], macs: int, output: int
) -> None:
    names = [name if name in inputs else "" for name in "qkvpr"]
    layer = node(
        "GroupQueryAttention",
        [*names, "n", "t"],
        ["a"],
        num_heads=4,
        kv_num_heads=2,
        domain="com.microsoft",
    )
    weights = [
        numpy_helper.from_array(np.array([5], np.int32), "n"),
        numpy_helper.from_array(np.array(6, np.int32), "t"),
        tensor("w", output, 3),
    ]
    product = node("MatMul", ["a", "w"], ["y"])
    length = inputs["q"][1]
    made = model([layer, product], inputs, weights, output=(1, length, 3), opsets=CONTRIBUTED)
    counts = count_graph(made)
    assert (counts.macs, counts.uncounted) == (macs + length * output * 3, {})


def test_a_cache_of_unknown_length_makes_a_lower_bound() -> None:
    layer = node("Attention", ["q", "q", "q", "", "pk", "pk"], ["y"], q_num_heads=2, kv_num_heads=2)
    grown = [node("NonZero", ["q"], ["z"]), node("Cast", ["z"], ["f"], to=1)]
    grown.append(node("Unsqueeze", ["f", "axes"], ["pk"]))
    made = model(
        [*grown, layer],
        {"q": (1, 5, 8)},
        [numpy_helper.from_array(np.array([0], np.int64), "axes")],
        output=(1, 5, 8),
        opsets=[helper.make_opsetid("", 23)],
    )
    assert count_graph(made).uncounted == {"Attention": 1}


@pytest.mark.parametrize(
    ("op_type", "inputs", "weights", "macs", "parameters"),
    [
        ("NhwcFusedConv", {"x": (1, 8, 8, 3)}, {"w": (4, 3, 3, 3), "b": (4,)}, 36 * 108, 112),
        ("GemmFastGelu", {"x": (1, 5, 8)}, {"w": (8, 6), "b": (6,)}, 5 * 48, 54),
        ("TransposeMatMul", {"x": (1, 5, 8)}, {"w": (8, 6)}, 5 * 48, 48),
    ],
)
def test_products_of_onnx_runtime(
    op_type: str,
    inputs: dict[str, tuple[int, ...]],
    weights: dict[str, tuple[int, ...]],
    macs: int,
    parameters: int,
) -> None:
    layer = node(op_type, ["x", *weights], ["h"], domain="com.microsoft")
    stored = [tensor(name, *shape) for name, shape in weights.items()]
    rank = len(inputs["x"])
    made = model(
        [layer, node("Relu", ["h"], ["y"])],
        inputs,
        stored,
        output=tuple(f"y{place}" for place in range(rank)),
        opsets=CONTRIBUTED,
    )
    counts = count_graph(made)
    assert (counts.macs, counts.parameters, counts.uncounted) == (macs, parameters, {})


def contributed(
    op_type: str,
    inputs: dict[str, tuple[int, ...]],
    stored: dict[str, tuple[int, ...]],
    *,
    reads: str | None = None,
    domain: str = "com.microsoft",
    opset: int = 20,
    **attributes: Any,
) -> Counts:
    """Counts of one operator that reads what is named in `reads`, a dash where nothing stands."""
    names = [
        "" if name == "-" else name for name in (reads or " ".join([*inputs, *stored])).split()
    ]
    layer = node(op_type, names, ["h"], domain=domain, **attributes)
    weights = [tensor(name, *shape) for name, shape in stored.items()]
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    outputs = ("a", "b", "c")
    made = model(
        [layer, node("Identity", ["h"], ["y"])], inputs, weights, output=outputs, opsets=opsets
    )
    return count_graph(made)


def test_quantised_attention_projects_and_keeps_a_cache() -> None:
    """By ContribOperators.md of ONNX Runtime its ninth input is a cache (2, batch, heads, past, size)."""
    inputs, stored = (
        {"x": (1, 5, 8), "p": (2, 1, 2, 7, 4)},
        {"w": (8, 24), "b": (24,), "s": (1,), "t": (1,)},
    )
    plain = contributed("QAttention", inputs, stored, reads="x w b s t", num_heads=2)
    assert (plain.macs, plain.uncounted) == (5 * 8 * 24 + 2 * 5 * 5 * 8, {})
    cached = contributed("QAttention", inputs, stored, reads="x w b s t - - - p", num_heads=2)
    assert (cached.macs, cached.uncounted) == (5 * 8 * 24 + 2 * 5 * (7 + 5) * 8, {})


@pytest.mark.parametrize(
    ("op_type", "reads", "attributes"),
    [
        ("DecoderMaskedSelfAttention", "x w b - p - n", {}),
        ("DecoderMaskedMultiHeadAttention", "x x x - - k k n", {}),
        ("Attention", "x w b - p - n", {"past_present_share_buffer": 1}),
    ],
)
def test_a_cache_that_is_filled_step_by_step_makes_a_lower_bound(
    op_type: str, reads: str, attributes: dict[str, int]
) -> None:
    """A shared cache is as long as sequences may get; `past_sequence_length`, an input, says what counts of it."""
    inputs = {"x": (1, 1, 8), "p": (2, 1, 2, 64, 4), "k": (1, 2, 64, 4), "n": (1,)}
    counts = contributed(
        op_type, inputs, {"w": (8, 24), "b": (24,)}, reads=reads, num_heads=2, **attributes
    )
    assert counts.uncounted == {f"com.microsoft.{op_type}": 1}
    assert "values" in counts.remarks[0]


@pytest.mark.parametrize(
    ("rule", "updates"), [("linear", 1), ("gated", 1), ("delta", 2), ("gated_delta", 2)]
)
@pytest.mark.parametrize(("heads", "states"), [(2, 2), (4, 2), (2, 4)])
def test_linear_attention_costs_its_state_per_step(
    rule: str, updates: int, heads: int, states: int
) -> None:
    """By ONNX 27: S += k v', o = q' S for each head; `delta` also takes S' k off v."""
    steps, key, value = 5, 3, 4
    macs = 0
    for _ in range(steps):
        macs += updates * states * key * value + max(heads, states) * key * value
    inputs = {
        "q": (1, steps, heads * key),
        "k": (1, steps, states * key),
        "v": (1, steps, states * value),
    }
    counts = contributed(
        "LinearAttention", inputs, {}, q_num_heads=heads, kv_num_heads=states, update_rule=rule
    )
    assert (counts.macs, counts.uncounted) == (macs, {})


def test_a_causal_convolution_with_a_state_is_a_depthwise_one() -> None:
    """By ONNX 27: y[c, t] = sum over k of w[c, 0, k] (state, x)[c, t + k], for every place."""
    counts = contributed("CausalConvWithState", {"x": (1, 6, 9)}, {"w": (6, 1, 4), "b": (6,)})
    assert (counts.macs, counts.parameters, counts.uncounted) == (6 * 9 * 4, 30, {})


def test_products_of_other_integers_are_matrix_products() -> None:
    """MatMulInteger16 is numpy.matmul of int16; MatMulBnb4 multiplies by a packed matrix of N by K."""
    whole = contributed("MatMulInteger16", {"x": (1, 5, 8)}, {"w": (8, 6)})
    assert (whole.macs, whole.uncounted) == (5 * 8 * 6, {})
    packed = contributed(
        "MatMulBnb4",
        {"x": (1, 5, 8)},
        {"w": (24,), "s": (1,)},
        K=8,
        N=6,
        block_size=64,
        quant_type=1,
    )
    assert (packed.macs, packed.parameters, packed.uncounted) == (5 * 8 * 6, 48, {})


def test_pads_given_as_a_tensor_change_nothing_of_a_transposed_convolution() -> None:
    """ConvTransposeWithDynamicPads is ConvTranspose with its pads as the third input, before the bias."""
    counts = contributed(
        "ConvTransposeWithDynamicPads", {"x": (1, 6, 4, 4), "p": (4,)}, {"w": (6, 2, 2, 2), "b": (6,)},
        reads="x w p b", group=3,
    )  # fmt: skip
    assert (counts.macs, counts.parameters, counts.uncounted) == (6 * 16 * 2 * 4, 54, {})


# ---- bodies


def loop(
    trips: int | None, body_nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]
) -> onnx.ModelProto:
    body = helper.make_graph(
        [*body_nodes, node("Identity", ["c"], ["on"])],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("s", 1, None)],
        [info("on", TensorProto.BOOL, []), info("t", 1, None)],
    )
    nodes = [node("Loop", ["n", "", "x"], ["y"], name="loop", body=body)]
    if trips is None:
        nodes.insert(0, node("ReduceSum", ["x"], ["sum"], keepdims=0))
        nodes.insert(1, node("Cast", ["sum"], ["n"], to=TensorProto.INT64))
    else:
        weights = [*weights, numpy_helper.from_array(np.array(trips, np.int64), "n")]
    return make_model(nodes, weights)


CONV = node("Conv", ["s", "w"], ["t"], pads=[1, 1, 1, 1])


@pytest.mark.parametrize("trips", [0, 1, 8])
def test_a_loop_costs_its_body_as_often_as_it_runs(trips: int) -> None:
    made = loop(trips, [CONV], [tensor("w", 3, 3, 3, 3)])
    counts = count_graph(made)
    assert (counts.macs, counts.uncounted) == (trips * 64 * 81, {})
    assert count_layers(made)["loop"].macs == trips * 64 * 81
    assert sum(one.macs for one in counts.by_operator.values()) == counts.macs
    assert counts.remarks == ((f"Loop: macs are for {trips} runs of its body",) if trips else ())


def test_loops_that_make_nothing_first_are_told_apart() -> None:
    def body(name: str, products: int) -> onnx.GraphProto:
        names = ["s", *(f"p{place}" for place in range(products))]
        nodes = [node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
        nodes += [node("Identity", ["go"], ["on"]), node("Identity", [names[-1]], ["each"])]
        taken = [info("i", 7, []), info("go", 9, []), info("s", 1, [1, 8])]
        made = [info("on", 9, []), info(names[-1], 1, [1, 8]), info("each", 1, [1, 8])]
        return helper.make_graph(nodes, name, taken, made)

    nodes = [
        node("Loop", ["n", "", "x"], ["", "a"], body=body("one", 1)),
        node("Loop", ["n", "", "x"], ["", "b"], body=body("two", 2)),
        node("Add", ["a", "b"], ["y"]),
    ]
    trips = numpy_helper.from_array(np.array(5, np.int64), "n")
    made = model(nodes, {"x": (1, 8)}, [tensor("w", 8, 8), trips], output=(5, 1, 8))
    assert count_graph(made).macs == 5 * 64 * (1 + 2)


def test_a_mixture_of_experts_costs_those_that_a_row_is_sent_to() -> None:
    layer = node("MoE", ["x", "r", "one", "b", "two"], ["y"], domain="com.microsoft", k=2)
    weights = [tensor("one", 4, 32, 16), tensor("b", 4, 32), tensor("two", 4, 16, 32)]
    shapes = {"x": (1, 6, 16), "r": (6, 4)}
    counts = count_graph(model([layer], shapes, weights, output=(1, 6, 16), opsets=CONTRIBUTED))
    assert (counts.macs, counts.uncounted) == (6 * 2 * 2 * 32 * 16, {})
    assert counts.parameters == 4 * (2 * 32 * 16 + 32)
    assert not counts.unsized


def test_a_loop_of_unknown_length_counts_once_and_says_so() -> None:
    made = loop(None, [CONV], [tensor("w", 3, 3, 3, 3)])
    counts = count_graph(made)
    assert (counts.macs, counts.uncounted) == (64 * 81, {"Loop": 1})
    assert counts.is_lower_bound
    assert counts.remarks == ("Loop: how often it runs depends on values, one run is counted",)
    assert count_layers(made)["loop"].macs is None


def test_a_loop_whose_state_grows_is_counted_run_by_run() -> None:
    nodes = [
        node("Concat", ["s", "s"], ["d"], axis=2),
        node("Conv", ["d", "w"], ["t"], pads=[1] * 4),
    ]
    counts = count_graph(loop(3, nodes, [tensor("w", 3, 3, 3, 3)]))
    assert counts.macs == (16 + 32 + 64) * 8 * 81
    assert counts.remarks == ("Loop: macs are for 3 runs of its body",)


def test_a_scan_costs_its_body_per_slice() -> None:
    body = helper.make_graph(
        [
            node("MatMul", ["h", "w"], ["m"]),
            node("Add", ["m", "x_t"], ["h2"]),
            node("Identity", ["h2"], ["o"]),
        ],
        "body",
        [info("h", 1, [1, 8]), info("x_t", 1, [1, 8])],
        [info("h2", 1, [1, 8]), info("o", 1, [1, 8])],
    )
    layer = node("Scan", ["h0", "x"], ["last", "y"], body=body, num_scan_inputs=1)
    made = model([layer], {"x": (5, 1, 8), "h0": (1, 8)}, [tensor("w", 8, 8)], output=(5, 1, 8))
    counts = count_graph(made)
    assert (counts.macs, counts.parameters, counts.uncounted) == (5 * 64, 64, {})
    assert counts.remarks == ("Scan: macs are for 5 runs of its body",)


def test_of_branches_the_larger_one_is_counted_and_said() -> None:
    def branch(kernel: int) -> onnx.GraphProto:
        pads = [kernel // 2] * 4
        conv = node("Conv", ["x", f"w{kernel}"], [f"t{kernel}"], pads=pads)
        return helper.make_graph([conv], "branch", [], [info(f"t{kernel}", 1, None)])

    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Cast", ["sum"], ["c"], to=TensorProto.BOOL),
        node("If", ["c"], ["y"], name="if", then_branch=branch(1), else_branch=branch(3)),
    ]
    weights = [tensor("w1", 3, 3, 1, 1), tensor("w3", 3, 3, 3, 3)]
    counts = count_graph(make_model(nodes, weights))
    assert (counts.macs, counts.parameters, counts.uncounted) == (64 * 81, 90, {})
    assert counts.remarks == ("of If the branch with more work is counted",)
    assert counts.chosen == ("If",)
    # A condition that is known takes its branch, as where a network asks for the rank of its input.
    nodes[:2] = [
        node("Shape", ["x"], ["s"]),
        node("Size", ["s"], ["r"]),
        node("Less", ["r", "five"], ["c"]),
    ]
    weights.append(numpy_helper.from_array(np.array(5, np.int64), "five"))
    known = count_graph(make_model(nodes, weights))
    assert (known.macs, known.remarks) == (64 * 9, ())


@pytest.mark.parametrize("product", [True, False])
def test_what_a_branch_that_is_not_counted_may_multiply_makes_a_lower_bound(product: bool) -> None:
    nodes = [node("MatMul", ["x", "w"], ["a"])] if product else [node("Relu", ["x"], ["a"])]
    known = helper.make_graph(nodes, "known", [], [info("a", 1, None)])
    inner = [node("Det", ["x"], ["d"]), node("Add", ["x", "d"], ["b"])]
    other = helper.make_graph(inner, "other", [], [info("b", 1, None)])
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Cast", ["sum"], ["c"], to=TensorProto.BOOL),
        node("If", ["c"], ["y"], then_branch=known, else_branch=other),
    ]
    counts = count_graph(model(nodes, {"x": (1, 8, 8)}, [tensor("w", 8, 8)], output=(1, 8, 8)))
    assert counts.macs == (512 if product else 0)
    # Without products in the one branch the other has more work, and is itself what is not counted.
    assert counts.uncounted == {"If" if product else "Det": 1}
    assert counts.is_lower_bound


def test_a_branch_that_the_number_of_the_run_decides_is_counted_as_often_as_it_runs() -> None:
    def branch(name: str, products: int) -> onnx.GraphProto:
        names = ["s", *(f"{name}{place}" for place in range(products))]
        nodes = [node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
        return helper.make_graph(nodes, name, [], [info(names[-1], 1, None)])

    nodes = [
        node("Equal", ["i", "zero"], ["is_first"]),
        node("If", ["is_first"], ["t"], then_branch=branch("a", 3), else_branch=branch("b", 1)),
    ]
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    counts = count_graph(loop(4, nodes, [tensor("w", 8, 8), zero]))
    assert (counts.macs, counts.chosen) == ((3 + 3) * 3 * 8 * 64, ())
    assert counts.remarks == ("Loop: macs are for 4 runs of its body",)


def test_the_pads_that_pytorch_computes_are_followed() -> None:
    def fixed(name: str, *values: int) -> onnx.NodeProto:
        return node("Constant", [], [name], value=numpy_helper.from_array(np.array(values), name))

    nodes = [
        fixed("a", 3, 3, 3, 3), fixed("z", 0, 0, 0, 0), node("Concat", ["a", "z"], ["b"], axis=0),
        fixed("s", -1, 2), node("Reshape", ["b", "s"], ["c"]), fixed("from", -1), fixed("to", -(2**63) + 1),
        fixed("axis", 0), fixed("step", -1), node("Slice", ["c", "from", "to", "axis", "step"], ["d"]),
        node("Transpose", ["d"], ["e"], perm=[1, 0]), fixed("flat", -1), node("Reshape", ["e", "flat"], ["g"]),
        node("Cast", ["g"], ["pads"], to=TensorProto.INT64), node("Pad", ["x", "pads"], ["p"]),
        node("Conv", ["p", "w"], ["y"], strides=[2, 2]),
    ]  # fmt: skip
    made = make_model(
        nodes, [tensor("w", 8, 3, 7, 7)], shape=("N", 3, 32, 32), output=("N", 8, 16, 16)
    )
    assert count_graph(made).macs == 8 * 16 * 16 * 3 * 49


OLD = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
CONV4 = node("Conv", ["m", "w"], ["y"])


@pytest.mark.parametrize(
    ("made", "weights", "side"),
    [
        (
            node("Pad", ["x", "pads"], ["m"], domain="com.microsoft"),
            [numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "pads")],
            8,
        ),
        (node("Trilu", ["x"], ["m"], domain="com.microsoft", upper=0), [], 6),
        (
            node("GridSample", ["x", "grid"], ["m"], domain="com.microsoft"),
            [tensor("grid", 1, 5, 5, 2)],
            3,
        ),
    ],
    ids=["Pad", "Trilu", "GridSample"],
)
def test_what_onnx_took_over_from_onnx_runtime_has_the_shape_that_it_has_there(
    made: onnx.NodeProto, weights: list[onnx.TensorProto], side: int
) -> None:
    shapes = {"x": (1, 3, 8, 8)}
    found = count_graph(
        model([made, CONV4], shapes, [*weights, tensor("w", 4, 3, 3, 3)], opsets=OLD)
    )
    assert (found.macs, found.uncounted, found.unsized) == (side * side * 108, {}, {})


@pytest.mark.parametrize(
    ("op_type", "read", "parameters"),
    [
        ("GatedAdd", "x x x", 0),
        ("ScaledSiLU", "x", 0),
        ("GatedRMSNorm", "x b x", 16),
        ("BranchwiseRMSNorm", "x b", 16),
        ("MRotaryEmbedding", "x p c c", 0),
        ("LinearAttentionGate", "x b b", 16),
    ],
)
def test_operators_of_onnx_runtime_that_multiply_nothing_leave_counts_exact(
    op_type: str, read: str, parameters: int
) -> None:
    made = node(op_type, read.split(), ["m"], domain="com.microsoft")
    nodes = [made, node("MatMul", ["m", "w"], ["y"])]
    stored = [tensor("w", 16, 5), tensor("b", 16), tensor("c", 9, 8)]
    shapes = {"x": (1, 6, 16), "p": (3, 1, 6)}
    found = count_graph(model(nodes, shapes, stored, opsets=OLD, output=(1, 6, 5)))
    assert (found.macs, found.uncounted) == (6 * 16 * 5, {})
    assert found.parameters == 80 + parameters


def test_a_bias_by_relative_position_has_the_lengths_that_it_is_told() -> None:
    nodes = [
        node("RelativePositionBias", ["table", "n", "n"], ["p"], domain="com.microsoft"),
        node("Add", ["x", "p"], ["s"]),
        node("MatMul", ["s", "w"], ["y"]),
    ]
    length = numpy_helper.from_array(np.array([6], np.int64), "n")
    stored = [tensor("table", 32, 2), tensor("w", 6, 5), length]
    found = count_graph(model(nodes, {"x": (1, 2, 6, 6)}, stored, opsets=OLD, output=(1, 2, 6, 5)))
    assert (found.macs, found.parameters, found.uncounted) == (2 * 6 * 30, 64 + 30, {})


@pytest.mark.parametrize(
    ("made", "macs"),
    [
        (node("BiasSplitGelu", ["x", "b"], ["m"], domain="com.microsoft"), 6 * 8 * 5),
        (
            node(
                "NhwcMaxPool", ["x"], ["m"], domain="com.microsoft", kernel_shape=[2], strides=[2]
            ),
            3 * 16 * 5,
        ),
    ],
    ids=["halves", "pools"],
)
def test_what_is_behind_a_gate_or_a_pool_of_onnx_runtime_counts(
    made: onnx.NodeProto, macs: int
) -> None:
    weight = tensor("w", 8 if made.op_type == "BiasSplitGelu" else 16, 5)
    nodes = [made, node("MatMul", ["m", "w"], ["y"])]
    found = count_graph(
        model(nodes, {"x": (1, 6, 16)}, [weight, tensor("b", 16)], opsets=OLD, output=(1, "s", 5))
    )
    assert (found.macs, found.uncounted) == (macs, {})
