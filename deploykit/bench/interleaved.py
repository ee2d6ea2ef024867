"""Comparing two configurations side by side: alternating blocks of two processes.

On a shared machine one process' median moves by tens of percent from run to run, and samples within a run
are no independent draws. Two processes that take turns see the same machine: what slows it for longer than
a pair of blocks slows both. The order within a pair is swapped each time.

Taking turns alone still lets a network differ from itself: where a session's buffers happen to lie in
memory shifts its latency for as long as it lives (of a 30 us network by 1% and more). So each side loads
its engine anew for every unit of one or more pairs. A low quantile of all runs of a unit stands for it, as
interference only ever adds time. The result is the median of the units' ratios, with a bootstrap interval
over units.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from deploykit.bench.dialogue import Dialogue
from deploykit.bench.request import WorkerRequest, WorkerResult
from deploykit.errors import UsageError
from deploykit.stats import RatioInterval, paired_ratio

MODULE = "deploykit.bench.block_worker"
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
        pairs: of blocks in each unit.
        block_s: length of a block.
    """

    units: int
    pairs: int
    block_s: float


def plan(run_s: float, renew_s: float, budget_s: float) -> Plan:
    """Divide the time: at most about half of it goes into loading.

    The plan is made before the first block: stopping as soon as a difference shows would raise false
    alarms.

    Args:
        run_s: of one run of the slower side.
        renew_s: what both sides take together to load anew.
        budget_s: for all blocks and loads; exceeded where `MIN_UNITS` units take longer.
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
class Comparison:
    """B against A.

    Attributes:
        ratio: of their latencies, B over A, with its interval over units.
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
) -> Comparison:
    """Compare B with A, block by block in turns.

    Args:
        a: the base.
        b: what is judged against it.
        threshold: relative change of latency that matters. Two processes of one engine still differ by
            a few tenths of a percent, which the interval does not hold: half a percent is the least that
            can be asked for with sense.
        confidence: of the interval.
        budget_s: for blocks and loads, beside the time that both sides take to start and warm up.
        timeout_s: for each answer of a side.

    Raises:
        WorkerFailure: a side can't be measured.
        UsageError: the budget or the threshold is not positive.
    """
    if not budget_s > 0 or not threshold > 0:
        raise UsageError(f"budget {budget_s} s, threshold {threshold}: give positive numbers")
    with Dialogue(MODULE, a.threads) as first, Dialogue(MODULE, b.threads) as second:
        # One after the other, or each would warm up in the other's noise.
        ready = [
            side.ask(request.to_json(), timeout_s) for side, request in ((first, a), (second, b))
        ]
        start = time.perf_counter()
        run_s = max(float(answer["run_s"]) for answer in ready)
        chosen = plan(run_s, sum(float(answer["renew_s"]) for answer in ready), budget_s)
        a_ns, b_ns = _take_turns(first, second, chosen, timeout_s)
        elapsed_s = time.perf_counter() - start
        results = [side.ask({"finish": True}, timeout_s) for side in (first, second)]
    ratio = paired_ratio(a_ns, b_ns, confidence=confidence)
    of_a, of_b = (WorkerResult.of_answer(found) for found in results)
    verdict = verdict_of(ratio, threshold)
    return Comparison(
        ratio, verdict, threshold, chosen, tuple(a_ns), tuple(b_ns), of_a, of_b, elapsed_s
    )


def _take_turns(
    first: Dialogue, second: Dialogue, chosen: Plan, timeout_s: float
) -> tuple[list[float], list[float]]:
    """The low quantile of each unit of both sides."""
    lows: tuple[list[float], list[float]] = ([], [])
    sides = tuple(zip((first, second), lows, strict=True))
    for index in range(chosen.units * chosen.pairs):
        place = index % chosen.pairs
        question = {"block_s": chosen.block_s, "quantile": QUANTILE, "renew": place == 0}
        for side, units in sides if index % 2 == 0 else reversed(sides):
            low_ns = float(side.ask(question, timeout_s)["low_ns"])
            if place == chosen.pairs - 1:  # of the whole unit by then
                units.append(low_ns)
    return lows
