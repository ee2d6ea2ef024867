from __future__ import annotations

import pytest

from deploykit.bench.scenario import Constraint, steps
from deploykit.errors import UsageError


def largest(amounts, measure, constraint):
    """Carry a search out; returns how it went."""
    search = steps(amounts, constraint)
    amount = next(search)
    while True:
        try:
            amount = search.send(measure(amount))
        except StopIteration as stop:
            return stop.value


def linear(amount):
    """A machine on which a run takes 2 ms and 1 ms per image."""
    latency_ms = 2.0 + amount
    return {"latency_p95_ms": latency_ms, "throughput_ips": amount / latency_ms * 1000}


@pytest.mark.parametrize("text", ["latency_p95_ms<=10", " latency_p95_ms <= 1e1 "])
def test_a_constraint_is_read(text):
    assert Constraint.parse(text) == Constraint("latency_p95_ms", "<=", 10.0)


@pytest.mark.parametrize(
    "text", ["", "latency", "latency<=", "latency=10", "<=3", "a<=1.2.3", "a<=--"]
)
def test_another_form_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"write COLUMN<=NUMBER, such as latency_p95_ms<=10"):
        Constraint.parse(text)


@pytest.mark.parametrize(
    ("comparison", "expected"), [("<=", True), (">=", True), ("<", False), (">", False)]
)
def test_bounds_are_in_or_out_as_written(comparison, expected):
    assert Constraint("top1", comparison, 0.5).holds({"top1": 0.5}) is expected


@pytest.mark.parametrize(
    ("row", "words"), [({}, "no column"), ({"top1": None}, "blank"), ({"top1": "x"}, "blank")]
)
def test_a_column_without_a_number_is_refused(row, words):
    with pytest.raises(UsageError, match=words):
        Constraint("top1", ">=", 0.5).holds(row)


def test_the_gap_between_the_last_good_and_the_first_bad_amount_is_narrowed_down():
    found = largest([1, 2, 4, 8, 16], linear, Constraint.parse("latency_p95_ms<=14"))
    assert found.best == 12
    assert linear(12)["latency_p95_ms"] <= 14 < linear(13)["latency_p95_ms"]
    assert found.stopped == "latency_p95_ms<=14 fails at 13"
    assert list(found.rows)[:5] == [1, 2, 4, 8, 16]


def test_the_search_stops_where_gains_fall_below_5_percent():
    found = largest([2**i for i in range(12)], linear, Constraint.parse("latency_p95_ms<=1e9"))
    assert found.best == 64
    assert "from 32 to 64 throughput_ips gained +3.0% only" in found.stopped


def test_a_amount_that_loses_throughput_is_not_the_best():
    def saturated(amount):
        return {"latency_p95_ms": 1.0, "throughput_ips": {1: 100.0, 2: 150.0, 4: 140.0}[amount]}

    assert largest([1, 2, 4], saturated, Constraint.parse("latency_p95_ms<=5")).best == 2


def test_a_constraint_that_never_holds_finds_nothing():
    found = largest([4, 8], linear, Constraint.parse("latency_p95_ms<=1"))
    assert found.best is None
    assert list(found.rows) == [4]


def test_all_amounts_may_hold():
    found = largest([1, 2], linear, Constraint.parse("latency_p95_ms<=100"))
    assert found.best == 2
    assert "holds for all" in found.stopped


@pytest.mark.parametrize("amounts", [[], [0, 1]])
def test_impossible_amounts_are_refused(amounts):
    with pytest.raises(UsageError, match="at least 1"):
        largest(amounts, linear, Constraint.parse("latency_p95_ms<=1"))


def test_a_amount_that_failed_or_has_no_number_does_not_hold():
    def limited(amount):
        return linear(amount) if amount < 6 else {"status": "failed", "latency_p95_ms": None}

    found = largest([1, 2, 4, 8], limited, Constraint.parse("latency_p95_ms<=100"))
    assert found.best == 5
    assert found.stopped == "latency_p95_ms<=100 fails at 6"


def test_rates_are_narrowed_down_to_5_percent():
    def queue(rate):
        return {"latency_p95_ms": 1000 / (100 - rate), "throughput_ips": rate}

    found = largest([12.5, 25.0, 50.0, 99.0], queue, Constraint.parse("latency_p95_ms<=40"))
    assert 75 / 1.05 < found.best <= 75  # at 75/s, 40 ms
