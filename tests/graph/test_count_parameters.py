"""Parameters that reach their operator through other operators on constants, and what is no parameter."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_models import make_model, tensor
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph import parameters
from deploykit.graph.count import count_graph

node = helper.make_node


def array(name: str, values: object, kind: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, kind), name)


CONV = node("Conv", ["x", "k"], ["y"])
#: Each gives the weight (4, 3, 3, 3) of the convolution, or what stands in its place.
WEIGHTS = {
    "joined": (
        [node("Concat", ["a", "b"], ["k"], axis=0)],
        [tensor("a", 2, 3, 3, 3), tensor("b", 2, 3, 3, 3)],
        108,
    ),
    "cut": (
        [node("Slice", ["w", "from", "to"], ["k"])],
        [tensor("w", 4, 3, 3, 3), array("from", [0], np.int64), array("to", [4], np.int64)],
        108,
    ),
    "split": (
        [node("Split", ["w"], ["k", "rest"], axis=0, num_outputs=2)],
        [tensor("w", 8, 3, 3, 3)],
        216,
    ),
    "cast like": ([node("CastLike", ["w", "x"], ["k"])], [tensor("w", 4, 3, 3, 3)], 108),
    "turned": (
        [node("Transpose", ["w"], ["k"], perm=[3, 2, 0, 1])],
        [tensor("w", 3, 3, 3, 4)],
        108,
    ),
    "weight normalisation": (
        [
            node("ReduceL2", ["v", "axes"], ["n"]),
            node("Div", ["g", "n"], ["s"]),
            node("Mul", ["v", "s"], ["k"]),
        ],
        [tensor("v", 4, 3, 3, 3), tensor("g", 4, 1, 1, 1), array("axes", [1, 2, 3], np.int64)],
        112,
    ),
    "spectral normalisation": (
        [
            node("Reshape", ["w", "rows"], ["m"]),
            node("MatMul", ["m", "v"], ["p"]),
            node("MatMul", ["u", "p"], ["sigma"]),
            node("Div", ["w", "sigma"], ["k"]),
        ],
        [
            tensor("w", 4, 3, 3, 3),
            tensor("u", 4),
            tensor("v", 27),
            array("rows", [4, 27], np.int64),
        ],
        108,
    ),
    "pruned": (
        [node("Mul", ["w", "mask"], ["k"])],
        [tensor("w", 4, 3, 3, 3), array("mask", np.arange(108).reshape(4, 3, 3, 3) % 2)],
        108,
    ),
    "mean of two": (
        [node("Mean", ["a", "b"], ["k"])],
        [tensor("a", 4, 3, 3, 3), tensor("b", 4, 3, 3, 3)],
        216,
    ),
    "scaled integers": (
        [node("Cast", ["q"], ["f"], to=1), node("Mul", ["f", "scale"], ["k"])],
        [array("q", np.ones((4, 3, 3, 3)), np.int8), tensor("scale", 4, 1, 1, 1)],
        108,
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_followed_through_operators_on_constants(name: str) -> None:
    nodes, weights, parameters = WEIGHTS[name]
    counts = count_graph(make_model([*nodes, CONV], weights, output=("batch", 4, 6, 6)))
    assert (counts.parameters, counts.macs, counts.uncounted) == (parameters, 36 * 4 * 27, {})


def info(name: str, kind: int = TensorProto.FLOAT, shape: object = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def body(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: tuple[onnx.TensorProto, ...] = (),
) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs, list(weights))


def loop(
    nodes: list[onnx.NodeProto], states: list[str], after: list[str], *read: str
) -> list[onnx.NodeProto]:
    """Two runs of `nodes`, which make the states `after` of `states`; the first of these is "y" in the end."""
    taken = [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), *map(info, states)]
    made = [info("on", TensorProto.BOOL, []), *map(info, after)]
    inner = body([*nodes, node("Identity", ["go"], ["on"])], taken, made)
    outputs = ["y", *(f"last_{name}" for name in after[1:])]
    return [node("Loop", ["two", "", *read], outputs, body=inner)]


def branch(name: str, *weights: onnx.TensorProto) -> onnx.GraphProto:
    nodes = [] if weights else [node("Identity", [name], [f"of_{name}"])]
    return body(nodes, [], [info(name if weights else f"of_{name}")], weights)


PRODUCT = node("MatMul", ["x", "k"], ["y"])
#: Whether any value of "x", of 3 by 8, is more than a number.
DECIDED = [
    node("ReduceMax", ["x"], ["m"], keepdims=0),
    node("Greater", ["m", "number"], ["c"]),
]
TWO, ONE, ZERO = (array(n, v, np.int64) for n, v in (("two", 2), ("one", [1]), ("zero", [0])))
#: Each reads tables or weights of which a size, a place or a condition that depends on an input takes a part.
CHOSEN = {
    "cut to the length of what is read": (
        [
            node("Shape", ["x"], ["length"], start=1, end=2),
            node("Slice", ["table", "zero", "length", "one"], ["p"]),
            node("Add", ["x", "p"], ["y"]),
        ],
        [tensor("table", 1, 16, 8), ONE, ZERO],
        16 * 8,
    ),
    "resized but for a token": (
        [
            node("Shape", ["x"], ["length"], start=1, end=2),
            node("Sub", ["length", "one"], ["rest"]),
            node("Concat", ["one", "rest", "eight"], ["size"], axis=0),
            node("Slice", ["table", "zero", "one", "one"], ["token"]),
            node("Slice", ["table", "one", "end", "one"], ["places"]),
            node("Resize", ["places", "", "", "size"], ["resized"], mode="linear"),
            node("Concat", ["token", "resized"], ["p"], axis=1),
            node("Add", ["x", "p"], ["y"]),
        ],
        [
            tensor("table", 1, 5, 8),
            ONE,
            ZERO,
            array("eight", [8], np.int64),
            array("end", [99], np.int64),
        ],
        5 * 8,
    ),
    "of two branches": (
        [
            *DECIDED,
            node("If", ["c"], ["k"], then_branch=branch("a"), else_branch=branch("b")),
            PRODUCT,
        ],
        [tensor("a", 8, 8), tensor("b", 8, 8), array("number", 0.5)],
        128,
    ),
    "that two branches hold": (
        [
            *DECIDED,
            node(
                "If",
                ["c"],
                ["k"],
                then_branch=branch("a", tensor("a", 8, 8)),
                else_branch=branch("b", tensor("b", 8, 8)),
            ),
            PRODUCT,
        ],
        [array("number", 0.5)],
        128,
    ),
    "of the layers that a Scan goes along": (
        [
            node(
                "Scan",
                ["x", "bank"],
                ["y"],
                num_scan_inputs=1,
                body=body([node("MatMul", ["s", "w"], ["t"])], [info("s"), info("w")], [info("t")]),
            )
        ],
        [tensor("bank", 4, 8, 8)],
        256,
    ),
    "handed on by a Loop": (
        loop(
            [node("MatMul", ["s", "w"], ["t"]), node("Identity", ["w"], ["again"])],
            ["s", "w"],
            ["t", "again"],
            "x",
            "a",
        ),
        [tensor("a", 8, 8), TWO],
        64,
    ),
    "a Loop's first state": (
        loop([node("Add", ["s", "x"], ["t"])], ["s"], ["t"], "start"),
        [tensor("start", 1, 3, 8), TWO],
        24,
    ),
    "a Loop's first state of zeros": (
        loop([node("Add", ["s", "x"], ["t"])], ["s"], ["t"], "start"),
        [array("start", np.zeros((1, 3, 8))), TWO],
        0,
    ),
    "cut by the run of a Loop": (
        loop(
            [
                node("Unsqueeze", ["i", "zero"], ["from"]),
                node("Add", ["from", "one"], ["to"]),
                node("Slice", ["bank", "from", "to", "zero"], ["part"]),
                node("Squeeze", ["part", "zero"], ["k"]),
                node("MatMul", ["s", "k"], ["t"]),
            ],
            ["s"],
            ["t"],
            "x",
        ),
        [tensor("bank", 2, 8, 8), ONE, ZERO, TWO],
        128,
    ),
    "from a sequence, by the run of a Loop": (
        [
            node("SequenceConstruct", ["a", "b"], ["q"]),
            *loop(
                [node("SequenceAt", ["q", "i"], ["k"]), node("MatMul", ["s", "k"], ["t"])],
                ["s"],
                ["t"],
                "x",
            ),
        ],
        [tensor("a", 8, 8), tensor("b", 8, 8), TWO],
        128,
    ),
    "put into a sequence one by one": (
        [
            node("SequenceEmpty", [], ["q"]),
            node("SequenceInsert", ["q", "a"], ["r"]),
            node("SequenceInsert", ["r", "b"], ["s"]),
            node("SequenceAt", ["s", "last"], ["k"]),
            PRODUCT,
        ],
        [tensor("a", 8, 8), tensor("b", 8, 8), array("last", 1, np.int64)],
        128,
    ),
    "queries of an attention": (
        [
            node("Shape", ["x"], ["n"], end=1),
            node("Concat", ["n", "rest"], ["size"], axis=0),
            node("Expand", ["a", "size"], ["q"]),
            node("MultiHeadAttention", ["q", "x", "x"], ["y"], domain="com.microsoft", num_heads=2),
        ],
        [tensor("a", 1, 3, 8), array("rest", [3, 8], np.int64)],
        24,
    ),
    "beside what a SequenceMap goes along": (
        [
            node("SplitToSequence", ["x"], ["q"], axis=1),
            node(
                "SequenceMap",
                ["q", "a"],
                ["r"],
                body=body([node("MatMul", ["e", "w"], ["o"])], [info("e"), info("w")], [info("o")]),
            ),
            node("ConcatFromSequence", ["r"], ["y"], axis=1),
        ],
        [tensor("a", 8, 8)],
        64,
    ),
    "written over zeros": (
        [node("ScatterND", ["zeros", "rows", "a"], ["k"]), PRODUCT],
        [array("zeros", np.zeros((8, 8))), array("rows", [[0], [3]], np.int64), tensor("a", 2, 8)],
        16,
    ),
    "written where something is masked": (
        [node("ScatterND", ["x", "rows", "a"], ["y"])],
        [array("rows", [[0, 1]], np.int64), tensor("a", 1, 8)],
        8,
    ),
    "looked up by several axes": (
        [*DECIDED, node("NonZero", ["x"], ["at"]), node("GatherND", ["a", "at"], ["y"])],
        [tensor("a", 20, 8), array("number", 0.5)],
        160,
    ),
    "padding beside what is read": (
        [node("Concat", ["x", "a"], ["j"], axis=1), node("MatMul", ["j", "k"], ["y"])],
        [tensor("a", 1, 2, 8), tensor("k", 8, 8)],
        64,
    ),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_weight_of_which_an_input_chooses_a_part_counts_in_full(name: str) -> None:
    nodes, weights, parameters = CHOSEN[name]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    counts = count_graph(make_model(nodes, weights, shape=("batch", 3, 8), opsets=opsets))
    assert (counts.parameters, counts.uncounted) == (parameters, {})


def test_sinks_and_norms_of_an_attention_are_parameters() -> None:
    read = ["x", "x", "x", *[""] * 8, "sink", "", "", "of_queries", "of_keys"]
    layer = node(
        "GroupQueryAttention", read, ["y"], domain="com.microsoft", num_heads=2, kv_num_heads=2
    )
    weights = [tensor("sink", 2), tensor("of_queries", 4), tensor("of_keys", 4)]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    counts = count_graph(make_model([layer], weights, shape=("batch", 3, 8), opsets=opsets))
    assert (counts.parameters, counts.macs) == (10, 2 * 9 * 8)


@pytest.mark.parametrize("written_over", ["x", "zeros"])
def test_what_is_written_with_what_is_read_is_no_weight(written_over: str) -> None:
    """Counting ended with an IndexError at caches, which each run writes."""
    nodes = [
        node("Slice", ["x", "zero", "one", "zero"], ["row"]),
        node("ScatterND", [written_over, "place", "row"], ["written"]),
        node("MatMul", ["x", "written"], ["y"]),
    ]
    stored = [array("place", [[0]], np.int64), ONE, ZERO, array("zeros", np.zeros((3, 3)))]
    counts = count_graph(make_model(nodes, stored, shape=(3, 3)))
    assert (counts.parameters, counts.macs) == (0, 27)


@pytest.mark.parametrize("op_type", ["GridSample", "GatherElements"])
def test_a_table_that_is_sampled_or_looked_up_at_what_is_read_is_a_parameter(op_type: str) -> None:
    nodes = {
        "GridSample": [node("GridSample", ["planes", "x"], ["y"])],
        "GatherElements": [
            node("Cast", ["x"], ["at"], to=TensorProto.INT64),
            node("GatherElements", ["planes", "at"], ["y"], axis=2),
        ],
    }[op_type]
    counts = count_graph(make_model(nodes, [tensor("planes", 1, 4, 5, 2)], shape=(1, 4, 5, 2)))
    assert (counts.parameters, counts.uncounted) == (40, {})


def test_branches_that_follow_each_other_are_looked_into_once() -> None:
    nodes, weights = list(DECIDED), [array("number", 0.5), tensor("w0", 8, 8)]
    for place in range(400):
        made = [
            body([node("Identity", [f"w{place}"], [n])], [], [info(n)]) for n in ("one", "other")
        ]
        nodes.append(node("If", ["c"], [f"w{place + 1}"], then_branch=made[0], else_branch=made[1]))
    nodes.append(node("MatMul", ["x", "w400"], ["y"]))
    assert count_graph(make_model(nodes, weights, shape=("batch", 3, 8))).parameters == 64


def test_the_parts_of_one_weight_count_once() -> None:
    nodes = [node("Split", ["w"], ["q", "k", "v"], axis=1, num_outputs=3)]
    nodes += [node("MatMul", ["x", part], [f"p{part}"]) for part in "qkv"]
    nodes.append(node("Concat", ["pq", "pk", "pv"], ["y"], axis=-1))
    counts = count_graph(make_model(nodes, [tensor("w", 16, 48)], shape=("batch", 4, 16)))
    assert (counts.parameters, counts.macs) == (16 * 48, 4 * 16 * 48)


BUFFERS = {
    "mean and deviation": (
        [node("Sub", ["x", "m"], ["c"]), node("Div", ["c", "d"], ["y"])],
        [array("m", [[[0.4]], [[0.5]], [[0.6]]]), array("d", [[[0.2]], [[0.3]], [[0.4]]])],
    ),
    "divisor": (
        [node("Relu", ["x"], ["r"]), node("Div", ["r", "d"], ["y"])],
        [tensor("d", 3, 1, 1)],
    ),
    "grid": (
        [node("Relu", ["x"], ["r"]), node("Add", ["r", "grid"], ["y"])],
        [array("grid", np.tile(np.arange(8) + 0.5, (1, 1, 8, 1)))],
    ),
    "mask": (
        [node("Relu", ["x"], ["r"]), node("Add", ["r", "mask"], ["y"])],
        [array("mask", np.triu(np.full((8, 8), -1e9), 1))],
    ),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers_are_no_parameters(name: str) -> None:
    nodes, weights = BUFFERS[name]
    assert count_graph(make_model(nodes, weights)).parameters == 0


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-6])
def test_fresh_scales_and_offsets_are_parameters(value: float) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Mul", ["r", "g"], ["y"])]
    assert count_graph(make_model(nodes, [array("g", np.full((3, 1, 1), value))])).parameters == 3


def test_group_normalisation_by_instances_has_the_parameters_of_its_module() -> None:
    nodes = [
        node("Reshape", ["x", "groups"], ["g"]),
        node("InstanceNormalization", ["g", "ones", "zeros"], ["n"]),
        node("Reshape", ["n", "back"], ["r"]),
        node("Mul", ["r", "gamma"], ["m"]),
        node("Add", ["m", "beta"], ["y"]),
    ]
    weights = [
        array("groups", [0, 2, -1], np.int64),
        array("back", [0, 4, 8, 8], np.int64),
        array("ones", [1, 1]),
        array("zeros", [0, 0]),
        tensor("gamma", 4, 1, 1),
        tensor("beta", 4, 1, 1),
    ]
    counts = count_graph(make_model(nodes, weights, shape=("batch", 4, 8, 8)))
    assert counts.parameters == 8


def test_gates_that_pytorch_puts_in_order_are_parameters_of_the_lstm() -> None:
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
    weights = [array("zero", [0], np.int64)]
    weights += [array(f"q{i}", [8 * i], np.int64) for i in range(5)]
    for name, size in (("W", 6), ("R", 8)):
        weights.append(tensor(name, 32, size))
        nodes += [node("Slice", [name, f"q{i}", f"q{i + 1}"], [f"{name}{i}"]) for i in range(4)]
        nodes.append(node("Concat", [f"{name}{i}" for i in (0, 3, 1, 2)], [f"{name}c"], axis=0))
        nodes.append(node("Unsqueeze", [f"{name}c", "zero"], [f"{name}u"]))
    nodes.append(node("LSTM", ["t", "Wu", "Ru"], ["y"], hidden_size=8))
    counts = count_graph(make_model(nodes, weights, shape=("batch", 5, 6)))
    assert (counts.parameters, counts.macs) == (32 * 14, 5 * 32 * 14)


def test_a_weight_of_four_bits_counts_as_what_it_packs() -> None:
    packed = node(
        "MatMulNBits",
        ["x", "w", "s"],
        ["y"],
        domain="com.microsoft",
        K=32,
        N=16,
        bits=4,
        block_size=32,
    )
    weights = [array("w", np.zeros((16, 1, 16)), np.uint8), tensor("s", 16)]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    counts = count_graph(make_model([packed], weights, shape=("batch", 5, 32), opsets=opsets))
    assert (counts.parameters, counts.macs) == (32 * 16, 5 * 32 * 16)


SPREAD = [node("Shape", ["x"], ["b"], end=1), node("Concat", ["b", "rest"], ["to"], axis=0)]
TOKENS = {
    "a class token": ([node("Concat", ["t", "x"], ["y"], axis=1)], 4),
    "queries": ([node("Add", ["t", "x"], ["y"])], 4),
    "a product of queries": ([node("MatMul", ["t", "w"], ["y"])], 4 + 12),
}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_what_each_image_of_a_batch_is_joined_with_is_a_parameter(name: str, value: float) -> None:
    nodes, parameters = TOKENS[name]
    token = array("token", np.full((1, 1, 4), value))
    weights = [token, array("rest", [1, 4], np.int64), tensor("w", 4, 3)]
    nodes = [*SPREAD, node("Expand", ["token", "to"], ["t"]), *nodes]
    counts = count_graph(make_model(nodes, weights, shape=("batch", 5, 4)))
    assert counts.parameters == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("blocks.0.token", 4), ("cls_token", 4), ("onnx::Expand_7", 0), ("/Constant_1_output_0", 0)],
)
@pytest.mark.parametrize("op_type", ["Expand", "Tile"])
def test_a_token_of_a_file_of_one_batch_is_a_parameter(
    name: str, parameters: int, op_type: str
) -> None:
    weights = [array(name, np.full((1, 1, 4), 0.25)), array("to", [1, 1, 1], np.int64)]
    nodes = [node(op_type, [name, "to"], ["t"]), node("Concat", ["t", "x"], ["y"], axis=1)]
    counts = count_graph(make_model(nodes, weights, shape=(1, 5, 4), output=(1, 6, 4)))
    assert counts.parameters == parameters


W = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    ("name", "other", "parameters"),
    [
        (
            "onnx::MatMul_19",
            W.T,
            12,
        ),  # as TorchScript stores a weight that is tied to its transpose
        ("val_3", W.T, 24),  # nothing says what it was made from
        ("decoder.weight", W.T, 24),  # another module's, which happens to be alike
        ("onnx::MatMul_19", W.T + 1, 24),
    ],
)
def test_the_turned_copy_of_a_weight_is_no_second_one(
    name: str, other: np.ndarray, parameters: int
) -> None:
    nodes = [node("MatMul", ["x", name], ["h"]), node("MatMul", ["h", "encoder.weight"], ["y"])]
    weights = [array(name, other), array("encoder.weight", W)]
    counts = count_graph(make_model(nodes, weights, shape=("batch", 5, 4), output=("batch", 5, 4)))
    assert (counts.parameters, counts.macs) == (parameters, 2 * 5 * 12)


def test_matrices_of_one_number_are_told_apart() -> None:
    nodes = [
        node("MatMul", ["x", "onnx::MatMul_1"], ["h"]),
        node("MatMul", ["h", "onnx::MatMul_2"], ["y"]),
    ]
    weights = [array(f"onnx::MatMul_{k}", np.zeros((4, 4))) for k in (1, 2)]
    assert count_graph(make_model(nodes, weights, shape=("batch", 5, 4))).parameters == 32


@pytest.mark.parametrize(
    ("name", "keys", "parameters"),
    [("onnx::Add_22", 0.0, 4), ("onnx::Add_22", 0.5, 6), ("qkv.bias", 0.0, 6)],
)
def test_keys_without_a_bias_add_nothing_to_the_joined_one(
    name: str, keys: float, parameters: int
) -> None:
    bias = array(name, [0.1, 0.2, keys, keys, 0.3, 0.4])
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", [name, "h"], ["y"])]
    weights = [tensor("w", 4, 6), bias]
    counts = count_graph(make_model(nodes, weights, shape=("batch", 5, 4), output=("batch", 5, 6)))
    assert counts.parameters == 24 + parameters
    gemm = [node("Gemm", ["x", "w", name], ["y"])]
    assert (
        count_graph(make_model(gemm, weights, shape=("batch", 4), output=("batch", 6))).parameters
        == 24 + parameters
    )


def test_what_stands_in_a_file_beside_each_image_is_none() -> None:
    padding = [node("Concat", ["x", "p"], ["y"], axis=1)]
    assert count_graph(make_model(padding, [tensor("p", 1, 2, 8, 8)])).parameters == 0


# ---- what exporters say, and what values tell


def traced(model: onnx.ModelProto, kinds: dict[str, str], folded: dict[str, list[str]]) -> None:
    """Say of stored tensors what PyTorch's exporter says."""
    for name in {**kinds, **folded}:
        value = model.graph.value_info.add(name=name)
        if name in kinds:
            key = "pkg.torch.export.graph_signature.InputSpec.kind"
            value.metadata_props.add(key=key, value=kinds[name])
        else:
            key = "pkg.onnxscript.optimizer.folded_from"
            value.metadata_props.add(key=key, value=repr(folded[name]))


