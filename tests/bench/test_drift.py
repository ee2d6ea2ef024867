"""Drift of outputs, and layer by layer, whether or not a layer is folded or fused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.bench.columns import of_drift
from deploykit.bench.drift import (
    LayersRequest,
    compare,
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


def scores(values):
    return {"logits": np.array(values, np.float32)}


def test_equal_outputs_do_not_drift():
    outputs = scores([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]])
    drift = compare([outputs], [outputs])
    assert drift.max_abs == 0
    assert drift.cosine == pytest.approx(1.0)
    assert drift.snr_db == math.inf
    assert drift.kl == 0
    assert drift.top1_agreement == 1.0
    assert drift.images == 2


def test_figures_equal_those_worked_out_by_hand():
    drift = compare([scores([[3.0, 4.0]])], [scores([[4.0, 3.0]])])
    assert drift.max_abs == 1.0
    assert drift.cosine == pytest.approx(24 / 25)
    assert drift.snr_db == pytest.approx(10 * math.log10(25 / 2))
    assert drift.top1_agreement == 0.0
    p = 1 / (1 + math.e)
    assert drift.kl == pytest.approx((1 - 2 * p) * 1.0)


def test_several_runs_are_one_comparison():
    first, second = scores([[1.0, 0.0]]), scores([[0.0, 2.0]])
    moved = scores([[0.0, 5.0]])
    drift = compare([first, second], [first, moved])
    assert drift.images == 2
    assert drift.max_abs == 3.0
    assert drift.cosine == pytest.approx(11 / math.sqrt(5 * 26))
    assert drift.top1_agreement == 1.0


def test_every_output_counts_but_only_scores_have_a_best():
    reference = {"map": np.zeros((1, 2, 3, 3), np.float32), "boxes": np.ones((1, 4), np.float32)}
    moved = {"map": reference["map"], "boxes": reference["boxes"] + 0.5}
    drift = compare([reference], [moved])
    assert drift.max_abs == 0.5
    assert drift.top1_agreement is None
    assert drift.kl is None
    columns, notes = of_drift(drift, "fp32")
    assert columns["top1_agreement"] is None
    assert columns["drift_kl"] is None
    assert [str(note) for note in notes] == [
        "top1_agreement and drift_kl are blank: the first output is not one row of class scores"
    ]


def test_large_scores_do_not_overflow_the_softmax():
    found = softmax_divergence(
        np.array([[1e4, 0.0]], np.float32), np.array([[0.0, 1e4]], np.float32)
    )
    assert found == pytest.approx([1e4])


def test_half_precision_outputs_are_compared_in_full():
    reference = scores([[60000.0, 60000.0]])
    half = {"logits": reference["logits"].astype(np.float16)}
    assert compare([reference], [half]).cosine == pytest.approx(1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_fail(value):
    with pytest.raises(DriftFailed, match="output 'logits' has 1 of 2 values that are not finite"):
        compare([scores([[1.0, 2.0]])], [scores([[1.0, value]])])


def test_a_reference_that_is_not_finite_is_named_as_such():
    with pytest.raises(DriftFailed, match="the fp32 reference's output 'logits'"):
        compare([scores([[1.0, np.nan]])], [scores([[1.0, 2.0]])])


@pytest.mark.parametrize("found", [{"other": np.ones((1, 2))}, {"logits": np.ones((1, 3))}])
def test_outputs_of_another_graph_fail(found):
    with pytest.raises(DriftFailed, match="build the engine from the graph"):
        compare([scores([[1.0, 2.0]])], [found])


def test_an_all_zero_reference_has_no_ratio():
    drift = compare([scores([[0.0, 0.0]])], [scores([[0.0, 1.0]])])
    assert drift.snr_db is None
    assert drift.cosine is None


def test_integer_outputs_are_compared_too():
    drift = compare([{"class": np.array([3, 4])}], [{"class": np.array([3, 6])}])
    assert drift.max_abs == 2
    assert drift.top1_agreement is None


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


def test_values_that_are_not_finite_are_refused_with_the_layer(
    fp32: OnnxModel, tmp_path: Path
) -> None:
    broken = read_model(fp32.path)
    scale = next(t for t in broken.graph.initializer if t.name == "g")
    scale.CopyFrom(numpy_helper.from_array(np.full(4, np.inf, np.float32), "g"))
    onnx.save(broken, str(tmp_path / "broken.onnx"))
    with pytest.raises(DriftFailed, match="stem/Norm"):
        compare_layers(LayersRequest(fp32.path, tmp_path / "broken.onnx", None, 2, 0, 2))
