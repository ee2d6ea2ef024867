from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.stats import (
    difference_test,
    holm,
    mcnemar,
    mean_difference_test,
    wilson_interval,
)


def test_wilson_interval_equals_the_worked_example():
    # Newcombe (1998), table I: 81 of 263 and 15 of 148, to four decimals.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_wilson_interval_touches_the_ends_exactly():
    assert wilson_interval(0, 20)[0] == 0.0
    assert wilson_interval(20, 20)[1] == 1.0


@given(st.integers(1, 5000), st.data())
def test_wilson_interval_lies_in_the_unit_range_around_the_share(total, data):
    hits = data.draw(st.integers(0, total))
    low, high = wilson_interval(hits, total)
    assert 0.0 <= low <= hits / total <= high <= 1.0


@pytest.mark.parametrize(("hits", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_proportions_are_refused(hits, total):
    with pytest.raises(ValueError, match="not a proportion"):
        wilson_interval(hits, total)


def test_exact_mcnemar_is_the_two_sided_binomial_test():
    tail = sum(math.comb(10, k) for k in range(3)) / 2**10
    assert mcnemar(2, 8, mid_p=False) == pytest.approx(2 * tail)


def test_mid_p_takes_away_the_observed_outcome_once():
    exact, own = mcnemar(2, 8, mid_p=False), math.comb(10, 2) / 2**10
    assert mcnemar(8, 2) == pytest.approx(exact - own)


def test_no_difference_is_no_evidence():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(7, 7, mid_p=False) == 1.0
    assert mcnemar(7, 7) > 0.8


def test_large_counts_neither_overflow_nor_lose_the_difference():
    assert mcnemar(50_000, 50_100) == pytest.approx(0.7518, abs=0.01)
    assert mcnemar(40_000, 60_000) < 1e-100


@given(st.integers(0, 300), st.integers(0, 300))
def test_p_values_are_symmetric_and_within_their_range(a, b):
    assert mcnemar(a, b) == mcnemar(b, a)
    assert 0.0 <= mcnemar(a, b) <= mcnemar(a, b, mid_p=False) + 1e-12 <= 1.0 + 2e-12


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


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


def test_means_differ_by_as_many_standard_errors_as_their_intervals_say():
    # Standard errors 0.3 and 0.4, so 0.5 of the difference of 1: z = 2, p = 0.0455 (two-sided).
    found = mean_difference_test(3, (3 - 0.588, 3 + 0.588), 2, (2 - 0.784, 2 + 0.784), 0.95)
    assert found.difference == -1
    assert found.p_value == pytest.approx(0.0455, abs=2e-4)
    assert (found.low, found.high) == pytest.approx((-1.98, -0.02), abs=1e-3)
    assert mean_difference_test(1, (1, 1), 1, (1, 1)).p_value == 1.0
    assert mean_difference_test(1, (1, 1), 2, (2, 2)).p_value == 0.0
    with pytest.raises(ValueError, match="ends before"):
        mean_difference_test(1, (2, 1), 1, (1, 1))


def test_holm_equals_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjusting_keeps_the_order_and_never_helps(p_values):
    adjusted = holm(p_values)
    assert all(p <= q + 1e-12 <= 1 + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    ranked = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert ranked == sorted(ranked)
