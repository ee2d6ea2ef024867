"""A histogram that widens as values come, and the ranges chosen from it: percentile, entropy, squared error.

One pass suffices: when a value lies outside, the width doubles and neighbouring bins are merged, which
loses nothing but resolution. The result does not depend on how images were put into batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from deploykit.graph.calibrate import Calibration
from deploykit.lazy import np

#: Bins over [-limit, limit]; doubling merges pairs, so at least half of them are in use on one side.
BINS = 4096

#: Candidate ranges that entropy and squared error are computed for.
_CANDIDATES = 80
_LEAST_RATIO = 1 / 64


class WideningHistogram:
    """Counts of values in `BINS` equal bins over [-limit, limit], the limit a power of two."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.limit = 0.0

    def add(self, values: np.ndarray) -> None:
        """Count values (any shape, finite)."""
        flat = np.asarray(values, dtype=np.float32).reshape(-1)
        if not flat.size:
            return
        peak = float(np.max(np.abs(flat)))
        self._reach(peak)
        if self.limit == 0.0:
            self.counts[BINS // 2] += flat.size
            return
        index = np.floor(flat * np.float32(BINS / 2 / self.limit)).astype(np.int64) + BINS // 2
        np.clip(index, 0, BINS - 1, out=index)
        self.counts += np.bincount(index, minlength=BINS)

    def _reach(self, peak: float) -> None:
        if peak < self.limit or peak == 0.0:
            return
        # The next power of two above: a value on the border would change bins when they are merged.
        wanted = 2.0 ** max(math.frexp(peak)[1], -100)
        if self.limit == 0.0:
            self.limit = wanted
            return
        while self.limit < wanted:
            half = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, dtype=np.int64)
            self.counts[BINS // 4 : 3 * BINS // 4] = half
            self.limit *= 2.0

    @property
    def centres(self) -> np.ndarray:
        """The middle of each bin."""
        return (np.arange(BINS) - BINS / 2 + 0.5) * (2.0 * self.limit / BINS)

    @property
    def edges(self) -> np.ndarray:
        """The bins' borders, one more than bins."""
        return (np.arange(BINS + 1) - BINS / 2) * (2.0 * self.limit / BINS)


def choose_range(
    histogram: WideningHistogram,
    extremes: tuple[float, float],
    calibration: Calibration,
    *,
    symmetric: bool,
) -> tuple[float, float]:
    """The range, inside the extremes and around zero, that the calibration's method chooses.

    Ties go to the wider range.
    """
    low, high = extremes
    if histogram.limit == 0.0 or low == high:
        return extremes
    if calibration.method == "percentile":
        return _percentile(histogram, extremes, calibration.percentile, symmetric=symmetric)
    cost = _entropy_cost if calibration.method == "entropy" else _squared_error
    if symmetric:
        peak = max(-low, high)
        ratio = _best_ratio(lambda r: cost(histogram, -peak * r, peak * r, symmetric=True))
        return max(low, -peak * ratio), min(high, peak * ratio)
    # One end after the other: they may have outliers of their own.
    high *= _best_ratio(lambda r: cost(histogram, low, high * r, symmetric=False)) if high else 1.0
    low *= _best_ratio(lambda r: cost(histogram, low * r, high, symmetric=False)) if low else 1.0
    return low, high


def _best_ratio(cost: Callable[[float], float]) -> float:
    ratios = np.geomspace(1.0, _LEAST_RATIO, _CANDIDATES)
    costs = [cost(float(ratio)) for ratio in ratios]
    return float(ratios[int(np.argmin(costs))])


def _percentile(
    histogram: WideningHistogram, extremes: tuple[float, float], percent: float, *, symmetric: bool
) -> tuple[float, float]:
    total = histogram.counts.sum()
    share = percent / 100.0
    if symmetric:
        half = BINS // 2
        folded = histogram.counts[half:] + histogram.counts[:half][::-1]
        place = int(np.searchsorted(np.cumsum(folded), share * total))
        peak = min(
            float(histogram.edges[half + 1 + min(place, half - 1)]), max(-extremes[0], extremes[1])
        )
        return max(-peak, extremes[0]), min(peak, extremes[1])
    # Both tails share what is left out.
    tail = (1.0 - share) / 2.0 * total
    cumulated = np.cumsum(histogram.counts)
    first = int(np.searchsorted(cumulated, tail, side="right"))
    last = int(np.searchsorted(cumulated, total - tail))
    low = float(histogram.edges[min(first, BINS - 1)])
    high = float(histogram.edges[min(last, BINS - 1) + 1])
    return max(min(low, 0.0), extremes[0]), min(max(high, 0.0), extremes[1])


def _levels(low: float, high: float, *, symmetric: bool) -> tuple[float, float, float]:
    """Step, least and largest value of the 8-bit grid over a range."""
    if symmetric:
        return high / 127.0, -high, high
    return (high - low) / 255.0, low, high


def _squared_error(
    histogram: WideningHistogram, low: float, high: float, *, symmetric: bool
) -> float:
    step, least, largest = _levels(low, high, symmetric=symmetric)
    centres = histogram.centres
    restored = np.clip(np.rint(centres / step) * step, least, largest)
    return float(np.dot(histogram.counts, np.square(centres - restored)))


def _entropy_cost(
    histogram: WideningHistogram, low: float, high: float, *, symmetric: bool
) -> float:
    """Kullback-Leibler divergence of the clipped histogram from its 8-bit version.

    Values outside the range are counted at its ends, as they will be stored; each grid level's count is
    spread over those of its bins that hold any value. The bin of zero counts no more than the fuller one
    beside it (NVIDIA's description of the method leaves it out, ncnn drops zeros): what a ReLU made zero is
    stored exactly in any range, and its mass would outweigh whatever is clipped.

    Even values that are well represented differ from their levels' mean by chance, by about one half per
    bin and value in expectation; that share is taken off, or few values would favour narrow ranges.
    """
    step, least, largest = _levels(low, high, symmetric=symmetric)
    counts, centres = _without_spike(histogram.counts), histogram.centres
    inside = (centres >= least) & (centres <= largest)
    if not inside.any():
        return math.inf
    places = np.flatnonzero(inside)
    reference = counts[places].astype(np.float64)
    reference[0] += counts[: places[0]].sum()
    reference[-1] += counts[places[-1] + 1 :].sum()
    level = np.rint((centres[places] - least) / step).astype(np.int64)
    held = counts[places].astype(np.float64)
    filled = (held > 0).astype(np.float64)
    sums = np.bincount(level, weights=held)
    shares = np.bincount(level, weights=filled)
    approximated = np.where(filled > 0, sums[level] / np.maximum(shares[level], 1.0), 0.0)
    p = reference / reference.sum()
    q = approximated / max(approximated.sum(), 1.0)
    floor = 1e-9
    mask = p > 0
    divergence = float(np.sum(p[mask] * np.log(p[mask] / np.maximum(q[mask], floor))))
    chance = (filled.sum() - np.count_nonzero(shares)) / (2.0 * reference.sum())
    return divergence - float(chance)


def _without_spike(counts: np.ndarray) -> np.ndarray:
    """The counts with that of the bin from zero up no larger than those beside it."""
    zero = BINS // 2
    mended = counts.copy()
    mended[zero] = min(mended[zero], max(mended[zero - 1], mended[zero + 1]))
    return mended
