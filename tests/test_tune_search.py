"""The benchmark of `tune`: what is searched, who is the best of it, and what counts as reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from planted import Planted

from benchmarks import tune_search
from deploykit import env
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Scenario
from deploykit.errors import BuildFailed
from deploykit.row import Row
from deploykit.spec import ModelSpec
from deploykit.stats import RatioInterval
from deploykit.workflow.configuration import Configuration
from deploykit.workflow.journal import Journal
from deploykit.workflow.tuned import Candidate, Question

LENET = ModelSpec("lenet5")
QUESTION = Question(backends=("onnxruntime",), precisions=("fp32", "int8"), threads=(2,))


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(env, "usable_cores", lambda: 4.0)  # so that two threads are not all cores


def test_the_space_is_every_combination_of_options_the_plainest_first():
    found = tune_search.space(LENET, QUESTION, ())
    assert found[0] == Configuration(LENET, "fp32", "onnxruntime", 1)
    assert len(found) == len(set(found)) == 3 * 2**4
    told = [len(one.options) for one in found]
    assert told == sorted(told)
    told_something = (("ort.allow_spinning", "0"),)
    mix = Configuration(LENET, "int8", "onnxruntime", 1, options=told_something, kept=("a",))
    assert len(tune_search.space(LENET, QUESTION, [mix])) == 4 * 2**4
    # Of one thread, where three of the four options change nothing.
    alone = replace(QUESTION, threads=(1,), precisions=("fp32",))
    assert len(tune_search.space(LENET, alone, ())) == 2**4 + 2


def interval(ratio: float, width: float = 0.01) -> RatioInterval:
    return RatioInterval(ratio, ratio - width, ratio + width, 0.99, 12)


@pytest.mark.parametrize(
    ("ratio", "default", "share", "met", "said"),
    [
        (None, None, 0.1, "yes", ""),
        (interval(1.019), interval(0.5), 0.2, "yes", ""),
        (interval(1.025), interval(0.5), 0.1, "open", "perhaps above 1.02 of the best"),
        (interval(1.10), interval(1.005), 0.1, "no", "above 1.02 of the best; perhaps above 1.00"),
        (None, None, 0.3, "no", "more than 20% of the budget outside measuring"),
    ],
)
def test_what_counts_as_reached(ratio, default, share, met, said):
    found, note = tune_search.verdict(ratio, default, share)
    assert found == met
    assert note.startswith(said)
    assert bool(note) == bool(said)


def test_a_search_that_was_cut_short_decides_nothing():
    assert tune_search.verdict(None, None, 0.1, whole=False) == (
        "open",
        "perhaps better where the search did not come",
    )


@pytest.fixture
def searched(monkeypatch, tmp_path):
    """Search planted latencies by a function of a candidate's name, without engines."""

    def of(value, broken=()):
        monkeypatch.setattr(
            tune_search,
            "lanes",
            lambda entrants: {e.name: Planted(value(e.name), n) for n, e in enumerate(entrants)},
        )

        def prepared(configuration):
            if configuration.precision in broken:
                raise BuildFailed("no")
            return Row({}), WorkerRequest(Path("engine"), "onnxruntime")

        tuning = SimpleNamespace(
            source=LENET,
            question=QUESTION,
            profiler=SimpleNamespace(prepared=prepared),
            journal=Journal(tmp_path / "tune.jsonl"),
            fitness=SimpleNamespace(
                reason=lambda one: "it drifts" if one.configuration.precision == "int8" else ""
            ),
        )
        best = Candidate(
            Configuration(LENET, "fp32", "onnxruntime", 1, Scenario(2)),
            Row({}),
            prepared(SimpleNamespace(precision=""))[1],
        )
        tuned = SimpleNamespace(candidates=[], best=best)
        return tune_search.search(tuning, tuned, 1e6, 1.0)

    return of


def test_the_fastest_of_what_may_be_taken_wins_the_search(searched, tmp_path):
    fast = "ort.allow_spinning=0 ort.dynamic_block_base=4"
    found = searched(
        lambda name: (
            0.2 if "int8" in name else 0.4 if name.endswith(fast) and "2 threads" in name else 1.0
        )
    )
    assert len(found.everyone) == len(found.firsts) == 48
    assert found.far_off == 0
    assert 0.35 < found.option_ratio < 0.45
    assert found.order[0] == f"fp32 onnxruntime 2 threads {fast}"
    assert not any("int8" in name for name in found.order)
    assert set(tune_search.defaults(found.everyone)) == {"fp32 onnxruntime"}
    assert {"fp32 onnxruntime", "fp32 onnxruntime 2 threads"} <= set(found.order)
    assert not list(tmp_path.glob("*.search.jsonl"))  # it is over


def test_what_can_not_be_built_is_not_searched(searched):
    found = searched(lambda name: 1.0, broken=("int8",))
    assert len(found.everyone) == 2 * 2**4


def test_an_engine_that_is_far_off_is_not_told_options(searched):
    found = searched(lambda name: 2.5 if "2 threads" in name else 1.0)
    assert found.far_off == 2 * 15
    assert len(found.firsts) + found.far_off == len(found.everyone)


def test_a_row_of_another_state_of_the_code_or_another_budget_is_made_again():
    row = {**tune_search._where(), "budget_s": "180"}
    assert tune_search.is_done(row, 180.0)
    assert not tune_search.is_done(row, 60.0)
    assert not tune_search.is_done({**row, "code": "older"}, 180.0)
    assert tune_search.source_of("mobilenet@0.5") == ModelSpec("mobilenet", alpha=0.5)
