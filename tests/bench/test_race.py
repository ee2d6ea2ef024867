"""The race: the fastest stays in, the slower are dropped, and what was measured is never lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from planted import Planted

from deploykit.bench.channel import WorkerFailure
from deploykit.bench.race import (
    ERROR,
    FAILED,
    FIRST_BLOCKS,
    IN,
    LOOKS,
    SLOWER,
    UNFIT,
    Dropped,
    Entrant,
    Event,
    Outcome,
    Race,
    Round,
    lanes,
)
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Policy
from deploykit.errors import UsageError


def race(
    values: Sequence[float], seed: int = 0, budget_s: float = 60.0, margin: float = 0.01
) -> Outcome:
    entrants = {f"e{n}": Planted(value, 100 * seed + n) for n, value in enumerate(values)}
    return whole(Race(entrants, seed=seed, margin=margin), budget_s)


def whole(race: Race, budget_s: float = 60.0) -> Outcome:
    """A race from the first look to the end."""
    with race:
        race.look()
        race.send_home()
        return race.run(budget_s)


def fates(outcome: Outcome) -> dict[str, str]:
    return {standing.name: standing.fate for standing in outcome.standings}


def test_the_fastest_wins_and_the_slower_are_out() -> None:
    outcome = race([1.3, 1.0, 1.1, 1.5])
    assert outcome.leader is not None
    assert outcome.leader.name == "e1"
    assert fates(outcome) == {"e0": SLOWER, "e1": IN, "e2": SLOWER, "e3": SLOWER}
    beaten = next(s for s in outcome.standings if s.name == "e2")
    assert beaten.ratio is not None
    assert beaten.ratio.low > 1
    assert "times e1" in beaten.reason


def test_who_is_far_off_is_not_raced() -> None:
    far, near = Planted(5.0, 1), Planted(1.05, 2)
    outcome = whole(Race({"near": near, "far": far, "best": Planted(1.0, 3)}))
    assert far.blocks == FIRST_BLOCKS
    assert fates(outcome)["far"] == SLOWER
    assert "first look" in outcome.standings[-1].reason


def test_the_fastest_of_equals_is_dropped_in_at_most_one_race_of_a_hundred() -> None:
    # All are equal, so that whoever is dropped is dropped wrongly: once in 100 races, by chance, is allowed.
    races = [race([1.0] * 4, seed=seed, margin=0.03) for seed in range(100)]
    wrong = sum(fates(outcome)["e0"] != IN for outcome in races)
    assert wrong <= 100 * ERROR
    assert all(outcome.rounds >= LOOKS[0] for outcome in races)


def test_equals_end_the_race_when_they_are_surely_as_good_as_the_leader() -> None:
    alike = {"a": Planted(1.0, 1, noise=0.001), "b": Planted(1.0, 2, noise=0.001)}
    outcome = whole(Race(alike, margin=0.2))
    assert outcome.rounds < LOOKS[-1]
    assert fates(outcome) == {"a": IN, "b": IN}


def test_an_entrant_that_crashes_is_out_and_the_race_goes_on() -> None:
    crashing = Planted(0.9, 1, fails_at=FIRST_BLOCKS + 3)
    entrants = {"good": Planted(1.0, 2), "crashing": crashing, "slow": Planted(1.4, 3)}
    outcome = whole(Race(entrants))
    assert outcome.leader is not None
    assert outcome.leader.name == "good"
    last = outcome.standings[-1]
    assert (last.name, last.fate) == ("crashing", FAILED)
    assert "SIGSEGV" in last.reason


def test_a_first_entrant_that_crashes_is_out_and_the_looks_go_on() -> None:
    crashing = Planted(1.0, 1, fails_at=FIRST_BLOCKS + 2)
    entrants = {"default": crashing, "a": Planted(1.2, 2), "b": Planted(1.3, 3)}
    with Race(entrants) as race:
        firsts = race.look()
        assert list(firsts) == ["a", "b"]
        assert all(1 < value < 1.6 for value in firsts.values())
        outcome = race.run(60)
    assert outcome.leader is not None
    assert fates(outcome)["default"] == FAILED


def test_where_all_fail_nobody_leads() -> None:
    outcome = whole(Race({"a": Planted(1, 1, fails_at=1), "b": Planted(1, 2, fails_at=1)}))
    assert outcome.leader is None
    assert set(fates(outcome).values()) == {FAILED}


def test_who_is_put_out_is_out_and_says_why() -> None:
    with Race(
        {"default": Planted(1.0, 1), "fast": Planted(0.5, 2), "other": Planted(0.9, 3)}
    ) as race:
        firsts = race.look()
        assert list(firsts) == ["fast", "other", "default"]
        assert firsts["fast"] == pytest.approx(0.5, rel=0.1)
        race.put_out("fast", UNFIT, "it loses too much")
        race.send_home()
        outcome = race.run(60)
    assert outcome.leader is not None
    assert outcome.leader.name == "other"
    assert fates(outcome) == {"other": IN, "default": SLOWER, "fast": UNFIT}
    assert outcome.standings[-1].reason == "it loses too much"


def test_who_can_not_be_made_ready_is_out_and_says_why() -> None:
    lanes = {"a": Planted(1.0, 0), "b": Planted(0.5, 1), "c": Planted(1.1, 2)}
    with Race(lanes, make=lambda name: "it can't be built" if name == "b" else "") as race:
        assert list(race.look()) == ["a", "c"]
        outcome = race.run(60.0)
    assert lanes["b"].blocks == 0
    (out,) = [one for one in outcome.standings if one.name == "b"]
    assert (out.fate, out.reason) == ("failed", "it can't be built")


def test_who_needs_no_look_is_out_by_what_the_others_took() -> None:
    lanes = {
        "a": Planted(1.0, 0),
        "b": Planted(9.0, 1),
        "b2": Planted(8.0, 2),
        "c": Planted(1.1, 3),
    }

    def needless(name: str, firsts: Mapping[str, float]) -> str:
        return "b is far behind" if name == "b2" and firsts.get("b", 0.0) > 2 else ""

    with Race(lanes, needless=needless) as race:
        assert list(race.look()) == ["a", "c", "b"]
        outcome = race.run(60.0)
    assert lanes["b2"].blocks == 0
    assert race.late == []
    (out,) = [one for one in outcome.standings if one.name == "b2"]
    assert (out.fate, out.first, out.reason) == (SLOWER, None, "b is far behind")


def test_who_was_not_started_in_time_is_out() -> None:
    with Race({"a": Planted(1.0, 1), "b": Planted(1.0, 2)}) as race:
        assert race.look(budget_s=-1) == {}
        assert set(fates(race.run(1)).values()) == {FAILED}


def test_every_lane_is_closed_however_it_ends() -> None:
    entrants = {f"e{n}": Planted(1.0, n) for n in range(3)}

    def broken_off(event: Event) -> None:
        if isinstance(event, Round) and event.number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(Race(entrants, record=broken_off))
    assert not any(lane.is_open for lane in entrants.values())


def test_a_race_that_was_broken_off_goes_on_where_it_was() -> None:
    events: list[Event] = []
    entrants = {"a": Planted(1.0, 1), "b": Planted(1.2, 2), "c": Planted(9.0, 3)}
    whole(Race(entrants, record=events.append))
    half = events[: len(events) // 2]
    rounds = max(event.number for event in half if isinstance(event, Round))
    assert any(isinstance(event, Dropped) for event in half)
    resumed = {"a": Planted(1.0, 4), "b": Planted(1.2, 5), "c": Planted(9.0, 6)}
    more: list[Event] = []
    outcome = whole(Race(resumed, record=more.append, earlier=half))
    numbers = [event.number for event in more if isinstance(event, Round)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == rounds + 1
    assert outcome.leader is not None
    assert outcome.leader.name == "a"
    assert fates(outcome)["c"] == SLOWER


def test_who_was_looked_at_before_is_not_late_when_a_race_goes_on() -> None:
    """Those that were late before come first, and took the time that it had had its look in."""
    lanes = {name: Planted(1.0, n) for n, name in enumerate("abc")}
    with Race(lanes, earlier=[Round(0, {"a": 1.0, "c": 1.1})]) as race:
        assert race.look(budget_s=-1) == {"a": 1.0, "c": 1.1}
        assert race.late == ["b"]


def test_two_of_one_name_are_refused() -> None:
    from pathlib import Path

    entrant = Entrant("same", lambda: WorkerRequest(Path("engine"), "onnxruntime"))
    with pytest.raises(UsageError, match="same name"):
        lanes([entrant, entrant])


# --- Time, on a clock that a block moves ---


@pytest.fixture
def timed(monkeypatch) -> Callable[..., Planted]:
    """Makes lanes that take seconds of a planted clock for a start and for each block."""
    now_s = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now_s[0])

    class Timed(Planted):
        def __init__(self, value: float, seed: int, block_s: float = 1.0, start_s: float = 0.0):
            super().__init__(value, seed)
            self.block_s, self.start_s = block_s, start_s

        def start(self) -> None:
            super().start()
            now_s[0] += self.start_s

        def block(self) -> float:
            now_s[0] += self.block_s
            return super().block()

    return Timed


def test_no_round_is_begun_that_would_not_end_in_time(timed) -> None:
    with Race({name: timed(1.0, n) for n, name in enumerate("abc")}) as race:
        race.look()
        outcome = race.run(10.0)
    assert outcome.rounds == 3  # of three seconds each
    assert outcome.cut_short
    assert set(fates(outcome).values()) == {IN}


def test_without_time_for_a_round_the_first_look_says_who_leads(timed) -> None:
    with Race({"a": timed(1.0, 1), "b": timed(0.5, 2), "c": timed(0.7, 3)}) as race:
        race.look()
        outcome = race.run(2.0)
    assert (outcome.rounds, outcome.cut_short) == (0, True)
    assert [one.name for one in outcome.standings] == ["b", "c", "a"]


def test_no_more_race_than_can_be_told_apart_in_the_time(timed) -> None:
    lanes = {f"e{n}": timed(1.0 + 0.05 * n, n) for n in range(6)}
    with Race(lanes) as race:
        race.look()
        race.send_home(3.5 * LOOKS[0], staying=["e5"])
        outcome = race.run(4.5 * LOOKS[0])
    assert not outcome.cut_short
    raced = [name for name, lane in lanes.items() if lane.blocks > 2 * 3]
    assert "e5" in raced
    home = [one for one in outcome.standings if "as many as there was time for" in one.reason]
    assert len(home) == 2
    assert all(one.fate == SLOWER for one in home)


def test_a_race_of_two_is_made_however_little_time_there_is(timed) -> None:
    with Race({name: timed(1.0, n) for n, name in enumerate("abc")}) as race:
        race.look()
        race.send_home(0.0)
        assert sum(fate == IN for fate in fates(race.run(0.0)).values()) == 2


def test_who_could_not_be_started_in_time_is_not_raced(timed) -> None:
    lanes = {"a": timed(1.0, 1), "b": timed(1.01, 2), "slow": timed(1.3, 3, start_s=50.0)}
    with Race(lanes) as race:
        race.look()
        outcome = race.run(40.0)
    assert fates(outcome)["slow"] == SLOWER
    assert "no time was left to start it" in outcome.standings[-1].reason
    assert outcome.rounds >= LOOKS[0]


def test_who_all_are_held_against_is_not_out_for_being_late_beside_another() -> None:
    class Late(Planted):
        def block(self) -> float:
            if self.blocks == FIRST_BLOCKS:  # the first one beside another
                self.blocks += 1
                raise WorkerFailure("no answer within 2 s", "timeout")
            return super().block()

    default = Late(1.0, 1)
    with Race({"default": default, "a": Planted(1.2, 2), "b": Planted(0.8, 3)}) as race:
        firsts = race.look()
        assert list(firsts) == ["b", "default", "a"]
        assert default.is_open
        outcome = race.run(60)
    assert fates(outcome)["default"] != FAILED


def test_where_two_could_not_be_started_in_time_there_are_no_rounds(timed) -> None:
    lanes = {"a": timed(1.0, 1), "slow": timed(0.8, 2, start_s=50.0)}
    with Race(lanes) as race:
        race.look()
        outcome = race.run(40.0)
    assert (outcome.rounds, outcome.cut_short) == (0, True)
    assert fates(outcome) == {"a": IN, "slow": IN}


def test_a_first_look_that_runs_out_of_time_is_of_the_blocks_that_it_has(timed) -> None:
    lanes = {"a": timed(1.0, 1), "b": timed(0.5, 2), "c": timed(0.5, 3)}
    with Race(lanes) as race:
        firsts = race.look(budget_s=4.5)
    assert lanes["b"].blocks == 1
    assert list(firsts) == ["b", "a"]
    assert race.late == ["c"]


@pytest.mark.parametrize(("made_s", "beside"), [(0.0, 3), (5.0, 5)])
def test_a_block_of_the_first_one_is_beside_two_looks_of_one_block(
    timed, monkeypatch, made_s, beside
) -> None:
    """A look by new processes took two of them; where building comes in between it still does."""
    lanes = {name: timed(1.0, n) for n, name in enumerate("abcdef")}
    for lane in lanes.values():
        lane.first_blocks = 1

    def make(name: str) -> str:
        monkeypatch.setattr("time.perf_counter", lambda now=time.perf_counter: now() + made_s)
        return ""

    with Race(lanes, make=make) as race:
        firsts = race.look()
    assert len(firsts) == 6
    assert [lanes[name].blocks for name in "bcdef"] == [1] * 5
    assert lanes["a"].blocks == 1 + beside


SHORT = Policy(warmup_s=0.01, warmup_max_s=0.2, window_s=0.005)
#: Of a process for each block.
BRIEF_BLOCK = Policy.quick().lasting(0.1)


def test_engines_race_in_processes_that_stay(engine, plugin):
    entrants = [
        Entrant("slower", lambda: WorkerRequest(engine.folder, "slower", policy=SHORT)),
        Entrant("steady", lambda: WorkerRequest(engine.folder, "steady", policy=SHORT)),
    ]
    outcome = whole(Race(lanes(entrants), margin=0.05), 2.0)
    assert outcome.leader is not None
    assert outcome.leader.name == "steady"
    assert fates(outcome)["slower"] == SLOWER
    assert 0 < outcome.measuring_s <= outcome.elapsed_s


def test_a_process_for_every_block_measures_what_takes_one(engine, plugin):
    entrant = Entrant(
        "two", lambda: WorkerRequest(engine.folder, "steady", policy=SHORT, streams=2)
    )
    (lane,) = lanes(
        [entrant], worth=lambda columns: columns["latency_p50_ms"], policy=BRIEF_BLOCK
    ).values()
    assert lane.block() > 0
    (blank,) = lanes([entrant], worth=lambda columns: None, policy=BRIEF_BLOCK).values()
    with pytest.raises(WorkerFailure, match="objective was not measured"):
        blank.block()
