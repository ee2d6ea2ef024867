"""Bytes that a run moves at the least, worked out by hand for small graphs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.traffic import Traffic, traffic


def graph_of(nodes, weights, element=TensorProto.FLOAT, batch="n"):
    """A graph on 4-channel 8x8 images: 1,024 bytes of float32 each."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, [batch, 4, 8, 8])],
        [helper.make_tensor_value_info("y", element, [batch, 4, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def kernel(dtype=np.float32):
    return np.ones((4, 4, 1, 1), dtype)  # 64 bytes of float32


def conv(source, target, weights="w"):
    return helper.make_node("Conv", [source, weights], [target])


def test_a_tensor_between_two_convolutions_is_written_and_read():
    model = graph_of([conv("x", "a"), conv("a", "y")], {"w": kernel()})
    # Input and output count half: one is only read, the other only written.
    assert traffic(model) == Traffic(64, 1024 + 1024, 1024)


def test_pointwise_work_moves_nothing_of_its_own():
    plain = graph_of([conv("x", "a"), conv("a", "y")], {"w": kernel()})
    nodes = [
        conv("x", "a"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Sigmoid", ["b"], ["c"]),
        helper.make_node("Mul", ["b", "c"], ["d"]),
        conv("d", "y"),
    ]
    assert traffic(graph_of(nodes, {"w": kernel()})) == traffic(plain)


def test_a_skip_connection_is_moved_once_however_often_it_is_read():
    nodes = [
        conv("x", "a"),
        conv("a", "b"),
        helper.make_node("Add", ["a", "b"], ["c"]),
        conv("c", "y"),
    ]
    assert traffic(graph_of(nodes, {"w": kernel()})) == Traffic(64, 2 * 1024 + 1024, 1024)


def test_quantised_activations_and_weights_are_one_byte_each():
    def pair(source, target):
        return [
            helper.make_node("QuantizeLinear", [source, "s", "z"], [f"{target}_q"]),
            helper.make_node("DequantizeLinear", [f"{target}_q", "s", "z"], [target]),
        ]

    nodes = [
        helper.make_node("DequantizeLinear", ["wq", "s", "zw"], ["w"]),
        *pair("x", "xf"),
        conv("xf", "a"),
        *pair("a", "af"),
        conv("af", "y"),
    ]
    weights = {
        "wq": kernel(np.int8),
        "s": np.float32(0.1),
        "z": np.uint8(0),
        "zw": np.int8(0),
    }
    # x and y stay float32; the quantised copies of x and a are 256 bytes each.
    assert traffic(graph_of(nodes, weights), "int8") == Traffic(16 + 4 + 1 + 1, 1024 + 512, 1024)


def test_what_is_emulated_moves_the_type_that_it_is_computed_in():
    model = graph_of(
        [conv("x", "a"), conv("a", "y")], {"w": kernel(np.float16)}, TensorProto.FLOAT16
    )
    assert traffic(model, "fp16") == Traffic(32, 1024, 512)
    assert traffic(model, "fp32") == Traffic(64, 2048, 1024)


def test_a_fixed_batch_counts_for_one_image():
    model = graph_of([conv("x", "a"), conv("a", "y")], {"w": kernel()}, batch=4)
    assert traffic(model) == Traffic(64, 2048, 1024)
