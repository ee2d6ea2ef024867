"""Several networks: those that may be as cheap as the cheapest meet it in turns, and the choice is by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answers import answer, candidate

from deploykit.bench.channel import WorkerFailure
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Policy
from deploykit.spec import ModelSpec
from deploykit.stats import RatioInterval
from deploykit.store import Store
from deploykit.workflow import frontier
from deploykit.workflow.configuration import ProfileOptions
from deploykit.workflow.frontier import Beside, Frontier, Refused, beside_s, tune_each
from deploykit.workflow.journal import Journal
from deploykit.workflow.tuned import Question, Tuned

QUESTION = Question()
OPTIONS = ProfileOptions(policy=Policy.quick(), roofline=False)
NAMES = ("lenet5", "mobilenet", "squeezenet1_0", "alexnet", "resnet18")


def held(name: str, value: float, question: Question = QUESTION, **cells: Any) -> Tuned:
    """An answer whose row has that objective, and whose engine is here."""
    row = {"latency_p50_ms": 1.0} | {question.objective: value} | cells
    best = candidate(ModelSpec(name), **row)
    best.request = WorkerRequest(Path("engines") / name, "onnxruntime")
    return answer(best, question=question)


@pytest.fixture
def tuning(monkeypatch, tmp_path) -> Callable[..., Frontier]:
    """Tune networks whose answers are known, with the ratios at which they meet; `tuning.met` has who met whom."""
    met: list[tuple[str, str]] = []

    def of(answers: list[Tuned], ratios: dict[str, float | Exception]) -> Frontier:
        by_name = {one.source.name: one for one in answers}

        class Known:
            def __init__(self, source, *rest):
                self.source, self.keeps_journal = source, False
                self.journal = Journal(tmp_path / f"{source.name}.jsonl")

            def __call__(self) -> Tuned:
                return by_name[self.source.name]

            def forget(self) -> None:
                self.journal.end()

        def compared(question, policy, ours, theirs, budget_s, timeout_s):
            names = ours.configuration.source.name, theirs.configuration.source.name
            met.append(names)
            ratio = ratios[names[0]]
            if isinstance(ratio, BaseException):
                raise ratio
            return RatioInterval(ratio, ratio * 0.99, ratio * 1.01, 0.99, 12), 0.0

        monkeypatch.setattr(frontier, "Tuning", Known)
        monkeypatch.setattr(frontier, "compared", compared)
        found = Frontier()
        question = answers[0].question
        sources = [one.source for one in answers]
        for one in tune_each(sources, question, OPTIONS, Store(tmp_path)):
            found.take(one)
        return found

    of.met = met  # type: ignore[attr-defined]
    return of


def test_those_near_the_cheapest_row_meet_it_and_the_cheapest_is_by_that(tuning):
    """Rows of two networks are minutes apart: what disturbed one of them decided."""
    found = tuning(
        [held("lenet5", 2.1), held("mobilenet", 2.0), held("alexnet", 9.0)], {"lenet5": 0.9}
    )
    assert tuning.met == [("lenet5", "mobilenet")]  # who is far behind need not
    assert found.cheapest is found.answers[0]
    assert found.sentence.startswith(
        "Of 3 networks take lenet5 as fp32 onnxruntime (latency_p50_ms 2.1): it is the cheapest that holds "
        "everything. In turns at the end, lenet5 took 0.900 times what mobilenet took (99% interval 0.891 to "
        "0.909)."
    )
    assert found.beside_values(found.answers[0]) == [
        {"model": "mobilenet", "why": "", "confidence": 0.99, "pairs": 12}
        | {"ratio": 0.9, "low": pytest.approx(0.891), "high": pytest.approx(0.909)}
    ]
    assert found.beside_values(found.answers[1]) == []


def test_no_more_than_the_nearest_meet_the_cheapest(tuning):
    answers = [held(name, 1.0 + 0.1 * place) for place, name in enumerate(NAMES)]
    found = tuning(answers, dict.fromkeys(NAMES, 1.5))
    assert [ours for ours, _ in tuning.met] == list(NAMES[1:4])
    assert found.cheapest is answers[0]


def test_a_rate_is_held_against_another_by_the_time_of_an_image(tuning):
    question = replace(QUESTION, objective="throughput_ips")
    answers = [
        held("lenet5", 100.0, question),
        held("mobilenet", 95.0, question),
        held("alexnet", 50.0, question),
    ]
    found = tuning(answers, {"mobilenet": 0.9})
    assert tuning.met == [("mobilenet", "lenet5")]
    assert found.cheapest is answers[1]


def test_the_frontier_is_by_what_was_measured_in_turns(tuning):
    answers = [held("lenet5", 1.0, top1=0.9), held("mobilenet", 1.1, top1=0.95)]
    assert tuning(answers, {"mobilenet": 1.05}).line == answers
    assert tuning(answers, {"mobilenet": 0.95}).line == answers[1:]


@pytest.mark.parametrize("objective", ["engine_bytes", "host_peak_mib"])
def test_sizes_and_memory_need_no_turns(tuning, objective):
    question = replace(QUESTION, objective=objective)
    tuning([held("lenet5", 100, question), held("mobilenet", 101, question)], {})
    assert tuning.met == []
    assert beside_s(question, 2) == 0.0


def test_who_can_not_be_measured_in_turns_keeps_its_row_and_says_why(tuning):
    crashed = WorkerFailure("the runtime crashed (SIGSEGV)", "crashed")
    found = tuning([held("lenet5", 2.0), held("mobilenet", 2.1)], {"mobilenet": crashed})
    assert found.cheapest is found.answers[0]
    said = "mobilenet was not measured in turns with lenet5: the runtime crashed (SIGSEGV)."
    assert said in found.sentence


def test_what_met_before_it_was_broken_off_is_not_measured_again(tuning):
    answers = [held("lenet5", 2.0), held("mobilenet", 2.1), held("alexnet", 2.2)]
    with pytest.raises(KeyboardInterrupt):
        tuning(answers, {"mobilenet": 0.9, "alexnet": KeyboardInterrupt()})  # type: ignore[dict-item]
    tuning.met.clear()
    found = tuning(answers, {"alexnet": 1.1})
    assert tuning.met == [("alexnet", "lenet5")]
    assert [one.ratio.ratio for one in found.beside if one.ratio] == [0.9, 1.1]
    assert found.cheapest is answers[1]


def test_answers_without_engines_here_and_networks_that_were_refused_meet_nobody(tuning):
    other = held("mobilenet", 2.0)
    assert other.best is not None
    other.best.request = None
    assert tuning([held("lenet5", 2.0), other], {}).beside == []
    found = Frontier()
    found.take(Refused(ModelSpec("lenet5"), "too low"))
    found.take(Beside(other, other, None, "why"))
    assert (len(found.refused), len(found.beside), found.answers) == (1, 1, [])
