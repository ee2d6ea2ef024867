from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from precision_nets import Net, calibration, cosine, fire, images, residual, run, stored

from deploykit.errors import DriftFailed, UsageError
from deploykit.graph.precision import KeepRules, convert


def scaled(model: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            values = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(values, name))
    return model


@pytest.mark.parametrize(("precision", "target", "kind"), [
    ("fp16", "cpu", TensorProto.FLOAT16), ("bf16", "tensorrt", TensorProto.BFLOAT16),
])  # fmt: skip
def test_all_weights_are_stored_in_sixteen_bits(
    precision: str, target: str, kind: int, tmp_path: Path
) -> None:
    made = convert(stored(residual(), tmp_path / "a.onnx"), precision, target, tmp_path / "h.onnx")
    graph = onnx.load(made.path).graph
    assert {t.data_type for t in graph.initializer} == {kind}
    casts = [n for n in graph.node if n.op_type == "Cast"]
    assert len(casts) == 2
    norms = sum(n.op_type == "BatchNormalization" for n in graph.node)
    assert norms == (0 if precision == "bf16" else 5)


def test_what_rounding_lost_is_counted(tmp_path: Path) -> None:
    model = scaled(fire(), "squeeze_w", 1e-6)
    made = convert(stored(model, tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    small = np.abs(numpy_helper.to_array(model.graph.initializer[0]))
    facts = made.recipe
    assert facts["constants_subnormal"] >= np.count_nonzero((small > 0) & (small < 2.0**-14))
    assert 0 < facts["constants_flushed_to_zero"] < facts["constants_subnormal"]
    assert facts["constants_converted"] == sum(
        numpy_helper.to_array(t).size for t in model.graph.initializer
    )


def test_weights_too_large_for_float16_are_refused_unless_kept_out(tmp_path: Path) -> None:
    source = stored(scaled(fire(), "three_w", 1e6), tmp_path / "a.onnx")
    with pytest.raises(DriftFailed, match=r"overflow float16 \(three_w\).*three/Conv"):
        convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert not (tmp_path / "h.onnx").exists()
    made = convert(
        source, "fp16", "cpu", tmp_path / "h.onnx", keep=KeepRules(nodes=("three/Conv",))
    )
    assert made.recipe["constants_overflowed"] == 0
    assert made.recipe["kept"] == ["three/Conv"]


def test_a_clip_without_an_upper_bound_may_round_it_to_infinity(tmp_path: Path) -> None:
    net = Net()
    low, high = (net.weight(n, np.asarray(v, np.float32)) for n, v in (("low", 0), ("high", 3e38)))
    net.head(net.node("Clip", [net.conv("x", "c", 8, 8), low, high], "k"), 8)
    source = stored(net.build(), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999


def test_inputs_that_onnx_fixes_to_float32_stay_so(tmp_path: Path) -> None:
    net = Net()
    c = net.conv("x", "c", 8, 8)
    scales = net.weight("scales", np.asarray([1, 1, 2, 2], np.float32))
    net.head(net.node("Resize", [c, "", scales], "big", mode="nearest"), 8)
    made = convert(stored(net.build(), tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    kinds = {t.name: t.data_type for t in onnx.load(made.path).graph.initializer}
    assert kinds["scales"] == TensorProto.FLOAT
    assert run(made.path, images()).shape == (8, 10)


def test_nodes_that_make_constants_change_type_with_their_readers(tmp_path: Path) -> None:
    net = Net()
    shape = net.weight("shape", np.asarray([1, 8, 1, 1], np.int64))
    filled = net.node("ConstantOfShape", [shape], "filled",
                      value=numpy_helper.from_array(np.asarray([0.25], np.float32)))  # fmt: skip
    whole = net.node("Cast", ["x"], "whole", to=TensorProto.INT32)
    back = net.node("Cast", [whole], "back", to=TensorProto.FLOAT)
    net.head(net.node("Add", [net.conv(back, "c", 8, 8), filled], "s"), 8)
    source = stored(net.build(), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999


def test_an_operator_without_a_half_form_stays_between_casts(tmp_path: Path) -> None:
    net = Net()
    c = net.conv("x", "c", 8, 8)
    scale = net.weight("one", np.asarray(0.05, np.float32))
    zero = net.weight("zero", np.asarray(128, np.uint8))
    net.node("DynamicQuantizeLinear", [c], "ignored")
    net.nodes[-1].output.extend(["s", "z"])
    back = net.node("DequantizeLinear", ["ignored", "s", "z"], "back")
    del scale, zero
    net.weights = [w for w in net.weights if w.name not in ("one", "zero")]
    net.head(back, 8)
    model = net.build()
    from deploykit.graph.precision.half import to_half

    before = onnx.ModelProto()
    before.CopyFrom(model)
    facts = to_half(model, TensorProto.FLOAT16, KeepRules())
    assert (
        "DynamicQuantizeLinear has no float16 form"
        in facts["float32_because"]["ignored/DynamicQuantizeLinear"]
    )
    onnx.checker.check_model(model, full_check=True)
    x = images()
    assert cosine(run(before, x), run(model, x)) > 0.999


def test_an_output_that_other_nodes_read_keeps_its_name_and_type(tmp_path: Path) -> None:
    net = Net()
    net.head(net.conv("x", "c", 8, 8), 8)
    model = net.build()
    model.graph.output.append(
        helper.make_tensor_value_info("c", TensorProto.FLOAT, ("batch", 8, 12, 12))
    )
    source = stored(model, tmp_path / "a.onnx")
    for precision in ("fp16", "int8"):
        made = convert(source, precision, "cpu", tmp_path / "h.onnx", calibration())
        assert [s.name for s in made.outputs] == ["y", "c"]
        assert {s.dtype for s in made.outputs} == {"float32"}
        assert run(made.path, images()).shape == (8, 10)


def test_sub_graphs_are_refused_in_one_line(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["inside"])], "branch", [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)],
    )  # fmt: skip
    net = Net()
    net.weight("flag", np.asarray(True))
    net.node("If", ["flag"], "y", then_branch=branch, else_branch=branch)
    source = stored(net.build(output=("batch", 8, 12, 12)), tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"sub-graphs \(If node 'y/If'"):
        convert(source, "fp16", "cpu", tmp_path / "h.onnx")
