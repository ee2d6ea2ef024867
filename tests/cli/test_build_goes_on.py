"""`build` builds what can be built, says what can't, and ends with the worst code."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import DriftFailed, InvalidModel


@pytest.fixture
def overflowing(tmp_path):
    """A network with a weight that fp16 has not."""
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    weight[0, 0, 0, 0] = 1e6
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 32, 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "overflowing.onnx"
    onnx.save(model, path)
    return str(path)


ALL = ("--precision", "fp32,fp16,int8", "--synthetic-calibration", "-q")


def test_what_can_be_built_is_listed_and_the_rest_said_in_a_line(run, overflowing, monkeypatch):
    from deploykit.workflow import build

    def refusing(network, precision, **rest):
        if precision == "fp16":
            raise DriftFailed("it overflows; keep it")
        return built(network, precision, **rest)

    built = build.build_network
    monkeypatch.setattr(build, "build_network", refusing)
    ended = run("build", overflowing, *ALL)
    assert ended.code == DriftFailed.exit_code
    assert "fp32-onnxruntime" in ended.out
    assert "int8-onnxruntime" in ended.out
    (line,) = [line for line in ended.err.splitlines() if "not built" in line]
    assert line.startswith("deploykit: not built: overflowing fp16 onnxruntime: ")


def test_a_file_that_is_none_does_not_keep_others_from_being_exported(run, overflowing, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07nonsense")
    broken = str(tmp_path / "broken.onnx")
    ended = run("export", broken, overflowing, "-o", "out/", "-q", "--json")
    assert ended.code == InvalidModel.exit_code
    (written,) = json.loads(ended.out)
    assert written["path"] == "out/overflowing-checked.onnx"
    assert (tmp_path / written["path"]).is_file()
    assert "deploykit: not exported: out/broken-checked.onnx: " in ended.err
    alone = run("export", broken, "-o", "out/", "-q")
    assert (alone.code, alone.out, alone.err.count("\n")) == (InvalidModel.exit_code, "", 1)


def test_a_file_that_is_none_does_not_keep_others_from_being_built(run, overflowing, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07nonsense")
    ended = run("build", str(tmp_path / "broken.onnx"), overflowing, "-q", "--json")
    assert ended.code == InvalidModel.exit_code
    (engine,) = json.loads(ended.out)
    assert engine["precision"] == "fp32"
    assert "not built: broken.onnx: " in ended.err


@pytest.mark.parametrize("order", [1, -1], ids=["the worst last", "the worst first"])
def test_of_several_that_fail_the_worst_tells_the_code(run, overflowing, tmp_path, order):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07nonsense")
    networks = [str(tmp_path / "broken.onnx"), overflowing][::order]
    ended = run("build", *networks, "--precision", "fp32,fp16", "--strict", "-q", "--json")
    assert InvalidModel.exit_code < DriftFailed.exit_code == ended.code
    (engine,) = json.loads(ended.out)
    assert engine["precision"] == "fp32"
    failed = [line for line in ended.err.splitlines() if "not built" in line]
    reasons = ["broken.onnx: ", "overflowing fp16 onnxruntime: "][::order]
    assert len(failed) == 2
    for line, reason in zip(failed, reasons, strict=True):
        assert line.startswith(f"deploykit: not built: {reason}")


def test_one_that_fails_alone_is_one_line(run, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07nonsense")
    ended = run("build", str(tmp_path / "broken.onnx"), "-q")
    assert ended.code == InvalidModel.exit_code
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1


def test_help_says_what_a_command_does_without_docstrings():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "deploykit", "build", "--help"],
        capture_output=True,
        text=True,
    )
    assert "Build engines and check that each computes" in done.stdout
    assert "deploykit build mobilenet --precision fp32,int8" in done.stdout
