"""The work of each layer."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.count import count_graph, count_layers


def model():
    weights = [
        numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w"),
        numpy_helper.from_array(np.ones(8, np.float32), "b"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["h"], name="conv"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Add", ["r", "h"], ["y"], name="add"),
            helper.make_node("Neg", ["b"], ["unused"], name="constant"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 10, 10))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 8, 8, 8))],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_each_layer_has_its_work_and_what_it_reads_and_writes():
    found = count_layers(model())
    assert list(found) == ["conv", "relu", "add"]
    conv, add = found["conv"], found["add"]
    assert (conv.macs, conv.weight_bytes) == (8 * 8 * 8 * 27, 4 * (8 * 27 + 8))
    assert (conv.inputs, conv.outputs) == ({"x": 1200}, {"h": 2048})
    assert (add.macs, add.inputs, add.weight_bytes) == (0, {"r": 2048, "h": 2048}, 0)


def test_layers_add_up_to_what_is_counted_for_the_graph():
    counts = count_graph(model())
    found = count_layers(model()).values()
    assert sum(one.macs or 0 for one in found) == counts.macs
    assert sum(sum(one.outputs.values()) for one in found) == counts.activation_bytes