@pytest.mark.parametrize(("kind", "parameters"), [("PARAMETER", 3), ("BUFFER", 0)])
@pytest.mark.parametrize("op_type", ["Mul", "Pow", "Div", "Max"])
def test_what_the_exporter_says_of_a_tensor_goes_before_its_place(
    op_type: str, kind: str, parameters: int
) -> None:
    made = make_model(
        [node("Relu", ["x"], ["r"]), node(op_type, ["r", "t"], ["y"])], [tensor("t", 3, 1, 1)]
    )
    traced(made, {"t": kind}, {})
    assert count_graph(made).parameters == parameters


@pytest.mark.parametrize(("kind", "parameters"), [("PARAMETER", 1), ("BUFFER", 0)])
def test_a_single_value_is_a_parameter_where_the_exporter_says_so(
    kind: str, parameters: int
) -> None:
    made = make_model([node("Mul", ["x", "g"], ["y"])], [tensor("g", 1)])
    traced(made, {"g": kind}, {})
    assert count_graph(made).parameters == parameters


@pytest.mark.parametrize(
    ("name", "parameters"), [("neck.scale", 1), ("p2o.constant.1", 0), ("g", 0)]
)
def test_a_single_value_is_a_parameter_where_a_module_holds_it(name: str, parameters: int) -> None:
    made = make_model([node("Mul", ["x", name], ["y"])], [tensor(name, 1)])
    assert count_graph(made).parameters == parameters


