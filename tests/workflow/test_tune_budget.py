"""The budget of a tuning: every phase keeps it, and the answer says what it cut short and where the time went."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import onnx
import pytest
from planted import Clock, Planted

from deploykit.bench import contain, race
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.race import FAILED, IN, UNFIT, Entrant
from deploykit.bench.scenario import Constraint, Policy
from deploykit.errors import BuildFailed, UsageError
from deploykit.row import OVERLOAD, Finding, Note, Row
from deploykit.spec import ModelFile, ModelSpec
from deploykit.stats import RatioInterval
from deploykit.store import Store
from deploykit.workflow import confirmation, fitness, races, tune, tuned
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.profile import Profiler
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Question

LENET = ModelSpec("lenet5")
QUICK = ProfileOptions(
    policy=Policy(warmup_s=0.01, warmup_max_s=0.1, window_s=0.01, min_s=0.05, max_s=0.2),
    roofline=False,
)
#: Seven candidates beside the default, of which each block takes a process of its own.
FRESH = Question(
    objective="throughput_ips",
    backends=("onnxruntime",),
    precisions=("fp32",),
    threads=(1,),
    batches=(1, 2, 4, 8),
    streams=(1, 2),
    budget_s=60.0,
)
#: One request after the other, by processes that stay.
PLAIN = replace(FRESH, objective="latency_p50_ms", batches=(1,), streams=(1,))
#: What a process takes for each block, on the planted clock.
BLOCK_S = 2.0


class Slow(Planted):
    """A lane each of whose blocks, and starts, takes its time on the planted clock."""

    def __init__(self, clock: Clock, value: float, seed: int, start_s: float = 0.0) -> None:
        super().__init__(value, seed)
        self.clock, self.start_s = clock, start_s

    def start(self) -> None:
        super().start()
        self.clock.now_s += self.start_s

    def block(self) -> float:
        self.clock.now_s += BLOCK_S
        self.starting_s += BLOCK_S / 2
        return super().block()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """A clock on which blocks and rows take their time; engines are built at once and all are fit."""
    made = Clock(monkeypatch)

    def rows(self: Profiler, wanted: Sequence[Configuration]):
        for configuration in wanted:
            row, _ = self.prepared(configuration)
            made.now_s += 3.0
            yield row.plus({"status": "ok", "throughput_ips": 1.0, "latency_p50_ms": 1.0})

    monkeypatch.setattr(Profiler, "rows", rows)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")
    return made


@pytest.fixture
def plant(clock, monkeypatch) -> Callable[..., list[Slow]]:
    """Plant latencies by candidates' names, and what starting them takes; gives the lanes as they are made."""

    def of(value: Callable[[str], float], start_s: float = 0.0) -> list[Slow]:
        made: list[Slow] = []

        def planted(entrants: Sequence[Entrant], **rest: object) -> dict[str, Slow]:
            found = {
                one.name: Slow(clock, value(one.name), n, start_s) for n, one in enumerate(entrants)
            }
            made.extend(found.values())
            return found

        monkeypatch.setattr(races, "lanes", planted)
        return made

    return of


def asked(store: Store, question: Question) -> tuned.Tuned:
    job = Tuning(LENET, question, QUICK, store)
    job.forget()
    return job()


@pytest.mark.parametrize("budget_s", [60.0, 120.0, 300.0, 900.0])
@pytest.mark.parametrize("best", ["batch 8", "no such"])
def test_a_process_for_each_block_keeps_the_budget(shared_store, plant, budget_s, best):
    plant(lambda name: 0.5 if best in name else 1.0)
    found = asked(shared_store, replace(FRESH, budget_s=budget_s))
    # What the last step takes: a comparison of least length, or a row.
    assert found.elapsed_s <= budget_s + 6 * BLOCK_S
    assert found.best is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "host_peak_mib", "batches": (1,), "streams": (1,), "threads": (1, 2, 3, 4)},
        {"objective": "latency_p50_ms", "batches": (1,), "streams": (2,), "threads": (1, 2, 3)},
        {"objective": "latency_p50_ms", "batches": (1,), "rate_per_s": 50.0, "streams": (1,)},
    ],
)
def test_memory_streams_and_rates_keep_the_budget_too(shared_store, plant, changes):
    plant(lambda name: 1.0)
    found = asked(shared_store, replace(FRESH, **changes))
    assert found.elapsed_s <= found.question.budget_s + 6 * BLOCK_S


