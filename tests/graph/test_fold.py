from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.fold import fold_batchnorm, remove_passing_nodes

RANDOM = np.random.default_rng(3)


def array(name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> onnx.TensorProto:
    return numpy_helper.from_array(RANDOM.uniform(low, high, shape).astype(np.float32), name)


def norm(source: str, output: str, channels: int, **attributes: object) -> tuple:
    weights = [
        array(f"{output}_g", channels, low=0.3, high=3), array(f"{output}_b", channels),
        array(f"{output}_m", channels), array(f"{output}_v", channels, low=0.1, high=4),
    ]  # fmt: skip
    names = [source, *(w.name for w in weights)]
    return helper.make_node("BatchNormalization", names, [output], **attributes), weights


def model_of(
    nodes: list,
    weights: list,
    shape: tuple[int, ...],
    outputs: tuple[str, ...] = ("y",),
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def outputs_of(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def folds(model: onnx.ModelProto, x_shape: tuple[int, ...]) -> int:
    """Fold, check that no output changed by more than rounding, and return the number of nodes folded."""
    x = RANDOM.standard_normal(x_shape).astype(np.float32)
    before = outputs_of(model, x)
    count = fold_batchnorm(model)
    for old, new in zip(before, outputs_of(model, x), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-4 * np.abs(old).max())
    return count


@settings(deadline=None, max_examples=25)
@given(
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    transposed=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-3, 0.1]),
)
def test_batchnorm_moves_into_any_convolution(
    groups: int, bias: bool, transposed: bool, epsilon: float
) -> None:
    shape = (4, 8 // groups, 3, 3) if transposed else (8, 4 // groups, 3, 3)
    weights = [array("w", *shape)] + ([array("b", 8)] if bias else [])
    op_type = "ConvTranspose" if transposed else "Conv"
    product = helper.make_node(
        op_type, ["x", *(w.name for w in weights)], ["c"], group=groups, name="p"
    )
    node, more = norm("c", "y", 8, epsilon=epsilon)
    model = model_of([product, node], weights + more, (2, 4, 6, 6))
    assert folds(model, (2, 4, 6, 6)) == 1
    assert [(n.op_type, n.name, list(n.output)) for n in model.graph.node] == [
        (op_type, "p", ["y"])
    ]
    assert len(model.graph.initializer) == 2


@pytest.mark.parametrize("transposed", [0, 1])
def test_batchnorm_moves_into_a_gemm(transposed: int) -> None:
    weights = [array("w", *((8, 5) if transposed else (5, 8))), array("b", 1, 8)]
    product = helper.make_node("Gemm", ["x", "w", "b"], ["c"], transB=transposed)
    node, more = norm("c", "y", 8)
    assert folds(model_of([product, node], weights + more, (3, 5)), (3, 5)) == 1


def test_scale_and_shift_per_channel_follow_the_batchnorm() -> None:
    weights = [
        array("w", 8, 4, 3, 3),
        array("s", 8, 1, 1),
        array("t", 1, 8, 1, 1),
        array("one", low=2, high=3),
    ]
    first, more = norm("c", "n", 8)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]), first,
        helper.make_node("Mul", ["s", "n"], ["m"]), helper.make_node("Add", ["m", "t"], ["a"]),
        helper.make_node("Sub", ["a", "one"], ["d"]), helper.make_node("Div", ["d", "one"], ["y"]),
    ]  # fmt: skip
    model = model_of(nodes, weights + more, (1, 4, 6, 6))
    assert folds(model, (1, 4, 6, 6)) == 5
    assert [n.op_type for n in model.graph.node] == ["Conv"]


def test_what_varies_within_a_channel_is_not_folded() -> None:
    # Height, width and the number of channels are all 8, so that only the axis tells them apart.
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Add", ["c", "t"], ["y"]),
    ]
    for shape in ((8,), (8, 8, 8), (8, 1)):
        model = model_of(nodes, [array("w", 8, 4, 3, 3), array("t", *shape)], (1, 4, 10, 10))
        assert folds(model, (1, 4, 10, 10)) == 0


def test_constant_minus_or_over_the_product_is_not_folded() -> None:
    for op_type in ("Sub", "Div"):
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node(op_type, ["t", "c"], ["y"]),
        ]
        model = model_of(nodes, [array("w", 8, 4, 3, 3), array("t", 1, 8, 1, 1)], (1, 4, 6, 6))
        assert fold_batchnorm(model) == 0


