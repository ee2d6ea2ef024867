from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper
from precision_nets import Net, calibration, cosine, images, residual, run, stored

from deploykit.graph.precision import convert


def test_operands_are_e4m3_and_outputs_close(tmp_path: Path) -> None:
    source = stored(residual(), tmp_path / "fp32.onnx")
    made = convert(source, "fp8", "tensorrt-rtx", tmp_path / "f8.onnx", calibration())
    graph = onnx.load(made.path).graph
    kinds = {t.name: t.data_type for t in graph.initializer}
    quantised = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    assert quantised
    assert {kinds[n.input[2]] for n in quantised} == {TensorProto.FLOAT8E4M3FN}
    assert made.precision == "fp8"
    x = images()
    # ONNX Runtime fuses such pairs into integer operators that do not take them: as written, then.
    assert cosine(run(source.path, x), run(made.path, x, optimise=False)) > 0.995


def test_the_largest_weight_of_a_channel_is_the_largest_of_the_type(tmp_path: Path) -> None:
    source = stored(residual(), tmp_path / "fp32.onnx")
    made = convert(source, "fp8", "tensorrt-rtx", tmp_path / "f8.onnx", calibration())
    tensors = {t.name: t for t in onnx.load(made.path).graph.initializer}
    name = next(n for n in tensors if n.endswith("_quantized"))
    weight = numpy_helper.to_array(tensors[name]).astype("float32")
    assert (abs(weight.reshape(len(weight), -1)).max(axis=1) == 448).all()


def test_windows_that_tensorrt_has_no_kernel_for_are_kept_out(tmp_path: Path) -> None:
    net = Net()
    net.conv(net.relu(net.conv("x", "wide", 8, 8, kernel=7), "r"), "narrow", 8, 8, kernel=5)
    net.head("narrow", 8)
    source = stored(net.build(), tmp_path / "fp32.onnx")
    made = convert(source, "fp8", "tensorrt-rtx", tmp_path / "f8.onnx", calibration())
    assert made.recipe["kept"] == ["wide/Conv"]
    assert made.recipe["products_quantised"] == 2
