"""Counting behind operators that ONNX infers nothing of, and beside inputs that say nothing of the batch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.bench.feeds import fixed_batch, may_be_scores
from deploykit.graph.count import count_graph
from deploykit.graph.inputs import spec_of, take_inputs
from deploykit.graph.nodes import graph_inputs
from deploykit.graph.values import make_values
from deploykit.spec import InputChoice, TensorSpec, stored_about, stored_inputs

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
node = helper.make_node


def stored(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


def floats(name, *shape):
    return stored(name, np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def graph(nodes, inputs, outputs, weights=(), opset=21):
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        list(weights),
    )
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def test_what_is_behind_a_fused_normalisation_counts():
    """An epsilon, which an Identity has not, left everything behind it without a shape."""
    nodes = [
        node("Attention", ["x", "p", "q"], ["t"], domain="com.microsoft", num_heads=2),
        node("MatMul", ["t", "w"], ["a"]),
        node(
            "SkipLayerNormalization",
            ["a", "x", "g", "b"],
            ["n", "", "", "s"],
            domain="com.microsoft",
            epsilon=1e-12,
        ),
        node("MatMul", ["n", "w"], ["c"]),
        node("Add", ["c", "s"], ["y"]),
    ]
    weights = [
        floats("w", 8, 8),
        floats("g", 8),
        floats("b", 8),
        floats("p", 8, 24),
        floats("q", 24),
    ]
    counts = count_graph(
        graph(nodes, [("x", FLOAT, ["N", 5, 8])], [("y", FLOAT, ["N", 5, 8])], weights, opset=17)
    )
    attention = 5 * 8 * 24 + 2 * 5 * 5 * 8
    assert (counts.macs, dict(counts.uncounted)) == (attention + 2 * 5 * 64, {})


def test_what_is_behind_attention_in_integers_is_float_again():
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node(
            "QAttention",
            ["q", "w", "b", "s", "ws"],
            ["a"],
            domain="com.microsoft",
            num_heads=2,
        ),
        node("MatMul", ["a", "v"], ["m"]),
        node("Relu", ["m"], ["r"]),
        node("MatMul", ["r", "v"], ["y"]),
    ]
    weights = [
        stored("w", np.ones((8, 24), np.int8)),
        floats("b", 24),
        floats("ws", 1),
        floats("v", 8, 8),
    ]
    model = graph(nodes, [("x", FLOAT, ["N", 5, 8])], [("y", FLOAT, ["N", 5, 8])], weights, 17)
    plain = count_graph(model)
    del model.graph.node[2:]
    model.graph.output[0].name = "a"
    assert plain.macs == count_graph(model).macs + 2 * 5 * 64
    assert not plain.uncounted


def test_a_group_normalisation_in_a_branch_has_the_shape_of_what_it_reads():
    branch = helper.make_graph(
        [
            node("GroupNormalization", ["x", "g", "b"], ["n"], num_groups=2),
            node("Conv", ["n", "w"], ["t"]),
        ],
        "then",
        [],
        [helper.make_tensor_value_info("t", FLOAT, None)],
    )
    other = helper.make_graph(
        [node("Identity", ["x"], ["e"])],
        "else",
        [],
        [helper.make_tensor_value_info("e", FLOAT, None)],
    )
    model = graph(
        [node("If", ["c"], ["y"], then_branch=branch, else_branch=other)],
        [("x", FLOAT, ["N", 4, 8, 8]), ("c", TensorProto.BOOL, [])],
        [("y", FLOAT, ["N", 4, 8, 8])],
        [floats("g", 4), floats("b", 4), floats("w", 4, 4, 1, 1)],
    )
    assert count_graph(model).macs == 64 * 16


@pytest.mark.parametrize(
    ("inputs", "outputs", "more"),
    [
        ([("k", FLOAT, [])], [], []),
        ([("k", FLOAT, [2])], [], []),
        ([("k", FLOAT, [])], [("s", FLOAT, [])], [node("ReduceSum", ["y"], ["s"], keepdims=0)]),
        ([("k", FLOAT, [])], [("h", INT64, [2])], [node("Shape", ["y"], ["h"])]),
    ],
)
def test_a_fixed_batch_is_one_whatever_stands_beside_it(inputs, outputs, more):
    """MACs, and the roofline with them, were too high by the batch."""
    scale = node("ReduceSum", ["k"], ["f"], keepdims=0)
    nodes = [node("MatMul", ["x", "w"], ["a"]), scale, node("Mul", ["a", "f"], ["y"]), *more]
    made = [("y", FLOAT, [4, 3]), *outputs]
    model = graph(nodes, [("x", FLOAT, [4, 8]), *inputs], made, [floats("w", 8, 3)], 17)
    take_inputs(model, InputChoice())
    read = [spec_of(value) for value in graph_inputs(model.graph)]
    assert fixed_batch(read, [spec_of(value) for value in model.graph.output]) == 4
    assert count_graph(model).macs == 24


def test_a_large_weight_is_one_whatever_its_name():
    name = "/features/fc0/weight_quant/export_handler/Constant_output_0"
    nodes = [
        node("QuantizeLinear", [name, "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        node("Gemm", ["x", "w", "b"], ["y"], transB=1),
    ]
    weights = [
        floats(name, 40, 10),
        floats("b", 40),
        stored("s", np.float32(0.1)),
        stored("z", np.int8(0)),
    ]
    model = graph(nodes, [("x", FLOAT, ["N", 10])], [("y", FLOAT, ["N", 40])], weights, opset=17)
    assert count_graph(model).parameters == 440


def test_a_scalar_input_is_fed_a_scalar():
    random = np.random.default_rng(0)
    assert make_values(TensorSpec("sr", (), "int64"), 1, random).shape == ()
    assert make_values(TensorSpec("gain", (), "float32"), 1, random).shape == ()


def test_sizes_that_are_made_of_others_follow_from_these_and_caches_are_no_images():
    past = ["batch", 8, "past_sequence_length", 64]
    total = "past_sequence_length + sequence_length"
    model = graph(
        [node("Identity", ["ids"], ["y"])],
        [
            ("mask", INT64, ["batch", total]),
            ("ids", INT64, ["batch", "sequence_length"]),
            ("past", FLOAT, past),
        ],
        [("y", INT64, ["batch", "sequence_length"])],
        opset=17,
    )
    known = (("sequence_length", 16), ("past_sequence_length", 32))
    for said, sizes in (((), (1, 1, 2)), (known, (16, 32, 48))):
        asked = onnx.ModelProto()
        asked.CopyFrom(model)
        take_inputs(asked, InputChoice(dims=said))
        about = stored_inputs({entry.key: entry.value for entry in asked.metadata_props})
        mask, ids, cache = (
            stored_about(spec_of(value), about).with_batch(1) for value in graph_inputs(asked.graph)
        )
        assert (ids[1], cache[2], mask[1]) == sizes


@pytest.mark.parametrize(
    "symbol", ["a" * 300 + "+1", "2**9", "n//0", "(" * 90 + "n+1", "n+", "1+x.y", "n-9"]
)
def test_a_name_that_states_no_size_is_a_name(symbol):
    model = graph(
        [node("Identity", ["x"], ["y"])],
        [("x", FLOAT, ["batch", "n"]), ("z", FLOAT, ["batch", symbol])],
        [("y", FLOAT, ["batch", "n"])],
        opset=17,
    )
    take_inputs(model, InputChoice())
    assert [spec_of(value).with_batch(2) for value in graph_inputs(model.graph)] == [(2, 1), (2, 1)]


@pytest.mark.parametrize("operator", ["Sqrt", "Log", "InstanceNormalization", "AveragePool"])
def test_a_spectrogram_is_an_image_behind_whatever_prepares_it(operator):
    more = {"kernel_shape": [3, 3]} if operator == "AveragePool" else {}
    read = ["x", "g", "g"] if operator == "InstanceNormalization" else ["x"]
    nodes = [node(operator, read, ["p"], **more), node("Conv", ["p", "w"], ["y"])]
    model = graph(
        nodes,
        [("x", FLOAT, ["N", 1, 64, "time"])],
        [("y", FLOAT, ["N", 2, "a", "b"])],
        [floats("w", 2, 1, 3, 3), floats("g", 1)],
        opset=17,
    )
    take_inputs(model, InputChoice())
    (spec,) = (spec_of(value) for value in graph_inputs(model.graph))
    assert spec.with_batch(1) == (1, 1, 64, 224)


def test_the_nodes_of_a_graph_network_are_no_batch():
    nodes = [
        node("Gather", ["x", "src"], ["e"]),
        node("MatMul", ["e", "w"], ["m"]),
        node("ScatterElements", ["z", "at", "m"], ["y"], axis=0, reduction="add"),
    ]
    model = graph(
        nodes,
        [("x", FLOAT, [100, 16]), ("src", INT64, [500]), ("at", INT64, [500, 8])],
        [("y", FLOAT, [100, 8])],
        [floats("w", 16, 8), stored("z", np.zeros((100, 8), np.float32))],
        opset=18,
    )
    assert count_graph(model).macs == 500 * 128
    specs = [spec_of(value) for value in graph_inputs(model.graph)]
    assert fixed_batch(specs, [spec_of(value) for value in model.graph.output]) in (None, 1)


@pytest.mark.parametrize("dtype", ["string", "bfloat16", "float8e5m2", "uint4"])
def test_what_numpy_has_no_type_for_is_no_row_of_scores(dtype):
    assert not may_be_scores(TensorSpec("y", ("N", 4), dtype))
