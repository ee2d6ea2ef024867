from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.stats import benjamini_hochberg, holm, paired_ratio


def test_what_slows_both_of_a_pair_cancels():
    random = np.random.default_rng(1)
    machine = np.exp(0.3 * random.normal(size=30))
    a = machine * np.exp(0.005 * random.normal(size=30))
    b = 1.05 * machine * np.exp(0.005 * random.normal(size=30))
    found = paired_ratio(a, b)
    assert found.ratio == pytest.approx(1.05, abs=0.005)
    assert found.significant
    assert found.low < 1.05 < found.high
    assert found.pairs == 30


def test_two_of_the_same_seldom_differ():
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(400):
        a, b = np.exp(0.05 * random.normal(size=(2, 30)))
        alarms += paired_ratio(a, b, resamples=1000).significant
    assert alarms <= 14


def test_swapping_the_sides_inverts_the_ratio():
    random = np.random.default_rng(3)
    a, b = np.exp(0.05 * random.normal(size=(2, 21)))
    assert paired_ratio(a, b).ratio == pytest.approx(1 / paired_ratio(b, a).ratio)


@pytest.mark.parametrize(
    ("a", "b"), [([1.0] * 5, [1.0] * 6), ([1.0] * 4, [1.0] * 4), ([0.0] * 6, [1.0] * 6)]
)
def test_unusable_blocks_are_refused(a, b):
    with pytest.raises(ValueError, match=r"paired blocks|positive"):
        paired_ratio(a, b)


def test_holm_equals_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_equals_the_worked_example():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjusting_keeps_the_order_and_never_helps(p_values):
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust(p_values)
        assert all(p <= q + 1e-12 <= 1 + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
        ranked = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
        assert ranked == sorted(ranked)
    for ours, theirs in zip(benjamini_hochberg(p_values), holm(p_values), strict=True):
        assert ours <= theirs + 1e-12
