"""Functions that a model brings are written out, and compute what they did."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import InvalidModel
from deploykit.graph.inline import inline_functions


def with_functions(opset: int = 17) -> onnx.ModelProto:
    """Conv and Relu as a function, and a function that calls it twice; a weight too large for a skeleton."""
    rng = np.random.default_rng(3)
    one = helper.make_function(
        "own", "ConvRelu", ["x", "w"], ["y"],
        [helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1] * 4),
         helper.make_node("Relu", ["c"], ["y"], name="relu")],
        [helper.make_opsetid("", opset)],
    )  # fmt: skip
    two = helper.make_function(
        "own", "Twice", ["x", "w"], ["y"],
        [helper.make_node("ConvRelu", ["x", "w"], ["m"], domain="own"),
         helper.make_node("ConvRelu", ["m", "w"], ["y"], domain="own")],
        [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)],
    )  # fmt: skip
    weight = numpy_helper.from_array(rng.normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x", "w"], ["y"], name="n", domain="own")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 6, 6])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=[one, two], opset_imports=opsets, ir_version=8)


def outputs(model: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(4).normal(size=(2, 8, 6, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def test_functions_within_functions_are_written_out() -> None:
    model = with_functions()
    before = outputs(model)
    assert inline_functions(model) == 2
    assert [n.op_type for n in model.graph.node] == ["Conv", "Relu"] * 2
    assert not model.functions
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]
    np.testing.assert_allclose(outputs(model), before, rtol=1e-6)


def test_a_model_without_functions_is_left_as_it_is() -> None:
    model = with_functions()
    inline_functions(model)
    before = model.SerializeToString(deterministic=True)
    assert inline_functions(model) == 0
    assert model.SerializeToString(deterministic=True) == before


def test_a_function_of_another_opset_that_cant_be_raised_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidModel, match="without functions") as error:
        inline_functions(with_functions(opset=13))
    assert "\n" not in str(error.value)
