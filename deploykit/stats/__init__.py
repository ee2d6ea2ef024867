"""Statistics of latency samples and of accuracies: what a number supports, and what it doesn't.

Standard library at import; numpy is imported by the functions that take arrays.
"""

from __future__ import annotations

from deploykit.stats.correction import benjamini_hochberg, holm
from deploykit.stats.paired import RatioInterval, paired_ratio
from deploykit.stats.percentiles import (
    Percentile,
    effective_size,
    median_interval,
    percentile,
    samples_needed,
)
from deploykit.stats.proportions import mcnemar, wilson_interval
from deploykit.stats.shape import Trend, modes, outliers, trend
from deploykit.stats.two_proportions import DifferenceTest, difference_test
from deploykit.stats.unpaired import RatioTest, ratio_test

__all__ = [
    "DifferenceTest",
    "Percentile",
    "RatioInterval",
    "RatioTest",
    "Trend",
    "benjamini_hochberg",
    "difference_test",
    "effective_size",
    "holm",
    "mcnemar",
    "median_interval",
    "modes",
    "outliers",
    "paired_ratio",
    "percentile",
    "ratio_test",
    "samples_needed",
    "trend",
    "wilson_interval",
]
