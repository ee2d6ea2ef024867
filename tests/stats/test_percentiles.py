from __future__ import annotations

import numpy as np
import pytest

from deploykit.stats import effective_size, median_interval, percentile, samples_needed


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
