from __future__ import annotations

import itertools

import numpy as np
import pytest

from deploykit.bench import interleaved
from deploykit.bench.channel import Channel, WorkerFailure
from deploykit.bench.interleaved import (
    MODULE,
    Plan,
    Ready,
    Turn,
    compare_interleaved,
    plan,
    verdict_of,
)
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Policy
from deploykit.errors import UsageError
from deploykit.stats import RatioInterval

SHORT = Policy(warmup_s=0.01, warmup_max_s=0.2, window_s=0.005)


def side(engine, backend, **changes):
    return WorkerRequest(engine.folder, backend, policy=SHORT, **changes)


def test_a_slower_configuration_is_found_from_either_side(engine, plugin):
    steady, slower = side(engine, "steady"), side(engine, "slower")
    found = compare_interleaved(steady, slower, budget_s=1.0)
    assert found.verdict == "slower"
    assert found.ratio.low > 1.2
    back = compare_interleaved(slower, steady, budget_s=1.0)
    assert back.verdict == "faster"
    assert back.ratio.high < 0.8


def test_both_sides_bring_their_columns_and_blocks(engine, plugin, tmp_path):
    found = compare_interleaved(
        side(engine, "steady", samples_path=tmp_path / "a.npz"),
        side(engine, "steady", batch=2),
        budget_s=1.0,
    )
    assert found.ratio.pairs == found.plan.units >= 12
    assert len(found.a_ns) == len(found.b_ns) == found.plan.units
    assert found.ratio.ratio == pytest.approx(
        float(np.exp(np.median(np.log(np.array(found.b_ns) / np.array(found.a_ns)))))
    )
    assert found.a.columns["iterations"] > 10
    assert found.b.columns["batch"] == 2
    with np.load(tmp_path / "a.npz") as stored:
        assert len(stored["samples_ns"]) == found.a.columns["iterations"]


def test_sides_take_turns_and_the_order_is_swapped_each_time(engine, plugin):
    compare_interleaved(side(engine, "noting"), side(engine, "noting"), budget_s=0.5)
    notes = [line.split() for line in engine.path.with_name("turns").read_text().splitlines()]
    first, second = dict.fromkeys(pid for pid, _ in notes)
    # The sample right after a load only wakes the session; the others are blocks.
    turns = [
        pid
        for (_, before), (pid, what) in itertools.pairwise(notes)
        if (before, what) == ("sample", "sample")
    ]
    assert turns[-20:] in ([first, second, second, first] * 5, [second, first, first, second] * 5)


@pytest.mark.parametrize(
    ("backend", "kind", "words"),
    [
        ("killed", "killed", "was killed"),
        ("fading", "crashed", "ended with status 9"),
        ("raising", "error", "RuntimeError in deploykit_faults.py"),
        ("malformed", "malformed", "answered b'malformed'"),
        ("absent", "error", "no device is here"),
    ],
)
def test_a_side_that_fails_is_one_line(engine, plugin, backend, kind, words):
    with pytest.raises(WorkerFailure, match=words) as caught:
        compare_interleaved(side(engine, "steady"), side(engine, backend), budget_s=1.0)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


def test_a_side_that_hangs_is_given_up(engine, plugin):
    with pytest.raises(WorkerFailure, match="no result after 1 s") as caught:
        compare_interleaved(side(engine, "hung"), side(engine, "steady"), timeout_s=1)
    assert caught.value.kind == "timeout"


def test_each_unit_loads_both_sides_anew(engine, plugin):
    found = compare_interleaved(side(engine, "noting"), side(engine, "noting"), budget_s=0.5)
    loads = engine.path.with_name("turns").read_text().count("load")
    # Twice more per side: to warm up, and to see before the first block how long it takes.
    assert loads == 2 * (found.plan.units + 2)


def test_an_answer_stands_for_all_runs_since_the_last_load(engine, plugin):
    def longest(renew):
        return worker.ask(Turn(0.001, 1.0, renew), float, 60)

    with Channel(MODULE) as worker:
        ready = worker.ask(side(engine, "steady"), Ready, 60)
        assert ready.run_s >= 0.0005
        one_unit = [longest(index == 0) for index in range(12)]
        units = [longest(True) for _ in range(12)]
    assert one_unit == sorted(one_unit)
    assert units != sorted(units)


def test_a_unit_of_several_pairs_gives_one_ratio(engine, plugin, monkeypatch):
    monkeypatch.setattr(interleaved, "plan", lambda *_: Plan(units=12, pairs=3, block_s=0.002))
    found = compare_interleaved(side(engine, "steady"), side(engine, "slower"))
    assert len(found.a_ns) == len(found.b_ns) == found.ratio.pairs == 12
    assert found.verdict == "slower"


@pytest.mark.parametrize(
    ("run_s", "renew_s", "expected"),
    [
        (3e-5, 0.01, (88, 1, 0.04)),  # loading costs nothing: every pair on fresh loads
        (5e-3, 0.12, (25, 2, 0.05)),  # several pairs per load, or loading takes most of the time
        (0.05, 0.8, (12, 1, 0.1)),  # never fewer than 12 units, even beyond the budget
    ],
)
def test_time_goes_into_blocks_and_no_more_than_half_of_it_into_loading(run_s, renew_s, expected):
    found = plan(run_s, renew_s, 8.0)
    assert (found.units, found.pairs, found.block_s) == expected


@pytest.mark.parametrize("changes", [{"budget_s": 0.0}, {"threshold": -1.0}])
def test_impossible_settings_are_refused_before_anything_starts(engine, changes):
    with pytest.raises(UsageError, match="give"):
        compare_interleaved(side(engine, "steady"), side(engine, "steady"), **changes)


def test_streams_are_refused(engine, plugin):
    with pytest.raises(WorkerFailure, match="leave --streams and --rate out"):
        compare_interleaved(side(engine, "steady", streams=2), side(engine, "steady"))


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [
        (1.05, 1.03, 1.07, "slower"),
        (1.05, 0.99, 1.10, "undecided"),
        (0.90, 0.85, 0.95, "faster"),
        (1.001, 0.995, 1.005, "same"),
        (1.008, 1.004, 1.009, "same"),  # surely slower, but by less than matters
        (1.009, 1.004, 1.02, "undecided"),
        (1.0, 0.9, 1.1, "undecided"),
    ],
)
def test_a_change_needs_both_certainty_and_size(ratio, low, high, verdict):
    assert verdict_of(RatioInterval(ratio, low, high, 0.99, 30), 0.01) == verdict


def test_the_verdict_is_the_same_from_both_sides():
    mirror = {"slower": "faster", "faster": "slower", "same": "same", "undecided": "undecided"}
    for low, mid, high in [(1.02, 1.05, 1.08), (0.99, 1.0, 1.01), (0.9, 1.02, 1.1)]:
        there = verdict_of(RatioInterval(mid, low, high, 0.99, 30), 0.01)
        back = verdict_of(RatioInterval(1 / mid, 1 / high, 1 / low, 0.99, 30), 0.01)
        assert back == mirror[there]
