"""Nodes whose operands do not fit each other are named, and all that a runtime takes is left alone."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit import env
from deploykit.errors import UsageError
from deploykit.graph.fit import misfits, require_fit, require_memory
from deploykit.graph.view import GraphView


def weight(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def graph(node, inputs, *stored, opset=17):
    fed = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    whole = helper.make_graph([node], "g", fed, made, list(stored))
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(kind, *inputs, **attributes):
    return helper.make_node(kind, list(inputs), ["y"], name="odd", **attributes)


IMAGE = {"x": ["batch", 5, 8, 8]}
ROWS = {"x": ["batch", 7]}
WRONG = [
    (node("Conv", "x", "w"), IMAGE, [weight("w", 4, 3, 3, 3)], "has 5 channels .* takes 3"),
    (node("Conv", "x", "w", group=2), IMAGE, [weight("w", 4, 5, 3, 3)], "takes 10 in 2 groups"),
    (node("Conv", "x", "w", "b"), IMAGE, [weight("w", 4, 5, 3, 3), weight("b", 5)], "its bias 5"),
    (node("Conv", "x", "w"), IMAGE, [weight("w", 4, 5, 3)], "not of as many dimensions"),
    (node("Conv", "x", "w"), IMAGE, [weight("w", 4, 5, 9, 9)], "smaller than its kernel 9x9"),
    (
        node("ConvTranspose", "x", "w"),
        IMAGE,
        [weight("w", 4, 5, 3, 3)],
        "has 5 channels .* takes 4",
    ),
    (node("MaxPool", "x", kernel_shape=[9, 9]), IMAGE, [], "smaller than its kernel 9x9"),
    (node("Gemm", "x", "w"), ROWS, [weight("w", 5, 4)], "7 meets 5"),
    (node("Gemm", "x", "w", transB=1), ROWS, [weight("w", 7, 4)], "7 meets 4"),
    (node("MatMul", "x", "w"), ROWS, [weight("w", 5, 4)], "7 meets 5"),
    (node("Add", "x", "w"), ROWS, [weight("w", 5)], "can't be broadcast"),
    (node("Concat", "x", "w", axis=1), IMAGE, [weight("w", 1, 5, 8, 9)], "joined along axis 1"),
    (
        node("BatchNormalization", "x", *"sbmv"),
        IMAGE,
        [weight(name, 4) for name in "sbmv"],
        "has 5 channels and its values 4",
    ),
    (
        node("GRU", "x", "w", "r", hidden_size=2),
        {"x": ["t", "batch", 5]},
        [weight("w", 1, 6, 4), weight("r", 1, 6, 2)],
        "has 5 values a step .* takes 4",
    ),
    (
        node("Reshape", "x", "to"),
        {"x": [1, 7]},
        [numpy_helper.from_array(np.array([2, -1]), "to")],
        "has 7 values",
    ),
]


@pytest.mark.parametrize(("odd", "inputs", "stored", "said"), WRONG, ids=[w[3] for w in WRONG])
def test_a_node_whose_operands_do_not_fit_is_named(odd, inputs, stored, said):
    model = graph(odd, inputs, *stored)
    if "t" in inputs["x"]:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 6
    with pytest.raises(UsageError, match=rf"node 'odd' \({odd.op_type}\): .*{said}.*export"):
        require_fit(model)
    with pytest.raises(
        UsageError, match=r"with what is free and taken as h=2, node 'odd'.*--shape"
    ):
        require_fit(model, taken="free and taken as h=2")


RIGHT = [
    (node("Conv", "x", "w"), IMAGE, [weight("w", 4, 5, 3, 3)]),
    (node("Conv", "x", "w", group=5), IMAGE, [weight("w", 10, 1, 3, 3)]),
    (node("Conv", "x", "w", pads=[1] * 4), IMAGE, [weight("w", 4, 5, 9, 9)]),
    (node("Conv", "x", "w", auto_pad="SAME_UPPER"), IMAGE, [weight("w", 4, 5, 9, 9)]),
    (node("ConvTranspose", "x", "w", group=5), IMAGE, [weight("w", 5, 2, 9, 9)]),
    (node("Gemm", "x", "w", transB=1), ROWS, [weight("w", 4, 7)]),
    (node("MatMul", "x", "w"), ROWS, [weight("w", 7)]),
    (node("Add", "x", "w"), ROWS, [weight("w", 3, 1, 7)]),
    (node("Add", "x", "w"), {"x": ["batch", 7]}, [weight("w", 4, 7)]),
    # What is inside fits batch 4 alone, which --batch 4 runs.
    (node("Concat", "x", "w", axis=1), IMAGE, [weight("w", 4, 1, 8, 8)]),
    (
        node("Reshape", "x", "to"),
        {"x": ["batch", 7]},
        [numpy_helper.from_array(np.array([4, 7]), "to")],
    ),
    (node("CastLike", "x", "w"), ROWS, [weight("w", 5)]),  # only the type of its second
    (
        node("Reshape", "x", "to"),
        {"x": [2, 6]},
        [numpy_helper.from_array(np.array([0, 3, -1]), "to")],
    ),
]


@pytest.mark.parametrize(("fine", "inputs", "stored"), RIGHT)
def test_what_a_runtime_takes_is_left_alone(fine, inputs, stored):
    require_fit(graph(fine, inputs, *stored))


def test_tables_of_a_rotary_embedding_are_no_operands_that_broadcast():
    rotated = node("RotaryEmbedding", "x", "c", "s", num_heads=2)
    tables = [weight("c", 1, 6, 4), weight("s", 1, 6, 4)]
    require_fit(graph(rotated, {"x": ["batch", 6, 16]}, *tables, opset=23))


def test_old_broadcasting_by_attributes_is_left_alone():
    old = node("Add", "x", "w", broadcast=1, axis=1)
    assert not misfits(GraphView(graph(old, IMAGE, weight("w", 5), opset=6)))


def large(dims):
    size = numpy_helper.from_array(np.array(dims), "to")
    return GraphView(graph(node("Expand", "x", "to"), {"x": [1, 1]}, size))


@pytest.mark.parametrize("kind", ["main graph", "function"])
def test_a_tensor_larger_than_memory_is_refused_with_its_size(kind, monkeypatch):
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 2**30)
    view = large([2**14, 2**20])
    if kind == "function":
        model = view.model
        opsets = [helper.make_opsetid("", 17)]
        body = helper.make_node("Expand", ["a", "b"], ["c"], name="odd")
        model.functions.append(helper.make_function("own", "F", ["a", "b"], ["c"], [body], opsets))
        model.opset_import.append(helper.make_opsetid("own", 1))
        model.graph.node[0].op_type, model.graph.node[0].domain = "F", "own"
        view = GraphView(model)
    said = r"\(Expand\) reads and makes 64 GiB, most of all '.*' of 16384x1048576, and 1 GiB of memory are left"
    with pytest.raises(UsageError, match=said):
        require_memory(view)


def test_a_tensor_that_fits_in_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 2**30)
    require_memory(large([2**7, 2**20]))
    strings = graph(node("Identity", "x"), {"x": ["batch", 2**30]})
    for value in (*strings.graph.input, *strings.graph.output):
        value.type.tensor_type.elem_type = TensorProto.STRING
    require_memory(GraphView(strings))
