"""Timing under load that arrives on its own schedule, whether or not the last request is done.

Requests come as a Poisson process of a given rate; a request's latency runs from when it arrived, not from
when its turn came, so that queueing is counted. A loop that sends the next request only after the last
answer (as `measure` does) never shows it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deploykit.bench.conditions import between, snapshot
from deploykit.bench.measure import Timing, no_collection, summarise, warm_up
from deploykit.bench.policy import Policy
from deploykit.bench.stability import Finding
from deploykit.errors import UsageError
from deploykit.stats import samples_needed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deploykit.backends import Session
    from deploykit.bench.measure import FeedSets

#: A sleeping thread wakes up late; so much before an arrival it stops sleeping and watches the clock.
WATCH_NS = 200_000
#: Above this share of the time that the streams are busy, queues grow without end.
SATURATION = 0.95
#: No schedule is longer than this.
MAX_REQUESTS = 2_000_000


def schedule_ns(rate_per_s: float, span_s: float, seed: int = 0) -> NDArray[np.int64]:
    """Arrival times of a Poisson process from 0 to `span_s`, in nanoseconds, the same for the same seed.

    Raises:
        UsageError: the rate is not positive, or gives more requests than can be scheduled.
    """
    import numpy as np

    if not rate_per_s > 0 or rate_per_s * span_s > MAX_REQUESTS:
        raise UsageError(
            f"{rate_per_s:g} requests/s can't be scheduled: "
            f"give more than 0 and at most {MAX_REQUESTS / span_s:g}"
        )
    generator = np.random.default_rng(seed)
    # Enough gaps to reach the end but for a chance of one in a billion, which a second draw would mend.
    expected = rate_per_s * span_s
    count = int(expected + 6 * expected**0.5 + 16)
    arrivals = np.cumsum(generator.exponential(1e9 / rate_per_s, count))
    chosen: NDArray[np.int64] = arrivals[arrivals < span_s * 1e9].astype(np.int64)
    return chosen


def measure_arrivals(
    sessions: Sequence[Session],
    feeds: Sequence[FeedSets],
    policy: Policy,
    rate_per_s: float,
    *,
    seed: int = 0,
    on_phase: Callable[[str], None] = lambda name: None,
) -> Timing:
    """Time sessions under Poisson arrivals; each stream serves one request at a time, in order of arrival.

    Args:
        sessions: one per stream.
        feeds: one sequence of input sets per stream.
        policy: the schedule is long enough for `min_s` and for the samples that its percentile needs,
            within `max_s`.
        rate_per_s: requests per second that are offered.
        seed: of the schedule.
        on_phase: called with "warmup" and "run" when each of them has ended.

    Returns:
        A timing whose samples are latencies from arrival to answer, in the order of arrival; what was
        offered but not served by the end is in the findings.
    """
    warm = [warm_up(s, f, policy) for s, f in zip(sessions, feeds, strict=True)]
    on_phase("warmup")
    # A Poisson process brings fewer than expected half of the time: three deviations more are waited for.
    needed = samples_needed(policy.percentile)
    span_s = min(policy.max_s, max(policy.min_s, (needed + 3 * (needed**0.5 + 3)) / rate_per_s))
    arrivals_ns = schedule_ns(rate_per_s, span_s, seed)
    if not arrivals_ns.size:
        raise UsageError(
            f"at {rate_per_s:g} requests/s none arrives within {span_s:g} s: give a higher rate"
        )
    with no_collection():
        before = snapshot()
        served = _serve(sessions, feeds, arrivals_ns, policy.max_s)
        after = snapshot()
    on_phase("run")
    latency_ns, busy_s, elapsed_s = served
    timing = summarise(
        latency_ns,
        warm_iterations=sum(w.iterations for w in warm),
        settled=all(w.settled for w in warm),
        elapsed_s=elapsed_s,
        # Requests overlap in the queue: their sum says nothing of the clock.
        timed_s=float(latency_ns.sum()) / 1e9,
        runs_per_s=latency_ns.size / elapsed_s,
        conditions=between(before, after),
    )
    doubts = _overload(rate_per_s, arrivals_ns.size, timing, busy_s / (elapsed_s * len(sessions)))
    return Timing(**{**vars(timing), "findings": (*doubts, *timing.findings)})


def _overload(rate_per_s: float, offered: int, timing: Timing, busy: float) -> list[Finding]:
    left = offered - timing.samples_ns.size
    if busy < SATURATION and left == 0:
        return []
    return [
        Finding(
            "overload",
            f"{rate_per_s:g} requests/s were offered, {timing.runs_per_s:.4g} served, the streams busy "
            f"{busy:.0%} of the time, {left} requests left waiting",
            "lower --rate, or give more --streams or a larger --batch",
        )
    ]


def _serve(
    sessions: Sequence[Session],
    feeds: Sequence[FeedSets],
    arrivals_ns: NDArray[np.int64],
    max_s: float,
) -> tuple[NDArray[np.int64], float, float]:
    """Serve the schedule; latencies of what was served, summed service time, wall time."""
    import numpy as np

    times = arrivals_ns.tolist()
    latency_ns = np.full(len(times), -1, np.int64)
    lock = threading.Lock()
    taken = 0
    busy_ns = [0] * len(sessions)
    errors: list[BaseException] = []
    clock = time.perf_counter_ns
    start = clock() + 5_000_000

    def work(stream: int) -> None:
        nonlocal taken
        session, sets = sessions[stream], feeds[stream]
        try:
            while not errors:
                with lock:
                    index, taken = taken, taken + 1
                if index >= len(times) or clock() - start > max_s * 1e9:
                    return
                due = start + times[index]
                wait_until(due)
                begun = clock()
                session.sample(sets, 1)
                ended = clock()
                busy_ns[stream] += ended - begun
                latency_ns[index] = ended - due
        except BaseException as error:  # carried to the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    elapsed_s = (clock() - start) / 1e9
    return latency_ns[latency_ns >= 0], sum(busy_ns) / 1e9, elapsed_s


def wait_until(due_ns: int) -> None:
    """Sleep until shortly before `due_ns` of the performance counter, then watch it."""
    left = due_ns - time.perf_counter_ns()
    if left > WATCH_NS:
        time.sleep((left - WATCH_NS) / 1e9)
    while time.perf_counter_ns() < due_ns:
        pass