def test_a_runtime_far_behind_leaves_its_looks_at_larger_batches_to_others(shared_store, plant):
    made = plant(lambda name: 9.0 if "torch" in name else 1.0 if "batch" not in name else 0.8)
    question = replace(FRESH, backends=("onnxruntime", "openvino", "torch"), budget_s=1000.0)
    found = asked(shared_store, question)
    assert made
    passed = {one.name: one for one in found.candidates if one.reason.startswith("not looked at")}
    assert {one.configuration.backend for one in passed.values()} == {"torch"}
    assert {(one.fate, one.ratio) for one in passed.values()} == {(race.SLOWER, None)}
    assert {one.request for one in passed.values()} == {None}  # nor is it built for that
    assert len({one.reason for one in passed.values()}) == 1  # one line of the table
    looked_at = [one for one in found.candidates if one.ratio is not None]
    assert len(looked_at) + len(passed) == len(found.candidates)


def test_a_race_that_the_budget_cuts_short_is_said_in_the_answer(shared_store, plant):
    plant(lambda name: 0.5 if "batch 8" in name else 1.0)
    short = asked(shared_store, replace(FRESH, budget_s=70.0))
    assert any("The budget cut the race short" in text for text in short.remarks)
    roomy = asked(shared_store, replace(FRESH, budget_s=3000.0))
    assert not any("cut" in text for text in roomy.remarks)


def test_the_default_is_kept_where_no_time_is_left_to_meet_it(shared_store, plant, monkeypatch):
    plant(lambda name: 1.0)
    job = Tuning(LENET, FRESH, QUICK, shared_store)
    default, others = job._built()
    everyone = {one.name: one for one in (default, *others)}
    job.confirmation._left_s = lambda: 1.0
    chosen, meetings = job.confirmation.answered([others[0], default], everyone, default)
    assert (chosen, meetings) == (default, [])
    assert "No time was left for" in job.confirmation.remarks[0]
    assert others[0].reason == "no time was left to hold it against the default"


def test_a_comparison_of_new_processes_has_as_many_rounds_as_there_is_time_for(shared_store, plant):
    lanes = plant(lambda name: 1.0)
    job = Tuning(LENET, FRESH, QUICK, shared_store)
    default, others = job._built()
    rounds = []
    for budget_s in (1.0, 5 * 2 * BLOCK_S, 1000.0):
        lanes.clear()
        job.confirmation._beside(others[0], default, budget_s)
        rounds.append(lanes[0].blocks)
    assert rounds == [3, 5, 8]
    assert job.confirmation.starting_s == pytest.approx(2 * sum(rounds) * BLOCK_S / 2)


def test_who_was_not_ready_for_a_race_of_options_keeps_its_place(shared_store, plant, monkeypatch):
    """Its place is by the race before; it was put out, and the default was the answer."""
    plant(lambda name: 1.0)
    monkeypatch.setattr("deploykit.env.usable_cores", lambda: 4.0)
    job = Tuning(LENET, replace(PLAIN, threads=(2,)), QUICK, shared_store)
    default, (winner,) = job._built()
    winner.ratio, default.ratio = 1.0, 1.2
    everyone = {one.name: one for one in (default, winner)}
    monkeypatch.setattr(
        race.Race,
        "look",
        lambda self, budget_s: self.put_out(winner.name, FAILED, race.NOT_STARTED) or {},
    )
    changed = {winner.name: tune.single_changes(winner.configuration, job.question)}
    order, helped = job.races.told("options", [winner, default], changed, everyone, 100.0)
    assert (order, helped) == ([winner, default], {})
    assert (winner.fate, winner.reason, winner.ratio) == (IN, "", 1.0)
    variants = [one for one in everyone.values() if one.configuration.options]
    assert variants
    assert {(one.fate, one.reason) for one in variants} == {(FAILED, race.TOO_LATE)}
    job.forget()


