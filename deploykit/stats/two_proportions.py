"""Comparing two proportions, each of its own items: accuracies in two reports."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from deploykit.stats.proportions import wilson_interval


class DifferenceTest(NamedTuple):
    """By how much a proportion changed.

    Attributes:
        difference: B less A; below 0, B is right less often.
        low, high: its interval at the confidence asked for.
        p_value: two-sided, that the two are equal.
    """

    difference: float
    low: float
    high: float
    p_value: float


def difference_test(
    hits_a: int, total_a: int, hits_b: int, total_b: int, confidence: float = 0.99
) -> DifferenceTest:
    """Compare two proportions: the pooled z test, and Newcombe's interval from two of Wilson's (1998).

    Where both were counted on the same items, as accuracies often are, the test is cautious: it knows how
    many each had right, not which.

    Raises:
        ValueError: a total is not positive, or the hits are not within it.
    """
    low_a, high_a = wilson_interval(hits_a, total_a, confidence)
    low_b, high_b = wilson_interval(hits_b, total_b, confidence)
    a, b = hits_a / total_a, hits_b / total_b
    difference = b - a
    pooled = (hits_a + hits_b) / (total_a + total_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / total_a + 1 / total_b))
    p_value = 2 * NormalDist().cdf(-abs(difference) / error) if error > 0 else 1.0
    low = difference - math.hypot(b - low_b, high_a - a)
    high = difference + math.hypot(high_b - b, a - low_a)
    return DifferenceTest(difference, low, high, p_value)
