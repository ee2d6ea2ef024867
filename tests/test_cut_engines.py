"""The engines that the benchmark of layers cuts off."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.layers import cut_engine


def test_an_engine_is_cut_where_one_tensor_goes_on_nearest_to_the_middle(tmp_path):
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Neg", ["a"], ["b"]),
            # From here to the sum two tensors go on, where the middle is.
            helper.make_node("Add", ["a", "weight"], ["c"]),
            helper.make_node("Add", ["b", "c"], ["d"]),
            helper.make_node("Mul", ["d", "unused"], ["e"]),
            helper.make_node("Neg", ["e"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
        [
            numpy_helper.from_array(np.float32([[3.0, 5.0]]), "weight"),
            numpy_helper.from_array(np.float32([[2.0, 2.0]]), "unused"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "whole.onnx"))
    assert cut_engine(tmp_path / "whole.onnx", tmp_path / "cut.onnx") == 4
    cut = onnx.load(str(tmp_path / "cut.onnx")).graph
    assert len(cut.node) == 4
    assert [weight.name for weight in cut.initializer] == ["weight"]
    session = onnxruntime.InferenceSession(
        str(tmp_path / "cut.onnx"), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": np.float32([[1.0, -1.0]])})
    assert found.tolist() == [[3.0, 5.0]]
