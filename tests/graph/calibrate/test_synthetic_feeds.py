"""Networks with several inputs are calibrated on tensors made up for each of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.ranges import collect_ranges
from deploykit.graph.calibrate.synthetic import synthetic_feeds
from deploykit.graph.inputs import spec_of, take_inputs
from deploykit.graph.nodes import graph_inputs
from deploykit.spec import InputChoice, stored_about, stored_inputs


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_ranges_come_from_all_inputs(batch):
    """y = x * s + k with x in [0, 1], s = 3 and k = 5, so that y fills 5 to 8."""
    float32, int64 = TensorProto.FLOAT, TensorProto.INT64
    made = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "s"], ["m"]),
            helper.make_node("Cast", ["k"], ["f"], to=float32),
            helper.make_node("Add", ["m", "f"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", float32, [batch, 500]),
            helper.make_tensor_value_info("s", float32, []),
            helper.make_tensor_value_info("k", int64, [500]),
        ],
        [helper.make_tensor_value_info("y", float32, [batch, 500])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    values = (("x", "range(0,1)"), ("s", "constant(3)"), ("k", "constant(5)"))
    take_inputs(model, InputChoice(values=values))
    stored = stored_inputs({entry.key: entry.value for entry in model.metadata_props})
    specs = [stored_about(spec_of(value), stored) for value in graph_inputs(model.graph)]
    onnx.checker.check_model(model)
    low, high = collect_ranges(model, ["y"], synthetic_feeds(specs), symmetric=False)["y"]
    assert low == 0  # ranges contain zero
    assert high == pytest.approx(8, abs=0.05)
    first, again = (next(iter(synthetic_feeds(specs).batches()))["x"] for _ in range(2))
    assert np.array_equal(first, again)


def test_a_number_for_each_image_is_cut_to_a_fixed_batch_too():
    float32 = TensorProto.FLOAT
    made = helper.make_graph(
        [helper.make_node("Mul", ["x", "l"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", float32, [1, 3]),
            helper.make_tensor_value_info("l", float32, [1]),
        ],
        [helper.make_tensor_value_info("y", float32, [1, 3])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feeds = {"x": np.ones((8, 3), np.float32), "l": np.arange(8, dtype=np.float32)}
    calibration = Calibration(batches=lambda: iter([feeds]), count=8)
    assert collect_ranges(model, ["y"], calibration, symmetric=False)["y"] == (0, 7)
