"""Comparing two configurations side by side: alternating blocks of two processes.

On a shared machine one process' median moves by tens of percent from run to run, and samples within a run
are no independent draws. Two processes that take turns see the same machine: what slows it for longer than
a pair of blocks slows both. The order within a pair is swapped each time; a low quantile stands for each
block, as interference only ever adds time; the median of the pairs' ratios is the result, with a bootstrap
interval over pairs.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from deploykit.bench.dialogue import Dialogue
from deploykit.bench.request import WorkerRequest, WorkerResult
from deploykit.errors import UsageError
from deploykit.stats import RatioInterval, paired_ratio

#: Block length, quantile of a block and pairs, chosen by measurement; see benchmarks.
BLOCK_S = 0.1
QUANTILE = 0.2
PAIRS = 36
MIN_PAIRS = 10
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Comparison:
    """B against A.

    Attributes:
        ratio: of their latencies, B over A, with its interval.
        verdict: "slower" or "faster" where B differs by more than the threshold, "same" where it
            differs by less, "undecided" where the interval allows both.
        threshold: the relative change that matters.
        a_ns, b_ns: the low quantile of each block, in the order of the pairs.
        a, b: columns of each side over all of its samples.
        elapsed_s: wall time of the blocks.
    """

    ratio: RatioInterval
    verdict: str
    threshold: float
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
    pairs: int = PAIRS,
    block_s: float = BLOCK_S,
    quantile: float = QUANTILE,
    timeout_s: float = TIMEOUT_S,
) -> Comparison:
    """Compare B with A, block by block in turns.

    Takes about `2 * pairs * block_s` and the time that both need to load and warm up. The number of
    pairs is fixed beforehand: stopping as soon as a difference shows would raise false alarms.

    Args:
        a: the base.
        b: what is judged against it.
        threshold: relative change of latency that matters.
        confidence: of the interval.
        pairs: how many pairs of blocks, at least 10.
        block_s: length of one block; never less than one run.
        quantile: of the block's samples that stands for it.
        timeout_s: for each answer of a side.

    Raises:
        WorkerFailure: a side can't be measured.
        UsageError: too few pairs, or an impossible quantile.
    """
    if pairs < MIN_PAIRS:
        raise UsageError(f"{pairs} pairs of blocks decide nothing: give at least {MIN_PAIRS}")
    if not 0 <= quantile <= 1 or not math.isfinite(block_s) or block_s <= 0:
        raise UsageError(
            f"block of {block_s} s, quantile {quantile}: give a length above 0 and 0 to 1"
        )
    module = "deploykit.bench.block_worker"
    question = {"block_s": block_s, "quantile": quantile}
    with Dialogue(module, a.threads) as first, Dialogue(module, b.threads) as second:
        # One after the other, or each would warm up in the other's noise.
        first.ask(a.to_json(), timeout_s)
        second.ask(b.to_json(), timeout_s)
        start = time.perf_counter()
        a_ns: list[float] = []
        b_ns: list[float] = []
        for index in range(pairs):
            order = [(first, a_ns), (second, b_ns)]
            for side, blocks in order if index % 2 == 0 else reversed(order):
                blocks.append(float(side.ask(question, timeout_s)["low_ns"]))
        elapsed_s = time.perf_counter() - start
        results = [side.ask({"finish": True}, timeout_s) for side in (first, second)]
    ratio = paired_ratio(a_ns, b_ns, confidence=confidence)
    of_a, of_b = (
        WorkerResult(found["columns"], tuple(found["notes"]), found["details"]) for found in results
    )
    verdict = verdict_of(ratio, threshold)
    return Comparison(ratio, verdict, threshold, tuple(a_ns), tuple(b_ns), of_a, of_b, elapsed_s)
