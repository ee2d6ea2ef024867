from __future__ import annotations

import numpy as np
import pytest

from deploykit.stats import modes, outliers, trend


def test_only_what_lies_beyond_the_outer_fences_is_an_outlier():
    values = np.concatenate([np.linspace(9, 11, 101), [100.0, 0.1]])
    flags = outliers(values)
    assert flags.sum() == 2
    assert flags[-2:].all()
    assert outliers([]).size == 0


@pytest.mark.parametrize("n", [300, 5000])
@pytest.mark.parametrize("shape", ["normal", "skewed", "exponential", "flat"])
def test_one_population_has_one_mode(shape, n):
    random = np.random.default_rng(1)
    draw = {
        "normal": lambda: 100 + random.normal(size=n),
        "skewed": lambda: np.exp(0.1 * random.normal(size=n)),
        "exponential": lambda: 1 + 0.1 * random.exponential(size=n),
        "flat": lambda: 1 + random.random(n),
    }[shape]
    alarms = sum(len(modes(draw())) > 1 for _ in range(100))
    assert alarms <= 1


def test_two_speeds_are_two_modes_at_their_places():
    random = np.random.default_rng(2)
    values = np.where(random.random(2000) < 0.7, 4.0, 5.0) * np.exp(0.01 * random.normal(size=2000))
    assert modes(values) == pytest.approx((4.0, 5.0), rel=0.01)


def test_a_few_slow_runs_are_no_mode():
    random = np.random.default_rng(3)
    values = np.concatenate(
        [4 + 0.02 * random.normal(size=1000), 8 + 0.02 * random.normal(size=30)]
    )
    assert len(modes(values)) == 1


def test_three_populations_are_three_modes():
    random = np.random.default_rng(4)
    centres = random.choice([1.0, 1.3, 1.7], 3000)
    assert len(modes(centres * np.exp(0.01 * random.normal(size=3000)))) == 3


def test_few_or_equal_samples_have_their_median_for_a_mode():
    assert modes([1.0] * 50 + [2.0] * 49) == (1.0,)
    assert modes(np.full(1000, 3.0)) == (3.0,)
    assert modes([]) == ()


def test_a_steady_series_has_no_trend():
    random = np.random.default_rng(5)
    alarms = sum(trend(1 + 0.1 * random.random(1000)).p_value < 0.01 for _ in range(300))
    assert alarms <= 9


def test_a_rising_series_has_its_rise_and_a_small_p():
    series = np.linspace(1.0, 1.1, 2000) + 0.05 * np.random.default_rng(6).normal(size=2000)
    found = trend(series)
    assert found.change == pytest.approx(0.095, abs=0.02)
    assert found.p_value < 1e-4


def test_a_single_spike_makes_no_trend():
    series = np.full(1000, 1.0)
    series[-30:] = 50.0
    assert trend(series).change == pytest.approx(0.0, abs=1e-9)


def test_a_short_series_has_no_trend():
    assert trend([1.0, 2.0, 3.0]).p_value == 1.0


def test_the_steps_of_a_coarse_clock_are_no_modes():
    random = np.random.default_rng(7)
    values = np.round(5600 * np.exp(0.003 * random.normal(size=5000)) / 10) * 10
    assert len(modes(values)) == 1
