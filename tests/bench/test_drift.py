"""Drift of outputs, and layer by layer, whether or not a layer is folded or fused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.bench.drift import (
    LayersRequest,
    compare_layers,
    layer_drift,
    softmax_divergence,
)
from deploykit.errors import DriftFailed
from deploykit.graph.calibrate import synthetic_calibration
from deploykit.graph.lineage import follow, layers
from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model, read_model, save_model
from deploykit.spec import OnnxModel


def test_large_scores_do_not_overflow_the_softmax():
    found = softmax_divergence(
        np.array([[1e4, 0.0]], np.float32), np.array([[0.0, 1e4]], np.float32)
    )
    assert found == pytest.approx([1e4])


def small(names: bool = True) -> onnx.ModelProto:
    """Convolution, BatchNorm, ReLU, pooling and a product; the first is left unnamed on request."""
    random = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    positive = numpy_helper.from_array(np.full(4, 1.5, np.float32), "v")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="stem/Conv" if names else ""),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"], name="stem/Norm"),
        helper.make_node("Relu", ["n"], ["r"], name="stem/Relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "k"], ["y"], name="head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 5))],
        [
            weight("w", 4, 3, 3, 3),
            *(weight(name, 4) for name in "gbm"),
            positive,
            weight("k", 5, 4),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def fp32(tmp_path: Path) -> OnnxModel:
    save_model(small(), tmp_path / "small.onnx")
    return open_model(tmp_path / "small.onnx")


@pytest.fixture
def int8(fp32: OnnxModel, tmp_path: Path) -> OnnxModel:
    calibration = synthetic_calibration((3, 8, 8), count=4)
    return convert(fp32, "int8", "cpu", tmp_path / "int8.onnx", calibration)


def test_every_layer_has_a_drift_although_int8_folds_and_fuses(
    fp32: OnnxModel, int8: OnnxModel
) -> None:
    found = layer_drift(fp32, int8, images=4)
    assert list(found) == [layer.node for layer in layers(read_model(fp32.path))]
    assert found["stem/Conv"].measured_at == "stem/Norm"
    assert found["stem/Conv"].snr_db == found["stem/Norm"].snr_db
    for drift in found.values():
        assert drift.snr_db is not None
        assert 15 < drift.snr_db < 80
        assert drift.cosine is not None
        assert 0.95 < drift.cosine <= 1.0
        assert drift.max_abs > 0


def test_the_same_graph_has_no_drift(fp32: OnnxModel) -> None:
    for drift in layer_drift(fp32, fp32, images=2).values():
        assert drift.snr_db == math.inf
        assert drift.max_abs == 0


def test_a_layer_read_quantised_is_compared_dequantised(fp32: OnnxModel, int8: OnnxModel) -> None:
    followed = follow(read_model(fp32.path), read_model(int8.path))
    assert followed["stem/Relu"].tensor == "r_dequantized"
    assert followed["head"].tensor == "y"


def test_the_result_does_not_depend_on_how_images_are_batched(
    fp32: OnnxModel, int8: OnnxModel
) -> None:
    whole = compare_layers(LayersRequest(fp32.path, int8.path, None, 6, 0, 6))
    parts = compare_layers(LayersRequest(fp32.path, int8.path, None, 6, 0, 2))
    for a, b in zip(whole, parts, strict=True):
        assert a.snr_db == pytest.approx(b.snr_db, abs=1e-3)


def test_only_the_layers_asked_for_are_compared(fp32: OnnxModel, int8: OnnxModel) -> None:
    assert list(layer_drift(fp32, int8, images=2, only=["head"])) == ["head"]


def test_a_node_without_a_name_goes_by_its_output(tmp_path: Path) -> None:
    save_model(small(names=False), tmp_path / "unnamed.onnx")
    model = open_model(tmp_path / "unnamed.onnx")
    assert next(iter(layer_drift(model, model, images=2))) == "c"


def test_infinities_of_the_reference_are_left_out(tmp_path: Path) -> None:
    mask = np.triu(np.full((6, 6), -np.inf, np.float32), 1)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"], "scores"),
        helper.make_node("Add", ["s", "mask"], ["m"], "masked"),
        helper.make_node("Softmax", ["m"], ["y"], "weights", axis=-1),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 6, 6]) for n in "xy"]
    weight = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    stored = [numpy_helper.from_array(v, n) for n, v in (("w", weight), ("mask", mask))]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], stored)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "a.onnx")
    source = open_model(tmp_path / "a.onnx")
    half = convert(source, "fp16", "cpu", tmp_path / "half.onnx")
    rows = compare_layers(LayersRequest(source.path, half.path, None, 2, 0, 2))
    assert [row.node for row in rows] == ["scores", "masked", "weights"]
    assert all(row.snr_db is not None and 40 < row.snr_db < math.inf for row in rows)


def test_a_table_beside_images_does_not_count_as_images(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Abs", ["x"], ["y"], "images"),
        helper.make_node("Abs", ["t"], ["u"], "table"),
    ]
    shapes: dict[str, list[str | int]] = {"x": ["N", 6], "t": [7, 2], "y": ["N", 6], "u": [7, 2]}
    ports = [info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "g", ports[:2], ports[2:])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "a.onnx")
    source = open_model(tmp_path / "a.onnx")
    rows = compare_layers(LayersRequest(source.path, source.path, None, 4, 0, 2))
    assert [row.images for row in rows] == [4, 4]


def test_values_that_are_not_finite_are_refused_with_the_layer(
    fp32: OnnxModel, tmp_path: Path
) -> None:
    broken = read_model(fp32.path)
    scale = next(t for t in broken.graph.initializer if t.name == "g")
    scale.CopyFrom(numpy_helper.from_array(np.full(4, np.inf, np.float32), "g"))
    onnx.save(broken, str(tmp_path / "broken.onnx"))
    with pytest.raises(DriftFailed, match="stem/Norm"):
        compare_layers(LayersRequest(fp32.path, tmp_path / "broken.onnx", None, 2, 0, 2))
