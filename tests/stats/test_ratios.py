from __future__ import annotations

import math
import random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.stats import mean_ratio, paired_ratio, ratio_test
from deploykit.stats.ratios import t_p_value, t_quantile

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


def test_what_slows_both_of_a_pair_cancels():
    generator = np.random.default_rng(1)
    machine = np.exp(0.3 * generator.normal(size=30))
    a = machine * np.exp(0.005 * generator.normal(size=30))
    b = 1.05 * machine * np.exp(0.005 * generator.normal(size=30))
    found = paired_ratio(a, b)
    assert found.ratio == pytest.approx(1.05, abs=0.005)
    assert found.significant
    assert found.low < 1.05 < found.high
    assert found.pairs == 30


def test_two_of_the_same_seldom_differ():
    generator = np.random.default_rng(2)
    alarms = 0
    for _ in range(400):
        a, b = np.exp(0.05 * generator.normal(size=(2, 30)))
        alarms += paired_ratio(a, b, resamples=1000).significant
    assert alarms <= 14


def test_swapping_the_sides_inverts_the_ratio():
    generator = np.random.default_rng(3)
    a, b = np.exp(0.05 * generator.normal(size=(2, 21)))
    assert paired_ratio(a, b).ratio == pytest.approx(1 / paired_ratio(b, a).ratio)


@pytest.mark.parametrize(
    ("a", "b"), [([1.0] * 5, [1.0] * 6), ([1.0] * 4, [1.0] * 4), ([0.0] * 6, [1.0] * 6)]
)
def test_unusable_blocks_are_refused(a, b):
    with pytest.raises(ValueError, match=r"paired blocks|positive"):
        paired_ratio(a, b)


@pytest.mark.parametrize(
    ("confidence", "df", "t"),
    # Tables of the t distribution, two-sided.
    [(0.95, 10, 2.228), (0.99, 2, 9.925), (0.99, 4, 4.604), (0.99, 8, 3.355), (0.999, 30, 3.646)],
)
def test_quantiles_are_those_of_printed_tables(confidence, df, t):
    assert t_quantile(confidence, df) == pytest.approx(t, abs=5e-4)


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0, 3.0, 40.0, 1e5])
def test_one_degree_of_freedom_is_the_cauchy_distribution(t):
    assert t_p_value(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("t", [0.1, 1.0, 2.5, 5.0])
def test_many_degrees_of_freedom_are_the_normal_distribution(t):
    assert t_p_value(t, 1e7) == pytest.approx(2 * NormalDist().cdf(-t), rel=1e-4)


@pytest.mark.parametrize("df", [1.0, 2.7, 9.3, 250.0])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_quantile_and_p_value_are_each_others_inverse(confidence, df):
    assert t_p_value(t_quantile(confidence, df), df) == pytest.approx(1 - confidence, rel=1e-8)


def test_the_ends_are_certain():
    assert t_p_value(0.0, 5) == 1.0
    assert t_p_value(math.inf, 5) == 0.0


def test_what_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_p_value(1.0, 0)
    with pytest.raises(ValueError, match="confidence 1"):
        t_quantile(1, 5)


def test_the_mean_of_paired_ratios_cancels_what_slows_both():
    busy = [1.0, 3.0, 1.5, 8.0]
    found = mean_ratio(busy, [1.1 * value for value in busy], confidence=0.99)
    assert (found.low, found.ratio, found.high) == pytest.approx((1.1, 1.1, 1.1))
    assert found.pairs == 4


def test_the_interval_of_the_mean_ratio_leaves_out_the_truth_as_often_as_it_says():
    generator = random.Random(3)
    found = [
        mean_ratio(draws(generator, 4, 8), draws(generator, 4, 8), confidence=0.95)
        for _ in range(2000)
    ]
    outside = sum(one.significant for one in found)
    # Binomial: 100 expected, 63 to 140 but for one in ten thousand.
    assert 63 <= outside <= 140


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, 0], [1, 2, 3])]
)
def test_ratios_that_can_not_be_made_are_refused(a, b):
    with pytest.raises(ValueError, match=r"same number|positive"):
        mean_ratio(a, b, confidence=0.99)
