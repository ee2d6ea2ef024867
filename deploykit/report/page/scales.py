"""Axes: where a value lies, and which values to write at an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` between two places of a drawing, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; what lies outside is put at the nearer end."""
        value = min(max(value, self.low), self.high)
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values to write at the axis."""
        return (
            _log_ticks(self.low, self.high, most) if self.log else _ticks(self.low, self.high, most)
        )


def scale(
    values: Sequence[float], start: float, end: float, *, log: bool = False, margin: float = 0.06
) -> Scale:
    """A scale that holds all values with a margin at both ends; of no values, from 0 to 1."""
    finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    if not finite:
        return Scale(0.1 if log else 0.0, 1.0, start, end, log)
    low, high = min(finite), max(finite)
    if log:
        reach = max(math.log(high / low), 0.1) * margin
        return Scale(low * math.exp(-reach), high * math.exp(reach), start, end, True)
    reach = (high - low or abs(high) or 1.0) * margin
    return Scale(low - reach, high + reach, start, end)


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    if high < 4 * low:  # too narrow for powers of ten and their parts
        return _ticks(low, high, most)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [
            factor * 10.0**power
            for power in range(first, last + 1)
            for factor in factors
            if low <= factor * 10.0**power <= high
        ]
        if len(found) <= most + 2:
            break
    if len(found) > most + 2:
        found = found[:: math.ceil(len(found) / most)]
    return found if len(found) > 1 else _ticks(low, high, most)


def tick_text(value: float) -> str:
    """A value at an axis, in few characters."""
    size = abs(value)
    for factor, ending in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor * 10 or (size >= factor and factor > 1e3):
            return f"{value / factor:.6g}{ending}"
    if size and size < 1e-4:
        return f"{value:.0e}"
    return f"{value:.10f}".rstrip("0").rstrip(".") if size < 1 else f"{value:.6g}"
