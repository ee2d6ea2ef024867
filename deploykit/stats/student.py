"""Student's t distribution, for degrees of freedom that need not be whole; standard library only."""

from __future__ import annotations

import math
from functools import lru_cache

#: The continued fraction ends when a step changes it by less than this.
_CONVERGED = 1e-14
_MOST_STEPS = 500
_TINY = 1e-300


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
