from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends.onnxruntime import without_initialiser_inputs
from deploykit.graph.count import count_graph, count_layers
from deploykit.graph.lineage import layers
from deploykit.graph.read_write import read_inlined


def functions(path: Path) -> None:
    """A convolution in a function that another function calls twice."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    inner = helper.make_function(
        "own", "Block", ["a", "w"], ["r"],
        [helper.make_node("Conv", ["a", "w"], ["c"], name="conv", pads=[1] * 4),
         helper.make_node("Relu", ["c"], ["r"], name="relu")],
        opsets[:1],
    )  # fmt: skip
    twice = helper.make_function(
        "own", "Twice", ["a", "w"], ["b"],
        [helper.make_node("Block", ["a", "w"], ["m"], name="f1", domain="own"),
         helper.make_node("Block", ["m", "w"], ["b"], name="f2", domain="own")],
        opsets,
    )  # fmt: skip
    weight = np.random.default_rng(0).standard_normal((3, 3, 3, 3)).astype(np.float32)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, 8, 8]) for n in "xy"]
    call = helper.make_node("Twice", ["x", "w"], ["y"], name="n", domain="own")
    graph = helper.make_graph(
        [call], "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")]
    )
    model = helper.make_model(graph, opset_imports=opsets, functions=[inner, twice], ir_version=8)
    onnx.save(model, path)


def test_layers_are_the_nodes_that_functions_hold_with_all_their_work(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    functions(path)
    model = read_inlined(path)
    found = layers(model)
    assert [layer.op_type for layer in found] == ["Conv", "Relu"] * 2
    counts = count_layers(model)
    assert sum(counts[layer.node].macs or 0 for layer in found) == 2 * 64 * 81
    assert count_graph(path).macs == 2 * 64 * 81


def test_the_runtime_is_given_the_nodes_by_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    functions(path)
    handed = without_initialiser_inputs(path)
    assert isinstance(handed, bytes)
    assert [n.name for n in onnx.load_from_string(handed).graph.node] == [
        n.name for n in read_inlined(path).graph.node
    ]
