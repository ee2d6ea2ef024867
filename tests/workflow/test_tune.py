"""The decision: what is tried, what is refused and why, and when the default is the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from planted import Clock, Planted

from deploykit import backends, env
from deploykit.bench import contain
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.race import (
    FAILED,
    IN,
    NOT_STARTED,
    SLOWER,
    TOO_LATE,
    UNFIT,
    Dropped,
    Entrant,
    Round,
)
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Constraint, Policy, Scenario
from deploykit.errors import MissingDependency, OutputFailed, UnknownName, UsageError
from deploykit.spec import ModelFile, ModelSpec
from deploykit.stats import DropTest, RatioInterval
from deploykit.stats.sequential import ACCEPTED
from deploykit.store import Store
from deploykit.workflow import confirmation, fitness, races, tune, tuned
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.profile import Profiler
from deploykit.workflow.space import BATCHES, STREAMS, candidates, single_changes
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Question

LENET = ModelSpec("lenet5")
#: Two engines, which is enough to choose.
SMALL = Question(backends=("onnxruntime",), precisions=("fp32", "int8"), threads=(1,), budget_s=8.0)


@pytest.fixture(autouse=True)
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a race be among planted latencies, by the words in a candidate's name: a busy machine has others."""

    def of(**values: float) -> None:
        def planted(entrants: Sequence[Entrant], **rest: object) -> dict[str, Planted]:
            return {
                one.name: Planted(
                    next((v for word, v in values.items() if word in one.name.split()), 1.0), seed
                )
                for seed, one in enumerate(entrants)
            }

        monkeypatch.setattr(races, "lanes", planted)

    of()
    return of


@pytest.fixture
def plant_names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, list[Planted]]]:
    """Plant latencies by candidates' whole names; gives the lanes that are made, by name."""

    def of(value: Callable[[str], float]) -> dict[str, list[Planted]]:
        made: dict[str, list[Planted]] = {}

        def planted(entrants: Sequence[Entrant], **rest: object) -> dict[str, Planted]:
            lanes = {one.name: Planted(value(one.name), n) for n, one in enumerate(entrants)}
            for name, lane in lanes.items():
                made.setdefault(name, []).append(lane)
            return lanes

        monkeypatch.setattr(races, "lanes", planted)
        return made

    return of


@pytest.fixture(autouse=True)
def prepared(shared_store: Store) -> None:
    """The engines of `SMALL` in the store, so that building takes nothing of a short budget."""
    tuning(shared_store, replace(SMALL, budget_s=600.0))._built()


def tuning(
    store: Store, question: Question, source: ModelSpec = LENET, **options: object
) -> Tuning:
    quick = Policy(warmup_s=0.01, warmup_max_s=0.1, window_s=0.01, min_s=0.05, max_s=0.2)
    chosen = ProfileOptions(policy=quick, roofline=False, **options)  # type: ignore[arg-type]
    return Tuning(source, question, chosen, store)


