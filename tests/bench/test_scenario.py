from __future__ import annotations

import pytest

from deploykit.bench.scenario import Constraint, Policy, Scenario, parse_rate
from deploykit.errors import UsageError


@pytest.mark.parametrize(("text", "per_s"), [("100/s", 100.0), ("2.5", 2.5), (" 1e2 /s ", 100.0)])
def test_a_rate_is_read(text, per_s):
    assert parse_rate(text) == per_s


@pytest.mark.parametrize("text", ["", "fast", "0", "-1/s", "nan", "inf/s", "5/min"])
def test_another_form_of_a_rate_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="such as 100/s"):
        parse_rate(text)


def test_a_scenario_is_described_by_what_differs_from_the_plain_one():
    assert Scenario().text == ""
    assert Scenario(1).text == "1 thread"
    assert Scenario(2, 4, 50.0).text == "2 threads 4 streams 50/s"


@pytest.mark.parametrize(
    ("scenario", "cores", "threads"),
    [
        (Scenario(), 8, 8),
        (Scenario(2), 8, 2),
        (Scenario(2, 3), 8, 6),
        (Scenario(4, 4), 8, 8),
        (Scenario(), 0.5, 1),
    ],
)
def test_streams_together_use_no_more_threads_than_there_are_cores(scenario, cores, threads):
    assert scenario.threads_in_use(cores) == threads


def test_a_policy_lasts_as_long_as_it_is_told():
    assert (Policy().lasting(5).min_s, Policy().lasting(5).max_s) == (5, 10)
    assert (Policy().lasting(60).min_s, Policy().lasting(60).max_s) == (60, 60)


def test_a_policy_that_is_to_reach_a_percentile_is_never_cut_short():
    longer = Policy().reaching(99, 300)
    assert (longer.percentile, longer.min_s, longer.max_s) == (99, 3.0, 300)
    shorter = Policy().reaching(50, 1)
    assert (shorter.percentile, shorter.max_s) == (Policy().percentile, Policy().max_s)
    assert shorter.asked_percentile == 50


def test_no_bound_is_met_under_overload():
    """Latencies of a queue that grows tell how long was measured."""
    fast = {"latency_p95_ms": 30.0, "status": "ok", "stability": "stable"}
    bound = Constraint.parse("latency_p95_ms<=500")
    assert bound.met_by(fast)
    doubted = "unstable: overload: 110 requests/s were offered, 100 served; lower --rate"
    assert not bound.met_by(fast | {"stability": doubted})
