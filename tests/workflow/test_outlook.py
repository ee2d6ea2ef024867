"""Who needs no look: an engine that is far behind, where no change of load could bring it near the best."""

from __future__ import annotations

from dataclasses import replace

import pytest
from answers import candidate

from deploykit.bench.scenario import Constraint, Scenario
from deploykit.workflow.outlook import Outlook
from deploykit.workflow.tuned import Candidate, Question

RATE = Question(objective="throughput_ips")
DEFAULT = candidate()
ENGINES = [
    DEFAULT,
    candidate(backend="openvino"),
    candidate(backend="torch"),
    candidate(precision="int8"),
]


def loaded(
    one: Candidate, batch: int = 1, threads: int | None = None, streams: int = 1
) -> Candidate:
    """The same engine at another load."""
    at = replace(one.configuration, batch=batch, scenario=Scenario(threads, streams))
    return replace(one, configuration=at)


def outlook(others: list[Candidate], question: Question = RATE) -> Outlook:
    return Outlook({one.name: one for one in (*ENGINES, *others)}, question, DEFAULT)


def looks(*values: float) -> dict[str, float]:
    """First looks at the engines with one image, in their order."""
    return {one.name: value for one, value in zip(ENGINES, values, strict=True)}


def test_an_engine_that_is_too_far_behind_is_not_looked_at_with_more_images():
    eight = [loaded(one, batch=8) for one in ENGINES]
    found = outlook(eight)
    firsts = looks(1.0, 0.9, 6.0, 0.5)
    # Nobody knows yet what eight images gain, but eight times as much at the most.
    assert [found.reason(one.name, firsts) for one in eight] == [""] * 4
    firsts |= {eight[0].name: 0.8, eight[1].name: 0.75}
    said = "not looked at: fp32 torch took 6.67 times the best in fp32, too far behind it"
    assert found.reason(eight[2].name, firsts) == said
    assert found.reason(eight[3].name, firsts) == ""
    # It could be near, did eight images gain it half as much again as they gained the first.
    assert (
        found.reason(
            eight[2].name, looks(1.0, 0.9, 2.2, 0.5) | {eight[0].name: 0.8, eight[1].name: 0.75}
        )
        == ""
    )


def test_n_times_as_many_images_or_streams_gain_n_times_at_the_most():
    two, both = loaded(ENGINES[2], batch=2), loaded(ENGINES[2], batch=2, streams=2)
    found = outlook([two, both])
    assert found.reason(two.name, looks(1.0, 1.0, 3.1, 1.0)) == ""
    assert found.reason(two.name, looks(1.0, 1.0, 3.3, 1.0))
    assert found.reason(both.name, looks(1.0, 1.0, 6.3, 1.0)) == ""
    assert found.reason(both.name, looks(1.0, 1.0, 6.5, 1.0))


def test_fewer_threads_are_passed_over_once_two_engines_tell_what_they_gain():
    one_thread = [loaded(one, threads=1) for one in ENGINES]
    found = outlook(one_thread, Question())
    firsts = looks(1.0, 1.0, 9.0, 0.5)
    assert found.reason(one_thread[2].name, firsts) == ""
    firsts |= {one_thread[0].name: 1.5}
    assert found.reason(one_thread[2].name, firsts) == ""
    firsts |= {one_thread[1].name: 0.5}  # on a busy machine one thread may gain
    assert found.reason(one_thread[2].name, firsts)
    assert found.reason(one_thread[2].name, firsts | {ENGINES[2].name: 2.3}) == ""


def test_who_is_reduced_and_may_be_refused_is_nobody_to_be_far_behind():
    eight = [loaded(one, batch=8) for one in ENGINES]
    firsts = looks(1.0, 1.0, 1.9, 0.1) | {eight[0].name: 0.9, eight[1].name: 0.9}
    assert outlook(eight).reason(eight[2].name, firsts) == ""


@pytest.mark.parametrize(
    "question",
    [
        replace(RATE, constraints=(Constraint.parse("host_peak_mib<=100"),)),
        replace(RATE, objective="host_peak_mib"),
        replace(RATE, objective="latency_p99_ms", rate_per_s=50.0),
    ],
)
def test_where_the_slower_may_be_needed_all_are_looked_at(question):
    two = loaded(ENGINES[2], batch=2)
    assert outlook([two], question).reason(two.name, looks(1.0, 1.0, 50.0, 1.0)) == ""