def says(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    """Let every meeting with the default end with this ratio of the winner to it."""
    found = RatioInterval(ratio, ratio * 0.999, ratio * 1.001, 0.99, 12)

    class Compared:
        ratio = found
        elapsed_s = 0.0

    monkeypatch.setattr(confirmation, "compare_interleaved", lambda *sides, **rest: Compared())


def test_the_space_is_what_each_runtime_offers_and_does_not_emulate():
    default, others = candidates(LENET, Question(threads=(1, 2)))
    assert (default.precision, default.backend) == ("fp32", "onnxruntime")
    engines = {(one.backend, one.precision) for one in others}
    assert ("onnxruntime", "int8") in engines
    assert ("onnxruntime", "fp16") not in engines  # computed in fp32, so never faster
    assert {one.scenario.threads for one in others} == {1, 2}
    assert default not in others
    on_cpu = {name for name, _ in engines}
    assert not {"tensorrt", "torch-cuda"} & on_cpu or backends.get("torch-cuda").on_gpu()


def test_every_engine_has_a_turn_before_its_variants():
    _, others = candidates(LENET, Question(backends=("onnxruntime", "torch"), threads=(2, 1)))
    threads = [one.scenario.threads for one in others]
    assert threads == sorted(threads, reverse=True)
    loaded = Question(
        objective="throughput_ips", backends=("onnxruntime",), threads=(1,), batches=(2, 4)
    )
    default, others = candidates(LENET, loaded)
    found = [(one.precision, one.batch) for one in others if one.scenario.streams == 1]
    assert default.batch == 2
    assert found == [("fp32", 2), ("int8", 2), ("fp32", 4), ("int8", 4)]


def test_for_throughput_batches_and_streams_are_tried_though_nobody_names_them():
    def loads(question):
        default, others = candidates(LENET, replace(question, backends=("onnxruntime",)))
        assert (default.batch, default.scenario.streams) == (1, 1)
        return {(one.batch, one.scenario.streams) for one in others}

    plain = Question(objective="throughput_ips")
    assert loads(plain) == set(itertools.product(BATCHES, STREAMS))
    assert loads(replace(plain, batches=(1,))) == {(1, count) for count in STREAMS}
    latency = (Constraint("latency_p95_ms", "<=", 10.0),)
    assert loads(replace(plain, constraints=latency)) == {(1, 1)}
    assert len(loads(replace(plain, constraints=latency, batches=(1, 8)))) == 2
    assert loads(Question()) == loads(Question(objective="host_peak_mib")) == {(1, 1)}


def test_a_graph_that_takes_one_batch_is_tried_and_named_at_no_other(shared_store, monkeypatch):
    asked = replace(SMALL, objective="throughput_ips", precisions=("fp32",))
    for only, found in ((None, set(BATCHES)), (1, {1})):
        monkeypatch.setattr(Profiler, "only_batch", lambda self, one, only=only: only)
        _, others = tuning(shared_store, asked)._listed()
        assert {one.configuration.batch for one in others} == found
    job = tuning(shared_store, replace(asked, batches=(1, 8)))
    default, others = job._listed()
    assert {one.configuration.batch for one in (default, *others)} == {1}
    assert len({one.name for one in others}) == len(others)
    assert job._remarks == ["The graph takes batch 1 only: batch 8 can't be tried."]
    # Nobody named a batch, and the graph is of another one than 1: profile --config is to run that one.
    monkeypatch.setattr(Profiler, "only_batch", lambda self, one: 4)
    default, others = tuning(shared_store, replace(SMALL, precisions=("fp32",)))._listed()
    assert [one.name for one in (default, *others)] == [
        "fp32 onnxruntime batch 4",
        "fp32 onnxruntime 1 thread batch 4",
    ]


def test_the_default_of_a_graph_of_one_batch_is_run_at_it_whatever_is_named(
    shared_store, monkeypatch
):
    """Its process was asked for the batch that was named, so that it failed, and whoever met it."""
    monkeypatch.setattr(Profiler, "only_batch", lambda self, one: 1)
    default, _ = tuning(shared_store, replace(SMALL, batches=(8,)))._listed()
    assert default.request is not None
    assert default.configuration.batch == default.request.batch == default.row["batch"] == 1


def test_one_stream_that_is_given_twice_is_one():
    """Every block took a process of its own."""
    assert Question(streams=(1, 1)).is_resident
    assert not Question(streams=(2, 2)).is_resident


def test_a_backend_that_can_not_run_here_is_refused_where_it_is_named():
    with pytest.raises(MissingDependency, match="can't run here"):
        candidates(LENET, Question(backends=("torch-cuda",)))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"objective": "beauty"}, UnknownName),
        ({"max_accuracy_drop": 0.0}, UsageError),
        ({"batches": (1, 8)}, UsageError),
        ({"objective": "throughput_ips", "rate_per_s": 50.0}, UsageError),
    ],
)
def test_questions_that_make_no_sense_are_refused(wrong, error):
    with pytest.raises(error):
        Question(**wrong)


