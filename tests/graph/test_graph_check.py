"""Files that a disk or a stranger has changed: one line, whatever is in them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import DeploykitError, InvalidModel
from deploykit.graph.count import count_graph
from deploykit.graph.origin import SPEC_KEY
from deploykit.graph.read_write import open_model, read_model


def network(input_shape=("N", 3, 8, 8)):
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "wwww")
    node = helper.make_node("Conv", ["xxxx", "wwww"], ["yyyy"], name="conv")
    x = helper.make_tensor_value_info("xxxx", TensorProto.FLOAT, input_shape)
    y = helper.make_tensor_value_info("yyyy", TensorProto.FLOAT, ["N", 4, 6, 6])
    graph = helper.make_graph([node], "graph", [x], [y], [weight], doc_string="docdoc")
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_name_that_is_no_text_is_refused_in_one_line(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(network().SerializeToString().replace(b"xxxx", b"xx\xf2x"))
    with pytest.raises(InvalidModel, match=r"not UTF-8 text; the file is damaged, copy it again"):
        read_model(path)


def test_remarks_that_are_no_text_are_dropped_as_runtimes_do(tmp_path):
    model = network()
    helper.set_model_props(model, {"author": "somebody"})
    path = tmp_path / "m.onnx"
    path.write_bytes(
        model.SerializeToString()
        .replace(b"docdoc", b"doc\xf2oc")
        .replace(b"somebody", b"some\xffody")
    )
    read = read_model(path)
    assert read.graph.doc_string == ""
    assert [p.key for p in read.metadata_props] == []
    assert read.graph.node[0].name == "conv"


@pytest.mark.parametrize("place", ["input", "weight", "value_info"])
def test_an_element_type_that_onnx_has_not_is_named(tmp_path, place):
    model = network()
    if place == "input":
        model.graph.input[0].type.tensor_type.elem_type = 33
    elif place == "weight":
        model.graph.initializer[0].data_type = 99
    else:
        info = model.graph.value_info.add(name="z")
        info.type.tensor_type.elem_type = 2147483647
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModel, match=r"has the element type (33|99|2147483647), which ONNX"):
        open_model(path)


@pytest.mark.parametrize("width", [2**31 - 1, 2**62])
def test_an_input_that_no_tensor_can_hold_is_refused_before_one_is_made(tmp_path, width):
    path = tmp_path / "m.onnx"
    path.write_bytes(network((1, 3, 8, width)).SerializeToString())
    with pytest.raises(InvalidModel, match="more than a tensor can have"):
        open_model(path)


@pytest.mark.parametrize(
    "claimed",
    [
        {"name": "../../etc"},
        {"name": "\x1b[31mred"},
        {"name": ""},
        {"name": ".."},
        {"name": "\ud800"},
        {"name": "n" * 300},
        {"name": "lenet5", "alpha": float("nan")},
        {"name": "lenet5", "alpha": 1e300},
        {"name": "lenet5", "rho": "0"},
        {"name": "lenet5", "resolution_px": -3},
        {"name": "lenet5", "weights": "../x"},
        {"name": 3},
    ],
)
def test_what_a_file_says_of_itself_and_can_not_be_is_not_believed(tmp_path, claimed):
    model = network()
    helper.set_model_props(model, {SPEC_KEY: json.dumps(claimed)})
    path = tmp_path / "mine.onnx"
    onnx.save(model, path)
    assert open_model(path).spec.label == "mine"


def test_bytes_changed_anywhere_give_a_model_or_one_line(tmp_path):
    random = np.random.default_rng(11)
    whole = np.frombuffer(network().SerializeToString(), np.uint8)
    path = tmp_path / "m.onnx"
    said = []
    for _ in range(300):
        damaged = whole.copy()
        places = random.integers(0, len(whole), random.integers(1, 4))
        damaged[places] = random.integers(0, 256, len(places))
        path.write_bytes(damaged.tobytes())
        try:
            open_model(path)
        except DeploykitError as error:
            said.append(str(error))
    assert said
    assert all(line.isprintable() for line in said)


def with_body(op_type, inputs, outputs, body_inputs, body_outputs, **attributes):
    """A network of one node with a body, which may take and make other numbers of tensors than the node."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in ("x", "y")]
    fed = [
        helper.make_tensor_value_info(f"b{i}", TensorProto.FLOAT, None) for i in range(body_inputs)
    ]
    made = [
        helper.make_tensor_value_info(f"c{i}", TensorProto.FLOAT, None) for i in range(body_outputs)
    ]
    source = "b0" if fed else "x"
    nodes = [helper.make_node("Identity", [source], [value.name]) for value in made]
    body = helper.make_graph(nodes, "body", fed, made)
    names = ("then_branch", "else_branch") if op_type == "If" else ("body",)
    stored = [
        helper.make_tensor("on", TensorProto.BOOL, [], [True]),
        helper.make_tensor("three", TensorProto.INT64, [], [3]),
    ]
    node = helper.make_node(
        op_type, inputs, outputs, "odd", **dict.fromkeys(names, body), **attributes
    )
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    "model",
    [
        with_body("If", ["on"], ["y", "z"], 0, 1),
        with_body("Loop", ["three", "on", "x"], ["y"], 3, 1),
        with_body("Loop", ["three", "on"], ["y", "z"], 2, 2),
        with_body("Loop", ["three", "on", "x", "x"], ["y"], 3, 2),
        with_body("Scan", ["x", "x"], ["y"], 1, 1, num_scan_inputs=3),
        with_body("Scan", ["x", "x"], ["y"], 2, 1, num_scan_inputs=1, scan_input_axes=[0, 0]),
        with_body("Scan", ["x", "x"], ["y"], 4, 1, num_scan_inputs=1),
        with_body("Scan", ["x"], ["y", "z"], 1, 1, num_scan_inputs=1),
    ],
)
def test_a_body_that_does_not_go_together_with_its_node_is_refused(tmp_path, model):
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(
        InvalidModel, match=r"not a valid ONNX graph|node 'odd' .* don't go together"
    ):
        read_model(tmp_path / "m.onnx")