def test_once_the_time_is_over_one_engine_is_judged_and_the_others_are_not(
    shared_store, plant, monkeypatch
):
    plant(lambda name: 0.9 if "thread" in name else 1.0)
    told: list[str] = []

    def unfit(self, candidate):
        told.append(candidate.name)
        return "it drifts"

    monkeypatch.setattr(Fitness, "_unfit", unfit)
    monkeypatch.setattr("deploykit.env.usable_cores", lambda: 8.0)
    question = replace(FRESH, batches=(1,), streams=(1,), precisions=("fp32", "int8"), threads=(1,))
    job = Tuning(LENET, question, QUICK, shared_store)
    job.forget()
    job = Tuning(LENET, question, QUICK, shared_store)
    default, others = job._built()
    job.races._left_s = lambda: 0.0
    monkeypatch.setattr(race.Race, "look", lambda self, budget_s: dict.fromkeys(self._runners, 1.0))
    job.races.raced({one.name: one for one in (default, *others)}, default, 0.0)
    assert len(told) == 1
    assert [one.reason for one in others].count(fitness.TOO_LATE) == len(others) - 1
    job.forget()


def test_a_verdict_for_want_of_time_is_not_in_the_journal(shared_store, monkeypatch):
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: fitness.TOO_LATE)
    job = Tuning(LENET, FRESH, QUICK, shared_store)
    _, others = job._built()
    assert job.fitness.reason(others[0]) == fitness.TOO_LATE
    assert not Tuning(LENET, FRESH, QUICK, shared_store).journal.judged


def test_a_race_that_there_is_no_time_for_is_said_and_nothing_is_predicted_for_it(
    shared_store, plant, monkeypatch
):
    """A mix was predicted that then did not race, and layers were 'tried once more'."""
    plant(lambda name: 1.0)
    monkeypatch.setattr(Profiler, "what_if", None)
    monkeypatch.setattr(Profiler, "layers_to_keep", None)
    question = replace(
        FRESH, batches=(1,), streams=(1,), threads=(), precisions=("fp32", "int8"), budget_s=100.0
    )
    job = Tuning(LENET, question, QUICK, shared_store)
    default, others = job._built()
    everyone = {one.name: one for one in (default, *others)}
    order = [default, *others]
    assert job._with_mix(order, everyone, default) == order
    lost = replace(others[0], fate=UNFIT, ratio=0.5)
    assert job._with_layers_kept([default], {lost.name: lost}, default) == [default]
    changed = {default.name: tune.single_changes(default.configuration, question)}
    assert job.races.told("options", order, changed, everyone, 20.0) == (order, {})
    assert job.races.remarks == ["No time was left for the race of options."]


def test_who_was_late_before_the_first_round_is_in_again_when_a_race_goes_on(shared_store):
    job = Tuning(LENET, PLAIN, QUICK, shared_store)
    slower = race.Dropped("a", race.SLOWER, "it is slower")
    late = [race.Dropped(one, FAILED, race.NOT_STARTED) for one in "bc"]
    unjudged = race.Dropped("d", UNFIT, fitness.TOO_LATE)
    first = race.Round(0, {"a": 1.0})
    job.journal.events["race"] = [first, slower, *late, unjudged]
    assert job.races._earlier("race") == [first, slower]
    job.journal.events["race"].append(race.Round(1, {"a": 1.0}))
    assert len(job.races._earlier("race")) == 6
    job.forget()


