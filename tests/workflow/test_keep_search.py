"""The fewest layers to keep in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploykit.bench.layer_drift import LayerDrift
from deploykit.errors import UsageError
from deploykit.graph.precision import KeepRules, convert
from deploykit.workflow.conversion import CalibrationChoice, calibration_of
from deploykit.workflow.keep_search import (
    Goal,
    by_added_noise,
    fewest,
    find_kept,
    name_as_rule,
)

RANKED = [f"n{i}" for i in range(64)]


def counted(needed: set[str]):
    asked: list[tuple[str, ...]] = []

    def holds(kept: tuple[str, ...]) -> bool:
        asked.append(kept)
        return needed <= set(kept)

    return holds, asked


def test_the_beginning_of_the_ranking_is_found_by_bisection():
    holds, asked = counted({"n0", "n1", "n2"})
    assert fewest(RANKED, holds) == ("n0", "n1", "n2")
    assert len(asked) < 15


def test_what_the_ranking_suspected_in_vain_is_put_back():
    holds, _ = counted({"n3", "n9"})
    assert fewest(RANKED, holds) == ("n3", "n9")


def test_nothing_is_kept_where_nothing_must_and_none_where_all_are_too_few():
    assert fewest(RANKED, counted(set())[0]) == ()
    assert fewest(RANKED, counted({"elsewhere"})[0]) is None


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
    kept = find_kept(trained, "int8", "cpu", choice, goal, images=4)
    assert kept.nodes
    assert 0 < len(kept.nodes) < kept.candidates
    assert kept.without < 50.0 <= kept.reached


def test_accuracy_is_judged_on_the_calibration_part(trained, monkeypatch):
    asked = []

    def top1(path: Path, dataset: str, part: str = "calibration") -> float:
        asked.append((dataset, part))
        return 0.9 if len(asked) == 1 else 0.88

    monkeypatch.setattr("deploykit.workflow.keep_search.graph_top1", top1)
    choice = CalibrationChoice(images=4)
    goal = Goal(max_drop=0.03)
    kept = find_kept(trained, "int8", "cpu", choice, goal)
    assert kept.nodes == ()
    assert kept.reached == pytest.approx(0.02)
    assert set(asked) == {(trained.dataset, "calibration")}


def test_accuracy_without_data_is_refused(trained):
    unknown = replace(trained, dataset=None)
    with pytest.raises(UsageError, match="needs labelled images"):
        find_kept(unknown, "int8", "cpu", CalibrationChoice(synthetic=True), Goal(max_drop=0.01))


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
