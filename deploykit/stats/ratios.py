"""How many times as long one thing takes as another: by pairs of blocks, or by processes of their own.

Pairs that were measured side by side are compared by the bootstrap over pairs (`paired_ratio`); things that were
measured at different times by Welch's t-test over the processes that measured them (`ratio_test`), whose
t distribution is at the end, for degrees of freedom that need not be whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from deploykit.lazy import np
from deploykit.stats.samples import median_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any] | Sequence[float]

#: Where a session's buffers lie shifts a process' latency by about so much, whatever its own interval says: the
#: slowest process of a report was measured 1.1% over the quickest (`make bench-noise`, reports/benchmarks.csv).
PROCESS_SHIFT = 0.01

#: The continued fraction ends when a step changes it by less than this.
_CONVERGED = 1e-14
_MOST_STEPS = 500
_TINY = 1e-300


@dataclass(frozen=True)
class RatioInterval:
    """How many times as long B takes as A, with its bootstrap interval.

    Attributes:
        ratio: B over A; above 1, B is slower.
        low, high: the interval at `confidence`.
        pairs: how many pairs of blocks it rests on.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    pairs: int

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.low > 1.0 or self.high < 1.0


def paired_ratio(
    a: Values, b: Values, *, confidence: float = 0.99, resamples: int = 10_000, seed: int = 0
) -> RatioInterval:
    """The median of the paired ratios b[i] / a[i] and its interval.

    The pair, two blocks measured one right after the other, is the unit that is resampled: what
    slows the machine for longer than a pair slows both and cancels.

    Args:
        a: one positive value per block, such as the 20% quantile of its latencies.
        b: as many, in the same order.
        confidence: of the two-sided interval, in (0, 1).
        resamples: number of bootstrap replicates.
        seed: seed of the bootstrap's random generator.

    Raises:
        ValueError: the blocks don't pair up, are fewer than 5, or are not positive.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or first.size < 5:
        raise ValueError(
            f"paired blocks: {first.size} and {second.size}; give the same number, 5 or more"
        )
    if not (first > 0).all() or not (second > 0).all():
        raise ValueError("block values must be positive")
    logs = np.log(second / first)
    low, high = median_interval(
        logs, confidence=confidence, resamples=resamples, seed=seed, independent=True
    )
    return RatioInterval(
        math.exp(float(np.median(logs))), math.exp(low), math.exp(high), confidence, int(first.size)
    )


def mean_ratio(a: Sequence[float], b: Sequence[float], *, confidence: float) -> RatioInterval:
    """The geometric mean of the paired ratios b[i] / a[i] and its interval, by Student's t on their logarithms.

    For confidences that few pairs can't support by resampling: outliers, which interference makes, widen it.

    Raises:
        ValueError: the values don't pair up, are fewer than 3 pairs, or are not positive.
    """
    if len(a) != len(b) or len(a) < 3:
        raise ValueError(f"{len(a)} and {len(b)} values: give the same number, 3 or more")
    if min(*a, *b) <= 0:
        raise ValueError("values must be positive")
    mean, error = _mean_and_error([math.log(y / x) for x, y in zip(a, b, strict=True)])
    half = t_quantile(confidence, len(a) - 1) * math.sqrt(error)
    low, high = (math.exp(max(-700.0, min(700.0, mean + side))) for side in (-half, half))
    return RatioInterval(math.exp(mean), low, high, confidence, len(a))


class RatioTest(NamedTuple):
    """How many times as long B takes as A, judged by Welch's t-test on logarithms.

    Attributes:
        ratio: of the geometric means, B over A; above 1, B is slower.
        low, high: its interval at the confidence asked for.
        p_value: two-sided, that the two are equal.
    """

    ratio: float
    low: float
    high: float
    p_value: float


def ratio_test(a: Sequence[float], b: Sequence[float], confidence: float = 0.99) -> RatioTest:
    """Compare B with A, given one positive value per process, such as a quantile of its latencies.

    Logarithms, as what disturbs a machine multiplies latencies; Welch's test, as one side may have been
    measured on a busier day than the other (Welch 1947). Degrees of freedom are rounded down to tenths,
    to the careful side.

    Raises:
        ValueError: a side has fewer than two values, or one that is not positive.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"{len(a)} and {len(b)} values: a spread takes two or more a side")
    if min(a) <= 0 or min(b) <= 0:
        raise ValueError("latencies must be positive")
    mean_a, error_a = _mean_and_error([math.log(value) for value in a])
    mean_b, error_b = _mean_and_error([math.log(value) for value in b])
    difference, error = mean_b - mean_a, error_a + error_b
    ratio = math.exp(difference)
    if error <= 1e-24:  # all values of a side are equal but for rounding
        return RatioTest(ratio, ratio, ratio, 1.0 if abs(difference) < 1e-12 else 0.0)
    df = error**2 / (error_a**2 / (len(a) - 1) + error_b**2 / (len(b) - 1))
    df = max(1.0, math.floor(10 * df) / 10)
    half = t_quantile(confidence, df) * math.sqrt(error)
    p_value = t_p_value(difference / math.sqrt(error), df)
    # A wide interval of few values can exceed what floats hold.
    low, high = (math.exp(max(-700.0, min(700.0, difference + side))) for side in (-half, half))
    return RatioTest(ratio, low, high, p_value)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its squared standard error."""
    mean = sum(values) / len(values)
    squares = sum([(value - mean) ** 2 for value in values])
    return mean, squares / (len(values) - 1) / len(values)


def t_p_value(t: float, df: float) -> float:
    """Two-sided p-value of a t statistic: the chance of one at least as far from 0.

    Raises:
        ValueError: `df` is not positive.
    """
    if not df > 0:
        raise ValueError(f"degrees of freedom {df} are not positive")
    if math.isinf(t):
        return 0.0
    return _beta_share(df / 2, 0.5, df / (df + t * t))


@lru_cache(maxsize=4096)
def t_quantile(confidence: float, df: float) -> float:
    """The t that a statistic stays within, on either side of 0, with `confidence`.

    Raises:
        ValueError: `confidence` is not within (0, 1), or `df` is not positive.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    wanted = 1 - confidence
    low, high = 0.0, 1.0
    while t_p_value(high, df) > wanted:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_p_value(middle, df) > wanted else (low, middle)
    return (low + high) / 2


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - _beta_share(b, a, 1 - x)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return math.exp(log_front) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) of the incomplete beta function (Abramowitz and Stegun 26.5.8), from the front.

    The value is the product of ratios of successive numerators and denominators (Lentz's method).
    """
    value, numerator, denominator = 1.0, 1.0, 0.0
    for step in range(1, _MOST_STEPS):
        m = step // 2
        if step % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        numerator = 1 + d / (numerator or _TINY)
        denominator = 1 / ((1 + d * denominator) or _TINY)
        change = numerator * denominator
        value *= change
        if abs(change - 1) < _CONVERGED:
            break
    return value
