"""Hard swishes between integer layers: in integers where ONNX Runtime runs them, with the same values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from small_graphs import N, data, graph, quantised, random, run, snr_db

from deploykit.backends.onnxruntime import OnnxRuntimeCpu
from deploykit.graph.precision.hard_swish import hard_swishes_in_integers
from deploykit.spec import BuildOptions

IMAGE = ["N", 3, 16, 16]


def swished(*more: onnx.NodeProto, reads: str = "h") -> onnx.ModelProto:
    nodes = [
        N("Conv", ["x", "w"], ["c"]), N("HardSwish", ["c"], ["h"], name="swish"), *more,
        N("Conv", [reads, "u"], ["y"]),
    ]  # fmt: skip
    weights = {"w": 3 * random(8, 3, 3, 3), "u": random(4, 8, 1, 1)}
    return graph(nodes, IMAGE, weights, opset=14)


def test_between_integer_layers_it_is_an_addition_and_a_multiplication(tmp_path: Path) -> None:
    model = swished()
    made = quantised(model, tmp_path)
    before = onnx.load(made.path)
    after = onnx.load(made.path)
    assert hard_swishes_in_integers(after) == 1
    kinds = [n.op_type for n in after.graph.node if not n.op_type.endswith("Linear")]
    assert kinds == ["Conv", "Add", "Mul", "Conv"]
    assert [n.name for n in after.graph.node if n.op_type == "Mul"] == ["swish"]
    x = data((3, 16, 16))
    assert snr_db(run(before, x), run(after, x)) > 38
    assert snr_db(run(model, x), run(after, x)) > 35


def test_an_engine_of_onnx_runtime_has_it_in_integers(tmp_path: Path) -> None:
    made = quantised(swished(), tmp_path)
    OnnxRuntimeCpu().build(made, BuildOptions(), tmp_path / "engine.onnx")
    engine = onnx.load(tmp_path / "engine.onnx")
    kinds = [n.op_type for n in engine.graph.node]
    assert not {"HardSwish", "HardSigmoid"} & set(kinds)
    assert kinds.count("QLinearAdd") == kinds.count("QLinearMul") == 1
    assert kinds.count("DequantizeLinear") == 1  # of the output


def test_a_pool_behind_it_stays_in_integers(tmp_path: Path) -> None:
    pooled = swished(N("GlobalAveragePool", ["h"], ["p"]), reads="p")
    OnnxRuntimeCpu().build(quantised(pooled, tmp_path), BuildOptions(), tmp_path / "engine.onnx")
    kinds = [n.op_type for n in onnx.load(tmp_path / "engine.onnx").graph.node]
    assert "QLinearGlobalAveragePool" in kinds
    assert "GlobalAveragePool" not in kinds


def test_it_stays_in_float_where_that_is_what_reads_it(tmp_path: Path) -> None:
    last = graph(
        [N("Conv", ["x", "w"], ["c"]), N("HardSwish", ["c"], ["y"])], IMAGE,
        {"w": 3 * random(8, 3, 3, 3)}, opset=14,
    )  # fmt: skip
    proto = onnx.load(quantised(last, tmp_path).path)
    assert hard_swishes_in_integers(proto) == 0
    assert proto.graph.node[-1].op_type == "HardSwish"
    assert hard_swishes_in_integers(swished()) == 0


def test_where_a_float_layer_reads_it_too_it_stays_as_it_is(tmp_path: Path) -> None:
    made = onnx.load(quantised(swished(), tmp_path).path)
    made.graph.output.append(onnx.helper.make_empty_tensor_value_info("h"))
    made.graph.output[-1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    assert hard_swishes_in_integers(made) == 0


def test_its_gate_saturates_where_hard_swish_does(tmp_path: Path) -> None:
    steep = graph(
        [N("Conv", ["x", "w"], ["c"]), N("HardSwish", ["c"], ["h"]), N("Conv", ["h", "u"], ["y"])],
        ["N", 1, 4, 4],
        {"w": np.full((1, 1, 1, 1), 12, np.float32), "u": np.ones((1, 1, 1, 1), np.float32)},
        opset=14,
    )
    made = quantised(steep, tmp_path)
    proto = onnx.load(made.path)
    hard_swishes_in_integers(proto)
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    (expected,), (found,) = run(steep, x), run(proto, x)
    assert np.abs(expected - found).max() < 0.2