def test_a_default_that_is_the_answer_is_in_whatever_it_was_dropped_for(shared_store, plant):
    plant(lambda name: 1.0)
    job = Tuning(LENET, PLAIN, QUICK, shared_store)
    default, others = job._built()
    default.fate, default.reason = race.SLOWER, "others are faster by a little"
    everyone = {one.name: one for one in (default, *others)}
    job.confirmation._meet = lambda one, other, budget_s: tuned.Meeting(
        one.name, other.name, RatioInterval(1.0, 0.99, 1.01, 0.99, 12), "same"
    )
    chosen, _ = job.confirmation.answered([others[0]], everyone, default)
    assert chosen is default
    assert (default.fate, default.reason) == (IN, "")


def test_a_process_of_a_meeting_is_not_waited_for_beyond_the_budget(shared_store, monkeypatch):
    bounds = []

    def planted(entrants, **rest):
        bounds.append(rest["timeout_s"]())
        return {one.name: Planted(1.0, 0) for one in entrants}

    monkeypatch.setattr(races, "lanes", planted)
    job = Tuning(LENET, FRESH, QUICK, shared_store)
    default, others = job._built()
    job.confirmation._left_s = lambda: 40.0
    job.confirmation._beside(others[0], default, 10.0)
    assert bounds == [40.0]


def test_no_mix_is_predicted_where_memory_is_what_counts(shared_store, monkeypatch):
    monkeypatch.setattr(Profiler, "what_if", None)
    question = replace(
        FRESH,
        objective="host_peak_mib",
        batches=(1,),
        streams=(1,),
        precisions=("fp32", "int8"),
        threads=(),
        budget_s=600.0,
    )
    job = Tuning(LENET, question, QUICK, shared_store)
    default, others = job._built()
    everyone = {one.name: one for one in (default, *others)}
    assert job._with_mix([default, *others], everyone, default) == [default, *others]


def test_where_the_time_went_is_told_and_in_the_values(shared_store, plant, clock, monkeypatch):
    plant(lambda name: 1.0)

    def unfit(self, candidate):
        clock.now_s += 4.0
        return ""

    real, built = Profiler.prepared, []

    def prepared(self, configuration):
        built.append(configuration)
        clock.now_s += 1.0
        return real(self, configuration)

    def rows(self, wanted):
        for configuration in wanted:
            row, _ = real(self, configuration)
            yield row.plus({"status": "ok", "throughput_ips": 1.0})

    monkeypatch.setattr(Profiler, "rows", rows)
    monkeypatch.setattr(Fitness, "_unfit", unfit)
    monkeypatch.setattr(Profiler, "prepared", prepared)
    question = replace(FRESH, batches=(1,), streams=(1, 2), threads=(1,), budget_s=200.0)
    found = asked(shared_store, question)
    values = tuned.as_values(found)
    engines = len(built)
    assert engines >= 3
    assert values["building_s"] == pytest.approx(engines)
    assert values["judging_s"] == pytest.approx(4.0)  # all have one engine
    assert values["outside_s"] == pytest.approx(engines + 4.0)
    assert values["outside_share"] == pytest.approx((engines + 4.0) / 200.0)
    assert values["starting_s"] > 0
    share = (engines + 4) / 2
    said = f"{engines} s of building and 4 s of judging. What was not measuring took {share:.0f}% of the budget"
    assert said in found.time_sentence


def test_a_default_that_was_late_meets_the_winner_all_the_same(shared_store, plant):
    plant(lambda name: 1.0)
    job = Tuning(LENET, FRESH, QUICK, shared_store)
    default, others = job._built()
    default.fate, default.reason = FAILED, race.NOT_STARTED
    meetings: list[tuned.Meeting] = []
    assert not job.confirmation._is_better(others[0], default, meetings)
    assert len(meetings) == 1


