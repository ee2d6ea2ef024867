"""Networks whose weights don't fit into one protobuf message, with the limit of 2 GB set to a few kB."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cuda_double
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit import env
from deploykit.backends import get
from deploykit.errors import InvalidModel
from deploykit.graph.count import count_graph
from deploykit.graph.read_write import LIMIT_VARIABLE, read_model, save_model, weights_path
from deploykit.spec import BuildOptions
from deploykit.store import Store, file_sha256
from deploykit.workflow.build import build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.export import write_network
from deploykit.workflow.network import Network, obtain_network

WIDTH, LAYERS = 64, 3
#: Below the weights in int8, and above the graph without them.
LIMIT_BYTES = 10_000


def dense(path: Path) -> Path:
    """A chain of dense layers with its weights in another file, in an order and at places of its own."""
    generator = np.random.default_rng(0)
    nodes, tensors, name = [], [], "x"
    for index in range(LAYERS):
        weight = generator.normal(0, (2 / WIDTH) ** 0.5, (WIDTH, WIDTH)).astype(np.float32)
        bias = generator.normal(0, 0.1, WIDTH).astype(np.float32)
        tensors += [
            numpy_helper.from_array(weight, f"w{index}"),
            numpy_helper.from_array(bias, f"b{index}"),
        ]
        nodes.append(
            helper.make_node(
                "Gemm", [name, f"w{index}", f"b{index}"], [f"g{index}"], f"gemm{index}"
            )
        )
        nodes.append(helper.make_node("Relu", [f"g{index}"], [f"r{index}"], f"relu{index}"))
        name = f"r{index}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dense",
        [value("x", TensorProto.FLOAT, ["n", WIDTH])],
        [value(name, TensorProto.FLOAT, ["n", WIDTH])],
    )
    graph.initializer.extend(tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LIMIT_VARIABLE, str(LIMIT_BYTES))
    (tmp_path / "theirs").mkdir()
    return dense(tmp_path / "theirs" / "dense.onnx")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def network(file: Path, store: Store) -> Network:
    return obtain_network(file, store)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, WIDTH)).astype(np.float32)


def outside(path: Path) -> set[str]:
    model = onnx.load(path, load_external_data=False)
    return {t.name for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL}


def test_it_is_taken_in_with_its_weights_beside_the_graph_and_their_digest(network, file, store, x):
    path = network.model.path
    assert outside(path) == {"w0", "w1", "w2"}
    assert weights_path(path).is_file()
    manifest = path.with_name("manifest.json")
    digest = file_sha256(weights_path(path))
    assert f'"model.onnx.data": "{digest}"' in manifest.read_text()
    assert obtain_network(file, store).hit
    np.testing.assert_array_equal(run(path, x), run(file, x))
    assert network.facts["macs"] == LAYERS * WIDTH * WIDTH
    assert network.facts["parameters"] == LAYERS * (WIDTH * WIDTH + WIDTH)
    assert network.facts["weight_bytes"] == 4 * network.facts["parameters"]


def test_its_weights_are_never_in_memory_when_it_is_read(network):
    model = read_model(network.model.path)
    large = [t for t in model.graph.initializer if len(t.dims) == 2]
    assert len(large) == LAYERS
    assert all(t.data_location == TensorProto.EXTERNAL and not t.raw_data for t in large)
    assert model.ByteSize() < 4 * WIDTH * WIDTH


def test_an_entry_whose_weights_were_cut_is_made_again(network, file, store):
    data = weights_path(network.model.path)
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    again = obtain_network(file, store)
    assert not again.hit
    assert data.read_bytes() == whole


def test_an_export_has_two_files_that_go_together(network, tmp_path, x):
    exported = write_network(network, tmp_path / "mine.onnx")
    assert sorted(p.name for p in tmp_path.glob("*mine*")) == ["mine.onnx", "mine.onnx.data"]
    assert exported.file_bytes == sum(p.stat().st_size for p in tmp_path.glob("mine*"))
    np.testing.assert_array_equal(run(tmp_path / "mine.onnx", x), run(network.model.path, x))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_it_is_converted_and_built_for_onnx_runtime(precision, network, store, x):
    choice = CalibrationChoice(synthetic=True, images=8)
    built = build_network(network, precision, get("onnxruntime"), BuildOptions(), choice, store)
    assert outside(built.model.path)
    engine = built.engine
    assert outside(engine.path)
    assert engine.manifest["bytes"] == sum(
        p.stat().st_size for p in engine.path.parent.iterdir() if p.name != "manifest.json"
    )
    assert sorted(p.name for p in engine.path.parent.iterdir()) == [
        "engine.onnx", "engine.onnx.data", "manifest.json",
    ]  # fmt: skip
    assert engine.manifest["onnx_bytes"] > LIMIT_BYTES
    with get("onnxruntime").load(engine) as session:
        (given,) = session.run({"x": x}).values()
    expected = run(network.model.path, x)
    assert np.linalg.norm(given - expected) < 0.05 * np.linalg.norm(expected)
    assert "fp32" in engine.precision_actual or precision == "int8"


def test_openvino_finds_the_weights_of_its_engine(network, store, x):
    pytest.importorskip("openvino")
    backend = get("openvino")
    built = build_network(network, "fp32", backend, BuildOptions(), CalibrationChoice(), store)
    with backend.load(built.engine) as session:
        (given,) = session.run({"x": x}).values()
    np.testing.assert_allclose(given, run(network.model.path, x), rtol=1e-3, atol=1e-4)


def test_tensorrt_is_told_where_the_weights_are(network, store, cuda):
    cuda.show(cuda_double.no_driver())  # it is built, and run by others
    built = build_network(
        network, "fp16", get("tensorrt-rtx"), BuildOptions(), CalibrationChoice(), store
    )
    assert outside(built.model.path)
    assert built.engine.precision_actual == "fp16"


def test_old_files_that_list_weights_as_inputs_are_built_too(file, store, x):
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
        )
    old = file.with_name("old.onnx")
    onnx.save(model, old, save_as_external_data=True, location="old.bin", size_threshold=0)
    network = obtain_network(old, store)
    built = build_network(
        network, "fp32", get("onnxruntime"), BuildOptions(), CalibrationChoice(), store
    )
    assert outside(built.engine.path)
    np.testing.assert_allclose(run(built.engine.path, x), run(file, x), rtol=1e-4, atol=1e-5)


def test_a_network_above_the_memory_left_is_refused_with_its_size(file, store, monkeypatch):
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 12_000)
    monkeypatch.setattr(env, "LITTLE_BYTES", 0)
    with pytest.raises(
        InvalidModel, match=r"weights take .* GB, more than the 1\.2e-05 GB of memory left"
    ):
        read_model(file)


def test_a_weight_of_another_size_than_its_shape_is_refused(file):
    model = onnx.load(file, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "length":
            entry.value = str(4 * WIDTH * WIDTH - 4)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModel, match="'w0' holds 16380 bytes where its shape"):
        read_model(file)


def test_equal_models_give_equal_files_and_small_ones_stay_whole(file, tmp_path, monkeypatch):
    model = read_model(file)
    first, second = tmp_path / "a" / "m.onnx", tmp_path / "b" / "m.onnx"
    digests = []
    for path in (first, second):
        path.parent.mkdir()
        digests.append(save_model(model, path))
    assert digests[0] == digests[1]
    assert first.read_bytes() == second.read_bytes()
    assert weights_path(first).read_bytes() == weights_path(second).read_bytes()
    monkeypatch.delenv(LIMIT_VARIABLE)
    whole = read_model(first)
    save_model(whole, tmp_path / "whole.onnx")
    assert not weights_path(tmp_path / "whole.onnx").exists()
    assert count_graph(tmp_path / "whole.onnx") == dataclasses.replace(count_graph(first))
