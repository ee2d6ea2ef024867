"""Percentiles with the sample counts that they need, and the interval of the median."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any] | Sequence[float]

#: One-sided confidence with which a percentile must be bounded from above by the samples.
CONFIDENCE = 0.99


@cache
def samples_needed(percent: float, confidence: float = CONFIDENCE) -> int:
    """The fewest independent samples that can hold a percentile.

    The count at which the second largest of n samples lies at or above the true percentile with
    `confidence`, that is P(Binomial(n, 1 - q) >= 2) >= confidence: a distribution-free bound by an
    order statistic which a single outlier, always the largest, can't decide. For percentiles below
    the median the same bound is taken from the other side.

    Args:
        percent: the percentile, in (0, 100).
        confidence: one-sided, in (0, 1).

    Raises:
        ValueError: an argument is outside its range.
    """
    if not 0 < percent < 100 or not 0 < confidence < 1:
        raise ValueError(f"percentile {percent} or confidence {confidence} is out of range")
    inside = max(percent, 100 - percent) / 100
    outside = 1 - inside

    def enough(n: int) -> bool:
        # P(none outside) + P(exactly one outside); logarithms keep large n from underflowing.
        log_rest = (n - 1) * math.log(inside)
        return math.exp(log_rest) * (inside + n * outside) <= 1 - confidence

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


@dataclass(frozen=True)
class Percentile:
    """One percentile of a set of samples, or the reason why there is none.

    Attributes:
        percent: which, in (0, 100).
        value: in the unit of the samples; None where the samples can't support it.
        needed: how many samples it takes.
        reason: why `value` is None; empty otherwise.
    """

    percent: float
    value: float | None
    needed: int
    reason: str = ""


def percentile(samples: Samples, percent: float) -> Percentile:
    """The percentile of `samples`, interpolated linearly; blank when there are too few of them."""
    needed, have = samples_needed(percent), len(samples)
    if have < needed:
        reason = f"p{percent:g} needs {needed} samples, there are {have}; measure longer"
        return Percentile(percent, None, needed, reason)
    return Percentile(percent, float(np.percentile(samples, percent)), needed)


def effective_size(samples: Samples) -> float:
    """How many independent samples the series is worth as to its median.

    Latencies come in runs: a neighbour's burst slows many in a row. The share of samples above the
    median is taken per block of consecutive samples; its variance over blocks, against the 1/4n of
    independent draws, says by how much the series overstates its length. Never more than its
    length; series of fewer than 32 samples count as independent, as nothing can be told from them.
    """
    values = np.asarray(samples, dtype=np.float64)
    n = values.size
    if n < 32:
        return float(n)
    # About sqrt(n) blocks, so that both the number and the length of blocks grow with n.
    count = max(8, min(64, math.isqrt(n)))
    length = n // count
    median = np.median(values)
    # Ties with the median count half, or a coarse clock would bias the share.
    above = (values > median) + 0.5 * (values == median)
    spread = float(above.var())
    if spread == 0.0:
        return float(n)
    shares = above[: count * length].reshape(count, length).mean(axis=1)
    inflation = float(shares.var(ddof=1)) * length / spread
    return n / max(1.0, inflation)


def median_interval(
    samples: Samples,
    *,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
    independent: bool = False,
) -> tuple[float, float]:
    """Percentile-bootstrap interval of the median of a series of samples.

    No resample is ever drawn out: the median of n draws with replacement is the sample at the rank
    of the median of n uniform numbers, which is Beta distributed, so each resample costs one random
    number and 100,000 samples one sort. Serial dependence narrows n to `effective_size`.

    Args:
        samples: in the order in which they were taken; any unit.
        confidence: two-sided.
        resamples: bootstrap replicates.
        seed: of the generator; the same samples and seed give the same interval.
        independent: take the samples as independent draws.

    Returns:
        Low and high, in the unit of the samples.

    Raises:
        ValueError: there are no samples.
    """
    values = np.sort(np.asarray(samples, dtype=np.float64))
    n = values.size
    if n == 0:
        raise ValueError("a median needs samples")
    size = float(n) if independent else effective_size(samples)
    random = np.random.default_rng(seed)
    # Ranks of the two middle draws (one and the same when their number is odd).
    whole = max(1, round(size))
    lower_rank = (whole + 1) // 2
    lower = random.beta(lower_rank, whole - lower_rank + 1, resamples)
    upper = lower
    if whole % 2 == 0:
        rest = whole - lower_rank
        upper = 1 - (1 - lower) * random.random(resamples) ** (1 / rest)
    last = n - 1
    first = values[np.minimum((lower * n).astype(np.int64), last)]
    second = values[np.minimum((upper * n).astype(np.int64), last)]
    tail = (1 - confidence) / 2
    low, high = np.quantile((first + second) / 2, [tail, 1 - tail])
    return float(low), float(high)