def test_a_default_that_does_not_run_need_not_be_met(shared_store, plant, monkeypatch):
    plant(lambda name: 1.0)
    failed = Row({"status": "failed"}, (Note("failed", "out of memory"),))
    monkeypatch.setattr(Profiler, "rows", lambda self, wanted: iter([failed]))
    job = Tuning(LENET, FRESH, QUICK, shared_store)
    default, others = job._built()
    default.fate = FAILED
    meetings: list[tuned.Meeting] = []
    assert job.confirmation._is_better(others[0], default, meetings)
    assert meetings == []


def test_a_budget_that_was_too_short_leaves_no_journal_that_says_so_for_ever(shared_store, plant):
    plant(lambda name: 1.0)
    job = Tuning(LENET, replace(FRESH, budget_s=2.0), QUICK, shared_store)
    with pytest.raises(UsageError, match="is too short"):
        job()
    assert not job.journal.path.exists()


def build_for(
    build_s: float, clock: Clock, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., bool]
) -> None:
    """Let each engine take so long to be built on the planted clock; those that fail do so at once."""
    real = Profiler.prepared

    def prepared(self, configuration):
        if fails(configuration):
            raise BuildFailed("the runtime lacks an operator")
        limit = contain._whole
        time_for = build_s if limit is None else min(build_s, limit.left_s())
        clock.now_s += time_for
        if time_for < build_s:
            raise BuildFailed("it was not done in time")
        return real(self, configuration)

    monkeypatch.setattr(Profiler, "prepared", prepared)


def named_s(store: Store, question: Question) -> int | None:
    """The budget that is named where the question's is refused; None where it has an answer."""
    try:
        asked(store, question)
    except UsageError as error:
        found = re.search(r"give --budget (\d+)s", str(error))
        assert found is not None
        return int(found[1])
    return None


@pytest.mark.parametrize("build_s", [0.0, 4.0, 20.0, 60.0])
def test_a_budget_that_is_too_short_is_told_one_that_is_enough_and_not_much_more(
    shared_store, plant, clock, monkeypatch, build_s
):
    """It was told the budget of a look at all candidates, though a look at two has an answer."""
    plant(lambda name: 1.0)
    build_for(build_s, clock, monkeypatch, lambda one: False)

    def named(budget_s: float) -> int | None:
        return named_s(shared_store, replace(FRESH, budget_s=budget_s))

    least_s = next(n for n in range(2, 400) if named(float(n)) is None)
    for refused_s in (2.0, least_s / 2, least_s - 1.0):
        told_s = named(refused_s)
        assert told_s is not None
        assert named(told_s) is None
        assert told_s <= 2.5 * least_s


def test_the_budget_that_is_named_has_time_to_start_a_second_one(shared_store, clock, monkeypatch):
    """While others wait, who is started has three quarters of the time for looks, and was not ready in it."""
    start_s = 10.0

    class Started(Planted):
        def __init__(self, seed: int, timeout_s: Callable[[], float]) -> None:
            super().__init__(1.0, seed)
            self.timeout_s = timeout_s

        def start(self) -> None:
            allowed_s = self.timeout_s()
            clock.now_s += min(start_s, allowed_s)
            if allowed_s < start_s:
                raise WorkerFailure("no answer", "timeout")

    def planted(entrants, timeout_s, **rest):
        return {one.name: Started(n, timeout_s) for n, one in enumerate(entrants)}

    met = SimpleNamespace(ratio=RatioInterval(1.0, 0.99, 1.01, 0.99, 12), elapsed_s=0.0)
    monkeypatch.setattr(races, "lanes", planted)
    monkeypatch.setattr(confirmation, "compare_interleaved", lambda *sides, **rest: met)
    monkeypatch.setattr("deploykit.env.usable_cores", lambda: 8.0)
    question = replace(PLAIN, threads=(1, 2, 3))
    told_s = named_s(shared_store, replace(question, budget_s=2.0))
    assert told_s is not None
    assert named_s(shared_store, replace(question, budget_s=float(told_s))) is None


