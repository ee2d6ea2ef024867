"""Timing one session: how long, the warm-up, then samples until there are enough, every one of which counts."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.bench.conditions import Conditions, between, snapshot, timing_findings
from deploykit.bench.scenario import Policy
from deploykit.lazy import np
from deploykit.row import Finding, stability_text
from deploykit.stats import median_interval, samples_needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import SessionBase

    FeedSets = Sequence[Mapping[str, NDArray[Any]]]

#: Is told of a phase that ended, "warmup" or "run", and how many seconds the next one is to take; 0 where none is.
OnPhase = Callable[[str, float], None]

#: No single call asks for more samples than this, whatever the clock says.
MAX_BLOCK = 1_000_000
#: Where parts of a run are told apart, the runs between these places in the order of their length count: quiet
#: ones, in which nothing interfered, but not the very fastest.
QUIET_FROM, QUIET_TO = 0.05, 0.35
#: Runs of a new session that come first and don't count.
WARM_UP_RUNS = 5


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up went.

    Attributes:
        iterations: runs.
        settled: whether the last three windows agreed before the time was up.
        run_ns: median of the last window.
        first_ns: the first run of all.
    """

    iterations: int
    settled: bool
    run_ns: float
    first_ns: float


@dataclass(frozen=True)
class Timing:
    """Every sample of one configuration and what is to be known of how they came about.

    Attributes:
        samples_ns: int64, one per run, in the order taken; with streams, as they were finished.
        warmup_iterations: runs before the first sample.
        elapsed_s: wall time of the measuring.
        runs_per_s: finished runs per second of wall time, over all streams.
        median_interval_ns: 95% bootstrap interval of the median.
        findings: causes for doubt; none when stable.
        conditions: what the machine did meanwhile.
        first_ns: the first run after the engine was loaded; None where several streams began at once.
    """

    samples_ns: NDArray[np.int64]
    warmup_iterations: int
    elapsed_s: float
    runs_per_s: float
    median_interval_ns: tuple[float, float]
    findings: tuple[Finding, ...]
    conditions: Conditions
    first_ns: float | None = None

    @property
    def stability(self) -> str:
        """The `stability` column: "stable", or "unstable" with each cause and its remedy."""
        return stability_text(self.findings)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's cyclic garbage collector out of the timed region."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def runs_in(span_s: float, run_ns: float) -> int:
    """How many runs of `run_ns` fit into `span_s`; at least one."""
    return int(min(MAX_BLOCK, max(1.0, span_s * 1e9 / max(run_ns, 1.0))))


def warm_up(session: SessionBase, feeds: FeedSets, policy: Policy) -> WarmUp:
    """Run until the time is up and three windows agree, or until `warmup_max_s`; or so many runs as are asked."""
    if policy.warmup_iterations is not None:
        taken = session.sample(feeds, policy.warmup_iterations)
        return WarmUp(policy.warmup_iterations, True, float(np.median(taken)), float(taken[0]))
    # The first run with each set allocates, compiles, captures a graph or searches for kernels: seconds, on a GPU.
    # It sets no window's length, and its time is none of the time in which windows are to agree.
    iterations, run_ns = 1, float(session.sample(feeds, 1)[0])
    first_ns = run_ns
    start = time.perf_counter()
    while iterations < len(feeds) and time.perf_counter() - start < policy.warmup_max_s:
        run_ns = float(session.sample(feeds, 1)[0])
        iterations += 1
    start, medians = time.perf_counter(), []
    while True:
        n = runs_in(policy.window_s, run_ns)
        run_ns = float(np.median(session.sample(feeds, n)))
        iterations += n
        medians.append(run_ns)
        last = medians[-3:]
        settled = len(last) == 3 and max(last) <= min(last) * (1 + policy.agreement)
        elapsed = time.perf_counter() - start
        if (settled and elapsed >= policy.warmup_s) or elapsed >= policy.warmup_max_s:
            return WarmUp(iterations, settled, run_ns, first_ns)


def measure(
    session: SessionBase,
    feeds: FeedSets,
    policy: Policy,
    on_phase: OnPhase = lambda name, next_s: None,
) -> Timing:
    """Time a session.

    Args:
        session: whose `sample` does the timing, by its own clock.
        feeds: sets of inputs that the runs take in turn; the same object throughout.
        policy: how long.
        on_phase: called when the warm-up and the run have ended.
    """
    warm = warm_up(session, feeds, policy)
    counted_s = (policy.iterations or 0) * warm.run_ns / 1e9
    on_phase("warmup", counted_s or policy.min_s)
    needed, run_ns, count = samples_needed(policy.percentile), warm.run_ns, 0
    blocks: list[NDArray[np.int64]] = []
    with no_collection():
        before = snapshot()
        start = time.perf_counter_ns()
        while True:
            left_s = policy.max_s - (time.perf_counter_ns() - start) / 1e9
            span_s = policy.block_s if policy.iterations else min(policy.block_s, left_s)
            n = min(runs_in(span_s, run_ns), (policy.iterations or MAX_BLOCK + count) - count)
            block = session.sample(feeds, n)
            blocks.append(block)
            count += n
            run_ns = float(block.mean())
            elapsed_s = (time.perf_counter_ns() - start) / 1e9
            if _enough(policy, elapsed_s, count, needed):
                break
        after = snapshot()
    on_phase("run", 0.0)
    samples = np.concatenate(blocks)
    return summarise(
        samples,
        warm_iterations=warm.iterations,
        settled=warm.settled,
        elapsed_s=elapsed_s,
        timed_s=elapsed_s,
        runs_per_s=count / elapsed_s,
        conditions=between(before, after),
        first_ns=warm.first_ns,
    )


def _enough(policy: Policy, elapsed_s: float, count: int, needed: int) -> bool:
    if policy.iterations is not None:
        return count >= policy.iterations
    return elapsed_s >= policy.max_s or (elapsed_s >= policy.min_s and count >= needed)


def summarise(
    samples_ns: NDArray[np.int64],
    *,
    warm_iterations: int,
    settled: bool,
    elapsed_s: float,
    timed_s: float,
    runs_per_s: float,
    conditions: Conditions,
    first_ns: float | None = None,
) -> Timing:
    """A `Timing` from samples: the median's interval and the causes for doubt are worked out here."""
    interval = median_interval(samples_ns)
    findings = timing_findings(samples_ns, interval, conditions, settled=settled, timed_s=timed_s)
    return Timing(
        samples_ns,
        warm_iterations,
        elapsed_s,
        runs_per_s,
        interval,
        findings,
        conditions,
        first_ns,
    )


def quiet_runs(lengths: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the runs, by their length, that lie between `QUIET_FROM` and `QUIET_TO`; at least one."""
    ranked = np.argsort(lengths, kind="stable")
    first = int(QUIET_FROM * len(ranked))
    return ranked[first : max(first + 1, int(QUIET_TO * len(ranked)))]


def quiet_mean(lengths: NDArray[np.float64]) -> float:
    """Mean length of the quiet runs."""
    return float(lengths[quiet_runs(lengths)].mean())
