"""Each operator computes the same after its opset was raised: ONNX Runtime runs it before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import InvalidModel
from deploykit.graph.normalise import declare, inline_functions, name_nodes, raise_opset, sort_nodes

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)


def one(op_type: str, opset: int, inputs: dict[str, Any] | None = None, **attributes: Any) -> Any:
    """A model of one operator on "x"."""
    stored = {name: np.asarray(value) for name, value in (inputs or {}).items()}
    node = helper.make_node(op_type, ["x", *stored], ["y"], name="n", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def run(model: onnx.ModelProto) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": X})[0])


def f32(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


NORM = {name: f32(1, 2, 3, 4) for name in ("scale", "shift", "mean", "variance")}
CASES = [
    *(one("Upsample", 7, mode=mode, scales=[1.0, 1.0, s, s])
      for mode in ("nearest", "linear") for s in (2.0, 3.0, 1.5)),
    *(one("Upsample", 9, {"s": f32(1, 1, s, s)}, mode=mode)
      for mode in ("nearest", "linear") for s in (2.0, 3.0, 1.5)),
    *(one("Resize", 10, {"s": f32(1, 1, s, s)}, mode=mode)
      for mode in ("nearest", "linear") for s in (2.0, 1.5, 0.5)),
    *(one("Resize", 11, {"r": f32(), "s": f32(1, 1, 2, 2)}, mode="linear", coordinate_transformation_mode=mode)
      for mode in ("half_pixel", "asymmetric", "align_corners")),
    *(one(op_type, opset, **({} if axis is None else {"axis": axis}))
      for op_type in ("Hardmax", "Softmax", "LogSoftmax") for opset in (7, 11) for axis in (None, 1, 2, 3)),
    *(one("BatchNormalization", opset, NORM, epsilon=1e-3) for opset in (7, 9)),
    one("Dropout", 7, ratio=0.3),
    one("Dropout", 10, ratio=0.3),
    one("Clip", 9, min=-0.5),
    one("Pad", 10, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=1.0),
    one("ReduceSum", 11, axes=[1, 2], keepdims=0),
    one("ReduceMean", 11),
    one("Slice", 9, starts=[1, 0], ends=[3, 100], axes=[1, 3]),
    one("AveragePool", 9, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
    one("InstanceNormalization", 7, {"s": f32(1, 2, 3, 4), "b": f32(1, 2, 3, 4)}, epsilon=1e-2),
]  # fmt: skip


@pytest.mark.parametrize("least", [13, 22])
@pytest.mark.parametrize("place", range(len(CASES)))
def test_an_operator_computes_the_same_in_a_later_opset(place: int, least: int) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(CASES[place])
    before = run(model)
    assert raise_opset(model, least, "int8")
    np.testing.assert_allclose(run(model), before, atol=1e-5)


def test_group_normalization_keeps_its_values_per_group() -> None:
    model = one(
        "GroupNormalization", 18, {"s": f32(2, 3), "b": f32(4, 5)}, num_groups=2, epsilon=0.1
    )
    groups = X.reshape(2, 2, -1).astype(np.float64)
    mean, variance = groups.mean(2, keepdims=True), groups.var(2, keepdims=True)
    normal = (groups - mean) / np.sqrt(variance + 0.1)
    expected = normal * f32(2, 3).reshape(1, 2, 1) + f32(4, 5).reshape(1, 2, 1)
    assert raise_opset(model, 22, "bf16")
    np.testing.assert_allclose(run(model), expected.reshape(X.shape), atol=1e-5)


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_resizings_between_other_nodes_keep_their_coordinates(opset: int) -> None:
    # the converter renames what is no output of the graph; one of the two is nearest
    sizes = {"scales": [1.0, 1.0, 2.0, 2.0]} if opset < 9 else {}
    more = [] if opset < 9 else ["s"]
    op_type = "Resize" if opset == 10 else "Upsample"
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node(op_type, ["r", *more], ["a"], mode="nearest", **sizes),
        helper.make_node(op_type, ["a", *more], ["b"], mode="linear", **sizes),
        helper.make_node("Sigmoid", ["b"], ["y"]),
    ]
    model = one("Relu", opset, {"s": f32(1, 1, 2, 2)} if more else {})
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    before = run(model)
    raise_opset(model, 13, "int8")
    np.testing.assert_allclose(run(model), before, atol=1e-5)


def test_a_hardmax_keeps_its_name_and_its_neighbours() -> None:
    model = one("Hardmax", 11, axis=2)
    raise_opset(model, 13, "int8")
    assert [n.name for n in model.graph.node if n.op_type == "Hardmax"] == ["n"]
    assert [value.name for value in model.graph.output] == ["y"]


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


def chain(*names: str, reverse: bool = False) -> onnx.ModelProto:
    """Nodes of these names behind each other, each adding "x" once more."""
    nodes = [
        helper.make_node("Add", [f"t{place}" if place else "x", "x"], [f"t{place + 1}"], name=name)
        for place, name in enumerate(names)
    ]
    graph = helper.make_graph(
        nodes[::-1] if reverse else nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 6])],
        [helper.make_tensor_value_info(f"t{len(names)}", TensorProto.FLOAT, ["N", 4, 6, 6])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_nodes_without_a_name_get_that_of_what_they_make() -> None:
    model = chain("n", "", "m", "t5", "", "t2")
    assert declare(model)
    assert [node.name for node in model.graph.node] == ["n", "t2_2", "m", "t5", "t5_2", "t2"]
    assert not declare(model)
    assert np.allclose(run(model), 7 * X)


def test_names_within_bodies_are_told_apart_from_those_around_them() -> None:
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 4, 6, 6])],
    )
    model = chain("z")
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    model.graph.node.append(node)
    assert name_nodes(model)
    first, branch = model.graph.node
    inner = [entry.g.node[0].name for entry in branch.attribute]
    assert [first.name, branch.name, *inner] == ["z", "y", "z_2", "z_3"]


def test_nodes_out_of_order_are_put_into_one_that_runs() -> None:
    model = chain("a", "b", "c", reverse=True)
    assert sort_nodes(model.graph)
    assert [node.name for node in model.graph.node] == ["a", "b", "c"]
    assert not sort_nodes(model.graph)
    assert np.allclose(run(model), 4 * X)


def test_what_a_body_reads_comes_before_it() -> None:
    body = helper.make_graph(
        [helper.make_node("Relu", ["t1"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 4, 6, 6])],
    )
    model = chain("a")
    condition = helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body)
    model.graph.node.insert(0, condition)
    assert sort_nodes(model.graph)
    assert [node.name for node in model.graph.node] == ["a", "if"]


def test_a_cycle_is_left_for_the_checker_to_refuse() -> None:
    model = chain("a", "b")
    model.graph.node[0].input[1] = "t2"
    assert not sort_nodes(model.graph)
    assert [node.name for node in model.graph.node] == ["a", "b"]
