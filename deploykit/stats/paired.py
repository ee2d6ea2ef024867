"""Comparing two things by pairs of blocks that were measured side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.stats.percentiles import median_interval

if TYPE_CHECKING:
    import numpy as np

    Values = np.ndarray[Any, Any] | Sequence[float]


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
        confidence: two-sided.
        resamples: bootstrap replicates.
        seed: of the bootstrap's generator.

    Raises:
        ValueError: the blocks don't pair up, are fewer than 5, or are not positive.
    """
    import numpy as np

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
