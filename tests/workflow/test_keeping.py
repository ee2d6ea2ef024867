"""Mixed precision as it is asked for: what is kept in fp32 stays so, is in the key, and is said."""

from __future__ import annotations

import dataclasses

import pytest

from deploykit.backends import get
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import BuildOptions
from deploykit.workflow import layer_ranking
from deploykit.workflow.build import build_network
from deploykit.workflow.conversion import CalibrationChoice, convert_network
from deploykit.workflow.keeping import KeepChoice, kept_text, losses_text


def keeping(**rules) -> CalibrationChoice:
    return CalibrationChoice(images=8, keep=KeepChoice(**rules))


@pytest.fixture
def convert(trained, shared_store):
    return lambda choice, precision="int8", target="cpu": convert_network(
        trained, precision, target, choice, shared_store
    )


def test_a_pattern_and_a_type_keep_what_they_name(convert):
    by_name = convert(keeping(nodes=("features.*",)))
    assert kept_text(by_name.recipe).split(", ")[0] == "features.0/Conv"
    assert set(by_name.recipe["kept"]) == {"features.0/Conv", "features.3/Conv"}
    by_type = convert(keeping(op_types=("Gemm",)))
    assert all(name.endswith("/Gemm") for name in by_type.recipe["kept"])
    assert len({by_name.sha256, by_type.sha256, convert(CalibrationChoice(images=8)).sha256}) == 3


def test_a_graph_that_keeps_layers_is_found_again_and_not_taken_for_another(convert):
    first, again = (convert(keeping(op_types=("Gemm",))) for _ in range(2))
    assert first.path == again.path
    assert first.path != convert(CalibrationChoice(images=8)).path
    assert kept_text(convert(CalibrationChoice(images=8)).recipe) is None


@pytest.mark.parametrize("target", ["cpu", "tensorrt-rtx"])
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_engine_computes_the_kept_layers_in_fp32_and_the_others_not(
    trained, shared_store, precision, target
):
    backend = get({"cpu": "onnxruntime"}.get(target, target))
    choice = keeping(nodes=("features.0/Conv",))
    built = build_network(trained, precision, backend, BuildOptions(), choice, shared_store)
    types = built.engine.manifest["compute_types"]
    others = {kind: len(nodes) for kind, nodes in types.items() if kind != "fp32"}
    if (precision, target) == ("fp16", "cpu"):  # emulated in fp32
        assert others == {}
    else:
        assert others == {precision: 4}
        assert len(types["fp32"]) == 1


def test_those_that_cost_most_are_kept_and_the_drift_falls(trained, shared_store, monkeypatch):
    ranked = layer_ranking.layers_by_drift(trained, "int8", "cpu", CalibrationChoice(images=8))
    monkeypatch.setattr(layer_ranking, "layers_by_drift", lambda *_, **__: ranked)
    choice = keeping(drift=2)
    model = convert_network(trained, "int8", "cpu", choice, shared_store)
    assert set(model.recipe["kept"]) == {name for name, _ in ranked[:2]}
    # found again, nothing needs to be ranked
    monkeypatch.setattr(layer_ranking, "layers_by_drift", None)
    assert convert_network(trained, "int8", "cpu", choice, shared_store).path == model.path


def test_a_name_that_no_node_has_is_refused(convert):
    with pytest.raises(UnknownName, match=r"node to keep 'features\.1/Conv'"):
        convert(keeping(nodes=("features.1/Conv",)))
    with pytest.raises(UnknownName, match="operator type to keep 'Cnv'"):
        convert(keeping(op_types=("Cnv",)))


def test_nothing_can_be_kept_where_nothing_is_converted():
    KeepChoice().check(["fp32"])
    KeepChoice(op_types=("Gemm",)).check(["fp32", "int8"])
    with pytest.raises(UsageError, match="--keep leaves layers in fp32"):
        KeepChoice(drift=1).check(["fp32"])


def test_what_rounding_lost_is_counted(convert):
    model = convert(CalibrationChoice(), "fp16")
    facts = {"constants_converted": 9, "constants_subnormal": 5, "constants_flushed_to_zero": 2}
    lossy = dataclasses.replace(model, recipe=facts)
    assert losses_text(lossy) == "of 9 weights in fp16, 3 are subnormal and lose digits, 2 become 0"
    assert losses_text(dataclasses.replace(model, recipe={})) is None


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_graph_that_keeps_most_of_its_layers_is_still_what_was_asked_for(
    trained, shared_store, precision
):
    choice = keeping(op_types=("Gemm",))  # three of five
    built = build_network(
        trained, precision, get("onnxruntime"), BuildOptions(), choice, shared_store
    )
    assert built.model.precision == built.engine.manifest["precision"] == precision
    assert built.engine.manifest["emulated"] is (precision == "fp16")