NORMS = {
    "BatchNormalization": ["mean", "variance"],
    "InstanceNormalization": [],
}


@pytest.mark.parametrize("op_type", NORMS)
@pytest.mark.parametrize(
    ("names", "parameters"),
    [
        (("val_3", "val_7"), 0),
        (("/1/Constant_output_0", "/1/Constant_1_output_0"), 0),
        (("bn.weight", "bn.bias"), 6),
        (("batch_norm_0.w_0", "batch_norm_0.b_0"), 6),
    ],
)
def test_scales_and_offsets_that_an_exporter_makes_up_are_no_parameters(
    op_type: str, names: tuple[str, str], parameters: int
) -> None:
    weights = [array(names[0], np.ones(3)), array(names[1], np.zeros(3))]
    weights += [tensor("mean", 3), array("variance", np.ones(3))]
    nodes = [node("Relu", ["x"], ["r"]), node(op_type, ["r", *names, *NORMS[op_type]], ["y"])]
    assert count_graph(make_model(nodes, weights)).parameters == parameters


def test_a_fresh_scale_that_was_computed_from_one_of_a_module_is_a_parameter() -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Mul", ["r", "val_21"], ["y"])]
    made = make_model(nodes, [array("val_21", np.ones((3, 1, 1)))])
    assert count_graph(made).parameters == 0
    traced(made, {}, {"val_21": ["norm.weight", "val_15"]})
    assert count_graph(made).parameters == 3


