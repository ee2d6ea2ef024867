"""Engines of a tuning are built when their turn comes; those that hang, or have no time, leave it to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from planted import Clock, Planted
from tunings import SMALL, says, tuning

from deploykit import env
from deploykit.bench import contain
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.race import (
    FAILED,
    NOT_STARTED,
    SLOWER,
    TOO_LATE,
    Dropped,
    Round,
)
from deploykit.errors import UsageError
from deploykit.workflow import confirmation, races
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.profile import Profiler

pytestmark = pytest.mark.usefixtures("plant", "prepared")


def test_engines_that_building_has_no_time_for_are_out_and_those_in_the_store_are_not(
    shared_store, monkeypatch
):
    says(monkeypatch, 1.0)
    asked = replace(SMALL, backends=("onnxruntime", "torch"), threads=(1,), budget_s=60.0)
    clock, real, left = Clock(monkeypatch), Profiler.prepared, []

    def prepared(self, configuration):
        left.append(None if contain._whole is None else contain._whole.left_s())
        clock.now_s += 10.0
        if configuration.backend == "torch" and left[-1] < 10.0:
            raise UsageError("not done")
        return real(self, replace(configuration, backend="onnxruntime"))

    monkeypatch.setattr(Profiler, "prepared", prepared)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")
    job = tuning(shared_store, asked)
    default, others = job._listed()
    job.races.raced({one.name: one for one in (default, *others)}, default, 20.0)
    # The default has no limit; the others what building may take of the 50 s that it left, without a part for those
    # who wait.
    assert left[0] is None
    assert left[1:4] == pytest.approx([15.0, 7.5, 0.0], abs=1.0)
    assert [one.request is not None for one in others] == [True, True, False]
    assert (others[2].fate, others[2].reason) == (FAILED, NOT_STARTED)


def test_an_engine_is_built_when_its_turn_to_be_looked_at_comes(
    shared_store, monkeypatch, plant_names
):
    """All were built first: of a short budget, torch's took what looks at the others needed."""
    clock, real, block, built = Clock(monkeypatch), Profiler.prepared, Planted.block, []
    lanes = plant_names(lambda name: 1.0)
    monkeypatch.setattr(env, "usable_cores", lambda: 8.0)  # so that two threads are not all cores

    def slow(self):
        clock.now_s += 2.0
        return block(self)

    monkeypatch.setattr(Planted, "block", slow)

    def prepared(self, configuration):
        looked_at = sum(lane.blocks > 0 for made in lanes.values() for lane in made)
        built.append((configuration.scenario.threads, looked_at))
        clock.now_s += 10.0
        return real(self, configuration)

    monkeypatch.setattr(Profiler, "prepared", prepared)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")
    job = tuning(
        shared_store, replace(SMALL, precisions=("fp32",), threads=(1, 2, 3, 4), budget_s=60.0)
    )
    default, others = job._listed()
    job.races.raced({one.name: one for one in (default, *others)}, default, 100.0)
    assert built[:3] == [(None, 0), (1, 1), (2, 2)]
    late = [one for one in others if one.reason == TOO_LATE]
    assert late
    assert len(built) == 1 + len(others) - len(late)
    assert all(one.request is None for one in late)


FOUR = replace(SMALL, precisions=("fp32",), threads=(1, 2, 3, 4), budget_s=61.0)


def test_a_build_that_hangs_leaves_time_for_those_of_the_others(
    shared_store, monkeypatch, plant_names
):
    """It had all of the time for building: every other candidate was out, and a larger budget was asked for."""
    clock, real = Clock(monkeypatch), Profiler.prepared
    plant_names(lambda name: 1.0)
    monkeypatch.setattr(env, "usable_cores", lambda: 8.0)

    def prepared(self, configuration):
        limit = contain._whole
        if configuration.scenario.threads == 1:
            clock.now_s += limit.left_s()
            raise UsageError("not done")
        clock.now_s += 0.0 if limit is None else 0.5
        if limit is not None and not limit.left_s():
            raise UsageError("not done")
        return real(self, configuration)

    monkeypatch.setattr(Profiler, "prepared", prepared)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")
    job = tuning(shared_store, FOUR)
    default, (hung, *others) = job._listed()
    job.races.raced({one.name: one for one in (default, hung, *others)}, default, 20.0)
    assert (hung.fate, hung.reason) == (FAILED, NOT_STARTED)
    assert all(one.request is not None and one.ratio is not None for one in others)
    job.forget()
    _, (hung, *others) = tuning(shared_store, replace(FOUR, objective="engine_bytes"))._built()
    assert hung.request is None
    assert all(one.request is not None for one in others)


def test_who_is_passed_over_does_not_wait_for_a_part_of_the_time_for_building(
    shared_store, monkeypatch
):
    """The last one had three quarters of it, and nobody the rest."""
    Clock(monkeypatch)
    monkeypatch.setattr(env, "usable_cores", lambda: 8.0)
    real, left = Profiler.prepared, []

    def prepared(self, configuration):
        left.append(None if contain._whole is None else contain._whole.left_s())
        return real(self, configuration)

    def reason(self, name, firsts):
        return "far behind" if "thread" in name and "4 threads" not in name else ""

    monkeypatch.setattr(Profiler, "prepared", prepared)
    monkeypatch.setattr(races.Outlook, "reason", reason)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")
    job = tuning(shared_store, FOUR)
    default, others = job._listed()
    job.races.raced({one.name: one for one in (default, *others)}, default, 20.0)
    assert left == [None, pytest.approx(20.0)]
    job.forget()


