"""What a series of samples supports.

Percentiles with the sample counts that they need, the interval of the median, and the shape of the series:
outliers, more than one mode, a trend over the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import NormalDist
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
        confidence: of the two-sided interval, in (0, 1).
        resamples: number of bootstrap replicates.
        seed: seed of the random generator; the same samples and seed give the same interval.
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


#: A mode holds at least this share of the samples...
MODE_SHARE = 0.1
#: ...and the density between two modes falls below this share of the lower one.
VALLEY_DEPTH = 0.5
#: Of the kernel, relative: modes closer than about three times this are one.
MIN_BANDWIDTH = 0.005


def outliers(samples: Samples) -> NDArray[Any]:
    """Flag the samples beyond Tukey's outer fences, three interquartile ranges from the quartiles.

    Returns:
        Booleans, one per sample. They are for reporting: no statistic here drops a sample.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        return np.zeros(0, dtype=np.bool_)
    low, high = np.percentile(values, [25, 75])
    fence = 3 * (high - low)
    flags: NDArray[Any] = (values < low - fence) | (values > high + fence)
    return flags


def modes(samples: Samples) -> tuple[float, ...]:
    """Where the samples pile up: the modes of their density, left to right, in the samples' unit.

    A Gaussian kernel density on a logarithmic grid (Silverman's bandwidth). Two peaks are two
    modes when the density between them falls to half of the lower one and each of them holds a
    tenth of the samples. Under 200 samples, too few to tell a second mode from a heavy tail, or
    with no spread, the median stands for all.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        return ()
    middle = float(np.median(values))
    if values.size < 200 or values.min() <= 0:
        return (middle,)
    logs = np.log(values)
    low, high = np.quantile(logs, [0.005, 0.995])
    first, third = np.quantile(logs, [0.25, 0.75])
    body = logs[(logs >= low) & (logs <= high)]
    spread = min(float(body.std()), float(third - first) / 1.34) or float(body.std())
    if high - low < MIN_BANDWIDTH:
        return (middle,)
    # The floor keeps the steps of a coarse clock from passing for modes.
    bandwidth = max(MIN_BANDWIDTH, 0.9 * spread * values.size**-0.2)
    # Fine enough for the bandwidth, coarse enough to stay cheap.
    bins = int(min(4096, max(64, math.ceil((high - low) / bandwidth * 8))))
    counts, edges = np.histogram(logs, bins=bins, range=(low, high))
    step = (high - low) / bins
    reach = min(bins, math.ceil(4 * bandwidth / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / bandwidth) ** 2)
    density = np.convolve(counts, kernel / kernel.sum(), mode="full")[reach : reach + bins]
    centres = (edges[:-1] + edges[1:]) / 2
    peaks = _separate_peaks(density.tolist(), counts.tolist())
    return tuple(float(math.exp(centres[i])) for i in peaks) or (middle,)


def _separate_peaks(density: list[float], counts: list[int]) -> list[int]:
    """Indices of the peaks that are divided by valleys deep enough and hold mass enough.

    Neighbouring peaks merge, the shallowest valley first, until every border that is left is deep
    and every piece between borders is heavy.
    """
    padded = [0.0, *density, 0.0]
    peaks = [i for i in range(len(density)) if padded[i] < padded[i + 1] >= padded[i + 2]]
    if not peaks:
        return []
    total = sum(counts)
    valleys = [min(range(a, b + 1), key=density.__getitem__) for a, b in pairwise(peaks)]
    while valleys:
        depths = [
            density[v] / min(density[peaks[i]], density[peaks[i + 1]])
            for i, v in enumerate(valleys)
        ]
        borders = [0, *valleys, len(counts)]
        masses = [sum(counts[a:b]) / total for a, b in pairwise(borders)]
        shallow = max(range(len(valleys)), key=depths.__getitem__)
        light = min(range(len(masses)), key=masses.__getitem__)
        if depths[shallow] > VALLEY_DEPTH:
            worst = shallow
        elif masses[light] < MODE_SHARE:
            # Join a light piece over its shallower border.
            sides = [i for i in (light - 1, light) if 0 <= i < len(valleys)]
            worst = max(sides, key=depths.__getitem__)
        else:
            break
        loser = worst if density[peaks[worst]] < density[peaks[worst + 1]] else worst + 1
        del peaks[loser], valleys[worst]
    return peaks


@dataclass(frozen=True)
class Trend:
    """A monotonic change over a series.

    Attributes:
        change: of the fitted line from start to end, relative to the median (0.05: 5% more).
        p_value: two-sided, that there is no trend.
    """

    change: float
    p_value: float


def trend(samples: Samples, blocks: int = 20) -> Trend:
    """The trend of a series: Theil-Sen's line and Kendall's test over the medians of its blocks.

    Medians of consecutive blocks stand for the series, so that outliers don't tilt the line and
    short-range dependence does not pass for a trend. Fewer than 40 samples: no trend (p = 1).
    """
    values = np.asarray(samples, dtype=np.float64)
    length = values.size // blocks
    if length < 2:
        return Trend(0.0, 1.0)
    medians = np.median(values[: blocks * length].reshape(blocks, length), axis=1)
    centre = float(np.median(medians))
    if centre == 0:
        return Trend(0.0, 1.0)
    early, late = np.triu_indices(blocks, 1)
    rise = medians[late] - medians[early]
    slope = float(np.median(rise / (late - early)))
    score = float(np.sign(rise).sum())
    # Normal approximation with ties and the correction for continuity (Kendall 1975).
    _, ties = np.unique(medians, return_counts=True)
    variance = blocks * (blocks - 1) * (2 * blocks + 5)
    variance -= int((ties * (ties - 1) * (2 * ties + 5)).sum())
    if variance <= 0 or score == 0:
        return Trend(0.0, 1.0)
    z = (abs(score) - 1) / math.sqrt(variance / 18)
    p_value = 2 * (1 - NormalDist().cdf(z))
    return Trend(slope * (blocks - 1) / centre, p_value)
