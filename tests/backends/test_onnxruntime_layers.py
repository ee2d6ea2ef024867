"""From an engine's nodes back to the layers they were made of."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends.onnxruntime_layers import trace_layers


def graph(nodes: list[onnx.NodeProto], weights: tuple[str, ...] = ()) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), w) for w in weights]
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        stored,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op_type: str, inputs: str, output: str, name: str) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], name=name)


def residual() -> onnx.ModelProto:
    """Two convolutions with a sum across the second, then a pooling."""
    return graph(
        [
            node("Conv", "x w1", "a", "conv1"),
            node("Relu", "a", "b", "relu1"),
            node("Conv", "b w2", "c", "conv2"),
            node("Add", "c b", "d", "add"),
            node("Relu", "d", "e", "relu2"),
            node("Dropout", "e", "f", "drop"),
            node("GlobalAveragePool", "f", "y", "pool"),
        ],
        ("w1", "w2"),
    )


def members(nodes) -> dict[str, tuple[str, ...]]:
    return {one.name: one.layers for one in nodes}


def test_a_blocked_name_is_that_of_the_tensor_in_which_the_merged_layers_end():
    engine = graph(
        [
            node("Conv", "x w1", "t1", "b_nchwc"),
            node("Conv", "t1 w2 t1", "t2", "c_nchwc"),
            node("GlobalAveragePool", "t2", "t3", "y_nchwc"),
            node("ReorderOutput", "t3", "y", "ReorderOutput"),
        ],
        ("w1", "w2"),
    )
    traced = trace_layers(residual(), engine)
    assert members(traced) == {
        "b_nchwc": ("conv1", "relu1"),
        # The sum and what follows it are computed by the convolution that runs last.
        "c_nchwc": ("conv2", "add", "relu2"),
        "y_nchwc": ("drop", "pool"),
        "ReorderOutput": (),
    }
    assert [one.main for one in traced] == ["conv1", "conv2", "pool", None]


def test_an_integer_node_goes_by_the_nodes_name_and_what_follows_it_is_in_it():
    engine = graph(
        [
            node("QuantizeLinear", "x", "t0", "x_QuantizeLinear"),
            node("QLinearConv", "t0 w1", "t1", "conv1_token_3"),
            node("QLinearConv", "t1 w2", "t2", "conv2_token_17"),
            node("QLinearAdd", "t2 t1", "t3", "add"),
            node("QLinearGlobalAveragePool", "t3", "y", "pool"),
        ],
        ("w1", "w2"),
    )
    traced = trace_layers(residual(), engine)
    assert members(traced) == {
        "x_QuantizeLinear": (),
        "conv1_token_3": ("conv1", "relu1"),
        "conv2_token_17": ("conv2",),
        "add": ("add", "relu2"),
        "pool": ("drop", "pool"),
    }
    assert [one.integer for one in traced] == [False, True, True, True, True]


def test_a_fusion_that_is_no_product_takes_in_what_it_stands_for():
    source = graph(
        [
            node("Conv", "x w1", "a", "conv"),
            node("Sigmoid", "a", "b", "act/Sigmoid"),
            node("Mul", "a b", "y", "act/Mul"),
        ],
        ("w1",),
    )
    engine = graph(
        [
            node("Conv", "x w1", "t1", "a_nchwc"),
            node("QuickGelu", "t1", "y", "act/Mul/QuickGeluFusion/"),
        ],
        ("w1",),
    )
    assert members(trace_layers(source, engine)) == {
        "a_nchwc": ("conv",),
        "act/Mul/QuickGeluFusion/": ("act/Sigmoid", "act/Mul"),
    }


def test_a_name_as_it_stands_counts_before_one_that_was_cut():
    source = graph([node("Relu", "x", "a", "r_token_1"), node("Relu", "a", "y", "r")])
    engine = graph([node("Relu", "x", "a", "r_token_1"), node("Relu", "a", "y", "r")])
    assert members(trace_layers(source, engine)) == {"r_token_1": ("r_token_1",), "r": ("r",)}


def test_what_stands_before_a_product_is_not_in_it():
    source = graph(
        [
            node("Conv", "x w1", "a", "conv1"),
            node("Relu", "a", "b", "relu1"),
            node("Conv", "b w2", "c", "conv2"),
            node("Relu", "c", "y", "relu2"),
        ],
        ("w1", "w2"),
    )
    engine = graph(
        [node("Conv", "x w1", "t1", "a_nchwc"), node("Conv", "t1 w2", "y", "y_nchwc")],
        ("w1", "w2"),
    )
    assert members(trace_layers(source, engine)) == {
        "a_nchwc": ("conv1", "relu1"),
        "y_nchwc": ("conv2", "relu2"),
    }
