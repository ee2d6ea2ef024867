"""An engine whose outputs are not numbers is not built; one that is not run here is left alone."""

from __future__ import annotations

from pathlib import Path

import cuda_double
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends import get
from deploykit.errors import BuildFailed, DriftFailed
from deploykit.spec import BuildOptions
from deploykit.store import EngineManifest, Store
from deploykit.workflow.build import build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import obtain_network


def write(path: Path, scale: float, *, function: str = "Relu") -> Path:
    """x -> a product, `function`, another product -> y."""
    matrix = numpy_helper.from_array(np.full((4, 4), scale, np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node(function, ["a"], ["b"], "between"),
        helper.make_node("MatMul", ["b", "w"], ["y"], "second"),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [matrix])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def build(tmp_path):
    store = Store(tmp_path / "engines")

    def make(path: Path, precision: str, backend: str = "onnxruntime"):
        network = obtain_network(path, store)
        choice = CalibrationChoice(synthetic=True)
        return build_network(network, precision, get(backend), BuildOptions(), choice, store)

    make.store = store
    return make


def test_activations_that_overflow_fp16_stay_in_fp32_and_the_rest_does_not(build, tmp_path):
    path = write(tmp_path / "large.onnx", 1e3)
    assert build(path, "fp32")
    kept = build(path, "fp16").model.recipe["kept_by_value"]
    assert list(kept) == ["second"]
    assert "y reaches 2.22e+06" in kept["second"]


def test_fp16_that_is_not_finite_fails_its_build_and_leaves_no_engine(
    in_place, build, tmp_path, monkeypatch
):
    path = write(tmp_path / "large.onnx", 1e3)
    assert build(path, "fp32")
    from deploykit.graph.precision import floats

    monkeypatch.setattr(floats, "_peaks", lambda *_: {})  # as if nothing had been measured
    with pytest.raises(DriftFailed, match=r"large fp16 on onnxruntime: output 'y' has .*--keep"):
        build(path, "fp16")
    names = [entry.manifest.precision for entry in build.store.entries(EngineManifest)]
    assert names == ["fp32"]


def test_fp32_that_is_not_finite_is_not_told_to_use_another_precision(build, tmp_path):
    with pytest.raises(DriftFailed, match="not finite; train or export it again"):
        build(write(tmp_path / "log.onnx", 1.0, function="Log"), "fp32")


def write_masked(path: Path) -> Path:
    """Steps over the length that a mask gives each: no number where it leaves one out."""
    nodes = [
        helper.make_node("Cast", ["keep"], ["k"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Mul", ["a", "k"], ["b"], "masked"),
        helper.make_node("Div", ["b", "k"], ["c"], "mean"),
        helper.make_node("MatMul", ["c", "w"], ["y"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 4]),
            helper.make_tensor_value_info("keep", TensorProto.BOOL, ["n", 8, 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


NAMED = "not finite.*; keep was fed range\\(0,1\\): give what it takes with --input keep="


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_made_up_masks_are_named_where_they_leave_no_number(build, tmp_path, precision):
    """The network was to be trained again, or its images to be scaled otherwise."""
    path = write_masked(tmp_path / "masked.onnx")
    with pytest.raises(DriftFailed, match=NAMED) as caught:
        build(path, precision)
    assert "again" not in str(caught.value)
    assert "scaling" not in str(caught.value)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_data_for_what_would_be_guessed_is_what_an_engine_is_tried_with(tmp_path, precision):
    """A network whose data is sound was refused for a made-up mask that masks all."""
    random = np.random.default_rng(0)
    arrays = {
        "x": random.normal(size=(20, 8, 4)).astype(np.float32),
        "keep": np.ones((20, 8, 1), bool),
    }
    np.savez(tmp_path / "own.npz", **arrays)
    store = Store(tmp_path / "engines")
    network = obtain_network(write_masked(tmp_path / "masked.onnx"), store)
    choice = CalibrationChoice(data=f"npz:{tmp_path / 'own.npz'}")
    assert build_network(network, precision, get("onnxruntime"), BuildOptions(), choice, store)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_infinities_that_the_network_stores_are_meant(build, tmp_path, precision):
    # scores of classes that are not to be chosen
    path = write(tmp_path / "masked.onnx", 1.0)
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "scores"
    model.graph.node.append(helper.make_node("Where", ["allowed", "scores", "never"], ["y"]))
    allowed = np.asarray([True, False, True, True])
    model.graph.initializer.append(numpy_helper.from_array(allowed, "allowed"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([-np.inf]), "never"))
    onnx.save(model, path)
    assert build(path, precision)


def test_an_infinite_bound_does_not_make_infinite_outputs_right(build, tmp_path):
    path = write(tmp_path / "bound.onnx", 1.0, function="Exp")
    model = onnx.load(path)
    model.graph.node[0].input[0] = "far"
    nodes = [helper.make_node("Mul", ["x", "large"], ["far"]), *model.graph.node]
    nodes[-1].output[0] = "scores"
    nodes.append(helper.make_node("Clip", ["scores", "", "never"], ["y"]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, value in (("large", 1e6), ("never", np.inf)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    onnx.save(model, path)
    with pytest.raises(DriftFailed, match="not finite; train or export it again"):
        build(path, "fp32")


def test_what_is_built_for_a_device_that_is_not_here_is_left_alone(build, tmp_path, cuda):
    cuda.show(cuda_double.no_driver())
    assert build(write(tmp_path / "log.onnx", 1.0, function="Log"), "fp32", "tensorrt-rtx")


def test_an_engine_that_does_not_run_is_one_line(in_place, build, tmp_path, monkeypatch):
    from deploykit.backends.onnxruntime import OnnxRuntimeSession

    def fail(self, feeds):
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(OnnxRuntimeSession, "run", fail)
    with pytest.raises(BuildFailed, match="built the engine but can't run it: no such kernel"):
        build(write(tmp_path / "net.onnx", 1.0), "fp32")


def test_a_strict_build_refuses_what_would_stay_in_fp32_by_itself(build, tmp_path):
    from deploykit.workflow.convert import convert_network

    nodes = [helper.make_node("Add", ["x", "eps"], ["a"]), helper.make_node("Log", ["a"], ["y"])]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in "xy"]
    tiny = numpy_helper.from_array(np.asarray(1e-10, np.float32), "eps")
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [tiny])
    path = tmp_path / "eps.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path
    )
    network = obtain_network(path, build.store)
    lenient = CalibrationChoice(synthetic=True)
    model = convert_network(network, "fp16", "cpu", lenient, build.store)
    assert set(model.recipe["kept_by_value"]) == {"a", "y"}
    with pytest.raises(DriftFailed, match=r"eps is 1e-10.*--strict"):
        convert_network(
            network, "fp16", "cpu", CalibrationChoice(synthetic=True, strict=True), build.store
        )
