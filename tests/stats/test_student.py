from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from deploykit.stats.student import t_p_value, t_quantile


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