@pytest.mark.parametrize("before_s", [0.0, 70.0])
def test_a_budget_that_is_too_short_for_a_second_size_is_told_one_that_is_enough(
    shared_store, clock, monkeypatch, before_s
):
    """What came before building, such as a metric of fp32, was left out, and what is kept for those who wait."""
    build_for(20.0, clock, monkeypatch, lambda one: False)

    def check_fed(self, source):
        clock.now_s += before_s

    monkeypatch.setattr(Profiler, "check_fed", check_fed)
    question = replace(FRESH, objective="engine_bytes")
    for refused_s in (10.0, before_s + 30.0):
        told_s = named_s(shared_store, replace(question, budget_s=refused_s))
        assert told_s is not None
        assert named_s(shared_store, replace(question, budget_s=float(told_s))) is None
        assert told_s <= before_s + 60


def test_a_budget_is_too_short_for_a_second_size_though_the_last_fails_by_itself(
    shared_store, clock, monkeypatch
):
    """The default was the answer, with engines that nobody had had the time to build."""
    build_for(20.0, clock, monkeypatch, lambda one: one.batch == 8 and one.scenario.streams == 2)
    question = replace(FRESH, objective="engine_bytes", budget_s=30.0)
    with pytest.raises(UsageError, match=r"second engine .* was begun and not ready"):
        asked(shared_store, question)


# --- Who came nearest ---


def test_who_is_refused_did_not_come_nearest(shared_store, plant, monkeypatch):
    """An engine that loses too much has a size, too."""
    monkeypatch.setattr(
        Fitness,
        "_unfit",
        lambda self, one: "it drifts" if one.configuration.precision == "int8" else "",
    )
    plant(lambda name: 1.0)
    small = Constraint.parse("engine_bytes<=1000")
    question = replace(PLAIN, precisions=("fp32", "int8"), constraints=(small,))
    found = asked(shared_store, question)
    int8 = [one for one in found.candidates if one.configuration.precision == "int8"]
    assert {one.fate for one in int8} >= {UNFIT}
    assert found.best is None
    assert "fp32 onnxruntime" in found.sentence
    assert "int8" not in found.sentence
    assert "came nearest to engine_bytes<=1000, with" in found.sentence


def test_of_several_constraints_the_one_that_is_missed_by_most_decides_who_came_nearest():
    from answers import answer, candidate

    bounds = (Constraint.parse("latency_p50_ms<=1"), Constraint.parse("host_peak_mib<=10"))
    near = candidate(backend="openvino", latency_p50_ms=1.5, host_peak_mib=15.0, fate=UNFIT)
    far = candidate(latency_p50_ms=1.01, host_peak_mib=100.0, fate=UNFIT)
    blank = candidate(backend="torch", latency_p50_ms=1.0, host_peak_mib=None, fate=UNFIT)
    near.missed = far.missed = bounds
    blank.missed = bounds[1:]
    found = answer(None, [near, far, blank], question=Question(constraints=bounds))
    assert found.sentence.endswith(
        "fp32 openvino came nearest to latency_p50_ms<=1, with 1.5 and to host_peak_mib<=10, with 15."
    )


def test_a_row_that_fails_says_why_rather_than_that_its_number_is_blank(
    shared_store, plant, monkeypatch
):
    plant(lambda name: 1.0)
    failed = Row({"status": "failed"}, (Note("failed", "out of memory"),))
    monkeypatch.setattr(Profiler, "rows", lambda self, wanted: iter([failed]))
    bound = Constraint.parse("latency_p50_ms<=1")
    question = replace(PLAIN, constraints=(bound,), budget_s=600.0)
    found = asked(shared_store, question)
    assert found.best is None
    assert {one.reason for one in found.candidates if one.fate == FAILED} == {
        "it was not measured: out of memory"
    }


