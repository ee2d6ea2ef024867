"""What is done with an answer in Python: the frame, the points of the picture, and `deploykit.tune`."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from answers import LENET, answer, candidate, typical

import deploykit
from deploykit.api import deciding
from deploykit.bench.scenario import Constraint
from deploykit.columns import NAMES
from deploykit.errors import UnknownName, UsageError
from deploykit.report.page import Contents, render
from deploykit.report.page.candidates_picture import candidates_picture
from deploykit.report.page.drawing import Mark, Text
from deploykit.row import Finding
from deploykit.spec import ModelSpec
from deploykit.workflow import pareto
from deploykit.workflow.frontier import Frontier
from deploykit.workflow.tuned import Question


def test_the_frame_has_the_columns_of_a_profile_and_what_became_of_each():
    frame = typical().frame
    assert list(frame.columns) == [*NAMES, "candidate", "fate", "ratio"]
    assert list(frame["candidate"])[:2] == ["int8 onnxruntime", "int8 onnxruntime 1 thread"]
    assert list(frame["fate"]) == ["in", "slower", "failed", "in"]
    assert frame["reason"][2] == "it can't be built: [no]"
    assert frame["latency_p50_ms"][0] == 0.5


def test_points_that_were_only_raced_stand_at_their_ratio():
    points = pareto.points_of([typical()], "drift_snr_db")
    assert [(p.name, p.x, p.y, p.is_measured) for p in points] == [
        ("int8 onnxruntime", 0.5, 31.0, True),
        ("int8 onnxruntime 1 thread", 0.6, 31.0, False),  # outputs are the engine's
        ("fp32 onnxruntime", 1.0, 139.0, True),
    ]


def test_a_mix_of_precisions_has_outputs_of_its_own():
    int8, mix = candidate(precision="int8", drift_snr_db=9.0), candidate(precision="int8")
    mix.configuration = replace(mix.configuration, kept=("conv1",))
    fp32 = candidate(latency_p50_ms=1.0, drift_snr_db=130.0)
    points = pareto.points_of([answer(fp32, [int8, mix])], "drift_snr_db")
    assert [point.name for point in points] == ["fp32 onnxruntime", "int8 onnxruntime"]


def test_a_larger_rate_is_better():
    asked = Question(objective="throughput_ips")
    first = candidate(latency_p50_ms=1.0, throughput_ips=100.0, drift_snr_db=20.0)
    tuned = answer(first, [candidate(ratio=2.0, drift_snr_db=30.0)], question=asked)
    points = pareto.points_of([tuned], "drift_snr_db")
    assert [p.x for p in points] == [100.0, 50.0]
    assert pareto.pareto(points, larger=True) == points
    assert pareto.pareto(points, larger=False) == points[1:]


def test_top1_is_drawn_where_every_network_has_one():
    one = answer(candidate(latency_p50_ms=1.0, top1=0.9))
    assert pareto.accuracy_column([one]) == "top1"
    assert pareto.accuracy_column([one, typical()]) == "drift_snr_db"


def test_the_picture_names_every_point_and_equal_answers_are_equal_files(tmp_path):
    pytest.importorskip("matplotlib")
    figure = typical().plot(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    for name in ("int8 onnxruntime 1 thread", "fp32 onnxruntime", "taken", "SNR in dB"):
        assert name in text
    assert figure.axes[0].get_title() == "lenet5"
    typical().plot(tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text(encoding="utf-8") == text
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        typical().plot(tmp_path / "a.gif")


@pytest.fixture
def asked(monkeypatch):
    seen = []

    def tune_each(sources, question, options, store, **rest):
        for source in sources:
            seen.append((source, question, options, store))
            yield typical()

    monkeypatch.setattr(deciding, "tune_each", tune_each)
    return seen


def test_deploykit_tune_asks_what_the_command_asks(asked, shared_store):
    tuned = deploykit.tune(
        "mobilenet",
        alpha=0.5,
        constraints=["latency_p95_ms<=10"],
        max_accuracy_drop=0.005,
        threads=[1, 2],
        data="digits",
        store=shared_store,
    )
    assert tuned.best.row["precision"] == "int8"
    ((source, question, options, store),) = asked
    assert source == ModelSpec("mobilenet", alpha=0.5)
    assert question.max_accuracy_drop == 0.005
    assert [str(one) for one in question.constraints] == ["latency_p95_ms<=10"]
    assert question.threads == (1, 2)
    assert options.calibration.data == options.data == "digits"
    assert store is shared_store


def test_several_networks_have_one_answer_and_all_candidates(asked, shared_store, tmp_path):
    both = deploykit.tune("mobilenet", alpha=(1, "1/2"), store=shared_store)
    assert [source.alpha for source, *_ in asked] == [1, 0.5]
    assert both.best.row["precision"] == "int8"
    assert both.engine == both.answers[0].engine
    assert len(both.frame) == 2 * len(typical().frame)
    assert both.frame.attrs["environment"] == typical().frame.attrs["environment"]
    assert both.toml == typical().toml
    both.plot(tmp_path / "both.svg")
    assert "int8 onnxruntime" in (tmp_path / "both.svg").read_text(encoding="utf-8")


def test_of_no_network_there_is_nothing_to_take():
    none = Frontier()
    assert (none.best, none.engine, len(none.frame)) == (None, None, 0)
    with pytest.raises(UsageError, match="nothing to draw"):
        none.plot()
    with pytest.raises(UsageError, match="nothing to write"):
        _ = none.toml


def test_training_is_asked_for_as_in_the_command(asked, shared_store):
    with pytest.raises(UsageError, match="train needs images to learn from: give data"):
        deploykit.tune(LENET, train=True, store=shared_store)
    with pytest.raises(UsageError, match="epochs is of a training: give train"):
        deploykit.tune(LENET, epochs=3, store=shared_store)
    with pytest.raises(UsageError, match="weights timm are some"):
        deploykit.tune("lenet5", train=True, weights="timm", data="digits", store=shared_store)
    assert asked == []


def test_deploykit_tune_refuses_names_that_there_are_not(asked):
    with pytest.raises(UnknownName, match="latency_p50_ms"):
        deploykit.tune(LENET, objective="latency_p50")
    with pytest.raises(UnknownName, match="latency_p95_ms"):
        deploykit.tune(LENET, constraints=["latency_p95<=10"])
    assert asked == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objective": None}, "unknown objective None"),
        ({"objective": 5}, "unknown objective 5"),
        ({"constraints": 5}, "constraints takes COLUMN<=NUMBER, such as .*, not '5'"),
        ({"constraints": ["top1>=0.9", 5]}, "constraints takes COLUMN<=NUMBER"),
        ({"options": ["ov.streams=2"]}, "options takes values by the names of options"),
        ({"options": {5: 1}}, "unknown option in options '5'"),
    ],
)
def test_what_is_of_no_fitting_type_is_refused_in_one_line(asked, shared_store, wrong, said):
    with pytest.raises(UsageError, match=said):
        deploykit.tune(LENET, backends="onnxruntime", store=shared_store, **wrong)
    assert asked == []


def test_a_batch_that_is_given_twice_is_one_and_no_bounds_are_none(asked, shared_store):
    deploykit.tune(LENET, batches=[1, 1], constraints=None, store=shared_store)
    assert len(asked) == 1


def test_a_profile_takes_one_bound(shared_store):
    with pytest.raises(UsageError, match="one constraint, not 2"):
        deploykit.profile(LENET, constraint=["latency_p95_ms<=1"] * 2, store=shared_store)
    with pytest.raises(UsageError, match="constraint takes COLUMN<=NUMBER"):
        deploykit.profile(LENET, constraint=5, store=shared_store)
    with pytest.raises(UsageError, match="compares by <=, >=, <, >, not '=='"):
        Constraint("latency_p95_ms", "==", 1.0)


def test_an_answer_goes_to_another_process_as_it_is():
    """A notebook keeps it, a pool of processes hands it over."""
    tuned = pickle.loads(pickle.dumps(typical()))
    assert tuned == typical()
    assert tuned.best is tuned.candidates[0]
    assert (tuned.sentence, tuned.toml) == (typical().sentence, typical().toml)


def test_an_answer_that_is_not_the_default_says_so():
    tuned = typical()
    assert tuned.sentence.startswith("lenet5: take int8 onnxruntime")
    assert replace(tuned, default=tuned.best).sentence.startswith("lenet5: keep the default")


def test_a_page_draws_every_candidate_with_the_answer_in_a_ring():
    found = pareto.candidates_of([typical()])
    picture = candidates_picture(found)
    assert picture is not None
    marks = [item for item in picture.drawings[0].items if isinstance(item, Mark)]
    assert [mark.size for mark in marks].count(10) == 1
    told = {mark.title: mark for mark in marks if mark.title}
    assert told["int8 onnxruntime 1 thread"].hollow  # by the race alone
    assert not told["int8 onnxruntime"].hollow
    texts = {item.text for item in picture.drawings[0].items if isinstance(item, Text)}
    assert {"int8 onnxruntime", "fp32 onnxruntime"} <= texts
    page = render(Contents("tune", candidates=found))
    assert "What was tried" in page
    assert "<title>int8 onnxruntime 1 thread</title>" in page


def test_what_is_doubtful_has_a_question_mark_in_the_pictures():
    sure = candidate(latency_p50_ms=1.0, drift_snr_db=20.0)
    row = sure.row.plus(findings=(Finding("load", "3.1", "wait"),))
    for one, marked in ((sure, False), (replace(sure, row=row), True)):
        picture = candidates_picture(pareto.candidates_of([answer(one)]))
        assert picture is not None
        texts = [item.text for item in picture.drawings[0].items if isinstance(item, Text)]
        (label,) = [text for text in texts if "onnxruntime" in text]
        assert label.endswith(" ?") == marked
