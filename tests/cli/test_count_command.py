"""`deploykit count`, from the command line."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


@pytest.fixture
def detector(tmp_path):
    """A convolution whose height and width are open: 8 filters of 3 x 3 x 3."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 3, "height", "width"])],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 8, "h", "w"])],
        [numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w")],
    )
    path = tmp_path / "detector.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_json_has_totals_operators_and_what_was_taken(run, detector):
    ended = run("count", detector, "--json", "-q")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    assert (found["parameters"], found["macs"], found["flops"]) == (
        216,
        222 * 222 * 216,
        2 * 222 * 222 * 216,
    )
    assert [one["operator"] for one in found["by_operator"]] == ["Conv"]
    assert not found["lower_bound"]
    assert "height=224" in found["notes"][0]
    assert "height=224" in ended.err


def test_sizes_are_given_as_in_every_command_and_the_csv_sums_up(run, detector):
    ended = run("count", detector, "--shape", "x=1x3x10x12", "--csv", "-", "-q")
    assert (ended.code, ended.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["operator"] for row in rows] == ["Conv", "total"]
    assert {row["macs"] for row in rows} == {str(8 * 10 * 216)}
    ended = run("count", detector, "--dim", "height=10", "--dim", "width=12", "--csv", "-", "-q")
    assert list(csv.DictReader(io.StringIO(ended.out))) == rows


def test_names_and_files_stand_in_one_table_which_says_what_is_counted(run, detector):
    ended = run("count", "lenet5", "mobilenet", detector, "--alpha", "1,0.25", "-q")
    assert ended.code == 0, ended.err
    assert "mobilenet-a0.25" in ended.out
    assert "416,520" in ended.out
    assert "833,040" in ended.out
    assert "FLOPs are two for each" in ended.out


def test_the_operators_of_one_network_are_listed_those_with_most_work_first(run):
    ended = run("count", "lenet5", "-q")
    assert ended.code == 0, ended.err
    lines = [line.split() for line in ended.out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("Conv", "Gemm", "Tanh")] == [
        "Conv",
        "Gemm",
        "Tanh",
    ]
    assert ["total", "11", "61,706", "416,520", "100.0%", "833,040", "0.06"] in lines


def test_a_lower_bound_is_called_one_with_the_reason(run, tmp_path):
    nodes = [helper.make_node("DFT", ["x"], ["y"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 16, 1])],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 16, 2])],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "dft.onnx")
    ended = run("count", tmp_path / "dft.onnx", "-q")
    assert ended.code == 0, ended.err
    why = "how many products it takes depends on the algorithm of the runtime"
    assert f"a lower bound, 0 MACs and those of DFT (DFT: {why})" in " ".join(ended.out.split())
    assert "≥ 0" in ended.out
    (found,) = json.loads(run("count", tmp_path / "dft.onnx", "-q", "--json").out)
    assert (found["lower_bound"], found["uncounted"]) == (True, {"DFT": 1})
    page = run("count", tmp_path / "dft.onnx", "-q", "--markdown", "-").out
    assert "| DFT | 1 | 0 | ≥ 0 |" in page


@pytest.mark.parametrize(
    ("operator", "domain", "uncounted"),
    [
        ("EfficientNMS_TRT", "TRT", {}),
        ("EfficientNMS_TRT", "", {}),
        ("PillarScatterPlugin", "", {"PillarScatterPlugin": 1}),
        ("Deform", "somebody", {"somebody.Deform": 1}),
    ],
)
def test_a_file_that_no_runtime_here_could_run_is_counted(
    run, tmp_path, operator, domain, uncounted
):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["boxes"]),
        helper.make_node(operator, ["boxes", "scores"], ["count", "y"], domain=domain),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", FLOAT, ["N", 10, 8]),
            helper.make_tensor_value_info("scores", FLOAT, ["N", 10, 3]),
        ],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 5, 4])],
        [numpy_helper.from_array(np.ones((8, 4), np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    path = tmp_path / "detector.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    (found,) = json.loads(run("count", path, "-q", "--json").out)
    assert (found["macs"], found["parameters"]) == (320, 32)
    assert found["uncounted"] == uncounted
    assert run("build", path, "-q").code != 0


def test_a_factory_is_counted_without_an_export(run, tmp_path):
    (tmp_path / "counted_factory.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Conv2d(3, 4, 3)\n"
    )
    ended = run("count", "counted_factory:net", "--resolution", "8", "--json", "-q")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    assert (found["parameters"], found["macs"]) == (112, 36 * 108)
    assert not list(tmp_path.glob("*.onnx"))


def test_the_rest_is_counted_where_one_file_is_damaged(run, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    ended = run("count", tmp_path / "bad.onnx", "lenet5", "-q")
    assert ended.code == 2
    assert "61,706" in ended.out
    assert ended.err.count("\n") == 1
    assert "not counted: " in ended.err


def test_brackets_in_names_are_shown_as_they_are(run, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["a[/b]"], ["y[0]"], "r")],
        "g",
        [helper.make_tensor_value_info("a[/b]", FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y[0]", FLOAT, [1, 4])],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, tmp_path / "net[x].onnx")
    ended = run("count", tmp_path / "net[x].onnx", "-q")
    assert ended.code == 0, ended.err
    assert "net[x], a[/b]=1x4 float32" in ended.out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_tables_fit_a_terminal_and_no_heading_is_cut(run, monkeypatch, detector, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in ((detector,), (detector, "lenet5", "vgg16")):
        ended = run("count", *arguments, "-q")
        table = ended.out.partition("\n\n")[0].splitlines()[:-1]
        assert max(map(len, table)) <= width
        headings = next(line for line in table if "parameters" in line)
        assert "MACs" in headings
        known = (
            "operator nodes parameters MACs of all FLOPs outputs MB network inputs weights"
        ).split()
        assert set(headings.split()) <= set(known)
        assert width == 80 or ("FLOPs" in headings) == (width == 120)


def test_files_of_one_name_are_told_apart_in_the_table(run, detector):
    other = detector.parent / "other" / detector.name
    other.parent.mkdir()
    other.write_bytes(detector.read_bytes())
    ended = run("count", detector, other, "-q")
    assert f"{detector.parent.name}/detector" in ended.out
    assert "other/detector" in ended.out


def test_a_node_whose_operands_do_not_fit_is_refused_and_named(run, detector):
    ended = run("count", detector, "--shape", "x=1x3x2x2", "-q")
    assert ended.code == 2
    assert "(Conv): its input 1x3x2x2 is smaller than its kernel 3x3" in ended.err
    assert ended.err.count("\n") == 1
    for command in ("build", "export", "profile", "layers"):
        ended = run(command, detector, "--shape", "x=1x3x2x2", "-q")
        assert ended.code == 2
        assert "its input 1x3x2x2 is smaller than its kernel 3x3" in ended.err


def test_what_holds_for_several_networks_is_said_once(run):
    ended = run("count", "lenet5", "mlp", "-q")
    assert ended.out.count("all that multiplies is counted") == 1
    assert "lenet5, mlp: all that multiplies is counted" in ended.out
