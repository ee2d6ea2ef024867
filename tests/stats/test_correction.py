from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.stats import holm


def test_holm_equals_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjusting_keeps_the_order_and_never_helps(p_values):
    adjusted = holm(p_values)
    assert all(p <= q + 1e-12 <= 1 + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    ranked = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert ranked == sorted(ranked)