@pytest.mark.parametrize(("name", "parameters"), [("val_3", 108), ("shift", 109)])
def test_a_number_that_the_exporter_spreads_as_a_bias_is_no_parameter(
    name: str, parameters: int
) -> None:
    """PyTorch's exporter, when it does not optimise, gives a convolution without a bias one of zeros."""
    nodes = [
        node("CastLike", [name, "x"], ["zero"]),
        node("Expand", ["zero", "size"], ["zeros"]),
        node("Conv", ["x", "w", "zeros"], ["y"]),
    ]
    weights = [tensor("w", 4, 3, 3, 3), array(name, 0.0), array("size", [4], np.int64)]
    assert count_graph(make_model(nodes, weights)).parameters == parameters


@pytest.mark.parametrize(
    ("factors", "parameters"),
    [
        ([("f", "s"), ("m", "ws")], 12),
        ([("s", "ws"), ("f", "m")], 12),  # as ONNX Runtime's quantiser writes it
        ([("f", "s"), ("m", "ws"), ("n", "gamma")], 16),
        ([("f", "s"), ("m", "ws"), ("n", "gamma"), ("o", "delta")], 20),
    ],
)
def test_the_scale_of_an_integer_weight_is_no_parameter(
    factors: list[tuple[str, str]], parameters: int
) -> None:
    results = [*"mnop"[: len(factors) - 1], "y"]
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z"], ["i"]),
        node("Cast", ["i"], ["f"], to=1),
        *(node("Mul", list(pair), [made]) for pair, made in zip(factors, results, strict=True)),
    ]
    weights = [
        array("w", np.ones((3, 4)), np.int8),
        tensor("ws", 4),
        tensor("gamma", 4),
        tensor("delta", 4),
    ]
    assert count_graph(make_model(nodes, weights)).parameters == parameters


