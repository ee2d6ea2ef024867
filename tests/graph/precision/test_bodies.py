"""Networks whose work stands in the bodies of If and Loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import BuildFailed
from deploykit.ort_session import input_specs, open_session, session_options

INFO = helper.make_tensor_value_info
N = helper.make_node


def two_sizes(size: int) -> onnx.ModelProto:
    """A network for one of two sizes, 1 or 2, by a flag: each branch squeezes what must be 1 for it."""
    then = helper.make_graph(
        [N("Squeeze", ["x", "axis"], ["a"])], "then", [], [INFO("a", TensorProto.FLOAT, None)]
    )
    other = helper.make_graph(
        [N("ReduceSum", ["x", "axis"], ["b"], keepdims=0)], "other", [], [INFO("b", TensorProto.FLOAT, None)]
    )  # fmt: skip
    nodes = [N("If", ["flag"], ["y"], then_branch=then, else_branch=other)]
    inputs = [INFO("x", TensorProto.FLOAT, [3, size]), INFO("flag", TensorProto.BOOL, [])]
    axis = numpy_helper.from_array(np.asarray([1]), "axis")
    graph = helper.make_graph(nodes, "g", inputs, [INFO("y", TensorProto.FLOAT, None)], [axis])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_branch_that_is_not_for_the_sizes_given_does_not_hinder_the_other(tmp_path: Path) -> None:
    source = two_sizes(2).SerializeToString()
    session = open_session(source, session_options(optimise=True), BuildFailed)
    assert [spec.shape for spec in input_specs(session)] == [(3, 2), ()]
    (found,) = session.run(None, {"x": np.ones((3, 2), np.float32), "flag": np.asarray(False)})
    assert found.tolist() == [2, 2, 2]


def test_shapes_that_contradict_each_other_without_branches_are_still_refused() -> None:
    axis = numpy_helper.from_array(np.asarray([1]), "axis")
    graph = helper.make_graph(
        [N("Squeeze", ["x", "axis"], ["y"])], "g", [INFO("x", TensorProto.FLOAT, [3, 2])],
        [INFO("y", TensorProto.FLOAT, None)], [axis],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BuildFailed, match="Squeeze"):
        open_session(model.SerializeToString(), session_options(optimise=True), BuildFailed)
