"""Comparing two things measured at different times: by the processes that measured them, not their samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from deploykit.stats.student import t_p_value, t_quantile


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
