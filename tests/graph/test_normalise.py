"""What files leave undeclared is declared, functions are written out, and nodes get an order and names."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from plain_runs import X, run

from deploykit.errors import InvalidModel
from deploykit.graph.normalise import (
    declare,
    inline_functions,
    name_nodes,
    sort_nodes,
    write_out_decided,
)


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


def many_outputs(op_type: str, outputs: list[str]) -> onnx.ModelProto:
    """A node of which an output that is left out stands before or behind "y"."""
    info = helper.make_tensor_value_info
    boolean, whole = TensorProto.BOOL, TensorProto.INT64
    twice = [helper.make_node("Relu", ["s"], ["t"]), helper.make_node("Neg", ["t"], ["o"])]
    given = [info("s", TensorProto.FLOAT, [4])]
    made = [info("t", TensorProto.FLOAT, [4]), info("o", TensorProto.FLOAT, [4])]
    body = helper.make_graph(
        [*twice, helper.make_node("Identity", ["c"], ["on"])],
        "body",
        [info("i", whole, []), info("c", boolean, []), *given],
        [info("on", boolean, []), *made],
    )
    branches = [
        helper.make_graph(
            [helper.make_node("Relu", ["x"], [a]), helper.make_node("Neg", ["x"], [b])],
            "branch",
            [],
            [info(a, TensorProto.FLOAT, [4]), info(b, TensorProto.FLOAT, [4])],
        )
        for a, b in ("ab", "de")
    ]
    one = numpy_helper.from_array(np.array(1, np.int64), "n")
    yes = numpy_helper.from_array(np.array(True), "yes")
    node = {
        "Loop": lambda: helper.make_node("Loop", ["n", "", "x"], outputs, body=body),
        "If": lambda: helper.make_node(
            "If", ["yes"], outputs, then_branch=branches[0], else_branch=branches[1]
        ),
        "Split": lambda: helper.make_node("Split", ["x"], outputs, num_outputs=2),
    }[op_type]()
    graph = helper.make_graph(
        [node],
        "g",
        [info("x", TensorProto.FLOAT, [4])],
        [info("y", TensorProto.FLOAT, None)],
        [one, yes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("outputs", [["", "y"], ["y", ""]], ids=["first", "last"])
@pytest.mark.parametrize("op_type", ["Loop", "If", "Split"])
def test_outputs_that_nobody_wants_get_the_names_that_a_runtime_needs(
    op_type: str, outputs: list[str]
) -> None:
    """Without them ONNX Runtime ended the process, or refused the graph."""
    model = many_outputs(op_type, outputs)
    assert declare(model)
    assert all(model.graph.node[0].output)
    assert model.graph.node[0].output[outputs.index("y")] == "y"
    assert not declare(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.array([1, -2, 3, -4], np.float32)
    (y,) = session.run(["y"], {"x": x})
    is_first = outputs[0] == "y"
    wanted = {
        "Loop": np.maximum(x, 0) if is_first else -np.maximum(x, 0)[None],
        "If": np.maximum(x, 0) if is_first else -x,
        "Split": x[:2] if is_first else x[2:],
    }
    np.testing.assert_array_equal(y, wanted[op_type])


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


def branch(scale: float) -> onnx.GraphProto:
    """A branch that multiplies x by a weight of its own; its tensors are called as those of all others."""
    return helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Relu", ["t"], ["r"])],
        "branch",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.full((6, 6), scale, np.float32), "w")],
    )


def branching() -> onnx.ModelProto:
    """An If that the size of x decides, one in its branch too, beside one that values decide."""

    def decide(condition: str, output: str, *branches: onnx.GraphProto) -> onnx.NodeProto:
        then, other = branches
        return helper.make_node(
            "If", [condition], [output], output, then_branch=then, else_branch=other
        )

    nested = helper.make_graph(
        [
            decide("wide", "z", branch(0.5), branch(2.0)),
            helper.make_node("Add", ["z", "x"], ["r"], "sum"),
        ],
        "nested",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "last"], ["width"]),
        helper.make_node("Equal", ["width", "six"], ["wide"]),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["positive"]),
        decide("wide", "first", nested, branch(3.0)),
        decide("positive", "second", branch(4.0), branch(5.0)),
        helper.make_node("Add", ["first", "second"], ["y"]),
    ]
    constants = {"last": np.array(3), "six": np.array(6), "zero": np.array(0, np.float32)}
    graph = helper.make_graph(
        nodes,
        "branching",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 6, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_branches_that_sizes_decide_are_written_out_and_others_stay():
    model = branching()
    before = run(model)
    assert write_out_decided(model) == 0  # it may be that the batch decides
    assert write_out_decided(model, 2) == 2
    assert [node.name for node in model.graph.node if node.op_type == "If"] == ["second"]
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    np.testing.assert_array_equal(run(model), before)


def swept(nodes: list[onnx.NodeProto]) -> list[str]:
    """What the nodes make in the order of sweeps that take whatever has all it needs, until all are taken."""
    made, ready, order = {node.output[0] for node in nodes}, set(), []
    while nodes:
        left = []
        for node in nodes:
            if {name for name in node.input if name in made} <= ready:
                order.append(node.output[0])
                ready.add(node.output[0])
            else:
                left.append(node)
        nodes = left
    return order


@pytest.mark.parametrize("seed", range(20))
def test_nodes_are_moved_back_no_further_than_they_must(seed: int) -> None:
    chance = random.Random(seed)
    nodes = [
        helper.make_node(
            "Sum", [f"t{j}" for j in chance.sample(range(i), min(i, 2))] or ["x"], [f"t{i}"]
        )
        for i in range(12)
    ]
    chance.shuffle(nodes)
    graph = helper.make_graph(nodes, "g", [], [])
    expected = swept(nodes)
    sort_nodes(graph)
    assert [node.output[0] for node in graph.node] == expected


def test_a_long_graph_told_backwards_is_turned_in_one_pass() -> None:
    count = 20_000  # in sweeps it would take minutes
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in reversed(range(count))]
    graph = helper.make_graph(nodes, "g", [], [])
    assert sort_nodes(graph)
    assert [node.output[0] for node in graph.node[:3]] == ["t1", "t2", "t3"]