def test_a_single_number_that_was_computed_from_a_parameter_is_one() -> None:
    """PyTorch's exporter brings the slope of a PReLU to the rank of what it is applied to."""
    made = make_model([node("PRelu", ["x", "val_2"], ["y"])], [array("val_2", [[[0.25]]])])
    traced(made, {}, {"val_2": ["act.weight", "val_1"]})
    assert count_graph(made).parameters == 1


@pytest.mark.parametrize(("value", "parameters"), [(8.0, 0), (1.0, 36), (0.1, 36)])
def test_a_stride_for_each_place_is_no_parameter_and_a_fresh_scale_is_one(
    value: float, parameters: int
) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Mul", ["r", "by"], ["y"])]
    weights = [array("by", np.full((1, 1, 6, 6), value))]
    assert count_graph(make_model(nodes, weights)).parameters == parameters


def relative(window: int, heads: int) -> tuple[np.ndarray, np.ndarray]:
    """A table of offsets by relative position, and what a windowed attention gathers from it."""
    table = np.random.default_rng(0).standard_normal(((2 * window - 1) ** 2, heads))
    grid = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij")).reshape(2, -1)
    apart = (grid[:, :, None] - grid[:, None]) + window - 1
    return table, table[apart[0] * (2 * window - 1) + apart[1]]