def test_the_winner_is_measured_beside_the_default_and_told_in_a_sentence(
    shared_store, monkeypatch, plant
):
    plant(thread=0.5)
    says(monkeypatch, 0.5)
    question = replace(SMALL, precisions=("fp32",), threads=(1,))
    found = tuning(shared_store, question)()
    assert found.best is not None
    assert found.best.name == "fp32 onnxruntime 1 thread"
    assert found.best.row["status"] == "ok"
    assert found.best.row["threads"] == 1
    assert "take fp32 onnxruntime 1 thread, latency_p50_ms" in found.sentence
    assert "2.000 times as good as the default fp32 onnxruntime (99% interval 1.998 to 2.002)" in (
        found.sentence
    )
    assert {row["threads"] for row in found.rows} > {1} or len(found.rows) == 2


@pytest.mark.parametrize("ratio", [1.0, 0.995, 1.3])
def test_where_nothing_is_surely_better_the_default_is_the_answer(shared_store, monkeypatch, ratio):
    says(monkeypatch, ratio)
    found = tuning(shared_store, replace(SMALL, precisions=("fp32",)))()
    assert found.best is found.default
    assert "keep the default, fp32 onnxruntime" in found.sentence
    assert found.rows[0] is found.default.row
    (rival,) = (one for one in found.candidates if one is not found.default)
    assert rival.reason.startswith(f"beside the default {ratio:.3f} times that, ")


def test_engines_that_drift_too_far_are_out_and_say_how_far(shared_store, plant):
    plant(int8=0.5)
    found = tuning(shared_store, replace(SMALL, min_snr_db=250.0))()
    (int8,) = (one for one in found.candidates if one.configuration.precision == "int8")
    assert int8.fate == UNFIT
    assert "below 250 dB" in int8.reason
    assert found.best is not None
    assert found.best.configuration.precision == "fp32"


def test_accuracy_is_judged_against_fp32_image_by_image(shared_store):
    trained = replace(LENET, weights="trained")
    asked = replace(SMALL, max_accuracy_drop=0.05)
    job = tuning(shared_store, asked, trained, calibration=CalibrationChoice(judged=True))
    _, made = job._built()
    (int8,) = (one for one in made if one.configuration.precision == "int8")
    assert job.fitness.reason(int8) == ""
    strict = tuning(
        shared_store,
        replace(asked, max_accuracy_drop=0.001),
        trained,
        calibration=CalibrationChoice(judged=True),
    )
    # 360 images can't tell a thousandth.
    reason = strict.fitness.reason(int8)
    assert "can't be told" in reason
    assert "images are needed" in reason
    # Which the answer says, be int8 judged or not: it may be no faster, or late.
    assert job.fitness.too_few_images() == ""
    said = strict.fitness.too_few_images()
    assert said.startswith("500 images are too few to judge a drop of 0.10%: it takes ")
    needed = int(said.partition("takes ")[2].partition(" ")[0].replace(",", ""))
    assert DropTest(0.001).plus(needed, 0, 0).verdict == ACCEPTED
    assert DropTest(0.001).plus(needed - 1, 0, 0).verdict != ACCEPTED
    assert said in strict().remarks


def test_accuracy_that_can_not_be_judged_is_refused(shared_store):
    job = tuning(shared_store, replace(SMALL, max_accuracy_drop=0.01))
    _, made = job._built()
    (int8,) = (one for one in made if one.configuration.precision == "int8")
    with pytest.raises(UsageError, match="--min-snr-db"):
        job.fitness.reason(int8)


def test_a_budget_that_is_too_short_for_a_second_look_says_how_much_is_needed(shared_store):
    with pytest.raises(
        UsageError,
        match=r"is too short: a first look at a second .*, and at all 3 candidates .* give --budget \d+s",
    ):
        tuning(shared_store, replace(SMALL, budget_s=1e-6))()


def test_a_drop_that_nobody_can_judge_is_refused_before_anything_is_measured(
    shared_store, monkeypatch
):
    monkeypatch.setattr(races, "Race", None)
    with pytest.raises(UsageError, match="give labelled images with --data"):
        tuning(shared_store, replace(SMALL, max_accuracy_drop=0.01))()


