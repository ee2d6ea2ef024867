from __future__ import annotations

import numpy as np
import pytest

from deploykit.stats import (
    effective_size,
    median_interval,
    modes,
    outliers,
    percentile,
    samples_needed,
    trend,
)


@pytest.mark.parametrize(
    ("percent", "count"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636)]
)
def test_counts_are_those_of_the_published_contract(percent, count):
    assert samples_needed(percent) == count


@pytest.mark.parametrize("percent", [50, 90, 95])
def test_count_bounds_the_percentile_with_99_percent_confidence(percent):
    # By simulation, independent of the formula: the second largest of n exceeds the true percentile.
    n = samples_needed(percent)
    draws = np.random.default_rng(0).random((40_000, n))
    second = np.partition(draws, n - 2, axis=1)[:, n - 2]
    share = (second >= percent / 100).mean()
    assert 0.988 < share < 0.996


@pytest.mark.parametrize("percent", [0, 100, -3])
def test_percentile_outside_its_range_is_refused(percent):
    with pytest.raises(ValueError, match="out of range"):
        samples_needed(percent)


def test_low_percentiles_need_as_many_as_their_mirror():
    assert samples_needed(5) == samples_needed(95)


def test_percentile_is_blank_with_a_reason_when_samples_are_too_few():
    found = percentile(np.arange(129), 95)
    assert found.value is None
    assert found.reason == "p95 needs 130 samples, there are 129; measure longer"


def test_percentile_with_enough_samples_has_a_value_and_no_reason():
    found = percentile(np.arange(130), 95)
    assert found.value == pytest.approx(122.55)
    assert not found.reason


@pytest.mark.parametrize("n", [11, 24, 301])
def test_interval_equals_a_drawn_out_bootstrap(n):
    values = np.random.default_rng(3).lognormal(size=n)
    resamples = np.random.default_rng(4).choice(values, (40_000, n))
    expected = np.quantile(np.median(resamples, axis=1), [0.025, 0.975])
    found = median_interval(values, resamples=40_000, independent=True)
    steps = np.diff(np.sort(values))
    assert np.abs(np.array(found) - expected).max() <= np.quantile(steps, 0.9)


def test_the_median_of_an_even_number_lies_between_two_samples():
    # Of two samples, a resample's median is low, high, or with probability one half their mean.
    found = median_interval([1.0, 3.0], confidence=0.4, independent=True)
    assert found == (2.0, 2.0)


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_interval_covers_the_true_median_even_of_dependent_samples(correlation):
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(150):
        noise = random.normal(size=1500)
        series = np.empty_like(noise)
        last = 0.0
        for i, value in enumerate(noise.tolist()):
            last = correlation * last + value
            series[i] = last
        low, high = median_interval(series + 50, resamples=500)
        covered += low <= 50 <= high
    assert covered >= 0.88 * 150


def test_interval_is_the_same_for_the_same_seed_and_contains_the_median():
    values = np.random.default_rng(6).gamma(2, size=500)
    first, second = median_interval(values, seed=1), median_interval(values, seed=1)
    assert first == second
    assert first[0] <= np.median(values) <= first[1]


def test_interval_of_equal_samples_is_a_point():
    assert median_interval([5.0] * 40) == (5.0, 5.0)


def test_interval_without_samples_is_refused():
    with pytest.raises(ValueError, match="needs samples"):
        median_interval([])


def test_bursts_count_for_fewer_samples_than_independent_ones():
    random = np.random.default_rng(7)
    independent = random.normal(size=4000)
    bursts = np.repeat(random.normal(size=100), 40)
    assert effective_size(independent) > 2500
    assert effective_size(bursts) < 400


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
