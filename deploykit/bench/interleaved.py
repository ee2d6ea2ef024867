"""Comparing two configurations side by side: alternating blocks of two processes.

On a shared machine one process' median moves by tens of percent from run to run, and samples within a run
are no independent draws. Two processes that take turns see the same machine: what slows it for longer than
a pair of blocks slows both. The order within a pair is swapped each time.

Taking turns alone still lets a network differ from itself: where a session's buffers happen to lie in
memory shifts its latency for as long as it lives (of a 30 us network by 1% and more). So each side loads
its engine anew for every unit of one or more pairs. A low quantile of all runs of a unit stands for it, as
interference only ever adds time. The result is the median of the units' ratios, with a bootstrap interval
over units.

Each side is a process of its own, `python -m deploykit.bench.interleaved`.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploykit import backends
from deploykit.bench import columns
from deploykit.bench.channel import Channel, answer_each
from deploykit.bench.conditions import Conditions
from deploykit.bench.feeds import synthetic
from deploykit.bench.request import WorkerRequest, WorkerResult
from deploykit.bench.timing import WarmUp, no_collection, runs_in, summarise, warm_up
from deploykit.bench.worker import Loaded, load, write_samples
from deploykit.codec import from_json
from deploykit.errors import UsageError
from deploykit.lazy import np
from deploykit.row import Note
from deploykit.stats import RatioInterval, paired_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODULE = "deploykit.bench.interleaved"
#: Of a unit's latencies; stands for the unit. Of 72 comparisons of a network with itself on a shared machine
#: the interval of the tenth was three quarters as wide as that of the fifth, and two fifths of the median's.
QUANTILE = 0.1
#: A block has about this many runs, within these bounds of its length.
BLOCK_RUNS = 10
BLOCK_MIN_S, BLOCK_MAX_S = 0.04, 0.1
#: Fewer units than these decide nothing, whatever time they take.
MIN_UNITS = 12
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Plan:
    """How a comparison spends its time.

    Attributes:
        units: fresh loads of both sides, each with `pairs` pairs of blocks.
        pairs: how many pairs of blocks each unit has.
        block_s: length of a block, in seconds.
    """

    units: int
    pairs: int
    block_s: float


def plan(run_s: float, renew_s: float, budget_s: float) -> Plan:
    """Divide the time: at most about half of it goes into loading.

    The plan is made before the first block: stopping as soon as a difference shows would raise false
    alarms.

    Args:
        run_s: seconds that one run of the slower side takes.
        renew_s: seconds that both sides take together to load anew.
        budget_s: seconds for all blocks and loads; exceeded where `MIN_UNITS` units take longer.
    """
    block_s = min(BLOCK_MAX_S, max(BLOCK_MIN_S, BLOCK_RUNS * run_s))
    pair_s = 2 * max(block_s, run_s)
    pairs = max(1, math.ceil(renew_s / pair_s))
    units = int(budget_s / (renew_s + pairs * pair_s))
    if units < MIN_UNITS:
        pairs = max(1, int((budget_s / MIN_UNITS - renew_s) / pair_s))
        units = max(MIN_UNITS, int(budget_s / (renew_s + pairs * pair_s)))
    return Plan(units, pairs, block_s)


@dataclass(frozen=True)
class InterleavedComparison:
    """B against A.

    Attributes:
        ratio: latency of B over that of A, with its interval over units.
        verdict: "slower" or "faster" where B differs by more than the threshold, "same" where it
            differs by less, "undecided" where the interval allows both.
        threshold: the relative change that matters.
        plan: how the time was spent.
        a_ns, b_ns: the low quantile of each unit of both sides, unit by unit.
        a, b: columns of each side over all of its samples.
        elapsed_s: wall time of blocks and loads.
    """

    ratio: RatioInterval
    verdict: str
    threshold: float
    plan: Plan
    a_ns: tuple[float, ...]
    b_ns: tuple[float, ...]
    a: WorkerResult
    b: WorkerResult
    elapsed_s: float


def verdict_of(ratio: RatioInterval, threshold: float) -> str:
    """What an interval of B over A says, given the relative change that matters.

    A change is called where the whole interval lies on one side of 1 and the ratio is beyond the
    threshold; sameness where the whole interval lies within the threshold.
    """
    slow, fast = 1 + threshold, 1 / (1 + threshold)
    if ratio.low > 1 and ratio.ratio >= slow:
        return "slower"
    if ratio.high < 1 and ratio.ratio <= fast:
        return "faster"
    if ratio.low >= fast and ratio.high <= slow:
        return "same"
    return "undecided"


def compare_interleaved(
    a: WorkerRequest,
    b: WorkerRequest,
    *,
    threshold: float = 0.01,
    confidence: float = 0.99,
    budget_s: float = 8.0,
    timeout_s: float = TIMEOUT_S,
    quantile: float = QUANTILE,
) -> InterleavedComparison:
    """Compare B with A, block by block in turns.

    Args:
        a: the base.
        b: what is judged against it.
        threshold: relative change of latency that matters. Two processes of one engine still differ by
            a few tenths of a percent, which the interval does not hold: half a percent is the least that
            can be asked for with sense.
        confidence: level of the ratio's interval.
        budget_s: for blocks and loads, beside the time that both sides take to start and warm up.
        timeout_s: for each answer of a side.
        quantile: of a unit's latencies that stands for the unit.

    Raises:
        WorkerFailure: a side can't be measured.
        UsageError: the budget or the threshold is not positive.
    """
    if not budget_s > 0 or not threshold > 0:
        raise UsageError(f"budget {budget_s} s, threshold {threshold}: give positive numbers")
    with Channel(MODULE, a.threads) as first, Channel(MODULE, b.threads) as second:
        # One after the other, or each would warm up in the other's noise.
        ready = [side.ask(request, Ready, timeout_s) for side, request in ((first, a), (second, b))]
        start = time.perf_counter()
        run_s = max(side.run_s for side in ready)
        chosen = plan(run_s, sum(side.renew_s for side in ready), budget_s)
        a_ns, b_ns = _take_turns(first, second, chosen, timeout_s, quantile)
        elapsed_s = time.perf_counter() - start
        of_a, of_b = (
            side.ask(Turn(finish=True), WorkerResult, timeout_s) for side in (first, second)
        )
    ratio = paired_ratio(a_ns, b_ns, confidence=confidence)
    verdict = verdict_of(ratio, threshold)
    return InterleavedComparison(
        ratio, verdict, threshold, chosen, tuple(a_ns), tuple(b_ns), of_a, of_b, elapsed_s
    )


def _take_turns(
    first: Channel, second: Channel, chosen: Plan, timeout_s: float, quantile: float
) -> tuple[list[float], list[float]]:
    """The quantile of each unit of both sides, in nanoseconds."""
    lows_ns: tuple[list[float], list[float]] = ([], [])
    sides = tuple(zip((first, second), lows_ns, strict=True))
    for index in range(chosen.units * chosen.pairs):
        place = index % chosen.pairs
        turn = Turn(chosen.block_s, quantile, renew=place == 0)
        for side, units in sides if index % 2 == 0 else reversed(sides):
            low_ns = side.ask(turn, float, timeout_s)
            if place == chosen.pairs - 1:  # of the whole unit by then
                units.append(low_ns)
    return lows_ns


# --- One side ---


@dataclass(frozen=True)
class Ready:
    """What a side answers when it is warm: seconds of one run, and of loading its engine anew."""

    run_s: float
    renew_s: float


@dataclass(frozen=True)
class Turn:
    """What a side is asked once it is ready: a block of runs, or its columns.

    Attributes:
        block_s: length of the block.
        quantile: which quantile of all runs since the engine was last loaded is the answer, in nanoseconds.
        renew: load the engine anew before the block.
        apart: the block is a unit of its own, though the engine stays as it is.
        finish: no block: the answer is a `WorkerResult` over all samples, and the last one.
    """

    block_s: float = 0.0
    quantile: float = QUANTILE
    renew: bool = False
    apart: bool = False
    finish: bool = False


class Placement:
    """Sessions of one engine, each loaded anew to another place in memory.

    Where weights and buffers come to lie decides a network's latency by up to some percent, for as long
    as they lie there. It is a draw like any other, and has to be made often to be averaged out.
    """

    def __init__(self, request: WorkerRequest, loaded: Loaded) -> None:
        self._request, self._loaded = request, loaded
        self._random = random.SystemRandom()
        self._padding: deque[bytearray] = deque(maxlen=8)
        self.session = loaded.sessions[0]
        # Two sets: each is run once when it is bound, at every load.
        self.feeds = synthetic(self.session.inputs, request.batch, sets=2)

    def renew(self) -> None:
        """Load the engine once more, then let go of the session before."""
        self._padding.append(bytearray(self._random.randrange(64, 2**20)))
        request = self._request
        backend = backends.get(request.backend)
        session = backend.load(
            self._loaded.engine, request.threads, request.run_pass, request.options
        )
        session.measure_as(request.boundary, cuda_graph=request.cuda_graph)
        self.feeds = [{name: array.copy() for name, array in one.items()} for one in self.feeds]
        session.sample(self.feeds, 2)
        self.close()
        self.session = session

    def close(self) -> None:
        """Close the present session, unless it is the first one, which `load` closes."""
        if self.session is not self._loaded.sessions[0]:
            self.session.close()


def blocks(questions: Iterator[bytes]) -> Iterator[Ready | float | WorkerResult]:
    """Be one side: answer a `WorkerRequest` with `Ready`, then each `Turn` until the one that finishes."""
    request = from_json(next(questions), WorkerRequest)
    if request.streams != 1 or request.rate_per_s is not None:
        raise UsageError(
            "an interleaved comparison takes one stream, without a rate: leave --streams and --rate out"
        )
    with load(request) as loaded:
        place = Placement(request, loaded)
        loaded.end_phase("load")
        warm = warm_up(place.session, place.feeds, request.policy)
        loaded.end_phase("warmup")
        samples: list[NDArray[np.int64]] = []
        unit: list[NDArray[np.int64]] = []
        run_ns = warm.run_ns
        with no_collection():
            start = time.perf_counter()
            place.renew()
            yield Ready(run_ns / 1e9, time.perf_counter() - start)
            for line in questions:
                turn = from_json(line, Turn)
                if turn.finish:
                    break
                if turn.renew:
                    place.renew()
                if turn.renew or turn.apart:
                    unit = []
                block = place.session.sample(place.feeds, runs_in(turn.block_s, run_ns))
                # The mean, which counts interruptions, keeps blocks short on a busy machine.
                run_ns = float(block.mean())
                samples.append(block)
                unit.append(block)
                yield float(np.quantile(np.concatenate(unit), turn.quantile))
            place.close()
        loaded.end_phase("run")
        yield _result(request, loaded, np.concatenate(samples), warm)


def _result(
    request: WorkerRequest, loaded: Loaded, samples_ns: NDArray[np.int64], warm: WarmUp
) -> WorkerResult:
    spent_s = float(samples_ns.sum()) / 1e9
    # What the machine did meanwhile is mostly the other side: it is no cause for doubt here.
    timing = summarise(
        samples_ns,
        warm_iterations=warm.iterations,
        settled=warm.settled,
        elapsed_s=spent_s,
        timed_s=spent_s,
        runs_per_s=samples_ns.size / spent_s,
        conditions=Conditions(spent_s, None, None, None, None, 1),
    )
    of_timing, notes = columns.of_timing(timing, request.batch, request.policy.asked_percentile)
    of_memory, more = columns.of_memory(loaded.memory)
    if loaded.gpu is not None:
        text = (
            "the device's memory, clocks and energy, and the parts of a run, are blank: the other side is on it in "
            "turns"
        )
        more.append(Note("missing", text))
    if request.samples_path is not None:
        write_samples(samples_ns, request.samples_path)
    return WorkerResult(
        {**loaded.columns(request), **of_timing, **of_memory},
        (*notes, *more),
        {**columns.details_of_timing(timing), "device": loaded.device},
        timing.findings,
    )


if __name__ == "__main__":
    answer_each(blocks)
