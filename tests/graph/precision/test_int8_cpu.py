from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from precision_nets import NETS, Net, calibration, cosine, images, optimised, residual, run, stored

from deploykit.graph.precision import convert
from deploykit.graph.precision.qdq import asymmetric_u8

#: What ONNX Runtime may still run outside integers: the ends of the network, and what moves values.
ENDS = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Flatten", "Reshape"}


@pytest.mark.parametrize("net", sorted(NETS))
def test_onnx_runtime_runs_the_whole_network_in_integers(net: str, tmp_path: Path) -> None:
    source = stored(NETS[net](), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    graph = optimised(made.path, tmp_path / "optimised.onnx").graph
    found = Counter(node.op_type for node in graph.node)
    assert found["QLinearConv"] + found["QGemm"] == made.recipe["products_quantised"]
    others = {t for t in found if not t.startswith("QLinear")} - ENDS - {"QGemm", "NhwcMaxPool"}
    assert others == set()
    assert found["QuantizeLinear"] == 1
    assert found["DequantizeLinear"] <= 1


def test_activations_are_u8_weights_s8_per_channel_and_biases_int32(tmp_path: Path) -> None:
    source = stored(residual(), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    graph = onnx.load(made.path).graph
    stored_types = {t.name: (t.data_type, tuple(t.dims)) for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            assert stored_types[node.input[2]][0] == onnx.TensorProto.UINT8
        if node.op_type == "Conv":
            weight, bias = (makers[name] for name in node.input[1:3])
            kind, shape = stored_types[weight.input[0]]
            assert kind == onnx.TensorProto.INT8
            assert stored_types[weight.input[1]][1] == (shape[0],)
            assert stored_types[bias.input[0]] == (onnx.TensorProto.INT32, (shape[0],))


def test_a_pass_through_operator_shares_its_inputs_scale(tmp_path: Path) -> None:
    source = stored(NETS["fire"](), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    values = {t.name: numpy_helper.to_array(t) for t in onnx.load(made.path).graph.initializer}
    assert values["max_scale"] == values["joined_scale"] == values["r1_scale"] == values["r3_scale"]
    assert values["rs_scale"] != values["joined_scale"]


def test_a_bias_far_larger_than_its_products_does_not_overflow(tmp_path: Path) -> None:
    net = Net()
    net.conv("x", "c", 8, 8)
    weight, bias = net.weights
    weight.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1e-9), "c_w")
    )
    bias.CopyFrom(numpy_helper.from_array(np.linspace(-500, 500, 8, dtype=np.float32), "c_b"))
    net.head(net.relu("c", "r"), 8)
    source = stored(net.build(), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.999


def test_a_dead_channel_and_an_activation_that_is_always_zero_stay_finite(tmp_path: Path) -> None:
    net = Net()
    net.conv("x", "c", 8, 8)
    weight, bias = net.weights
    values = numpy_helper.to_array(weight).copy()
    values[3] = 0
    weight.CopyFrom(numpy_helper.from_array(values, "c_w"))
    bias.CopyFrom(numpy_helper.from_array(np.full(8, -100, np.float32), "c_b"))
    net.conv(net.relu("c", "dead"), "d", 8, 8)
    net.head("d", 8)
    source = stored(net.build(), tmp_path / "fp32.onnx")
    for target in ("cpu", "tensorrt"):
        made = convert(source, "int8", target, tmp_path / "i8.onnx", calibration())
        assert made.recipe["ranges"]["dead"] == [0.0, 0.0]
        x = images()
        assert cosine(run(source.path, x), run(made.path, x)) > 0.999


def test_an_activation_with_other_readers_keeps_its_relu(tmp_path: Path) -> None:
    net = Net()
    c = net.conv("x", "c", 8, 8)
    both = net.node("Add", [net.relu(c, "r"), c], "both")
    net.head(both, 8)
    source = stored(net.build(), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.999
    found = Counter(n.op_type for n in optimised(made.path, tmp_path / "o.onnx").graph.node)
    assert found["QLinearConv"] == 1


def test_the_top_of_a_relu6_is_not_rounded_up() -> None:
    # Above the bound, ONNX Runtime would have to keep the Clip, in float.
    for bound in (6.0, 1.0, 0.1, 3.3):
        scale = np.float32(asymmetric_u8(0.0, bound).scale)
        assert bound * 0.999999 < float(scale) * 255 <= bound


def test_a_product_without_constant_weights_stays_in_float(tmp_path: Path) -> None:
    net = Net()
    c = net.conv("x", "c", 8, 8)
    flat = net.node("Flatten", [c], "flat", axis=2)
    net.node("Flatten", [c], "same", axis=2)
    net.node("Transpose", ["same"], "turned", perm=[1, 0])
    net.node("MatMul", [flat, "turned"], "product")
    net.node("ReduceMean", ["product"], "y", keepdims=1)
    source = stored(net.build(output=(1, 1)), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    assert made.recipe["kept"] == ["product/MatMul"]
    x = images()
    assert run(made.path, x) == pytest.approx(run(source.path, x), rel=0.05)


def test_a_network_whose_output_is_a_convolution_ends_in_integers(tmp_path: Path) -> None:
    net = Net()
    net.conv(net.relu(net.conv("x", "c", 8, 8), "r"), "y", 4, 8)
    source = stored(net.build(output=("batch", 4, 12, 12)), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    assert made.outputs[0].name == "y"
    found = Counter(n.op_type for n in optimised(made.path, tmp_path / "o.onnx").graph.node)
    assert found["QLinearConv"] == 2
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.999
