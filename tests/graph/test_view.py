from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_models import make_model, tensor
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import InvalidModel
from deploykit.graph.edit import GraphEditor
from deploykit.graph.view import GraphView


def names(nodes: list[onnx.NodeProto]) -> list[str]:
    return [node.name for node in nodes]


@pytest.fixture
def branching() -> onnx.ModelProto:
    """x goes twice into an Add; a Conv and an If read the sum; the If's branch reads "w" and the sum."""
    inner = [
        helper.make_node("Shape", ["w"], ["inner_shape"]),
        helper.make_node("Relu", ["sum"], ["inner_out"], name="inner"),
    ]
    output = helper.make_tensor_value_info("inner_out", TensorProto.FLOAT, None)
    branch = helper.make_graph(inner, "branch", [], [output], [tensor("own", 2)])
    nodes = [
        helper.make_node("Add", ["x", "x"], ["sum"], name="add"),
        helper.make_node("Transpose", ["w"], ["w_t"], name="turn", perm=[1, 0, 2, 3]),
        helper.make_node("Cast", ["w_t"], ["w_half"], name="narrow", to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["sum", "w_t"], ["y"], name="conv"),
        helper.make_node("Relu", ["sum"], ["unread"]),
        helper.make_node("If", ["flag"], ["z"], name="if", then_branch=branch, else_branch=branch),
    ]
    flag = numpy_helper.from_array(np.asarray(True), "flag")
    return make_model(nodes, [tensor("w", 3, 5, 1, 1), flag])


def test_producers_consumers_and_readers(branching: onnx.ModelProto) -> None:
    view = GraphView(branching)
    assert [(n.name, slot) for n, slot in view.consumers("x")] == [("add", 0), ("add", 1)]
    assert names(view.readers("x")) == ["add"]
    assert view.consumers("nothing") == view.readers("nothing") == []
    conv = view.producer("y")
    assert conv is not None
    assert conv.name == "conv"
    assert view.producer("x") is None
    assert view.producer("w") is None
    assert view.by_name["conv"] is conv
    assert view.by_name["unread"].op_type == "Relu"
    assert [value.name for value in view.inputs] == ["x"]
    assert view.outputs == {"y"}


def test_a_reader_within_a_body_counts(branching: onnx.ModelProto) -> None:
    view = GraphView(branching)
    (add,) = view.readers("x")
    assert view.read_only_by("x", add)
    (turn,) = view.readers("w")
    assert turn.name == "turn"
    assert not view.read_only_by("w", turn)
    assert view.is_read("sum")
    assert view.is_read("y")
    assert view.is_read("inner_out")
    assert not view.is_read("unread")
    assert not view.is_read("")


