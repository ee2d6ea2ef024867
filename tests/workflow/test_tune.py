"""The decision: what is tried, what is refused and why, and when the default is the answer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
from planted import Planted
from tunings import LENET, SMALL, says, tuning

from deploykit import backends, env
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.race import (
    FAILED,
    IN,
    SLOWER,
    TOO_LATE,
    UNFIT,
    Dropped,
    Round,
)
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Constraint
from deploykit.errors import MissingDependency, OutputFailed, UnknownName, UsageError
from deploykit.spec import ModelFile, ModelSpec
from deploykit.stats import DropTest, RatioInterval
from deploykit.stats.sequential import ACCEPTED
from deploykit.workflow import confirmation, fitness, races, tune, tuned
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.profile import Profiler
from deploykit.workflow.space import BATCHES, STREAMS, candidates
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Question

pytestmark = pytest.mark.usefixtures("plant", "prepared")


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
