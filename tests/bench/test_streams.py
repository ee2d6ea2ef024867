from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from clockwork import FEEDS, Clockwork, policy

from deploykit.bench import streams
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.bench.streams import measure_arrivals, measure_streams, schedule_ns, wait_until
from deploykit.bench.timing import measure
from deploykit.errors import UsageError

POLICY = Policy(warmup_s=0.01, warmup_max_s=0.05, window_s=0.004, min_s=0.4, max_s=0.8)


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
    assert time.perf_counter() - start < 60  # an hour off would show, a busy machine does not
    for timing in (one, two, three):
        assert timing.samples_ns.size >= 130
        assert "clock" not in {finding.name for finding in timing.findings}


class Server:
    """Takes a millisecond or so per request."""

    def __init__(self, service_s=0.001, fails_after=None):
        self.service_s, self.fails_after, self.runs = service_s, fails_after, 0

    def sample(self, feeds, n):
        samples = []
        for _ in range(n):
            self.runs += 1
            if self.fails_after is not None and self.runs > self.fails_after:
                raise RuntimeError("device lost")
            start = time.perf_counter_ns()
            time.sleep(self.service_s)
            samples.append(time.perf_counter_ns() - start)
        return np.array(samples, np.int64)


def test_a_schedule_has_the_rate_and_the_spread_of_a_poisson_process():
    gaps = np.diff(schedule_ns(1000, 20.0)) / 1e9
    assert gaps.mean() == pytest.approx(1e-3, rel=0.03)
    assert gaps.std() == pytest.approx(1e-3, rel=0.05)  # as large as its mean: exponential
    assert schedule_ns(1000, 20.0)[-1] < 20e9


def test_a_schedule_repeats_for_its_seed():
    assert np.array_equal(schedule_ns(50, 1.0, seed=1), schedule_ns(50, 1.0, seed=1))
    assert not np.array_equal(schedule_ns(50, 1.0, seed=1)[:5], schedule_ns(50, 1.0, seed=2)[:5])


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), 1e9])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(UsageError, match="can't be scheduled"):
        schedule_ns(rate, 10.0)


def test_queueing_is_counted():
    # Two times as many requests as can be served: the last ones wait for about half of the run, which is so long
    # that a machine with other things to do, on which no request is quick, shows it too.
    patient = replace(POLICY, min_s=2.0, max_s=4.0)
    timing = measure_arrivals([Server(0.004)], [FEEDS], patient, 500.0)
    assert timing.samples_ns.max() > 20 * timing.samples_ns.min()
    assert timing.findings[0].name == "overload"
    assert "overload: 500 requests/s were offered" in timing.stability


@pytest.mark.parametrize(("run_ms", "served"), [(300, 2), (330, 1)])
def test_a_queue_that_ends_shortly_after_the_time_is_served(monkeypatch, run_ms, served):
    """A request that came at the last moment was left waiting, which was called an overload."""
    now_ns = [0]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns[0])

    class Waiting(Clockwork):
        def sample(self, feeds, n):
            now_ns[0] += run_ms * 1_000_000
            return super().sample(feeds, n)

    def wait(due_ns):
        now_ns[0] = max(now_ns[0], due_ns)

    monkeypatch.setattr(streams, "wait_until", wait)
    session = Waiting(lambda i: run_ms * 1_000_000, sleeps=False)
    latency_ns, _, _ = streams._serve([session], [FEEDS], np.array([0, 0]), max_s=0.29)
    assert len(latency_ns) == served


def test_runs_that_are_under_way_at_an_end_count_in_part():
    """Of slow networks the rate of many streams was too low, by the runs that were cut off."""
    four = []
    for number in range(4):
        stream = streams._Stream()
        stream.begun_ns, stream.blocks = [number * 250], [np.full(2, 1000, np.int64)]
        four.append(stream)
    # From 750 to 2000 four streams are at work all the time.
    assert streams._rate(four) == pytest.approx(4 / 1e-6)


def test_requests_at_a_low_rate_are_all_served_without_queueing():
    # Time enough for a machine that does something else: only the schedule's own length counts.
    patient = replace(POLICY, min_s=1.5, max_s=60.0)
    timing = measure_arrivals([Server(0.0002)], [FEEDS], patient, 150.0)
    assert "overload" not in timing.stability
    assert timing.samples_ns.size == schedule_ns(150.0, 1.5).size
    assert (timing.samples_ns > 0).all()


def test_more_streams_serve_what_one_can_not():
    one = measure_arrivals([Server(0.004)], [FEEDS], POLICY, 400.0)
    four = measure_arrivals([Server(0.004) for _ in range(4)], [FEEDS] * 4, POLICY, 400.0)
    assert np.median(four.samples_ns) < np.median(one.samples_ns) / 2


def test_an_error_of_a_stream_is_raised():
    with pytest.raises(RuntimeError, match="device lost"):
        measure_arrivals([Server(fails_after=30)], [FEEDS], POLICY, 300.0)


def test_a_rate_at_which_nothing_arrives_is_refused():
    with pytest.raises(UsageError, match="none arrives"):
        measure_arrivals([Server()], [FEEDS], POLICY, 0.01)


def test_waiting_ends_at_the_moment_and_not_before():
    due = time.perf_counter_ns() + 3_000_000
    wait_until(due)
    assert time.perf_counter_ns() >= due


def test_a_row_can_be_measured_under_arrivals(engine, plugin):
    result = run_worker(WorkerRequest(engine.folder, "steady", rate_per_s=300.0, policy=POLICY), 60)
    assert result.columns["iterations"] > 60
    assert result.columns["throughput_ips"] < 450
