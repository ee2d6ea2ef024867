"""Mixed precision: what is kept in float32 stays so, is in the key, is said, and is as little as possible."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends import get
from deploykit.bench.drift import LayerDrift
from deploykit.errors import UnknownName, UsageError
from deploykit.graph.precision import KeepRules, convert, find_recipe
from deploykit.spec import BuildOptions
from deploykit.store import Store
from deploykit.workflow import keep as keep_module
from deploykit.workflow.build import build_network
from deploykit.workflow.calibration import calibration_of
from deploykit.workflow.choices import CalibrationChoice, Goal, KeepChoice
from deploykit.workflow.convert import convert_network, kept_text, rounding_text
from deploykit.workflow.keep import (
    RANKING_IMAGES,
    by_added_noise,
    fewest,
    layers_by_snr,
    name_as_rule,
    ranking_calibration,
    search_layers_to_keep,
)
from deploykit.workflow.network import obtain_network


def keeping(**rules) -> CalibrationChoice:
    return CalibrationChoice(images=8, keep=KeepChoice(**rules))


@pytest.fixture
def converted(trained, shared_store):
    return lambda choice, precision="int8", target="cpu": convert_network(
        trained, precision, target, choice, shared_store
    )


def test_a_pattern_and_a_type_keep_what_they_name(converted):
    by_name = converted(keeping(nodes=("features.*",)))
    assert kept_text(by_name.recipe).split(", ")[0] == "features.0/Conv"
    assert set(by_name.recipe["kept"]) == {"features.0/Conv", "features.3/Conv"}
    by_type = converted(keeping(op_types=("Gemm",)))
    assert all(name.endswith("/Gemm") for name in by_type.recipe["kept"])
    assert len({by_name.sha256, by_type.sha256, converted(CalibrationChoice(images=8)).sha256}) == 3


def test_a_graph_that_keeps_layers_is_found_again_and_not_taken_for_another(converted):
    first, again = (converted(keeping(op_types=("Gemm",))) for _ in range(2))
    assert first.path == again.path
    assert first.path != converted(CalibrationChoice(images=8)).path
    assert kept_text(converted(CalibrationChoice(images=8)).recipe) is None


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
    ranked = layers_by_snr(trained, "int8", "cpu", CalibrationChoice(images=8))
    monkeypatch.setattr(keep_module, "layers_by_snr", lambda *_, **__: ranked)
    choice = keeping(drift=2)
    model = convert_network(trained, "int8", "cpu", choice, shared_store)
    assert set(model.recipe["kept"]) == {name for name, _ in ranked[:2]}
    # found again, nothing needs to be ranked
    monkeypatch.setattr(keep_module, "layers_by_snr", None)
    assert convert_network(trained, "int8", "cpu", choice, shared_store).path == model.path


def test_layers_are_ranked_by_fewer_images_where_there_are_fewer(trained, tmp_path):
    images = np.zeros((14, 1, 32, 32), np.float32)
    split = np.repeat([1, 2], [4, 10])  # calibration, test
    np.savez(tmp_path / "few.npz", images=images, labels=np.arange(14) % 10, split=split)
    recipe = find_recipe("int8", "cpu")
    choice = CalibrationChoice(data=f"npz:{tmp_path / 'few.npz'}")
    assert ranking_calibration(trained, choice, recipe).count == 4
    assert ranking_calibration(trained, CalibrationChoice(), recipe).count == RANKING_IMAGES
    assert ranking_calibration(trained, CalibrationChoice(images=3), recipe).count == 3
    with pytest.raises(UsageError, match="fewer than the 6 asked for"):
        ranking_calibration(trained, replace(choice, images=6), recipe)


def test_a_name_that_no_node_has_is_refused(converted):
    with pytest.raises(UnknownName, match=r"node to keep 'features\.1/Conv'"):
        converted(keeping(nodes=("features.1/Conv",)))
    with pytest.raises(UnknownName, match="operator type to keep 'Cnv'"):
        converted(keeping(op_types=("Cnv",)))


def test_nothing_can_be_kept_where_nothing_is_converted():
    KeepChoice().check(["fp32"])
    KeepChoice(op_types=("Gemm",)).check(["fp32", "int8"])
    with pytest.raises(UsageError, match="--keep leaves layers in fp32"):
        KeepChoice(drift=1).check(["fp32"])
    with pytest.raises(UsageError, match="nothing is converted with --precision as-is"):
        KeepChoice(nodes=("a",)).check(["fp32", "as-is"])


def test_what_rounding_lost_is_needing(converted):
    model = converted(CalibrationChoice(), "fp16")
    facts = {"constants_converted": 9, "constants_subnormal": 5, "constants_flushed_to_zero": 2}
    lossy = dataclasses.replace(model, recipe=facts)
    assert (
        rounding_text(lossy) == "of 9 weights in fp16, 3 are subnormal and lose digits, 2 become 0"
    )
    assert rounding_text(dataclasses.replace(model, recipe={})) is None


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


RANKED = [f"n{i}" for i in range(64)]


def needing(needed: set[str]):
    asked: list[tuple[str, ...]] = []

    def holds(kept: tuple[str, ...]) -> bool:
        asked.append(kept)
        return needed <= set(kept)

    return holds, asked


def test_the_beginning_of_the_ranking_is_found_by_bisection():
    holds, asked = needing({"n0", "n1", "n2"})
    assert fewest(RANKED, holds) == ("n0", "n1", "n2")
    assert len(asked) < 15


def test_what_the_ranking_suspected_in_vain_is_put_back():
    holds, _ = needing({"n3", "n9"})
    assert fewest(RANKED, holds) == ("n3", "n9")


def test_nothing_is_kept_where_nothing_must_and_none_where_all_are_too_few():
    assert fewest(RANKED, needing(set())[0]) == ()
    assert fewest(RANKED, needing({"elsewhere"})[0]) is None


def test_layers_rank_by_the_noise_they_add_to_the_noisiest_input():
    drift = {
        name: LayerDrift(name, name, snr_db, 1.0, 0.0)
        for name, snr_db in (("a", 20.0), ("b", 19.0), ("c", 40.0), ("d", 18.0))
    }
    makers = {"a": set(), "b": {"a"}, "c": set(), "d": {"b", "c"}}
    # Noise per signal: a .01, b .0126, c .0001, d .0158.
    assert by_added_noise(["c", "b", "d", "a"], drift, makers) == ["a", "d", "b", "c"]


def test_a_goal_is_one_of_the_two():
    for wrong in ({}, {"max_drop": 0.1, "min_snr_db": 10.0}):
        with pytest.raises(UsageError, match="give one of"):
            Goal(**wrong)
    assert Goal(max_drop=0.01).holds(-0.2)
    assert not Goal(max_drop=0.01).holds(0.02)
    assert Goal(min_snr_db=20.0).holds(20.0)
    assert not Goal(min_snr_db=20.0).holds(19.9)


def test_kept_layers_reach_the_goal_and_no_one_of_them_can_go(trained):
    goal = Goal(min_snr_db=50.0)
    choice = CalibrationChoice(images=16)
    kept = search_layers_to_keep(trained, "int8", "cpu", choice, goal, images=4)
    assert kept.nodes
    assert 0 < len(kept.nodes) < kept.candidates
    assert kept.without < 50.0 <= kept.reached


def test_accuracy_is_judged_on_the_networks_own_data(in_place, trained, monkeypatch):
    asked = []

    def top1(path: Path, dataset: str, *, scores: str | None, metric: str | None) -> float:
        asked.append((dataset, scores, metric))
        return 0.9 if len(asked) == 1 else 0.88

    monkeypatch.setattr("deploykit.workflow.keep.graph_value", top1)
    choice = CalibrationChoice(images=4)
    goal = Goal(max_drop=0.03)
    kept = search_layers_to_keep(trained, "int8", "cpu", choice, goal)
    assert kept.nodes == ()
    assert kept.reached == pytest.approx(0.02)
    assert set(asked) == {(trained.dataset, None, None)}


def test_accuracy_without_data_is_refused(trained):
    unknown = replace(trained, dataset=None)
    with pytest.raises(UsageError, match="needs labelled images"):
        search_layers_to_keep(
            unknown, "int8", "cpu", CalibrationChoice(synthetic=True), Goal(max_drop=0.01)
        )


def test_remembered_ranges_give_the_bytes_that_calibrating_anew_gives(trained, tmp_path):
    anew = calibration_of(trained, CalibrationChoice(images=4))
    remembering = replace(anew, remembered={})
    keep = KeepRules(nodes=("features.3/Conv",))
    convert(trained.model, "int8", "cpu", tmp_path / "all.onnx", remembering)
    known = dict(remembering.remembered)
    first = convert(trained.model, "int8", "cpu", tmp_path / "a.onnx", remembering, keep)
    second = convert(trained.model, "int8", "cpu", tmp_path / "b.onnx", anew, keep)
    assert known
    assert remembering.remembered == known
    assert first.sha256 == second.sha256


def test_a_name_with_signs_of_patterns_means_itself_alone():
    import onnx

    rules = KeepRules(nodes=(name_as_rule("a[0]*"),))
    assert rules.keeps(onnx.NodeProto(name="a[0]*"))
    assert not rules.keeps(onnx.NodeProto(name="a[0]b"))
    assert not rules.keeps(onnx.NodeProto(name="a0b"))


def two_products(path: Path, spread: float) -> Path:
    """Two Gemms; the weights of the first span `spread`, so that few steps are left for most of them."""
    random = np.random.default_rng(0)
    first = random.standard_normal((16, 16)).astype(np.float32)
    first[:, 0] *= spread
    second = random.standard_normal((16, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="between"),
            helper.make_node("MatMul", ["r", "b"], ["y"], name="second"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 4))],
        [numpy_helper.from_array(first, "a"), numpy_helper.from_array(second, "b")],
    )
    from deploykit.graph.read_write import save_model

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, path)
    return path


@pytest.fixture
def ranked(tmp_path: Path) -> list[tuple[str, float | None]]:
    network = obtain_network(two_products(tmp_path / "net.onnx", 1.0), Store(tmp_path / "store"))
    return layers_by_snr(network, "int8", "cpu", CalibrationChoice(synthetic=True), images=4)


def test_every_product_is_ranked_by_its_own_drift_and_nothing_else(
    ranked: list[tuple[str, float | None]],
) -> None:
    assert {name for name, _ in ranked} == {"first", "second"}
    values = [snr for _, snr in ranked]
    assert values == sorted(values)
    assert all(snr is not None and 10 < snr < 80 for snr in values)
