from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from precision_nets import NETS, calibration, cosine, depthwise, fire, images, residual, run, stored

from deploykit.errors import InvalidModel, UnknownName, UsageError
from deploykit.graph.operators import is_quantised
from deploykit.graph.precision import TARGETS, KeepRules, convert, find_recipe, precisions
from deploykit.graph.read_write import open_model

CASES = [
    ("fp16", "cpu", 0.99999),
    ("bf16", "tensorrt-rtx", None),
    ("int8", "cpu", 0.999),
    ("int8", "tensorrt", 0.999),
]


@pytest.mark.parametrize("net", sorted(NETS))
@pytest.mark.parametrize(("precision", "target", "least"), CASES)
def test_a_converted_network_keeps_its_outputs(
    net: str, precision: str, target: str, least: float | None, tmp_path: Path
) -> None:
    source = stored(NETS[net](), tmp_path / "fp32.onnx")
    made = convert(source, precision, target, tmp_path / "made.onnx", calibration())
    assert made.precision == precision
    onnx.checker.check_model(str(made.path), full_check=True)
    assert [s.dtype for s in (*made.inputs, *made.outputs)] == ["float32", "float32"]
    assert (made.inputs, made.outputs) == (source.inputs, source.outputs)
    if least is not None:
        x = images()
        assert cosine(run(source.path, x), run(made.path, x)) > least


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    source = stored(residual(), tmp_path / "fp32.onnx")
    for precision, target in (("int8", "cpu"), ("int8", "tensorrt"), ("fp8", "tensorrt-rtx")):
        for method in ("minmax", "percentile", "entropy", "mse"):
            first, second = (
                convert(source, precision, target, tmp_path / name, calibration(method=method))
                for name in ("a.onnx", "b.onnx")
            )
            assert first.sha256 == second.sha256
            assert first.path.read_bytes() == second.path.read_bytes()


def test_fp32_to_its_own_path_is_the_same_model(tmp_path: Path) -> None:
    source = stored(fire(), tmp_path / "fp32.onnx")
    assert convert(source, "fp32", "cpu", source.path) is source


def test_the_recipe_says_how_it_was_made_also_when_read_back(tmp_path: Path) -> None:
    source = stored(fire(), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration(method="percentile"))
    facts = made.recipe["calibration"]
    assert (facts["method"], facts["count"], facts["data"]) == ("percentile", 16, "noise")
    assert facts["synthetic"] is False
    assert facts["data_sha256"] == "0" * 64
    assert set(made.recipe["ranges"]) >= {"x", "joined"}
    assert open_model(made.path).recipe == made.recipe


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean int8"):
        find_recipe("int9", "cpu")
    with pytest.raises(UnknownName, match="target"):
        precisions("gpu")
    with pytest.raises(UsageError, match="no fp8 for target cpu; it has fp32, fp16, int8"):
        find_recipe("fp8", "cpu")


def test_every_target_has_fp32_fp16_and_int8() -> None:
    for target in TARGETS:
        names = [recipe.name for recipe in precisions(target)]
        assert {"fp32", "fp16", "int8"} <= set(names)
        assert len(names) == len(set(names))