def test_values_are_told_through_simple_nodes(branching: onnx.ModelProto) -> None:
    view = GraphView(branching)
    weight = numpy_helper.to_array(branching.graph.initializer[0])
    turned, narrow = view.constant("w_t"), view.constant("w_half")
    assert turned is not None
    assert narrow is not None
    np.testing.assert_array_equal(turned, weight.transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(narrow, turned.astype(np.float16))
    assert view.constant("sum") is None
    assert view.is_constant("w_half")
    assert not view.is_constant("x")
    assert view.initializer("w") is branching.graph.initializer[0]
    assert view.initializer("w_t") is None


def test_fixed_goes_further_than_what_can_be_evaluated() -> None:
    nodes = [
        helper.make_node("Sqrt", ["w"], ["root"]),
        helper.make_node("RandomUniform", [], ["noise"], shape=[1]),
        helper.make_node("Multinomial", ["w"], ["drawn"]),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Mul", ["root", "one"], ["scaled"]),
        helper.make_node("Mul", ["x", "scaled"], ["y"]),
    ]
    view = GraphView(make_model(nodes, [tensor("w", 3, 1, 1)]))
    fixed = {n.output[0]: view.is_fixed(n.output[0]) for n in view.nodes}
    assert fixed == {
        "root": True, "noise": False, "drawn": False, "one": True, "scaled": True, "y": False
    }  # fmt: skip
    assert not view.is_constant("root")
    assert view.constant("one") == 1.0


def test_bodies_see_what_is_around_them(branching: onnx.ModelProto) -> None:
    view = GraphView(branching)
    node = view.by_name["if"]
    first, second = view.bodies(node)
    assert first.outer is second.outer is view
    assert first.is_fixed("w")
    assert first.is_fixed("inner_shape")
    assert first.is_fixed("own")
    assert not view.is_fixed("own")
    assert not first.is_fixed("sum")
    assert first.producer("sum") is None
    assert first.types["w"] == TensorProto.FLOAT
    assert first.types["own"] == TensorProto.FLOAT
    assert first.shape("sum") == view.shape("sum") == (1, 3, 8, 8)


def test_types_and_shapes(branching: onnx.ModelProto) -> None:
    view = GraphView(branching)
    assert view.types["w_half"] == TensorProto.FLOAT16
    assert view.shape("y") == (1, 5, 8, 8)
    symbolic = make_model([helper.make_node("Relu", ["x"], ["y"])], shape=("n", 3, "h", "w"))
    assert GraphView(symbolic, dims={"h": 4, "w": 6}).shape("y") == (1, 3, 4, 6)


@pytest.mark.parametrize("opset", [18, 21])
def test_the_type_behind_a_group_normalization_is_known(opset: int) -> None:
    nodes = [
        helper.make_node("GroupNormalization", ["x", "s", "b"], ["n"], num_groups=1),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    values = 1 if opset == 18 else 3
    weights = [tensor("s", values), tensor("b", values)]
    view = GraphView(make_model(nodes, weights, opsets=[helper.make_opsetid("", opset)]))
    assert view.types["n"] == view.types["r"] == TensorProto.FLOAT
    assert view.shape("r") == (1, 3, 8, 8)


def test_functions_are_written_out_only_when_there_are_some(branching: onnx.ModelProto) -> None:
    assert GraphView(branching).expanded.model is branching
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    body = [helper.make_node("Conv", ["a", "k"], ["b"])]
    function = helper.make_function("own", "Block", ["a", "k"], ["b"], body, opsets[:1])
    model = make_model(
        [helper.make_node("Block", ["x", "w"], ["y"], domain="own")],
        [tensor("w", 200, 3, 1, 1)],
        opsets=opsets,
        functions=[function],
    )
    view = GraphView(model)
    assert [node.op_type for node in view.nodes] == ["Block"]
    assert [node.op_type for node in view.expanded.nodes] == ["Conv"]
    assert view.expanded.shape("y") == (1, 200, 8, 8)
    assert [value.name for value in view.expanded.inputs] == ["x"]
    assert view.expanded.is_fixed("w")
    assert view.expanded.shapes is view.shapes
    assert [t.name for t in view.expanded.stored] == ["w"]


def test_a_function_of_an_older_opset_is_written_out_with_its_stored_arguments() -> None:
    # ONNX's inliner raises the function's opset, for which it wants their types.
    body = [helper.make_node("Conv", ["a", "k"], ["b"])]
    function = helper.make_function(
        "own", "Block", ["a", "k"], ["b"], body, [helper.make_opsetid("", 17)]
    )
    model = make_model(
        [helper.make_node("Block", ["x", "w"], ["y"], domain="own")],
        [tensor("w", 2, 3, 1, 1)],
        opsets=[helper.make_opsetid("", 21), helper.make_opsetid("own", 1)],
        functions=[function],
    )
    assert GraphView(model).expanded.shape("y") == (1, 2, 8, 8)
    model.opset_import[0].version = 999
    with pytest.raises(InvalidModel, match="functions can't be written out"):
        _ = GraphView(model).expanded


def test_weights_that_an_old_file_lists_as_inputs_are_none(branching: onnx.ModelProto) -> None:
    value = helper.make_tensor_value_info("w", TensorProto.FLOAT, (3, 5, 1, 1))
    branching.graph.input.append(value)
    assert [value.name for value in GraphView(branching).inputs] == ["x"]


def test_a_view_is_made_once_and_passed_on(branching: onnx.ModelProto) -> None:
    view = GraphView(branching)
    assert GraphView.of(view) is view
    assert GraphView.of(branching).model is branching
    assert view.shapes is view.shapes
    assert view.types is view.types


def test_an_editor_is_a_view_that_follows_its_changes(branching: onnx.ModelProto) -> None:
    editor = GraphEditor(branching)
    conv = editor.by_name["conv"]
    added = editor.add_node("Relu", ["sum"], "sum")
    assert added == "sum_1"
    editor.set_input(conv, 0, added)
    assert names(editor.readers("sum_1")) == ["conv"]
    assert conv not in editor.readers("sum")
    doubled = editor.add_initializer("w", np.ones((2, 3, 1, 1), np.float32))
    editor.set_input(conv, 1, doubled)
    assert editor.is_constant(doubled)
    assert editor.consumers("w_t") == [(editor.by_name["narrow"], 0)]
    editor.remove(conv)
    assert editor.producer("y") is None
    assert conv not in list(editor.live_nodes())


def chain(op_type: str, length: int, operands: int = 1) -> onnx.ModelProto:
    """A weight through a chain of nodes, each of which reads what the one before it makes so many times."""
    nodes = [helper.make_node(op_type, [f"c{i}"] * operands, [f"c{i + 1}"]) for i in range(length)]
    nodes.append(helper.make_node("MatMul", ["x", f"c{length}"], ["y"]))
    return make_model(nodes, [tensor("c0", 4, 5)], ("batch", 4))


def test_a_chain_longer_than_calls_may_nest_has_its_value() -> None:
    model = chain("Identity", 2000)
    value = GraphView(model).constant("c2000")
    assert value is not None
    assert np.array_equal(value, numpy_helper.to_array(model.graph.initializer[0]))


def test_nodes_in_a_cycle_have_no_value() -> None:
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("p", "q"), ("q", "p"))]
    assert (
        GraphView(make_model([*nodes, helper.make_node("Relu", ["x"], ["y"])])).constant("q")
        is None
    )


@pytest.mark.parametrize(("length", "followed"), [(2**18, True), (2**18 + 1, False)])
def test_values_of_lists_are_followed_up_to_a_length(
    length: int, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    infer_shapes = onnx.shape_inference.infer_shapes

    def infer(model: onnx.ModelProto, **options: bool) -> onnx.ModelProto:
        asked.append(options.get("data_prop", False))
        return infer_shapes(model)  # the other takes hundreds of MB

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", infer)
    numbers = [
        helper.make_tensor(n, TensorProto.INT64, [], [v])
        for n, v in (("from", 0), ("to", length), ("by", 1))
    ]
    nodes = [
        helper.make_node("Range", ["from", "to", "by"], ["r"]),
        helper.make_node("Cast", ["r"], ["c"], to=1),
    ]
    model = make_model([*nodes, helper.make_node("Relu", ["x"], ["y"])], numbers)
    assert GraphView(model).shape("c") == (length,)
    assert (True in asked) is followed