def test_a_product_that_something_else_reads_is_left_alone() -> None:
    node, more = norm("c", "n", 8)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]), node, helper.make_node("Add", ["n", "c"], ["y"]),
    ]  # fmt: skip
    weights = [array("w", 8, 4, 3, 3), *more]
    assert folds(model_of(nodes, weights, (1, 4, 6, 6)), (1, 4, 6, 6)) == 0
    model = model_of(nodes[:2], weights, (1, 4, 6, 6), outputs=("n", "c"))
    assert folds(model, (1, 4, 6, 6)) == 0


def test_convolutions_that_share_a_weight_fold_each_their_own() -> None:
    first, more = norm("c", "n", 4)
    second, yet_more = norm("d", "y", 4)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]), first, helper.make_node("Conv", ["n", "w"], ["d"]), second,
    ]  # fmt: skip
    model = model_of(nodes, [array("w", 4, 4, 3, 3), *more, *yet_more], (1, 4, 8, 8))
    assert folds(model, (1, 4, 8, 8)) == 2


def test_training_mode_and_statistics_from_the_graph_are_left_alone() -> None:
    product = helper.make_node("Conv", ["x", "w"], ["c"])
    node, more = norm("c", "y", 8, training_mode=1)
    assert (
        fold_batchnorm(model_of([product, node], [array("w", 8, 4, 3, 3), *more], (1, 4, 6, 6)))
        == 0
    )
    node, more = norm("c", "y", 8)
    node.input[3] = "mean"
    nodes = [product, helper.make_node("ReduceMean", ["x"], ["m0"], keepdims=0),
             helper.make_node("Expand", ["m0", "eight"], ["mean"]), node]  # fmt: skip
    eight = numpy_helper.from_array(np.asarray([8], np.int64), "eight")
    model = model_of(nodes, [array("w", 8, 4, 3, 3), eight, *more], (1, 4, 6, 6))
    assert folds(model, (1, 4, 6, 6)) == 0


def test_weights_filled_by_nodes_are_folded() -> None:
    shape = numpy_helper.from_array(np.asarray([8, 4, 3, 3], np.int64), "shape")
    fill = helper.make_node(
        "ConstantOfShape",
        ["shape"],
        ["w"],
        value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.3]),
    )
    node, more = norm("c", "y", 8)
    nodes = [fill, helper.make_node("Conv", ["x", "w"], ["c"]), node]
    model = model_of(nodes, [shape, *more], (1, 4, 6, 6))
    assert folds(model, (1, 4, 6, 6)) == 1
    assert [n.op_type for n in model.graph.node] == ["Conv"]


@pytest.mark.parametrize("at_the_end", [False, True])
def test_identity_and_dropout_vanish_and_outputs_keep_their_names(at_the_end: bool) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Identity", ["r"], ["i"]),
        helper.make_node("Dropout", ["i"], ["y" if at_the_end else "d", "mask"]),
    ]  # fmt: skip
    if not at_the_end:
        nodes.append(helper.make_node("Neg", ["d"], ["y"]))
    model = model_of(nodes, [], (2, 3))
    x = RANDOM.standard_normal((2, 3)).astype(np.float32)
    before = outputs_of(model, x)
    assert remove_passing_nodes(model) == 2
    assert np.array_equal(outputs_of(model, x)[0], before[0])
    assert [n.op_type for n in model.graph.node] == (["Relu"] if at_the_end else ["Relu", "Neg"])


def test_dropout_that_drops_or_whose_mask_is_read_stays() -> None:
    training = numpy_helper.from_array(np.asarray(True), "training")
    node = helper.make_node("Dropout", ["x", "", "training"], ["y"])
    assert remove_passing_nodes(model_of([node], [training], (2, 3))) == 0
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Dropout", ["r"], ["d", "mask"]),
        helper.make_node("Neg", ["d"], ["y"]),
    ]
    model = model_of(nodes, [], (2, 3))
    model.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, (2, 3)))
    assert remove_passing_nodes(model) == 0


def test_an_input_that_is_passed_straight_to_the_output_stays() -> None:
    model = model_of([helper.make_node("Identity", ["x"], ["y"])], [], (2, 3))
    assert remove_passing_nodes(model) == 0
