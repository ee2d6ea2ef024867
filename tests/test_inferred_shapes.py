"""The benchmark of inferred shapes: rules are summed up from what a run tells, and what is not known is missing."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import inferred_shapes
from benchmarks.inferred_shapes import Summed

INPUT = {"x": np.zeros((1, 3, 8, 8), np.float32)}
#: Of the convolution, 3 to 4 channels on 8 by 8 with 3 by 3, and of the dense layer, 256 to 5.
MACS = 64 * 3 * 4 * 9 + 256 * 5


def flattened_by_its_own_shape() -> onnx.ModelProto:
    """A convolution and a dense layer, between which the graph computes the shape from the one that is there."""
    weights = {
        "w": np.ones((4, 3, 3, 3), np.float32),
        "d": np.ones((256, 5), np.float32),
        "rest": np.array([-1], np.int64),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "one"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["c", "to"], ["flat"]),
        helper.make_node("MatMul", ["flat", "d"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_run_tells_the_shapes_that_the_rules_are_summed_up_from():
    model = flattened_by_its_own_shape()
    shapes = inferred_shapes.shapes_of_a_run(model, INPUT)
    assert shapes["flat"] == (1, 256)
    assert inferred_shapes.summed(model.graph, shapes) == Summed(MACS, 0)
    del shapes["flat"], shapes["y"]
    assert inferred_shapes.summed(model.graph, shapes) == Summed(MACS - 256 * 5, 1)


def test_every_way_sees_the_sizes_that_are_run_and_no_shape_that_the_file_says():
    sized = inferred_shapes.at_sizes(flattened_by_its_own_shape(), INPUT)
    assert [d.dim_value for d in sized.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 8, 8]
    assert not sized.graph.output[0].type.tensor_type.HasField("shape")
    for way in ("deploykit", "onnx", "onnxscript"):
        assert inferred_shapes.ASKED[way](sized) == Summed(MACS, 0)


def test_what_only_rests_on_constants_is_no_product():
    model = flattened_by_its_own_shape()
    model.graph.node.append(helper.make_node("MatMul", ["d", "d2"], ["fixed"]))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((5, 2), np.float32), "d2"))
    assert [n.op_type for n in inferred_shapes.products(model.graph)] == ["Conv", "MatMul"]
