"""Timing several streams of requests at once: throughput under concurrent load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploykit.bench.conditions import between, snapshot
from deploykit.bench.measure import (
    Timing,
    WarmUp,
    no_collection,
    runs_in,
    summarise,
    warm_up,
)
from deploykit.bench.policy import Policy
from deploykit.stats import samples_needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import Session
    from deploykit.bench.measure import FeedSets


@dataclass
class _Stream:
    """What one thread keeps: its blocks of samples and when each block began."""

    blocks: list[NDArray[Any]] = field(default_factory=list)
    begun_ns: list[int] = field(default_factory=list)
    timed_ns: int = 0
    error: BaseException | None = None


def measure_streams(
    sessions: Sequence[Session],
    feeds: Sequence[FeedSets],
    policy: Policy,
    on_phase: Callable[[str], None] = lambda name: None,
) -> Timing:
    """Time several sessions, each with its own thread and one request in flight.

    Latencies are those of single requests while the others run; throughput counts the requests that
    were finished while all streams were still running.

    Args:
        sessions: one per stream.
        feeds: one sequence of input sets per stream.
        policy: how long; the samples needed are those of all streams together.
        on_phase: called with "warmup" and "run" when each of them has ended.
    """
    warm = [warm_up(s, f, policy) for s, f in zip(sessions, feeds, strict=True)]
    together = _run_together(sessions, feeds, warm, policy.warmup_s, policy.warmup_s, 0, policy)
    on_phase("warmup")
    needed = samples_needed(policy.percentile)
    with no_collection():
        before = snapshot()
        start = time.perf_counter()
        streams = _run_together(sessions, feeds, warm, policy.min_s, policy.max_s, needed, policy)
        elapsed_s = time.perf_counter() - start
        after = snapshot()
    on_phase("run")
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
    sessions: Sequence[Session],
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
        # Blocks are kept short, as all streams must end at nearly the same time.
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

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [s.error for s in streams if s.error is not None]
    for error in errors:
        # A broken barrier is only the echo of another stream's error.
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    if errors:
        raise errors[0]
    return streams


def _finished(streams: Sequence[_Stream]) -> list[NDArray[Any]]:
    """When each run of each stream was finished, on the performance counter."""
    import numpy as np

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
    import numpy as np

    samples = np.concatenate([block for stream in streams for block in stream.blocks])
    ordered: NDArray[Any] = samples[np.argsort(np.concatenate(_finished(streams)), kind="stable")]
    return ordered


def _rate(streams: Sequence[_Stream]) -> float:
    """Finished runs per second from the last stream's start to the first one's end."""
    finished = _finished(streams)
    start = max(stream.begun_ns[0] for stream in streams)
    end = min(int(times[-1]) for times in finished)
    if end <= start:
        return 0.0
    count = sum(int(((times > start) & (times <= end)).sum()) for times in finished)
    return count / ((end - start) / 1e9)