def test_only_phases_are_said_and_steps_are_details(shared_store, monkeypatch):
    says(monkeypatch, 1.0)
    said: list[str] = []
    details: list[str] = []
    job = tuning(shared_store, replace(SMALL, precisions=("fp32",)))
    job = Tuning(
        LENET, job.question, job.profiler.options, shared_store, said.append, details.append
    )
    job()
    assert len(said) == len(set(said)) <= 6
    assert all(text.startswith("lenet5: ") for text in said)
    assert any(text.startswith("round ") for text in details)


def test_what_nobody_meets_is_no_answer_and_says_who_came_nearest(shared_store, monkeypatch):
    says(monkeypatch, 0.9)
    impossible = Constraint.parse("latency_p50_ms<=0.000001")
    found = tuning(shared_store, replace(SMALL, precisions=("fp32",), constraints=(impossible,)))()
    assert found.best is None
    assert "no configuration meets what was asked" in found.sentence
    assert "came nearest to latency_p50_ms<=0.000001, with" in found.sentence
    assert all("fails: it is" in one.reason for one in found.candidates)


def test_the_smallest_engine_needs_no_race(shared_store, monkeypatch):
    monkeypatch.setattr(races, "Race", None)
    found = tuning(shared_store, replace(SMALL, objective="engine_bytes"))()
    assert found.best is not None
    assert found.best.configuration.precision == "int8"
    assert found.best.row["engine_bytes"] < found.default.row["engine_bytes"]


def test_an_engine_that_can_not_be_built_is_out_and_the_rest_go_on(shared_store, monkeypatch):
    says(monkeypatch, 0.9)
    question = replace(SMALL, backends=("onnxruntime", "torch"))
    real = Profiler.prepared

    def prepared(self, configuration):
        if configuration.backend == "torch":
            raise UsageError("the graph is a file of your own; use onnxruntime")
        return real(self, configuration)

    monkeypatch.setattr(Profiler, "prepared", prepared)
    found = tuning(shared_store, question)()
    torch = [one for one in found.candidates if one.configuration.backend == "torch"]
    assert torch
    assert all(one.fate == FAILED and "can't be built" in one.reason for one in torch)
    assert found.best is not None
    rows = [row for row in found.rows if row["backend"] == "torch"]
    assert len(rows) == len(torch)
    for row in rows:
        assert (row["model"], row["status"], row["threads"]) == ("lenet5", "failed", 1)
        assert row["timestamp"]
        assert "the graph is a file of your own" in row.noted("failed")[0].text


def test_a_candidate_that_crashes_is_a_row_and_one_that_was_late_is_none(
    shared_store, monkeypatch, plant_names
):
    says(monkeypatch, 0.9)
    crashes = "int8 onnxruntime 1 thread"
    made = plant_names(lambda name: 1.0)
    block = Planted.block

    def crash(self):
        if self in made.get(crashes, ()):
            raise WorkerFailure("the runtime crashed (SIGSEGV)", "crashed")
        return block(self)

    monkeypatch.setattr(Planted, "block", crash)
    found = tuning(shared_store, SMALL)()
    (row,) = [row for row in found.rows if row["precision"] == "int8"]
    assert (row["status"], row["backend"], row["threads"]) == ("failed", "onnxruntime", 1)
    assert row.noted("failed")[0].text == "the runtime crashed (SIGSEGV)"
    late = replace(
        found.candidates[0], fate=FAILED, reason=TOO_LATE, row=found.best.row.plus({"status": None})
    )
    tune._tell_failure(late)
    assert late.row["status"] is None


def test_broken_off_it_goes_on_where_it_was(shared_store, monkeypatch, plant):
    says(monkeypatch, 0.9)
    question = replace(SMALL, precisions=("fp32",), budget_s=600.0)  # time enough for two rounds
    plant(thread=0.9)
    real = Journal.write
    written = []

    def broken_off(self, entry):
        real(self, entry)
        written.append(entry)
        if entry.round == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "write", broken_off)
    with pytest.raises(KeyboardInterrupt):
        tuning(shared_store, question)()
    monkeypatch.setattr(Journal, "write", real)
    again = tuning(shared_store, question)
    events = again.journal.events["race"]
    rounds = [entry.round for entry in written if entry.values]
    assert [e.number for e in events if isinstance(e, Round)] == rounds
    found = again()
    assert found.best is not None
    assert not again.journal.path.exists()  # asked once more, it is measured anew


