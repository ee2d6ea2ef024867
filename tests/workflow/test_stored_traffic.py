from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.read_write import open_model
from deploykit.workflow import rows as row_parts
from deploykit.workflow.rows import traffic_of


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"weight_bytes": "4"}', "[" * 100_000],
    ids=["cut", "list", "text", "nested"],
)
def test_traffic_is_counted_once_and_again_where_the_file_is_malformed(tmp_path, monkeypatch, text):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.ones((4, 2), np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    model = open_model(tmp_path / "m.onnx")
    counted = traffic_of(model, tmp_path, "fp32")
    assert counted is not None
    assert counted.weight_bytes == 32
    (file,) = tmp_path.glob("traffic-*.json")
    written = file.read_bytes()
    file.write_text(text)
    assert traffic_of(model, tmp_path, "fp32") == counted
    assert file.read_bytes() == written

    @functools.wraps(
        row_parts.traffic
    )  # of the same module, by the code of which the file is named
    def again(*_: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr(row_parts, "traffic", again)
    assert traffic_of(model, tmp_path, "fp32") == counted
