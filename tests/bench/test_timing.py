from __future__ import annotations

import gc
import json
import math
import time

import numpy as np
import pytest
from clockwork import FEEDS, Clockwork, policy

from deploykit.bench.scenario import Policy
from deploykit.bench.timing import measure, quiet_mean, quiet_runs, runs_in, warm_up
from deploykit.codec import MalformedMessage, from_json, to_json
from deploykit.errors import UsageError


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


def test_the_first_run_with_each_set_takes_none_of_the_time_for_settling():
    """On an H100, capturing a graph for each set took longer than windows may take to agree."""
    session = Clockwork(lambda i: 150_000_000 if i < 2 else 500_000)
    warm = warm_up(session, FEEDS * 2, policy(warmup_max_s=0.2))
    assert warm.settled


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
    timing = measure(session, FEEDS, policy(max_s=0.3))
    assert 2 <= timing.samples_ns.size <= 16


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
        session,
        FEEDS,
        policy(),
        lambda name, next_s: calls_before_measuring.append(len(session.calls)),
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
    measure(Clockwork(lambda i: 500_000), FEEDS, policy(), lambda name, next_s: names.append(name))
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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_s": 0}, r"min_s is 0(\.0)?: give a positive number"),
        ({"iterations": -1}, "iterations is -1: give a positive number"),
        ({"max_s": math.nan}, "max_s is nan: give a positive number"),
    ],
)
def test_an_impossible_policy_is_refused_here_and_in_the_worker(values, words):
    with pytest.raises(UsageError, match=words):
        Policy(**values)
    with pytest.raises(UsageError, match=words):
        from_json(json.dumps(values), Policy)


def test_a_policy_of_another_type_is_refused_by_name():
    with pytest.raises(MalformedMessage, match=r"\$\.min_s"):
        from_json('{"min_s": "long"}', Policy)


def test_a_policy_survives_json():
    policy = Policy(iterations=7, max_s=math.inf)
    assert from_json(to_json(policy), Policy) == policy


def test_quiet_runs_are_the_quick_ones_without_the_very_quickest():
    lengths = np.array([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 10.0] * 2)
    assert sorted(lengths[quiet_runs(lengths)]) == [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]
    assert quiet_mean(lengths) == 2.5


def test_of_a_single_run_it_counts():
    assert quiet_mean(np.array([3.0])) == 3.0