def test_who_met_whom_is_not_measured_again_when_it_goes_on(shared_store, monkeypatch, plant):
    plant(thread=0.5)
    asked = met(monkeypatch, {1: 0.5})
    question = replace(SMALL, precisions=("fp32",), budget_s=300.0)
    monkeypatch.setattr(races, "OPTIONS_MIN_S", 1e9)
    real = Profiler.rows

    def broken_off(self, wanted):
        raise KeyboardInterrupt

    monkeypatch.setattr(Profiler, "rows", broken_off)
    with pytest.raises(KeyboardInterrupt):
        tuning(shared_store, question)()
    assert asked == [1]
    monkeypatch.setattr(Profiler, "rows", real)
    found = tuning(shared_store, question)()
    assert asked == [1]
    assert found.meetings == (
        tuned.Meeting(
            "fp32 onnxruntime 1 thread",
            "fp32 onnxruntime",
            RatioInterval(0.5, 0.495, 0.5025, 0.99, 12),
            "better",
        ),
    )


def test_a_journal_keeps_what_is_whole_of_it(tmp_path):
    journal = Journal(tmp_path / "tune" / "x.jsonl")
    journal.record("race")(Round(1, {"a": 1.5, "b": 2.0}))
    journal.record("race")(Dropped("b", SLOWER, "2 times a"))
    journal.write(Entry(engine="/e", reason="it drifts"))
    with journal.path.open("ab") as file:
        file.write(b'{"race": "ra')
    again = Journal(journal.path)
    assert again.events == {
        "race": [Round(1, {"a": 1.5, "b": 2.0}), Dropped("b", SLOWER, "2 times a")]
    }
    assert again.judged == {"/e": "it drifts"}
    again.record("race")(Round(2, {"a": 1.6}))
    third = Journal(journal.path)
    assert third.events["race"][-1] == Round(2, {"a": 1.6})
    assert third.judged == again.judged


def test_a_journal_that_can_not_be_let_go_of_is_said_in_one_line(tmp_path):
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(OutputFailed, match="engine store"):
        Journal(tmp_path / "journal.jsonl").end()


def test_values_for_json_have_the_answer_and_every_candidate(shared_store, monkeypatch):
    says(monkeypatch, 0.9)
    found = tuning(shared_store, replace(SMALL, precisions=("fp32",)))()
    values = tuned.as_values(found)
    assert values["answer"] == found.sentence
    assert values["best"]["precision"] == "fp32"
    assert {one["fate"] for one in values["candidates"]} <= {IN, SLOWER, UNFIT, FAILED}
    assert values["meetings"][0]["verdict"] == "better"


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


# --- The budget ---


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


def test_fp32_of_another_runtime_meets_the_winner_unless_it_is_far_behind_or_time_is_over(
    shared_store, monkeypatch
):
    pytest.importorskip("openvino")
    says(monkeypatch, 1.0)
    job = tuning(shared_store, replace(SMALL, backends=("onnxruntime", "openvino"), threads=()))
    default, others = job._built()
    other = next(one for one in others if one.name == "fp32 openvino")
    winner = others[0]
    everyone = {one.name: one for one in (default, *others)}
    left = [100.0]
    job.confirmation._left_s = lambda: left[0]

    def met() -> int:
        meetings: list[tuned.Meeting] = []
        job.confirmation._behind_fp32([winner], everyone, default, meetings)
        return len(meetings)

    assert met() == 1
    other.ratio = 2.5
    assert met() == 0
    other.ratio, left[0] = None, 10.0
    assert met() == 0
    assert "No time was left" in job.confirmation.remarks[0]