# Single values of half precision, of one head, are alike by chance.
@pytest.mark.parametrize(("kind", "heads"), [(np.float32, 1), (np.float32, 2), (np.float16, 2)])
@pytest.mark.parametrize("heads_first", [True, False])
def test_offsets_by_relative_position_count_as_the_table_that_they_were_gathered_from(
    heads_first: bool, heads: int, kind: type
) -> None:
    table, gathered = relative(4, heads)
    stored = gathered.transpose(2, 0, 1)[None] if heads_first else gathered
    nodes = [node("Add", ["x", "o"], ["s"]), node("Softmax", ["s"], ["y"], axis=-1)]
    if not heads_first:
        nodes.insert(0, node("Transpose", ["stored"], ["o"], perm=[2, 0, 1]))
    weights = [array("o" if heads_first else "stored", stored, kind)]
    made = make_model(nodes, weights, shape=("batch", heads, 16, 16))
    made.graph.input[0].type.tensor_type.elem_type = weights[0].data_type
    assert count_graph(made).parameters == table.size


def test_a_learned_offset_that_repeats_nothing_counts_as_it_is() -> None:
    nodes = [node("Add", ["x", "o"], ["s"]), node("Softmax", ["s"], ["y"], axis=-1)]
    made = make_model(nodes, [tensor("o", 1, 2, 16, 16)], shape=("batch", 2, 16, 16))
    assert count_graph(made).parameters == 512


