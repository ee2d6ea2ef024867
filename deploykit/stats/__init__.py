"""Statistics of latency samples and of accuracies: what a number supports, and what it doesn't.

Standard library at import; numpy comes with the first array.
"""

from __future__ import annotations

from deploykit.stats.proportions import (
    DifferenceTest,
    difference_test,
    holm,
    mcnemar,
    mean_difference_test,
    wilson_interval,
)
from deploykit.stats.ratios import (
    PROCESS_SHIFT,
    RatioInterval,
    RatioTest,
    mean_ratio,
    paired_ratio,
    ratio_test,
    t_quantile,
)
from deploykit.stats.samples import (
    Percentile,
    Trend,
    effective_size,
    median_interval,
    modes,
    outliers,
    percentile,
    samples_needed,
    trend,
)
from deploykit.stats.sequential import DropTest

__all__ = [
    "PROCESS_SHIFT",
    "DifferenceTest",
    "DropTest",
    "Percentile",
    "RatioInterval",
    "RatioTest",
    "Trend",
    "difference_test",
    "effective_size",
    "holm",
    "mcnemar",
    "mean_difference_test",
    "mean_ratio",
    "median_interval",
    "modes",
    "outliers",
    "paired_ratio",
    "percentile",
    "ratio_test",
    "samples_needed",
    "t_quantile",
    "trend",
    "wilson_interval",
]