@pytest.mark.parametrize("constraints", [(), (Constraint("latency_p50_ms", "<=", 0.5),)])
def test_who_does_not_keep_up_with_the_requests_is_no_answer(
    shared_store, plant, monkeypatch, constraints
):
    """Its latency tells how long was measured; where no bound was given, that was the answer."""
    plant(lambda name: 1.0)

    def rows(self: Profiler, wanted: Sequence[Configuration]):
        for configuration in wanted:
            row, _ = self.prepared(configuration)
            late = Finding(OVERLOAD, "50 requests/s were offered, 10 served", "give fewer")
            yield row.plus({"status": "ok", "latency_p50_ms": 900.0}, findings=(late,))

    monkeypatch.setattr(Profiler, "rows", rows)
    found = asked(shared_store, replace(PLAIN, rate_per_s=50.0, constraints=constraints))
    assert found.best is None
    assert found.default.reason == "requests arrive faster than it serves them"
    assert found.sentence.endswith(
        "Requests arrive faster than any of those that were measured serves them."
    )


def test_it_is_not_said_of_all_that_requests_are_too_fast_where_it_is_of_one():
    from answers import answer, candidate

    bound = Constraint.parse("host_peak_mib<=100")
    late, blank = (candidate(latency_p50_ms=1.0, fate=UNFIT, reason="it is out") for _ in "ab")
    late.row = late.row.plus({}, findings=(Finding(OVERLOAD, "10 were served", "give fewer"),))
    blank.missed = (bound,)
    said = "Requests arrive faster than any of those that were measured serves them."
    assert said in answer(None, [late]).sentence
    assert said not in answer(None, [late, blank]).sentence


def test_a_bound_on_what_stays_blank_says_that_it_is_blank():
    from answers import answer, candidate

    bound = Constraint.parse("gpu_power_w<=10")
    blank = candidate(latency_p50_ms=1.0, fate=UNFIT)
    blank.missed = (bound,)
    found = answer(None, [blank], question=Question(constraints=(bound,)))
    said = "gpu_power_w is blank in what was measured: the notes of the rows say why."
    assert found.sentence.endswith(said)


def test_a_bound_on_accuracy_without_labels_is_refused_before_anything_is_measured(
    shared_store, monkeypatch
):
    monkeypatch.setattr(Tuning, "_built", None)
    question = replace(PLAIN, constraints=(Constraint.parse("top1>=0.9"),))
    refused = r"can't be judged: .* or leave --constraint 'top1>=0\.9' out"
    with pytest.raises(UsageError, match=refused):
        Tuning(LENET, question, QUICK, shared_store)()


def test_where_the_default_fails_itself_the_answer_says_why():
    from answers import answer, candidate

    failed = candidate(fate=FAILED, reason="it was not measured: out of memory")
    found = answer(None, [failed], question=Question())
    assert found.sentence.endswith("Of the default: it was not measured: out of memory.")
    assert answer(None, [candidate()]).sentence.endswith("no configuration meets what was asked.")


def test_where_nothing_else_was_tried_the_default_is_not_said_to_be_better():
    from answers import answer, candidate

    late = candidate(backend="torch", fate=FAILED, ratio=None, reason="no time")
    best = candidate(latency_p50_ms=1.0)
    found = replace(answer(best, [late]), default=best)
    assert "no other one could be measured" in found.sentence


def test_data_that_has_nothing_for_an_input_is_refused_before_anything_is_measured(
    shared_store, monkeypatch, tmp_path
):
    make = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    values = [make(name, kind, ["N", 7]) for name in ("a", "b", "y")]
    node = onnx.helper.make_node("Add", ["a", "b"], ["y"], name="add")
    graph = onnx.helper.make_graph([node], "two", values[:2], values[2:])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "a.onnx")
    monkeypatch.setattr(Tuning, "_built", None)
    job = Tuning(ModelFile(tmp_path / "a.onnx"), PLAIN, replace(QUICK, data="digits"), shared_store)
    with pytest.raises(UsageError, match="has nothing for input 'a'"):
        job()