def positions(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    angles = np.arange(length)[:, None] / 1e4 ** (np.arange(size) / size)
    return np.sin(angles), np.cos(angles)


SINES, COSINES = positions(16, 4)
TABLES = {
    "in turns": np.stack([SINES, COSINES], -1).reshape(16, 8),
    "in blocks": np.concatenate([SINES, COSINES], -1),
    "behind a token": np.concatenate([np.zeros((1, 8)), np.concatenate([SINES, COSINES], -1)])[:16],
    "cosines": np.concatenate([COSINES, COSINES], -1),
    "sines": np.concatenate([SINES, SINES], -1),
}


@pytest.mark.parametrize("op_type", ["Add", "Mul", "Gather"])
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_sines_and_cosines_are_no_parameters(name: str, op_type: str) -> None:
    if op_type == "Gather":
        nodes = [node("Cast", ["x"], ["ids"], to=7), node("Gather", ["pe", "ids"], ["y"])]
        output = ("batch", 16, 8, 8)
    else:
        nodes, output = [node("Relu", ["x"], ["r"]), node(op_type, ["r", "pe"], ["y"])], None
    made = make_model(nodes, [array("pe", TABLES[name])], shape=("batch", 16, 8), output=output)
    assert count_graph(made).parameters == 0


def test_a_learned_table_of_positions_is_a_parameter() -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Add", ["r", "pe"], ["y"])]
    made = make_model(nodes, [tensor("pe", 1, 16, 8)], shape=("batch", 16, 8))
    assert count_graph(made).parameters == 128


def test_what_an_image_is_scaled_by_after_its_mean_is_no_parameter() -> None:
    nodes = [node("Sub", ["x", "m"], ["c"]), node("Mul", ["c", "s"], ["n"])]
    nodes += [node("Add", ["n", "o"], ["y"])]
    weights = [tensor(name, 1, 3, 1, 1) for name in ("m", "s", "o")]
    assert count_graph(make_model(nodes, weights)).parameters == 0


def test_the_mean_of_a_bank_of_weights_is_a_weight() -> None:
    mean = node("ReduceMean", ["bank", "axes"], ["k"], keepdims=0)
    weights = [tensor("bank", 5, 4, 3, 3, 3), array("axes", [0], np.int64)]
    assert count_graph(make_model([mean, CONV], weights)).parameters == 540


@pytest.mark.parametrize(("learned", "parameters"), [("w", 12), ("other", 24)])
def test_a_copy_that_dynamo_made_of_a_root_s_own_weight_is_no_second_one(
    learned: str, parameters: int
) -> None:
    nodes = [node("MatMul", ["x", "t"], ["h"]), node("MatMul", ["h", "w"], ["y"])]
    model = make_model(
        nodes, [array("t", W.T), array("w", W)], shape=("batch", 5, 4), output=("batch", 5, 4)
    )
    for name, key, value in (
        (learned, "pkg.torch.export.graph_signature.InputSpec.kind", "PARAMETER"),
        ("t", "pkg.onnxscript.optimizer.folded_from", "['w']"),
    ):
        said = model.graph.value_info.add(name=name).metadata_props.add()
        said.key, said.value = key, value
    assert count_graph(model).parameters == parameters


def test_a_weight_behind_a_long_chain_is_found_in_one_pass():
    chain = [node("Identity", [f"c{i}"], [f"c{i + 1}"]) for i in range(2000)]
    model = make_model([*chain, node("MatMul", ["x", "c2000"], ["y"])], [tensor("c0", 8, 5)])
    assert count_graph(model).parameters == 40


def test_a_weight_that_is_doubled_again_and_again_is_one_and_found_in_one_pass():
    # Each node reads the one before it twice: to follow every way back would take 2 to the power of 60 steps.
    chain = [node("Add", [f"c{i}", f"c{i}"], [f"c{i + 1}"]) for i in range(60)]
    model = make_model([*chain, node("MatMul", ["x", "c60"], ["y"])], [tensor("c0", 8, 5)])
    assert count_graph(model).parameters == 40


def looks_at_values(monkeypatch, links: int) -> int:
    """How often counting a chain of sums of constants looks at the values of one."""
    looks = []
    values = parameters.Constant.values
    monkeypatch.setattr(
        parameters.Constant, "values", lambda self: looks.append(self) or values(self)
    )
    constants = [array(f"c{i}", np.full((3, 1, 1), i + 0.5)) for i in range(links)]
    sums = [node("Add", ["c0", "c1"], ["s1"])]
    sums += [node("Add", [f"s{i - 1}", f"c{i}"], [f"s{i}"]) for i in range(2, links)]
    nodes = [*sums, node("Add", ["x", f"s{links - 1}"], ["z"]), node("Conv", ["z", "k"], ["y"])]
    count_graph(make_model(nodes, [*constants, tensor("k", 4, 3, 3, 3)]))
    monkeypatch.undo()
    return len(looks)


def test_a_chain_of_constants_is_looked_at_once(monkeypatch):
    short, long = (looks_at_values(monkeypatch, links) for links in (20, 80))
    assert short > 0
    assert long <= 5 * short  # a look at all that came before, at each link, would be 16 times


def test_a_token_in_the_place_of_what_is_masked_is_a_parameter_and_a_number_is_none() -> None:
    nodes = [
        node("Less", ["x", "zero"], ["m"]),
        node("Where", ["m", "token", "x"], ["masked"]),
        node("Where", ["m", "low", "masked"], ["y"]),
    ]
    weights = [array("zero", 0.0), tensor("token", 1, 1, 4), array("low", np.full((1, 1, 4), -1e4))]
    assert count_graph(make_model(nodes, weights, shape=("batch", 5, 4))).parameters == 4


@pytest.mark.parametrize(("value", "parameters"), [(0.0, 0), (0.5, 12)])
def test_the_first_state_of_a_recurrent_layer_is_a_parameter_where_it_was_learned(
    value: float, parameters: int
) -> None:
    states = [array(n, np.linspace(-value, value, 6).reshape(1, 1, 6)) for n in ("h0", "c0")]
    layer = node("LSTM", ["x", "W", "R", "", "", "h0", "c0"], ["", "y"], hidden_size=6)
    weights = [tensor("W", 1, 24, 4), tensor("R", 1, 24, 6), *states]
    counts = count_graph(make_model([layer], weights, shape=(5, 1, 4), output=(1, 1, 6)))
    assert counts.parameters == 24 * 10 + parameters


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize(
    ("name", "absent", "parameters"),
    [
        ("lstm/bias", "second", 24),
        ("lstm/bias", "first", 24),
        ("lstm/bias", "", 48),
        ("lstm/bias", "both", 48),  # as a fresh layer has them
        ("onnx::LSTM_88", "second", 48),  # PyTorch's layers have two, which may begin with zeros
    ],
)
def test_a_bias_that_a_recurrent_layer_of_keras_has_not_is_none(
    name: str, absent: str, parameters: int, directions: int
) -> None:
    values = np.random.default_rng(0).standard_normal((directions, 2, 24))
    values[:, {"first": [0], "second": [1], "both": [0, 1]}.get(absent, [])] = 0
    way = "bidirectional" if directions == 2 else "forward"
    layer = node("LSTM", ["x", "W", "R", name], ["", "y"], hidden_size=6, direction=way)
    weights = [tensor("W", directions, 24, 4), tensor("R", directions, 24, 6)]
    weights.append(array(name, values.reshape(directions, 48)))
    counts = count_graph(make_model([layer], weights, shape=(5, 1, 4), output=(directions, 1, 6)))
    assert counts.parameters == directions * (24 * 10 + parameters)


FREQUENCIES = 1e4 ** -np.linspace(0, 1, 16)
ANGLES = {
    "times": [node("Mul", ["x", "f"], ["a"])],
    "joined to each image": [
        node("Shape", ["x"], ["n"], end=1),
        node("Concat", ["n", "rest"], ["size"], axis=0),
        node("Expand", ["column", "size"], ["spread"]),
        node("MatMul", ["spread", "x"], ["a"]),
    ],
    "outer product": [node("Einsum", ["x", "f"], ["a"], equation="nij,k->nijk")],
}


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("name", ANGLES)
def test_frequencies_that_encode_positions_and_times_are_no_parameters(
    name: str, kind: type
) -> None:
    weights = [
        array("f", FREQUENCIES, kind),
        array("column", FREQUENCIES.reshape(1, 16, 1), kind),
        array("rest", [16, 1], np.int64),
    ]
    nodes = [*ANGLES[name], node("Sin", ["a"], ["y"])]
    assert count_graph(make_model(nodes, weights, shape=("batch", 1, 1))).parameters == 0
    learned = np.sort(np.random.default_rng(0).uniform(0.1, 1, 16))
    weights[:2] = [array("f", learned, kind), array("column", learned.reshape(1, 16, 1), kind)]
    assert count_graph(make_model(nodes, weights, shape=("batch", 1, 1))).parameters == 16


def test_what_a_generator_begins_with_for_each_image_is_a_parameter() -> None:
    nodes = [
        node("Shape", ["x"], ["n"], end=1),
        node("Concat", ["n", "rest"], ["size"], axis=0),
        node("Expand", ["start", "size"], ["spread"]),
        node("Conv", ["spread", "k"], ["c"]),
        node("Mul", ["c", "x"], ["y"]),
    ]
    weights = [
        tensor("start", 1, 3, 4, 4),
        tensor("k", 4, 3, 3, 3),
        array("rest", [3, 4, 4], np.int64),
    ]
    counts = count_graph(make_model(nodes, weights, shape=("batch", 4, 1, 1)))
    assert counts.parameters == 48 + 108


def test_a_number_of_the_code_is_no_parameter_in_integers_either() -> None:
    own = {"domain": "com.microsoft"}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearAdd", ["q", "s", "z", "three", "s", "z", "s", "z"], ["t"], **own),
        node("DequantizeLinear", ["t", "s", "z"], ["u"]),
        node("DequantizeLinear", ["three", "s", "z"], ["v"]),
        node("Mul", ["u", "v"], ["y"]),
    ]
    weights = [array("s", 0.1), array("z", 0, np.int8), array("three", 30, np.int8)]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    assert count_graph(make_model(nodes, weights, opsets=opsets)).parameters == 0