def test_a_scan_along_an_axis_that_is_none_is_counted(tmp_path):
    model = with_body("Scan", ["x"], ["y"], 1, 1, num_scan_inputs=1, scan_input_axes=[7])
    onnx.save(model, tmp_path / "m.onnx")
    assert count_graph(read_model(tmp_path / "m.onnx")).macs == 0


def of_functions(calls):
    """A network that calls the first of some functions, which call others, or Relu, so many times."""
    functions = []
    for name, called in calls.items():
        names = ["a", *(f"m{i}" for i in range(len(called) - 1)), "b"]
        nodes = [
            helper.make_node(op, [names[i]], [names[i + 1]], domain="own" if op in calls else "")
            for i, op in enumerate(called)
        ]
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", name, ["a"], ["b"], nodes, opsets))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in ("x", "y"))
    node = helper.make_node(next(iter(calls)), ["x"], ["y"], domain="own")
    graph = helper.make_graph([node], "g", [x], [y])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ({"F": ["F"]}, "its function 'F' calls itself"),
        ({"F": ["G"], "G": ["H"], "H": ["Relu", "G"]}, "its function '.' calls itself"),
        (
            {f"F{i}": [f"F{i + 1}"] * 2 if i < 25 else ["Relu"] for i in range(26)},
            "written out it has 33,554,432 nodes, more than the 1,000,000",
        ),
    ],
)
def test_functions_without_an_end_or_number_are_refused_before_they_are_written_out(
    tmp_path, calls, said
):
    onnx.save(of_functions(calls), tmp_path / "m.onnx")
    with pytest.raises(InvalidModel, match=said):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_call_of_more_than_a_function_takes_or_makes_is_refused(tmp_path, side):
    model = of_functions({"F": ["Relu"]})
    call = next(node for node in model.graph.node if node.op_type == "F")
    getattr(call, side).append("x" if side == "input" else "more")
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InvalidModel, match=r"m\.onnx: node .* calls the function 'F' of 1 and 1"):
        read_model(tmp_path / "m.onnx")


def test_a_node_in_no_function_that_takes_the_attribute_of_one_is_refused(tmp_path):
    model = of_functions({"F": ["Relu"]})
    node = model.graph.node.add(op_type="Softmax", name="last", input=["y"], output=["z"])
    model.graph.output[0].name = "z"
    node.attribute.add(name="axis", ref_attr_name="w", type=onnx.AttributeProto.INT)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InvalidModel, match=r"node 'last' .Softmax. takes its 'axis' from the call"):
        read_model(tmp_path / "m.onnx")


def test_functions_that_are_called_often_are_read(tmp_path):
    calls = {f"F{i}": [f"F{i + 1}"] * 2 if i < 5 else ["Relu"] for i in range(6)}
    onnx.save(of_functions(calls), tmp_path / "m.onnx")
    assert len(read_model(tmp_path / "m.onnx").functions) == 6


def test_more_dimensions_than_a_tensor_can_have_are_refused(tmp_path):
    onnx.save(network([1] * 65), tmp_path / "m.onnx")
    with pytest.raises(InvalidModel, match="'xxxx' has 65 dimensions, more than the 64"):
        read_model(tmp_path / "m.onnx")
