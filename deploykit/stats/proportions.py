"""Intervals and tests of proportions and of means, and the correction for asking many questions at once.

They are accuracies and metrics over images, and the question is whether a change of precision changed one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


def wilson_interval(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of the proportion `hits` / `total` (Wilson 1927), within [0, 1].

    Raises:
        ValueError: `total` is not positive, or `hits` is not within it.
    """
    if total <= 0 or not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is not a proportion")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / total
    scale = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the interval touches them exactly; rounding must not leave 1e-17 behind.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == total else min(1.0, centre + half)
    return low, high


def mcnemar(only_a: int, only_b: int, *, mid_p: bool = True) -> float:
    """Two-sided p-value that A and B, judged on the same items, are equally often right.

    Only the items on which they differ carry information: under the null hypothesis A is the right
    one for each with probability one half.

    Args:
        only_a: items that A has right and B wrong.
        only_b: items that B has right and A wrong.
        mid_p: count half of the observed outcome's own probability, which corrects the exact test's
            caution (Fagerland, Lydersen, Laake 2013); otherwise the exact binomial test.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError("counts can't be negative")
    total, fewer = only_a + only_b, min(only_a, only_b)
    if total == 0:
        return 1.0
    tail = sum(_half_binomial(total, k) for k in range(fewer + 1))
    if mid_p:
        own = _half_binomial(total, fewer)
        return min(1.0, 2 * tail - own) if only_a != only_b else 1.0 - own / 2
    return min(1.0, 2 * tail)


def _half_binomial(total: int, k: int) -> float:
    """P(Binomial(total, 1/2) = k), through logarithms so that large totals don't overflow."""
    log_choose = math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
    return math.exp(log_choose - total * math.log(2))


class DifferenceTest(NamedTuple):
    """By how much a proportion or a mean changed.

    Attributes:
        difference: B less A; below 0, B is right less often, or its mean is lower.
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


def mean_difference_test(
    value_a: float,
    interval_a: tuple[float, float],
    value_b: float,
    interval_b: tuple[float, float],
    confidence: float = 0.99,
) -> DifferenceTest:
    """Compare two values whose 95% intervals are known: the z test with standard errors of the intervals' widths.

    Where both come from the same images, as metrics often do, the test is cautious: it does not know that what is
    hard for one is hard for the other.

    Raises:
        ValueError: an interval ends before it begins.
    """
    if interval_a[0] > interval_a[1] or interval_b[0] > interval_b[1]:
        raise ValueError(f"{interval_a} or {interval_b} ends before it begins")
    of_95 = 2 * NormalDist().inv_cdf(0.975)
    error = math.hypot(interval_a[1] - interval_a[0], interval_b[1] - interval_b[0]) / of_95
    difference = value_b - value_a
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    if error > 0:
        p_value = 2 * NormalDist().cdf(-abs(difference) / error)
    elif difference:  # every image has the same value on either side
        p_value = 0.0
    else:
        p_value = 1.0
    return DifferenceTest(difference, difference - half, difference + half, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false alarm among all (Holm 1979).

    Returns:
        One per p-value, in the order given; compare each with the level wanted for the whole.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, running = [0.0] * len(order), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, p_values[index] * (len(order) - rank)))
        adjusted[index] = running
    return adjusted