@pytest.mark.parametrize("held", [False, True], ids=["stored", "held by a node"])
def test_a_weight_of_which_zeros_are_not_stored_counts_as_the_dense_one(held: bool) -> None:
    values = array("" if held else "w", [1.5, -2.0, 0.5])
    sparse = helper.make_sparse_tensor(values, array("places", [3, 20, 71], np.int64), [16, 8])
    product = node("MatMul", ["x", "w"], ["y"])
    nodes = [node("Constant", [], ["w"], sparse_value=sparse), product] if held else [product]
    model = make_model(nodes, shape=("batch", 16))
    if not held:
        model.graph.sparse_initializer.append(sparse)
    counts = count_graph(model)
    assert (counts.parameters, counts.macs, counts.uncounted) == (128, 128, {})
    assert counts.weight_bytes == 3 * 4 + 3 * 8


def test_of_an_operator_that_is_not_known_it_is_said_that_its_weights_are_left_out() -> None:
    odd = node("Gated", ["x", "w", "axes"], ["y"], domain="com.microsoft")
    weights = [tensor("w", 4, 4), array("axes", [1, 2], np.int64)]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    counts = count_graph(make_model([odd], weights, shape=("batch", 4), opsets=opsets))
    assert counts.parameters == 0
    text = "it is not known which of its fixed values are parameters, 16 in all"
    assert f"com.microsoft.Gated: {text}" in counts.remarks
    linear = node("LinearRegressor", ["x"], ["y"], domain="ai.onnx.ml", coefficients=[0.5] * 16)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    counts = count_graph(make_model([linear], shape=("batch", 4), opsets=opsets))
    assert f"ai.onnx.ml.LinearRegressor: {text}" in counts.remarks


def test_what_nodes_of_an_unknown_operator_hold_is_told_in_one_sum() -> None:
    own = "com.microsoft"
    nodes = [
        node("Gated", ["x", "w"], ["a"], domain=own),
        node("Gated", ["a", "w", "v"], ["b"], domain=own),
        node("Gated", ["b"], ["y"], domain=own, table=[0.5] * 5),
    ]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(own, 1)]
    weights = [tensor("w", 4, 4), tensor("v", 4, 2)]
    remarks = count_graph(make_model(nodes, weights, shape=("batch", 4), opsets=opsets)).remarks
    assert [text.partition(", ")[2] for text in remarks if "fixed values" in text] == ["29 in all"]
