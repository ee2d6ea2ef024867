"""Long benchmarks: what is measured is kept, for as long as it says something of the same code and machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import trials
from benchmarks.trials import Trial, mixed, run_trials
from deploykit.code_digest import code_digest

PLAN = ["same", "slower", "same"]
ALL = [("same", 0), ("slower", 0), ("same", 1)]
SETTINGS = {"budget_s": 8.0}


class Measure:
    """Stands for a benchmark: tells which run a trial is of, and is interrupted after so many."""

    def __init__(self, run: str, stop_after: int | None = None) -> None:
        self.run, self.stop_after = run, stop_after
        self.taken: list[tuple[str, int]] = []

    def __call__(self, kind: str, index: int) -> dict[str, str]:
        if len(self.taken) == self.stop_after:
            raise KeyboardInterrupt
        self.taken.append((kind, index))
        return {"run": self.run}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trials are kept, on a machine and with code that don't change by themselves."""
    monkeypatch.setattr(trials, "FOLDER", tmp_path / "trials")
    monkeypatch.setattr(trials.env, "env_id", lambda: "this machine")
    monkeypatch.setattr(trials, "code_digest", lambda *places: "this code")
    return tmp_path / "trials"


def run(measure: Measure, settings: dict[str, float] = SETTINGS) -> list[Trial]:
    return run_trials("waiting", PLAN, settings, measure)


def told(found: list[Trial]) -> list[tuple[str, int, str]]:
    return [(trial["kind"], trial["index"], trial["run"]) for trial in found]


def test_an_interrupted_run_goes_on_with_what_is_missing() -> None:
    broken, rest, again = Measure("first", stop_after=2), Measure("second"), Measure("third")
    with pytest.raises(KeyboardInterrupt):
        run(broken)
    assert broken.taken == ALL[:2]
    whole = [("same", 0, "first"), ("slower", 0, "first"), ("same", 1, "second")]
    assert told(run(rest)) == whole
    assert rest.taken == ALL[2:]
    assert told(run(again)) == whole
    assert again.taken == []


def test_trials_of_another_benchmark_are_not_taken_for_its_own() -> None:
    run(Measure("waiting"))
    assert told(run_trials("counting", ["same"], SETTINGS, Measure("counting"))) == [
        ("same", 0, "counting")
    ]


def other_machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr(trials.env, "env_id", lambda: "another machine")
    return SETTINGS


def other_code(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr(trials, "code_digest", lambda *places: "other code")
    return SETTINGS


def other_settings(_: pytest.MonkeyPatch) -> dict[str, float]:
    return {"budget_s": 4.0}


@pytest.mark.parametrize("change", [other_settings, other_machine, other_code])
def test_what_was_measured_otherwise_is_measured_again(change, monkeypatch) -> None:
    run(Measure("before"))
    fresh, back = Measure("after"), Measure("back")
    with monkeypatch.context() as changed:
        found = run(fresh, change(changed))
    assert fresh.taken == ALL
    assert {trial["run"] for trial in found} == {"after"}
    # Nothing is lost by trying: what was measured first counts where it did.
    assert {trial["run"] for trial in run(back)} == {"before"}
    assert back.taken == []


def test_a_changed_measuring_package_is_changed_code(monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(trials, "code_digest", lambda *places: asked.extend(places) or "code")
    run(Measure("once"))
    assert {"deploykit.bench", "deploykit.stats", "deploykit.backends"} <= set(asked)
    code_digest(*asked)  # none of them was moved


@pytest.mark.parametrize("left", [1, 20])
def test_a_line_that_a_killed_run_left_unfinished_is_passed_over(folder: Path, left: int) -> None:
    run(Measure("killed"))
    (file,) = folder.iterdir()
    *finished, last = file.read_text().rstrip("\n").splitlines(keepends=True)
    file.write_text("".join(finished) + last[:left])
    rest, again = Measure("second"), Measure("third")
    whole = [("same", 0, "killed"), ("slower", 0, "killed"), ("same", 1, "second")]
    assert told(run(rest)) == whole
    assert rest.taken == ALL[2:]
    # What follows the unfinished line is a line of its own.
    assert told(run(again)) == whole
    assert again.taken == []


@pytest.mark.parametrize(
    "counts",
    [{"same": 100, "slower": 100}, {"same": 200, "5%": 100, "2%": 100}, {"same": 7, "slower": 2}],
)
def test_kinds_are_mixed_evenly_over_the_whole_plan(counts: dict[str, int]) -> None:
    plan = mixed(counts)
    assert Counter(plan) == counts
    for place in range(len(plan) + 1):
        seen = Counter(plan[:place])
        for kind, count in counts.items():
            assert abs(seen[kind] - place * count / len(plan)) <= 1, (kind, place)
