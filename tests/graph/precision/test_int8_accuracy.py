"""What int8 does for accuracy beyond scales: ranges that end where an activation does, means kept by the bias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from small_graphs import N, data, graph, quantised, random, run, snr_db

from deploykit import env
from deploykit.graph.precision import int8_cpu
from deploykit.graph.precision.saturation import useful_range
from deploykit.graph.view import GraphView

IMAGE = ["N", 3, 16, 16]
ONE = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}


def chain(*nodes: onnx.NodeProto, **weights: np.ndarray) -> GraphView:
    return GraphView(graph(list(nodes), IMAGE, weights | ONE, opset=20))


HARD_SWISH = (
    N("Add", ["x", "three"], ["a"]), N("Clip", ["a", "zero", "six"], ["c"]), N("Mul", ["x", "c"], ["m"]),
    N("Div", ["m", "six"], ["y"]),
)  # fmt: skip


HARD_SWISH_OF_C = (
    N("Add", ["c", "three"], ["a"]), N("Clip", ["a", "zero", "six"], ["k"]), N("Mul", ["c", "k"], ["m"]),
    N("Div", ["m", "six"], ["h"]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "low", "high"),
    [
        (HARD_SWISH, -3.0, 20.0),
        ((N("HardSwish", ["x"], ["y"]),), -3.0, 20.0),
        ((N("Relu", ["x"], ["y"]),), 0.0, 20.0),
        ((N("HardSigmoid", ["x"], ["y"], alpha=0.25, beta=0.5),), -2.0, 2.0),
        ((N("Tanh", ["x"], ["y"]),), -4.9, 4.9),
        ((N("LeakyRelu", ["x"], ["y"]),), -20.0, 20.0),
        ((N("Tanh", ["x"], ["t"]), N("Sub", ["x", "t"], ["y"])), -20.0, 20.0),
    ],
)
def test_a_range_ends_where_what_reads_it_stops_to_change(
    nodes: tuple[onnx.NodeProto, ...], low: float, high: float
) -> None:
    found = useful_range(chain(*nodes), "x", (-20.0, 20.0))
    assert found == pytest.approx((low, high), abs=0.1)


def test_a_range_stays_where_something_else_reads_the_tensor() -> None:
    beside = N("MatMul", ["y", "x"], ["z"])
    assert useful_range(chain(*HARD_SWISH, beside), "x", (-20.0, 20.0)) == (-20.0, 20.0)


def test_a_range_that_ends_at_zero_for_the_zero_point_is_not_cut_by_what_would_be_there() -> None:
    """Scores of a detector, all below zero: a sigmoid at zero would be a hundred times the largest of them."""
    sigmoid = chain(N("Sigmoid", ["x"], ["y"]))
    assert useful_range(sigmoid, "x", (-14.0, 0.0)) == (-14.0, 0.0)
    assert useful_range(sigmoid, "x", (-14.0, 0.1))[0] > -12.0
    # What comes out the same to the last bit is lost with no range.
    relu6 = chain(N("Clip", ["x", "zero", "six"], ["y"]))
    assert useful_range(relu6, "x", (0.0, 20.0)) == pytest.approx((0.0, 6.0), abs=0.02)
    negative = useful_range(chain(*HARD_SWISH), "x", (-20.0, 0.0))
    assert negative == pytest.approx((-3.0, 0.0), abs=0.02)


def test_a_convolution_before_a_hard_swish_has_finer_steps(tmp_path: Path) -> None:
    wide = 20 * random(8, 3, 3, 3)
    nodes = [
        N("Conv", ["x", "w"], ["v"]),
        N("HardSwish", ["v"], ["s"]),
        N("Conv", ["s", "u"], ["y"]),
    ]
    model = graph(nodes, IMAGE, {"w": wide, "u": random(4, 8, 1, 1)}, opset=14)
    made = quantised(model, tmp_path)
    low, high = made.recipe["ranges"]["v"]
    assert -3.1 < low <= -2.9
    assert high > 10
    x = data((3, 16, 16))
    assert snr_db(run(model, x), run(made.path, x)) > 35


@pytest.mark.parametrize(
    "nodes",
    [
        HARD_SWISH_OF_C,
        (N("Add", ["three", "c"], ["a"]), N("Clip", ["a", "zero", "six"], ["k"]),
         N("Div", ["k", "six"], ["g"]), N("Mul", ["g", "c"], ["h"])),
        (N("HardSigmoid", ["c"], ["g"], alpha=1 / 6, beta=0.5), N("Mul", ["c", "g"], ["h"])),
    ],
)  # fmt: skip
def test_a_hard_swish_written_out_is_one_operator(
    nodes: tuple[onnx.NodeProto, ...], tmp_path: Path
) -> None:
    model = graph(
        [N("Conv", ["x", "w"], ["c"]), *nodes, N("Conv", ["h", "u"], ["y"])], IMAGE,
        {"w": 3 * random(8, 3, 3, 3), "u": random(4, 8, 1, 1)} | ONE,
    )  # fmt: skip
    made = quantised(model, tmp_path)
    proto = onnx.load(made.path)
    found = [n.op_type for n in proto.graph.node if not n.op_type.endswith("Linear")]
    assert found == ["Conv", "HardSwish", "Conv"]
    x = data((3, 16, 16))
    assert snr_db(run(model, x), run(made.path, x)) > 35


def test_what_only_looks_like_a_hard_swish_stays(tmp_path: Path) -> None:
    other = {"three": np.float32(2.5), "zero": np.float32(0), "six": np.float32(6)}
    nodes = [
        N("Conv", ["x", "w"], ["c"]), *HARD_SWISH_OF_C, N("Constant", [], ["two"], value_float=2.0),
        N("Mul", ["h", "two"], ["t"]), N("Conv", ["t", "u"], ["y"]),
    ]  # fmt: skip
    model = graph(nodes, IMAGE, {"w": random(8, 3, 3, 3), "u": random(4, 8, 1, 1)} | other)
    kinds = {n.op_type for n in onnx.load(quantised(model, tmp_path).path).graph.node}
    assert "HardSwish" not in kinds


def biased() -> onnx.ModelProto:
    """Weights and activations whose rounding errors are all of one sign, and an average behind them."""
    small = np.full((4, 3, 1, 1), 0.0049, np.float32)
    small[:, 0] = 1.27  # steps of 0.01, of which half are lost
    weights = {"w": small, "u": random(8, 4, 3, 3), "b": random(8)}
    nodes = [
        N("Abs", ["x"], ["p"]), N("Conv", ["p", "w"], ["c"]), N("Relu", ["c"], ["r"]),
        N("Conv", ["r", "u", "b"], ["d"]), N("GlobalAveragePool", ["d"], ["y"]),
    ]  # fmt: skip
    return graph(nodes, IMAGE, weights)


def test_biases_take_up_what_rounding_takes_from_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = biased()
    x = data((3, 16, 16), seed=11)
    made = quantised(model, tmp_path)
    assert made.recipe["biases_corrected"] == 2
    corrected = snr_db(run(model, x), run(made.path, x))
    monkeypatch.setattr(int8_cpu, "correct_biases", lambda *_: 0)
    plain = snr_db(run(model, x), run(quantised(model, tmp_path).path, x))
    assert corrected > plain + 6


def test_biases_can_be_corrected_product_by_product_from_one_run(tmp_path: Path) -> None:
    model = biased()
    x = data((3, 16, 16), seed=11)
    made = quantised(model, tmp_path, steps=("bias-fast",))
    assert made.recipe["biases_corrected"] == 2
    corrected = snr_db(run(model, x), run(made.path, x))
    plain = snr_db(run(model, x), run(quantised(model, tmp_path, steps=()).path, x))
    assert corrected > plain + 6


def test_a_convolution_without_a_bias_gets_one(tmp_path: Path) -> None:
    made = quantised(biased(), tmp_path)
    proto = onnx.load(made.path)
    values = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    assert np.abs(values["c_bias_quantized"]).max() > 0


@pytest.mark.parametrize("in_int16", [True, False])
@pytest.mark.parametrize(
    ("node", "weight"),
    [
        (N("Conv", ["x", "w"], ["y"], name="p"), np.ones((3, 8, 3, 3), np.float32)),
        (N("Conv", ["x", "w"], ["y"], name="p"), -random(3, 8, 3, 3)),
        (N("MatMul", ["x", "w"], ["y"], name="p"), random(16, 5)),
        (N("MatMul", ["x", "w"], ["y"], name="p"), random(8, 16, 5)),
    ],
)
def test_pairs_of_products_fit_int16_where_the_processor_adds_them_there(
    node: onnx.NodeProto,
    weight: np.ndarray,
    in_int16: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(env, "adds_pairs_in_int16", lambda: in_int16)
    made = quantised(graph([node], ["N", 8, 16, 16], {"w": weight}), tmp_path)
    assert made.recipe.get("pairs_in_int16", False) is in_int16
    stored = next(t for t in onnx.load(made.path).graph.initializer if t.data_type == onnx.TensorProto.INT8
                  and "quantized" in t.name)  # fmt: skip
    steps = onnx.numpy_helper.to_array(stored).astype(int)
    if not in_int16:
        assert np.abs(steps).max() == 127
        return
    axis = 1 if node.op_type == "Conv" else -2
    first, second = np.moveaxis(steps, axis, 0)[:-1], np.moveaxis(steps, axis, 0)[1:]
    assert 100 < np.abs(first + second).max() <= 32767 // 255


def test_int8_is_not_clipped_on_the_way_whatever_the_processor(tmp_path: Path) -> None:
    # Values and weights at their largest: in int16 each pair of products would end at 32767.
    weight = random(16, 4) + np.float32(1.0)
    model = graph([N("MatMul", ["x", "w"], ["y"])], ["N", 8, 16], {"w": weight})
    made = quantised(model, tmp_path)
    x = np.full((2, 8, 16), 3.0, np.float32)
    assert snr_db(run(model, x), run(made.path, x)) > 35
