"""Options of the runtimes that a tuning races: each alone, then all that helped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tunings import LENET, SMALL, says, tuning

from deploykit import env
from deploykit.bench.race import (
    UNFIT,
)
from deploykit.bench.scenario import Scenario
from deploykit.workflow.configuration import Configuration
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.journal import Journal
from deploykit.workflow.space import single_changes

pytestmark = pytest.mark.usefixtures("plant", "prepared")


#: One engine and time enough to tell its runtime options, in planted lanes that take none.
ROOMY = replace(SMALL, precisions=("fp32",), threads=(2,), budget_s=600.0)


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(env, "usable_cores", lambda: 4.0)  # so that two threads are not all cores


def test_each_option_is_tried_alone_and_what_helped_is_tried_together(
    shared_store, monkeypatch, plant_names, four_cores
):
    says(monkeypatch, 0.5)
    spin, mode = "ort.allow_spinning=0", "ort.execution_mode=parallel"
    plant_names(lambda name: 0.8 ** (spin in name) * 0.9 ** (mode in name))
    found = tuning(shared_store, ROOMY)()
    assert found.best is not None
    assert found.best.row["options"] == f"{spin} {mode}"
    assert f"{spin} {mode}" in found.sentence
    names = [one.name for one in found.candidates]
    assert sum("ort.denormal_as_zero=1" in name for name in names) == 1
    assert not any("denormal" in name and "spinning" in name for name in names)


def test_an_option_that_is_not_surely_better_is_not_told(
    shared_store, monkeypatch, plant_names, four_cores
):
    says(monkeypatch, 0.5)
    plant_names(lambda name: 0.5 if name.startswith("fp32 onnxruntime 2 threads") else 1.0)
    found = tuning(shared_store, ROOMY)()
    assert found.best is not None
    assert found.best.name == "fp32 onnxruntime 2 threads"
    variants = [one for one in found.candidates if one.configuration.options]
    assert variants
    assert all(one.reason for one in variants)


def test_what_an_option_does_to_outputs_is_judged_too(
    shared_store, monkeypatch, plant_names, four_cores
):
    says(monkeypatch, 0.5)
    plant_names(lambda name: 0.5 if "denormal" in name else 1.0)
    real = Fitness._unfit

    def unfit(self, candidate):
        if candidate.configuration.options:
            return "its outputs drift to 3.0 dB, below 10 dB"
        return real(self, candidate)

    monkeypatch.setattr(Fitness, "_unfit", unfit)
    found = tuning(shared_store, ROOMY)()
    assert found.best is not None
    assert found.best.configuration.options == ()
    refused = [one for one in found.candidates if one.fate == UNFIT]
    assert refused
    assert all("drift" in one.reason for one in refused)


def test_without_time_no_option_is_tried(shared_store, monkeypatch, plant_names):
    says(monkeypatch, 0.5)
    plant_names(lambda name: 1.0)
    found = tuning(shared_store, replace(ROOMY, budget_s=12.0))()
    assert not any(one.configuration.options for one in found.candidates)


def test_a_race_that_was_over_is_not_run_once_more(
    shared_store, monkeypatch, plant_names, four_cores
):
    """Broken off in the race of options, the first one stands as it is in the journal."""
    says(monkeypatch, 0.5)
    lanes = plant_names(lambda name: 0.8 if "spinning=0" in name else 1.0)
    real = Journal.write

    def broken_off(self, entry):
        real(self, entry)
        if entry.race == "options" and entry.round == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "write", broken_off)
    with pytest.raises(KeyboardInterrupt):
        tuning(shared_store, ROOMY)()
    monkeypatch.setattr(Journal, "write", real)
    again = tuning(shared_store, ROOMY)
    assert again.journal.over == {"race"}
    rounds = len(again.journal.events["race"])
    lanes.clear()
    found = again()
    assert found.best is not None
    assert found.best.row["options"] == "ort.allow_spinning=0"
    # The first lanes of each name are those of the first race.
    first = {name: made[0].blocks for name, made in lanes.items() if "ort." not in name}
    assert set(first.values()) == {0}, (first, rounds)


def test_single_changes_are_the_other_values_of_what_tuning_tries():
    base = Configuration(LENET, "fp32", "openvino", 1)
    changes = [one.options for one in single_changes(base)]
    assert (("ov.pinning", "1"),) in changes
    assert all(len(options) == 1 for options in changes)
    assert not any(name == "ov.streams" for ((name, _),) in changes)
    assert single_changes(replace(base, backend="torch")) == []


def test_options_that_can_change_nothing_are_not_tried(monkeypatch):
    def names(backend: str, threads: int | None) -> set[str]:
        base = Configuration(LENET, "fp32", backend, 1, Scenario(threads))
        return {name for one in single_changes(base) for name, _ in one.options}

    monkeypatch.setattr(env, "usable_cores", lambda: 2.0)
    assert {"ort.allow_spinning", "ort.dynamic_block_base"} <= names("onnxruntime", None)
    assert names("onnxruntime", 1) == {"ort.denormal_as_zero"}
    monkeypatch.setattr(env, "has_hardware_threads", lambda: False)
    assert "ov.hyper_threading" not in names("openvino", None)
    monkeypatch.setattr(env, "has_hardware_threads", lambda: True)
    assert "ov.hyper_threading" in names("openvino", 1)


def test_after_an_option_has_helped_all_ratios_are_to_the_new_leader(
    shared_store, monkeypatch, plant_names, four_cores
):
    says(monkeypatch, 0.5)
    spin = "ort.allow_spinning=0"
    plant_names(lambda name: (1.3 if "1 thread" in name else 1.0) * 0.5 ** (spin in name))
    found = tuning(shared_store, replace(ROOMY, threads=(1, 2)))()
    ratios = {one.name: one.ratio for one in found.candidates if one.ratio is not None}
    assert all(ratio > 1.5 for name, ratio in ratios.items() if spin not in name)