def hanging(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, hangs: Callable[[str], bool] | None = None
) -> None:
    """Let those of one thread never be ready for a race; a block of the others takes a tenth of a second."""
    block, is_hanging = Planted.block, hangs or (lambda name: "1 thread" in name)

    def slow(self):
        clock.now_s += 0.1
        return block(self)

    class Hanging(Planted):
        timeout_s: Callable[[], float]

        def start(self):
            clock.now_s += self.timeout_s()
            raise WorkerFailure("no answer", "timeout")

    def planted(entrants, timeout_s, **rest):
        lanes = {
            one.name: (Hanging if is_hanging(one.name) else Planted)(1.0, seed)
            for seed, one in enumerate(entrants)
        }
        for lane in lanes.values():
            lane.timeout_s = timeout_s
        return lanes

    monkeypatch.setattr(Planted, "block", slow)
    monkeypatch.setattr(races, "lanes", planted)
    monkeypatch.setattr(env, "usable_cores", lambda: 8.0)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")


def test_one_that_hangs_when_it_is_started_leaves_time_for_looks_at_the_others(
    shared_store, monkeypatch
):
    hanging(Clock(monkeypatch), monkeypatch)
    job = tuning(shared_store, FOUR)
    default, (hung, *others) = job._listed()
    job.races.raced({one.name: one for one in (default, hung, *others)}, default, 20.0)
    assert (hung.fate, hung.reason) == (FAILED, NOT_STARTED)
    assert all(one.ratio is not None for one in others)
    job.forget()


def test_where_the_only_one_hangs_it_is_named_beside_the_larger_budget(shared_store, monkeypatch):
    hanging(Clock(monkeypatch), monkeypatch)
    job = tuning(shared_store, replace(FOUR, threads=(1,)))
    default, (hung,) = job._listed()
    said = f"{hung.name} was begun and not ready: leave it out if it hangs"
    with pytest.raises(UsageError, match=said):
        job.races.raced({one.name: one for one in (default, hung)}, default, 20.0)


def test_where_the_default_hangs_nobody_is_told_to_leave_it_out(shared_store, monkeypatch):
    """It is a candidate whatever is named."""
    hanging(Clock(monkeypatch), monkeypatch, lambda name: "thread" not in name)
    job = tuning(shared_store, replace(FOUR, threads=(1,)))
    default, (other,) = job._listed()
    with pytest.raises(UsageError, match="is too short") as refused:
        job.races.raced({one.name: one for one in (default, other)}, default, 20.0)
    assert "leave it out" not in str(refused.value)
    assert "at all 2 candidates" not in str(refused.value)  # which the second one is


def test_what_an_earlier_run_looked_at_is_built_again_be_it_out_or_not(shared_store, plant):
    job = tuning(shared_store, SMALL)
    default, others = job._listed()
    everyone = {one.name: one for one in (default, *others)}
    looks = {one.name: 1.0 for one in everyone.values()}
    job.journal.events["race"] = [
        Round(0, looks),
        Dropped(others[0].name, SLOWER, "twice the best"),
    ]
    job.races.raced(everyone, default, 100.0)
    assert others[0].reason == "twice the best"
    assert all(one.request is not None for one in others)
    job.forget()


def test_what_could_not_be_built_is_tried_once_more_when_it_goes_on(shared_store, plant):
    """Memory that it lacked may be free again; it was out for good once its failure was in the journal."""
    job = tuning(shared_store, SMALL)
    default, others = job._listed()
    unbuilt = f"{races.UNBUILT}: it took more than the 2 GiB of memory that were left"
    job.journal.events["race"] = [Dropped(others[0].name, FAILED, unbuilt)]
    job.races.raced({one.name: one for one in (default, *others)}, default, 100.0)
    assert others[0].request is not None
    assert others[0].reason != unbuilt
    job.forget()


def test_a_budget_in_which_the_default_alone_is_built_says_how_much_is_needed(
    shared_store, monkeypatch
):
    clock, real = Clock(monkeypatch), Profiler.prepared

    def prepared(self, configuration):
        clock.now_s += 30.0
        if configuration.scenario.threads is not None:
            raise UsageError("not done")
        return real(self, configuration)

    monkeypatch.setattr(Profiler, "prepared", prepared)
    with pytest.raises(UsageError, match=r"building a second engine takes one of about \d{2} s"):
        tuning(shared_store, replace(SMALL, objective="engine_bytes", budget_s=20.0))._built()


def test_the_end_has_its_time_of_the_budget_but_no_more_than_half_of_it(shared_store, monkeypatch):
    Clock(monkeypatch)  # which stands still, however long building takes
    for budget_s, most_s in (
        (100.0, 100.0 - confirmation.CONFIRM_S - 2 * confirmation.ROW_S),
        (8.0, 4.0),
    ):
        job = tuning(shared_store, replace(SMALL, budget_s=budget_s))
        default, others = job._built()
        assert job._left_s > most_s
        job._keep_for_the_end([default, *others], default)
        assert 0.3 * most_s < job._left_s <= most_s