def met(monkeypatch: pytest.MonkeyPatch, ratios: dict[int | None, float]) -> list[int | None]:
    """Let candidates of so many threads be so much of what they meet; the list of them grows as they meet."""
    asked: list[int | None] = []

    def compare(base: WorkerRequest, judged: WorkerRequest, **rest: object) -> SimpleNamespace:
        asked.append(judged.threads)
        ratio = ratios[judged.threads]
        if ratio == 0:
            raise WorkerFailure("the runtime crashed (SIGSEGV)", "crashed")
        interval = RatioInterval(ratio, ratio * 0.99, ratio * 1.005, 0.99, 12)
        return SimpleNamespace(ratio=interval, elapsed_s=0.0)

    monkeypatch.setattr(confirmation, "compare_interleaved", compare)
    monkeypatch.setattr(env, "usable_cores", lambda: 8.0)  # so that two threads are not all cores
    return asked


THREADS = replace(SMALL, precisions=("fp32",), threads=(1, 2))


def test_of_those_that_beat_the_winner_the_fastest_comes_first(shared_store, monkeypatch):
    job = tuning(shared_store, replace(SMALL, precisions=("fp32",), threads=(1, 2)))
    default, others = job._built()
    winner, *beating = [
        replace(others[0], configuration=replace(others[0].configuration, batch=batch))
        for batch in (1, 2, 4)
    ]
    ratios = dict(zip(map(id, beating), (1.5, 1.02), strict=True))
    everyone = {str(number): one for number, one in enumerate(beating)}
    job.confirmation._left_s = lambda: 100.0
    monkeypatch.setattr(job.confirmation, "_meets_winner", lambda *some: True)
    monkeypatch.setattr(job.confirmation._fitness, "reason", lambda one: "")

    def meet(first, other, budget_s):
        ratio = RatioInterval(ratios[id(other)], 1.01, 1.6, 0.99, 12)
        return tuned.Meeting(first.name, other.name, ratio, "worse")

    monkeypatch.setattr(job.confirmation, "_meet", meet)
    found = job.confirmation._behind_fp32([winner], everyone, default, [])
    assert [id(one) for one in found] == [*map(id, beating), id(winner)]


def test_where_the_default_misses_the_constraint_nobody_meets_it_and_the_budget_ends_it(
    shared_store, monkeypatch, plant
):
    plant(thread=0.5, threads=0.6)
    asked = met(monkeypatch, {1: 0.5, 2: 0.8})
    impossible = Constraint.parse("latency_p50_ms<=0.000001")
    job = tuning(shared_store, replace(THREADS, constraints=(impossible,)))
    default, others = job._built()
    job.confirmation._left_s = lambda: 0.0
    everyone = {one.name: one for one in (default, *others)}
    chosen, meetings = job.confirmation.answered(others, everyone, default)
    assert (chosen, meetings, asked) == (None, [], [])
    assert job.confirmation.remarks == [f"No time was left to measure {len(others) - 1} more."]


def test_what_makes_engines_is_part_of_the_journal_that_is_taken_up(
    shared_store, tmp_path, monkeypatch
):
    def journal(source=LENET, **options):
        return tuning(shared_store, SMALL, source, **options).journal.path

    assert journal() == journal()
    assert journal(calibration=CalibrationChoice(int8="plain")) != journal()
    model = tmp_path / "net.onnx"
    model.write_bytes(b"1")
    before = journal(ModelFile(model))
    model.write_bytes(b"2")
    assert journal(ModelFile(model)) != before
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"1")
    before = journal(replace(LENET, weights=str(weights)))
    weights.write_bytes(b"2")
    assert journal(replace(LENET, weights=str(weights))) != before
    # Functions of the user's own: broken off to mend the metric, it went on with what the old one had said.
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own_code.py"
    for told in ({"metric": "own_code:each"}, {"source": ModelSpec("own_code:Net")}):
        own.write_text("wrong = 1\n")
        before = journal(**told)
        assert journal(**told) == before
        own.write_text("right = 1\n")
        assert journal(**told) != before


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"drift_snr_db": 40.0, "drift_worst_snr_db": 2.0}, "its outputs drift to 2.0 dB"),
        ({"drift_snr_db": 40.0, "drift_worst_snr_db": 35.0}, ""),
        ({"drift_snr_db": 40.0}, ""),
        ({}, "its outputs can't be compared"),
        ({"drift_max_abs": 0.0}, ""),
    ],
)
def test_the_worst_output_decides_and_what_nobody_compared_is_not_taken(
    shared_store, monkeypatch, columns, said
):
    job = tuning(shared_store, SMALL)
    _, made = job._built()
    (int8,) = (one for one in made if one.configuration.precision == "int8")
    result = SimpleNamespace(columns=columns, details={}, notes=(), findings=())
    monkeypatch.setattr(fitness, "run_worker", lambda *request: result)
    job.fitness._verdicts.clear()  # of the journal of an earlier case
    assert job.fitness.reason(int8).startswith(said)
    assert bool(job.fitness.reason(int8)) == bool(said)


