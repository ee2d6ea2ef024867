from __future__ import annotations

import pytest

from deploykit.claims.check import measured_rows
from deploykit.claims.row_ratio import LEAST_REPEATS, row_ratio
from deploykit.row import Row


def repeats(latencies_ms, numbers=None, **columns):
    numbers = numbers or [None] * len(latencies_ms)
    return measured_rows(
        Row({"model": "a", "latency_p50_ms": ms, "repeat": number, **columns})
        for ms, number in zip(latencies_ms, numbers, strict=True)
    )


def is_over_one(ratio):
    return ratio.agrees(lambda value: int(value <= 1))


def test_repeats_of_the_same_round_are_paired():
    """After one that failed all others stood beside those of another round, as slow as that was."""
    above = repeats([11.0, 33.0, 44.0], [1, 3, 4])
    below = repeats([10.0, 20.0, 30.0, 40.0], [1, 2, 3, 4])
    ratio = row_ratio(above, below)
    assert ratio.repeats == (1.1, 1.1, 1.1)
    assert is_over_one(ratio) is True
    # Two that measured the same in each round, as two claims or two runs do.
    twice = repeats([10.0, 10.0, 20.0, 20.0, 30.0, 30.0], [1, 1, 2, 2, 3, 3])
    assert row_ratio(repeats([11.0, 22.0, 33.0], [1, 2, 3]), twice).repeats == (1.1, 1.1, 1.1)


def test_repeats_of_the_side_that_has_fewer_are_not_taken_for_one():
    """The middle one of them stood for all, so that their spread did not count where the time was over early."""
    above = repeats([11.0] * 4, [1, 2, 3, 4])
    below = repeats([8.0, 10.0, 14.0], [1, 2, 3])
    assert len(row_ratio(above, below).repeats) == LEAST_REPEATS
    assert is_over_one(row_ratio(above, below)) is None
    assert is_over_one(row_ratio(repeats([11.0] * 4), repeats([8.0, 10.0, 14.0]))) is None
    # With too few on one side all of the other count.
    two = row_ratio(repeats([11.0, 11.0, 11.0]), repeats([10.0, 20.0]))
    assert two.repeats == (1.1, 0.55, 1.1)
    assert is_over_one(two) is None


def test_rounds_of_two_runs_that_are_not_the_same_are_paired_in_order():
    ratio = row_ratio(repeats([11.0, 22.0], [1, 2]), repeats([10.0, 20.0], [3, 4]))
    assert ratio.repeats == (1.1, 1.1)


def test_what_follows_from_a_latency_has_its_interval():
    """Throughput of one row was exact, though it is nothing but images over the median latency."""
    ends = {"latency_p50_low_ms": 9.0, "latency_p50_high_ms": 12.0}
    one, other = repeats([10.0], **ends), repeats([10.0], **ends)
    low, high = row_ratio(one, other).ends()
    assert 0.97 * 9 / 12 < low < 9 / 12 < 12 / 9 < high < 1.03 * 12 / 9
    throughput = row_ratio(one, other, lambda row: 8 / row.latency_p50_ms)
    assert throughput.ends() == pytest.approx((low, high))
    assert row_ratio(one, other, lambda row: 40).ends() == (1.0, 1.0)
