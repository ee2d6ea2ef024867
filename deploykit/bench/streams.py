"""Timing several streams of requests at once, each served by a session and a thread of its own.

`measure_streams` sends each stream's next request as soon as the last is answered: throughput under
concurrent requests. `measure_arrivals` lets requests come as a Poisson process of a given rate, whether or
not the last is done; a request's latency then runs from when it arrived, not from when its turn came, so that
queueing counts, which a loop that waits for each answer never shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deploykit.bench.conditions import between, snapshot
from deploykit.bench.scenario import Policy, arrivals_span_s
from deploykit.bench.timing import Timing, WarmUp, no_collection, runs_in, summarise, warm_up
from deploykit.errors import UsageError
from deploykit.figures import general
from deploykit.lazy import np
from deploykit.row import OVERLOAD, Finding
from deploykit.stats import samples_needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import SessionBase
    from deploykit.bench.timing import FeedSets, OnPhase

#: A sleeping thread wakes up late; so much before an arrival it stops sleeping and watches the clock.
WATCH_NS = 200_000
#: Above this share of the time that the streams are busy, queues grow without end.
SATURATION = 0.95
#: When the time is over, what waits is served for so long, as a share of it: a queue that ends is no overload.
DRAINING = 0.1
#: No schedule is longer than this.
MAX_REQUESTS = 2_000_000


@dataclass
class _Stream:
    """What one thread measured: its blocks of samples and when each block began."""

    blocks: list[NDArray[Any]] = field(default_factory=list)
    begun_ns: list[int] = field(default_factory=list)
    timed_ns: int = 0
    error: BaseException | None = None


def measure_streams(
    sessions: Sequence[SessionBase],
    feeds: Sequence[FeedSets],
    policy: Policy,
    on_phase: OnPhase = lambda name, next_s: None,
) -> Timing:
    """Time several sessions, each with its own thread and one request in flight.

    Latencies are those of single requests while the others run; throughput counts the requests that
    were finished while all streams were still running.

    Args:
        sessions: one per stream.
        feeds: one sequence of input sets per stream.
        policy: how long; the samples needed are those of all streams together.
        on_phase: called when the warm-up and the run have ended.
    """
    warm = [warm_up(s, f, policy) for s, f in zip(sessions, feeds, strict=True)]
    together = _run_together(sessions, feeds, warm, policy.warmup_s, policy.warmup_s, 0, policy)
    on_phase("warmup", policy.min_s)
    needed = samples_needed(policy.percentile)
    with no_collection():
        before = snapshot()
        start = time.perf_counter()
        streams = _run_together(sessions, feeds, warm, policy.min_s, policy.max_s, needed, policy)
        elapsed_s = time.perf_counter() - start
        after = snapshot()
    on_phase("run", 0.0)
    return summarise(
        _in_order(streams),
        warm_iterations=sum(w.iterations for w in warm)
        + sum(len(block) for stream in together for block in stream.blocks),
        settled=all(w.settled for w in warm),
        elapsed_s=elapsed_s,
        timed_s=sum(stream.timed_ns for stream in streams) / 1e9,
        runs_per_s=_rate(streams),
        conditions=between(before, after),
    )


def _run_together(
    sessions: Sequence[SessionBase],
    feeds: Sequence[FeedSets],
    warm: Sequence[WarmUp],
    min_s: float,
    max_s: float,
    needed: int,
    policy: Policy,
) -> list[_Stream]:
    """Run all streams from a common start until all of them together have enough."""
    streams = [_Stream() for _ in sessions]
    barrier = threading.Barrier(len(sessions))
    enough = threading.Event()

    def work(index: int) -> None:
        stream, session, sets = streams[index], sessions[index], feeds[index]
        # Blocks are short, as all streams must end at nearly the same time.
        run_ns = warm[index].run_ns * len(sessions)
        try:
            barrier.wait()
            start = time.perf_counter_ns()
            while not enough.is_set():
                begun = time.perf_counter_ns()
                block = session.sample(sets, runs_in(policy.block_s / 2, run_ns))
                ended = time.perf_counter_ns()
                stream.blocks.append(block)
                stream.begun_ns.append(begun)
                stream.timed_ns += ended - begun
                run_ns = float(block.mean())
                passed_s = (ended - start) / 1e9
                count = sum(len(b) for s in streams for b in s.blocks)
                if passed_s >= max_s or (passed_s >= min_s and count >= needed):
                    enough.set()
        except BaseException as error:  # carried to the caller's thread
            stream.error = error
            enough.set()
            barrier.abort()

    _in_threads(work, len(sessions))
    errors = [s.error for s in streams if s.error is not None]
    for error in errors:
        # A broken barrier is only the echo of another stream's error.
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    if errors:
        raise errors[0]
    return streams


def _in_threads(work: Callable[[int], None], count: int) -> None:
    """Call `work` with 0 to `count` - 1, each in a thread of its own, and wait for all of them."""
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _finished(streams: Sequence[_Stream]) -> list[NDArray[Any]]:
    """When each run of each stream was finished, on the performance counter."""
    return [
        np.concatenate(
            [
                begun + np.cumsum(block)
                for begun, block in zip(stream.begun_ns, stream.blocks, strict=True)
            ]
        )
        for stream in streams
    ]


def _in_order(streams: Sequence[_Stream]) -> NDArray[Any]:
    """The samples of all streams as they were finished: a change over the run shows as one."""
    samples = np.concatenate([block for stream in streams for block in stream.blocks])
    ordered: NDArray[Any] = samples[np.argsort(np.concatenate(_finished(streams)), kind="stable")]
    return ordered


def _rate(streams: Sequence[_Stream]) -> float:
    """Runs per second from the last stream's start to the first one's end.

    Of a run that is under way at either end counts the part that lies between: of slow networks there are few runs,
    and to leave those out makes a rate too low by up to a sixth.
    """
    finished = _finished(streams)
    start = max(stream.begun_ns[0] for stream in streams)
    end = min(int(times[-1]) for times in finished)
    if end <= start:
        return 0.0
    done = 0.0
    for stream, times in zip(streams, finished, strict=True):
        lasted = np.concatenate(stream.blocks)
        within = np.minimum(times, end) - np.maximum(times - lasted, start)
        done += float((np.maximum(within, 0) / np.maximum(lasted, 1)).sum())
    return done / ((end - start) / 1e9)


def schedule_ns(rate_per_s: float, span_s: float, seed: int = 0) -> NDArray[np.int64]:
    """Arrival times of a Poisson process from 0 to `span_s`, in nanoseconds, the same for the same seed.

    Raises:
        UsageError: the rate is not positive, or gives more requests than can be scheduled.
    """
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
    sessions: Sequence[SessionBase],
    feeds: Sequence[FeedSets],
    policy: Policy,
    rate_per_s: float,
    *,
    seed: int = 0,
    on_phase: OnPhase = lambda name, next_s: None,
) -> Timing:
    """Time sessions under Poisson arrivals; each stream serves one request at a time, in order of arrival.

    Args:
        sessions: one per stream.
        feeds: one sequence of input sets per stream.
        policy: the schedule is long enough for `min_s` and for the samples that its percentile needs,
            within `max_s`.
        rate_per_s: requests per second that are offered.
        seed: the same seed gives the same schedule.
        on_phase: called when the warm-up and the run have ended.

    Returns:
        A timing whose samples are latencies from arrival to answer, in the order of arrival; what was
        offered but not served by the end is in the findings.
    """
    warm = [warm_up(s, f, policy) for s, f in zip(sessions, feeds, strict=True)]
    needed_s = arrivals_span_s(samples_needed(policy.percentile), rate_per_s)
    span_s = min(policy.max_s, max(policy.min_s, needed_s))
    on_phase("warmup", span_s)
    arrivals_ns = schedule_ns(rate_per_s, span_s, seed)
    if not arrivals_ns.size:
        raise UsageError(
            f"at {rate_per_s:g} requests/s none arrives within {span_s:g} s: give a higher rate"
        )
    with no_collection():
        before = snapshot()
        latency_ns, busy_s, elapsed_s = _serve(sessions, feeds, arrivals_ns, policy.max_s)
        after = snapshot()
    on_phase("run", 0.0)
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
    return replace(timing, findings=(*doubts, *timing.findings))


def _overload(rate_per_s: float, offered: int, timing: Timing, busy: float) -> list[Finding]:
    left = offered - timing.samples_ns.size
    if busy < SATURATION and left == 0:
        return []
    return [
        Finding(
            OVERLOAD,
            f"{rate_per_s:g} requests/s were offered, {general(timing.runs_per_s, 4)} served, the streams busy "
            f"{busy:.0%} of the time, {left} requests left waiting",
            "lower --rate, or give more --streams or a larger --batch",
        )
    ]


def _serve(
    sessions: Sequence[SessionBase],
    feeds: Sequence[FeedSets],
    arrivals_ns: NDArray[np.int64],
    max_s: float,
) -> tuple[NDArray[np.int64], float, float]:
    """Serve the schedule; latencies of what was served, summed service time, wall time."""
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
                if index >= len(times) or clock() - start > (1 + DRAINING) * max_s * 1e9:
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

    _in_threads(work, len(sessions))
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
