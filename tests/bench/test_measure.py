from __future__ import annotations

import gc
import time

import numpy as np
import pytest

from deploykit.bench.arrivals import measure_arrivals
from deploykit.bench.measure import measure, runs_in, warm_up
from deploykit.bench.policy import Policy
from deploykit.bench.streams import measure_streams
from deploykit.errors import UsageError
from deploykit.spec import TensorSpec

FEEDS = [{"x": np.zeros(1, np.float32)}]


class Clockwork:
    """A session whose runs really sleep and whose samples follow a script.

    `latency_ns(i)` is the sample of run i; each call sleeps as long as its samples sum to.
    """

    inputs = (TensorSpec("x", (1,), "float32"),)
    outputs = (TensorSpec("y", (1,), "float32"),)
    boundary = "device"

    def __init__(self, latency_ns, sleeps=True):
        self.latency_ns, self.sleeps = latency_ns, sleeps
        self.runs, self.calls, self.collecting, self.feeds = 0, [], [], []

    def sample(self, feeds, n):
        samples = np.array([self.latency_ns(self.runs + i) for i in range(n)], np.int64)
        self.runs += n
        self.calls.append(n)
        self.collecting.append(gc.isenabled())
        self.feeds.append(feeds)
        if self.sleeps:
            time.sleep(float(samples.sum()) / 1e9)
        return samples


def policy(**changes):
    values = {"warmup_s": 0.02, "warmup_max_s": 0.2, "window_s": 0.005, "min_s": 0.05, "max_s": 0.4}
    return Policy(**{**values, "block_s": 0.01, **changes})


def test_warm_up_goes_on_until_three_windows_agree():
    # The first 100 runs get faster all the time, by a tenth or more from window to window.
    session = Clockwork(lambda i: round(1_000_000 * 0.98 ** min(i, 100)))
    warm = warm_up(session, FEEDS, policy(warmup_max_s=5.0))
    assert warm.settled
    assert warm.iterations > 100


def test_warm_up_lasts_its_time_even_when_windows_agree_at_once():
    session = Clockwork(lambda i: 500_000)
    start = time.perf_counter()
    warm_up(session, FEEDS, policy(warmup_s=0.1))
    assert time.perf_counter() - start >= 0.1


def test_warm_up_gives_up_and_says_so_when_windows_never_agree():
    # Twice as slow at every second window of 5 ms.
    session = Clockwork(lambda i: 500_000 * (1 + len(session.calls) % 2))
    timing = measure(session, FEEDS, policy())
    assert "warm-up: three windows never agreed" in timing.stability
    assert timing.stability.startswith("unstable: ")


def test_every_sample_of_the_run_is_kept_and_none_of_the_warm_up():
    session = Clockwork(lambda i: 200_000 + i)
    timing = measure(session, FEEDS, policy())
    expected = 200_000 + np.arange(timing.warmup_iterations, session.runs)
    assert timing.samples_ns.dtype == np.int64
    assert timing.samples_ns.tolist() == expected.tolist()


def test_measuring_goes_on_for_the_samples_that_p95_needs():
    session = Clockwork(lambda i: 1_000_000)
    timing = measure(session, FEEDS, policy(min_s=0.02, max_s=5.0))
    assert timing.samples_ns.size >= 130


def test_measuring_ends_at_its_limit_even_with_too_few_samples():
    session = Clockwork(lambda i: 20_000_000)
    timing = measure(session, FEEDS, policy(max_s=0.1))
    assert 2 <= timing.samples_ns.size <= 10


def test_exact_counts_are_kept_whatever_the_time_says():
    session = Clockwork(lambda i: 3_000_000)
    timing = measure(
        session, FEEDS, policy(warmup_iterations=4, iterations=7, max_s=0.001, min_s=9.0)
    )
    assert (timing.warmup_iterations, timing.samples_ns.size) == (4, 7)
    assert session.runs == 11


def test_the_collector_rests_while_samples_are_taken_and_works_again_afterwards():
    session = Clockwork(lambda i: 500_000)
    calls_before_measuring = []
    measure(
        session, FEEDS, policy(), lambda name: calls_before_measuring.append(len(session.calls))
    )
    warm_calls = calls_before_measuring[0]
    assert not any(session.collecting[warm_calls:])
    assert gc.isenabled()


