from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploykit import zoo
from deploykit.errors import UsageError
from deploykit.spec import ModelSpec
from deploykit.training.epochs import Progress
from studies.fashion_mnist.cases import JOURNAL, Case, Outcome, plan, run_study

LENET = ModelSpec("lenet5")
FIRST = Case("first", LENET, "digits", epochs=2, train_images=64)
SECOND = replace(FIRST, name="second", start="first", freeze=("features.*",))


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_the_plan_has_every_network_of_the_study_in_a_size_it_can_process() -> None:
    cases = [case for case in plan() if case.dataset == "fashion-mnist"]
    assert len(cases) == 16 + 3
    for case in cases:
        side_px = zoo.input_shape(case.spec)[1]
        assert side_px <= 64
    grid = {(case.spec.alpha, case.spec.rho) for case in cases if case.spec.name == "mobilenet"}
    assert len(grid) == 16


def test_names_are_unique_and_a_case_comes_after_its_start() -> None:
    names = [case.name for case in plan()]
    assert len(set(names)) == len(names)
    for case in plan():
        assert not case.start or names.index(case.start) < names.index(case.name)


def test_what_is_frozen_in_the_plan_exists_in_its_network() -> None:
    for case in plan():
        names = [name for name, _ in zoo.create(case.spec, device="meta").named_parameters()]
        for pattern in case.freeze:
            frozen = [name for name in names if name.startswith(pattern.removesuffix("*"))]
            assert 0 < len(frozen) < len(names)


def test_cases_are_trained_once_and_stored(tmp_path: Path) -> None:
    first = run_study(tmp_path / "study", [FIRST, SECOND])
    assert statuses(first) == ["trained", "trained"]
    assert all(outcome.test_images == 500 for outcome in first)
    again = run_study(tmp_path / "study", [FIRST, SECOND])
    assert statuses(again) == ["stored", "stored"]
    assert [o.top1 for o in again] == [pytest.approx(o.top1, abs=1e-6) for o in first]


def test_a_checkpoint_of_other_settings_does_not_count(tmp_path: Path) -> None:
    run_study(tmp_path, [FIRST])
    assert statuses(run_study(tmp_path, [replace(FIRST, epochs=1)])) == ["trained"]


def test_a_case_is_trained_again_when_what_it_starts_from_was(tmp_path: Path) -> None:
    """It kept the accuracy that another start had come to."""
    run_study(tmp_path, [FIRST, SECOND])
    other = replace(FIRST, epochs=1)
    assert statuses(run_study(tmp_path, [other, SECOND])) == ["trained", "trained"]
    assert statuses(run_study(tmp_path, [other, SECOND])) == ["stored", "stored"]


def test_the_journal_tells_of_every_case(tmp_path: Path) -> None:
    outcomes = run_study(tmp_path, [FIRST, replace(SECOND, start="none")])
    rows = json.loads((tmp_path / JOURNAL).read_text())
    assert [row["status"] for row in rows] == statuses(outcomes) == ["trained", "waiting"]
    assert rows[0]["checkpoint"] == "first.safetensors"
    assert "none.safetensors is not there yet" in rows[1]["reason"]


@pytest.mark.parametrize("text", ["[", "{}", '[{"case": 1}]', '[{"case": "first"}]'])
def test_a_damaged_journal_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(UsageError, match=r"study\.json is no journal of a study: remove it"):
        run_study(tmp_path, [FIRST])


def test_an_interrupted_study_goes_on_where_it_was(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(_: str, progress: Progress) -> None:
        if progress.epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_study(tmp_path / "broken", [FIRST], progress=interrupt)
    epochs: set[int] = set()
    resumed = run_study(
        tmp_path / "broken", [FIRST], progress=lambda _, progress: epochs.add(progress.epoch)
    )
    assert epochs == {2}
    assert resumed[0].top1 == run_study(tmp_path / "unbroken", [FIRST])[0].top1


def test_without_time_nothing_begins(tmp_path: Path) -> None:
    outcomes = run_study(tmp_path, [FIRST, SECOND], budget_s=-1)
    assert statuses(outcomes) == ["waiting", "waiting"]


def test_a_budget_that_ends_in_a_training_leaves_it_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10_000))
    monkeypatch.setattr("studies.fashion_mnist.cases.time.time", lambda: float(next(now)))
    outcomes = run_study(tmp_path, [FIRST, SECOND], budget_s=3)
    assert statuses(outcomes) == ["paused", "waiting"]
    assert (tmp_path / "first.safetensors.resume").is_file()
    assert not (tmp_path / "first.safetensors").exists()


def test_a_case_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    broken = replace(FIRST, name="broken", freeze=("nothing.*",))
    outcomes = run_study(tmp_path, [broken, FIRST])
    assert statuses(outcomes) == ["failed", "trained"]
    assert "no parameter fits the pattern" in outcomes[0].reason


def test_trainings_side_by_side_give_the_same_as_one_by_one(tmp_path: Path) -> None:
    cases = [FIRST, SECOND]
    alone = run_study(tmp_path / "alone", cases)
    beside = run_study(tmp_path / "beside", cases, jobs=2)
    assert statuses(beside) == ["trained", "trained"]
    for outcome in alone:
        assert outcome.checkpoint is not None
        stored = [(tmp_path / way / outcome.checkpoint).read_bytes() for way in ("alone", "beside")]
        assert stored[0] == stored[1]