def test_int8_without_images_is_refused(tmp_path: Path) -> None:
    source = stored(fire(), tmp_path / "fp32.onnx")
    with pytest.raises(UsageError, match="needs calibration images"):
        convert(source, "int8", "cpu", tmp_path / "i8.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["fp32.onnx"]


def test_a_quantised_model_is_refused(tmp_path: Path) -> None:
    source = stored(fire(), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    with pytest.raises(InvalidModel, match="quantised already"):
        convert(made, "fp16", "cpu", tmp_path / "again.onnx")


@pytest.mark.parametrize(
    ("op_type", "quantised"),
    [
        *[(name, True) for name in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")],
        *[(name, True) for name in ("QLinearConv", "ConvInteger", "MatMulInteger")],
        *[(name, False) for name in ("Conv", "FusedConv", "Relu", "NobodyKnowsIt")],
    ],
)
def test_any_operator_on_integers_makes_a_quantised_model(op_type: str, quantised: bool) -> None:
    assert is_quantised(onnx.helper.make_node(op_type, ["x"], ["y"])) is quantised
    assert is_quantised(onnx.helper.make_node("QGemm", ["x"], ["y"], domain="com.microsoft"))


def test_a_half_precision_model_is_refused(tmp_path: Path) -> None:
    made = convert(stored(fire(), tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "half.onnx")
    with pytest.raises(InvalidModel, match="16-bit weights"):
        convert(made, "int8", "cpu", tmp_path / "again.onnx", calibration())


def test_weights_that_are_nan_are_refused(tmp_path: Path) -> None:
    model = fire()
    weight = model.graph.initializer[0]
    values = numpy_helper.to_array(weight).copy()
    values.flat[3] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(InvalidModel, match=r"weight 'squeeze_w' has values .* \(NaN\)"):
        convert(stored(model, tmp_path / "n.onnx"), "fp16", "cpu", tmp_path / "o.onnx")


def test_an_old_opset_is_raised_and_said(tmp_path: Path) -> None:
    model = fire()
    model.opset_import[0].version = 11
    source = stored(model, tmp_path / "old.onnx")
    made = convert(source, "int8", "tensorrt", tmp_path / "i8.onnx", calibration())
    assert made.recipe["opset_raised"] == "11 to 13"
    assert onnx.load(made.path).opset_import[0].version == 13
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.999


@pytest.mark.parametrize(
    ("precision", "target"), [("int8", "cpu"), ("int8", "tensorrt"), ("fp16", "cpu")]
)
def test_kept_layers_stay_in_float(precision: str, target: str, tmp_path: Path) -> None:
    source = stored(depthwise(), tmp_path / "fp32.onnx")
    rules = KeepRules(nodes=("dw/*",), op_types=("Gemm",))
    made = convert(source, precision, target, tmp_path / "m.onnx", calibration(), rules)
    assert made.recipe["kept"] == ["dw/Conv", "y/Gemm"]
    graph = onnx.load(made.path).graph
    weights = {t.name: t.data_type for t in graph.initializer}
    for node in graph.node:
        if node.name in ("dw/Conv", "y/Gemm"):
            assert weights[node.input[1]] == onnx.TensorProto.FLOAT
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.999


def test_a_rule_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    source = stored(depthwise(), tmp_path / "fp32.onnx")
    for rules in (KeepRules(nodes=("dv/Conv",)), KeepRules(op_types=("Gem",))):
        with pytest.raises(UnknownName, match="to keep"):
            convert(source, "int8", "cpu", tmp_path / "m.onnx", calibration(), rules)
    with pytest.raises(UsageError, match="fp32 keeps every layer"):
        convert(source, "fp32", "cpu", tmp_path / "m.onnx", keep=KeepRules(op_types=("Gemm",)))


def test_weights_from_constant_nodes_are_quantised_as_initialisers_are(tmp_path: Path) -> None:
    model = fire()
    for tensor in list(model.graph.initializer):
        node = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        model.graph.node.insert(0, node)
    del model.graph.initializer[:]
    plain = convert(
        stored(fire(), tmp_path / "a.onnx"), "int8", "cpu", tmp_path / "b.onnx", calibration()
    )
    constant = convert(
        stored(model, tmp_path / "c.onnx"), "int8", "cpu", tmp_path / "d.onnx", calibration()
    )
    x = images()
    assert np.array_equal(run(plain.path, x), run(constant.path, x))
    assert constant.recipe["products_quantised"] == plain.recipe["products_quantised"] == 4


def test_a_quantised_file_is_taken_as_it_is_and_refused_by_the_name_the_user_knows(
    tmp_path: Path,
) -> None:
    source = stored(NETS["residual"](), tmp_path / "fp32.onnx")
    made = convert(source, "int8", "cpu", tmp_path / "i8.onnx", calibration())
    again = convert(made, "as-is", "cpu", tmp_path / "again.onnx")
    assert again.precision == "as-is"
    x = images()
    np.testing.assert_array_equal(run(made.path, x), run(again.path, x))
    with pytest.raises(InvalidModel, match=r"^mine\.onnx is quantised already .*--precision as-is"):
        convert(made, "fp16", "cpu", tmp_path / "no.onnx", named="mine.onnx")