def test_the_collector_works_again_after_an_error():
    def fail(i):
        if i > 60:
            raise RuntimeError("device lost")
        return 500_000

    with pytest.raises(RuntimeError, match="device lost"):
        measure(Clockwork(fail), FEEDS, policy())
    assert gc.isenabled()


def test_the_same_feeds_object_is_used_throughout_so_that_binding_happens_once():
    session = Clockwork(lambda i: 500_000)
    measure(session, FEEDS, policy())
    assert all(feeds is FEEDS for feeds in session.feeds)


def test_phases_end_in_order():
    names = []
    measure(Clockwork(lambda i: 500_000), FEEDS, policy(), names.append)
    assert names == ["warmup", "run"]


def test_a_clock_that_runs_ahead_is_said():
    session = Clockwork(lambda i: 5_000_000, sleeps=False)
    timing = measure(session, FEEDS, policy(max_s=0.02, warmup_max_s=0.01))
    assert "clock: the samples sum to" in timing.stability


def test_a_rising_latency_is_said():
    session = Clockwork(lambda i: 300_000 + 2_000 * i)
    timing = measure(session, FEEDS, policy(min_s=0.2))
    assert "trend: latency changed by +" in timing.stability


def test_blocks_are_at_least_one_run_and_bounded():
    assert runs_in(0.1, 1e12) == 1
    assert runs_in(0.1, 1e6) == 100
    assert runs_in(1e9, 0.0) == 1_000_000


def test_streams_raise_what_one_of_them_raises():
    def fail(i):
        if i > 30:
            raise RuntimeError("device lost")
        return 500_000

    sessions = [Clockwork(lambda i: 500_000), Clockwork(fail)]
    with pytest.raises(RuntimeError, match="device lost"):
        measure_streams(sessions, [FEEDS, FEEDS], policy())


def test_streams_count_the_rate_of_all():
    class Sleeper(Clockwork):
        def sample(self, feeds, n):
            taken = []
            for _ in range(n):
                start = time.perf_counter_ns()
                super().sample(feeds, 1)
                taken.append(time.perf_counter_ns() - start)
            return np.array(taken, np.int64)

    sessions = [Sleeper(lambda i: 1_000_000) for _ in range(3)]
    timing = measure_streams(sessions, [FEEDS] * 3, policy(min_s=0.3))
    # Little's law: requests in flight are their rate times their latency.
    assert timing.runs_per_s * timing.samples_ns.mean() / 1e9 == pytest.approx(3, rel=0.25)
    assert timing.warmup_iterations > 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_s": 0}, "min_s is 0: give a positive number"),
        ({"min_s": "long"}, "min_s is 'long'"),
        ({"minimum": 1}, "unknown measuring policy 'minimum'"),
    ],
)
def test_an_impossible_policy_is_refused(values, words):
    with pytest.raises(UsageError, match=words):
        Policy.from_json(values)


def test_a_policy_survives_json():
    assert Policy.from_json(Policy.quick().to_json()) == Policy.quick()


def test_samples_of_streams_come_in_the_order_in_which_they_were_finished():
    # Both get slower by the run: one after the other would fall back to quick ones half way.
    sessions = [Clockwork(lambda i: 1_000_000 + 20_000 * i) for _ in range(2)]
    samples = measure_streams(sessions, [FEEDS] * 2, policy(min_s=0.3, max_s=0.3)).samples_ns
    half = len(samples) // 2
    assert np.median(samples[:half]) < np.median(samples[half:])
    assert np.abs(np.diff(samples)).max() < 0.5 * np.ptp(samples)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_back_or_forth_changes_nothing(monkeypatch, jump):
    """Waits and lengths go by the monotonic clock; the time of day may jump at every look."""
    now = iter(1e9 + jump * count for count in range(10**6))
    monkeypatch.setattr(time, "time", lambda: next(now))
    start = time.perf_counter()
    one = measure(Clockwork(lambda i: 500_000), FEEDS, policy())
    two = measure_streams([Clockwork(lambda i: 500_000) for _ in range(2)], [FEEDS] * 2, policy())
    three = measure_arrivals([Clockwork(lambda i: 500_000)], [FEEDS], policy(), 500.0)
    assert time.perf_counter() - start < 10
    for timing in (one, two, three):
        assert timing.samples_ns.size >= 130
        assert "clock" not in {finding.name for finding in timing.findings}
