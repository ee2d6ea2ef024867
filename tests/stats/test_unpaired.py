from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.stats import difference_test, ratio_test

LATENCIES = st.lists(st.floats(0.01, 1e4), min_size=3, max_size=6)


def draws(generator, centre, count=5, spread=0.03):
    return [centre * generator.lognormvariate(0, spread) for _ in range(count)]


def test_the_ratio_is_of_geometric_means():
    assert ratio_test([1.0, 4.0], [4.0, 4.0]).ratio == pytest.approx(2.0)


def test_equal_processes_differ_as_often_as_the_level_says():
    generator = random.Random(0)
    p_values = [ratio_test(draws(generator, 4), draws(generator, 4)).p_value for _ in range(4000)]
    # Binomial: 40 expected, 20 to 64 but for one in ten thousand; Welch's test is a little careful.
    assert 15 <= sum(p <= 0.01 for p in p_values) <= 64
    assert 140 <= sum(p <= 0.05 for p in p_values) <= 260


def test_unequal_spreads_raise_no_more_false_alarms():
    generator = random.Random(1)
    alarms = sum(
        ratio_test(draws(generator, 4, 3, 0.1), draws(generator, 4, 10, 0.01)).p_value <= 0.01
        for _ in range(2000)
    )
    assert alarms <= 45


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = random.Random(2)
    found = [ratio_test(draws(generator, 4), draws(generator, 4.4)) for _ in range(2000)]
    assert sum(one.low <= 1.1 <= one.high for one in found) >= 0.985 * 2000


@given(LATENCIES, LATENCIES)
def test_swapping_the_sides_turns_the_ratio_over(a, b):
    one, other = ratio_test(a, b), ratio_test(b, a)
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert other.low == pytest.approx(1 / one.high)
    assert other.p_value == pytest.approx(one.p_value)
    assert one.low <= one.ratio <= one.high


@given(LATENCIES, LATENCIES)
def test_the_interval_leaves_out_1_just_where_the_test_is_significant(a, b):
    found = ratio_test(a, b)
    if abs(found.p_value - 0.01) > 1e-6:
        assert (found.low > 1 or found.high < 1) == (found.p_value < 0.01)


def test_values_without_any_spread_are_equal_or_not():
    assert ratio_test([2.0] * 3, [2.0] * 3).p_value == 1.0
    assert ratio_test([2.0] * 3, [3.0] * 3).p_value == 0.0


def test_a_spread_takes_two_values():
    with pytest.raises(ValueError, match="two or more"):
        ratio_test([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="positive"):
        ratio_test([1.0, 0.0], [1.0, 2.0])


def test_the_interval_of_a_difference_is_newcombes():
    # The first example of his paper of 1998, method 10: 56/70 less 48/80.
    found = difference_test(48, 80, 56, 70, 0.95)
    assert found.difference == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=5e-5)
    assert found.high == pytest.approx(0.3339, abs=5e-5)
    assert found.p_value == pytest.approx(0.0083, abs=5e-4)


def test_proportions_that_are_all_or_nothing_do_not_differ():
    assert difference_test(10, 10, 10, 10).p_value == 1.0
    assert difference_test(0, 10, 0, 10).difference == 0.0