def test_the_reference_that_others_are_judged_by_is_not_judged_itself(shared_store, monkeypatch):
    job = tuning(shared_store, replace(SMALL, max_accuracy_drop=0.01))
    _, made = job._built()
    (int8,) = (one for one in made if one.configuration.precision == "int8")
    job.fitness._verdicts.clear()
    accuracy = SimpleNamespace(reference=None, predictions="predictions.npz")
    monkeypatch.setattr(job.profiler, "judging", lambda *asked: SimpleNamespace(accuracy=accuracy))
    result = SimpleNamespace(columns={"drift_snr_db": 40.0}, details={}, notes=(), findings=())
    monkeypatch.setattr(fitness, "run_worker", lambda *request: result)
    assert job.fitness.reason(int8) == ""


def test_an_answer_is_told_by_its_own_meeting_with_the_default(shared_store, monkeypatch, plant):
    plant(thread=0.5, threads=0.6)
    asked = met(monkeypatch, {1: 0.5, 2: 0.8})
    real = Profiler.rows

    def rows(self, configurations):
        for row in real(self, configurations):
            yield row.plus({"host_peak_mib": 900.0 if row["threads"] == 1 else 100.0})

    monkeypatch.setattr(Profiler, "rows", rows)
    light = Constraint.parse("host_peak_mib<=500")
    # Rows are really measured here, which takes longer on a busy machine.
    monkeypatch.setattr(races, "OPTIONS_MIN_S", 1e9)
    found = tuning(shared_store, replace(THREADS, constraints=(light,), budget_s=300.0))()
    assert asked == [1, 2]
    assert found.best is not None
    assert found.best.name == "fp32 onnxruntime 2 threads"
    # Not the 2.00 of the one that is out.
    assert "1.25 times as good as the default" in found.sentence


def test_who_is_not_surely_better_than_the_default_is_no_answer_where_another_misses_the_constraint(
    shared_store, monkeypatch, plant
):
    plant(thread=0.5, threads=0.6)
    asked = met(monkeypatch, {1: 0.0, 2: 1.0})
    # Rows are really measured here, which takes longer on a busy machine.
    monkeypatch.setattr(races, "OPTIONS_MIN_S", 1e9)
    found = tuning(shared_store, replace(THREADS, budget_s=300.0))()
    assert asked == [1, 2]
    assert found.best is found.default
    (crashed,) = (one for one in found.candidates if one.name == "fp32 onnxruntime 1 thread")
    assert (crashed.fate, "SIGSEGV" in crashed.reason) == (FAILED, True)


def test_after_an_option_has_helped_all_ratios_are_to_the_new_leader(
    shared_store, monkeypatch, plant_names, four_cores
):
    says(monkeypatch, 0.5)
    spin = "ort.allow_spinning=0"
    plant_names(lambda name: (1.3 if "1 thread" in name else 1.0) * 0.5 ** (spin in name))
    found = tuning(shared_store, replace(ROOMY, threads=(1, 2)))()
    ratios = {one.name: one.ratio for one in found.candidates if one.ratio is not None}
    assert all(ratio > 1.5 for name, ratio in ratios.items() if spin not in name)
