"""How many times as fast a row is as the fp32 row that differs from it in the precision alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.columns import IDENTITY_NAMES
from deploykit.report.states import EMULATED, FP32_ROW, findings_of, is_emulated
from deploykit.row import overloaded
from deploykit.stats import PROCESS_SHIFT, ratio_test

Cells = Mapping[str, Any]

CONFIDENCE = 0.95
#: Of a two-sided 95% interval.
_Z = 1.96
#: What else may differ between a row and its fp32 row: what follows from the precision.
_FOLLOWS = ("precision", "kept")
_SAME = (
    *(name for name in IDENTITY_NAMES if name not in _FOLLOWS),
    *("threads", "boundary", "macs"),
)
#: Fewer processes than these on a side have no spread to judge by.
MIN_PROCESSES = 3


@dataclass(frozen=True)
class Speedup:
    """How many times as fast something is, with its 95% interval; below 1 it is slower.

    Attributes:
        ratio: of the latencies, fp32's over the row's.
        low, high: ends of the interval.
        doubt: which of the rows is doubtful, and why, in a few words; empty where none is.
    """

    ratio: float
    low: float
    high: float
    doubt: str = ""

    @property
    def cells(self) -> dict[str, Any]:
        """The columns of a row that hold it."""
        doubt = {"speedup_doubt": self.doubt} if self.doubt else {}
        return {
            "speedup": self.ratio,
            "speedup_low": self.low,
            "speedup_high": self.high,
        } | doubt


def setting(row: Cells) -> tuple[str, ...]:
    """What a row and its fp32 row have in common, as text; a number reads the same from a CSV."""
    return tuple(_text(row.get(name)) for name in _SAME)


def of_pair(row: Cells, fp32: Cells) -> Speedup | None:
    """The speedup of one process over one of fp32; None where a median is missing or load decides the latency.

    The interval joins those of both medians with `PROCESS_SHIFT` of each process.
    """
    if overloaded(row) or overloaded(fp32):
        return None
    ours, theirs = _median(row), _median(fp32)
    if ours is None or theirs is None:
        return None
    ratio = theirs[0] / ours[0]
    error = math.sqrt(ours[1] ** 2 + theirs[1] ** 2 + 2 * PROCESS_SHIFT**2)
    half = _Z * error
    doubt = _doubt([row], [fp32])
    return Speedup(ratio, ratio * math.exp(-half), ratio * math.exp(half), doubt)


def of_processes(rows: Sequence[Cells], fp32: Sequence[Cells]) -> Speedup | None:
    """The speedup over all processes of a configuration, with Welch's interval.

    Of fewer than three processes a side, that of the first two.
    """
    if min(len(rows), len(fp32)) < MIN_PROCESSES:
        return of_pair(rows[0], fp32[0]) if rows and fp32 else None
    sides = [[m for row in side if (m := _median(row)) is not None] for side in (rows, fp32)]
    if any(overloaded(row) for row in (*rows, *fp32)) or min(map(len, sides)) < MIN_PROCESSES:
        return None
    test = ratio_test([m[0] for m in sides[0]], [m[0] for m in sides[1]], CONFIDENCE)
    # Welch's ratio is of the second side over the first; the quicker side has the smaller latency.
    return Speedup(test.ratio, test.low, test.high, _doubt(rows, fp32))


def _doubt(rows: Sequence[Cells], fp32: Sequence[Cells]) -> str:
    """Which side has findings, with their names; empty where none has."""
    parts = []
    for name, side in (("this row", rows), (FP32_ROW, fp32)):
        found = dict.fromkeys(finding.name for row in side for finding in findings_of(row))
        if any(is_emulated(row) for row in side):  # which times conversions
            found[EMULATED] = None
        parts += [f"{name}: {', '.join(found)}"] if found else []
    return "; ".join(parts)


class Fp32Rows:
    """The fp32 rows of a profile by what they have in common with others, as they come."""

    def __init__(self, rows: Iterable[Cells] = ()) -> None:
        self._rows: dict[tuple[tuple[str, ...], str], Cells] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Cells) -> None:
        """Keep a row, if it is a measured one in fp32."""
        if row.get("precision") == "fp32" and row.get("status") == "ok" and not row.get("kept"):
            self._rows.setdefault((setting(row), _text(row.get("repeat"))), row)

    def speedup(self, row: Cells) -> Speedup | None:
        """A row's speedup over the fp32 row of the same round of repeats; None for fp32 itself, or without one."""
        if row.get("precision") == "fp32" or row.get("status") != "ok":
            return None
        fp32 = self._rows.get((setting(row), _text(row.get("repeat"))))
        return None if fp32 is None else of_pair(row, fp32)


def _median(row: Cells) -> tuple[float, float] | None:
    """A row's median, and the standard error of its logarithm."""
    values = [row.get(f"latency_p50_{end}ms") for end in ("", "low_", "high_")]
    if any(value in (None, "") for value in values):
        return None
    median, low, high = (float(str(value)) for value in values)
    if min(median, low, high) <= 0:
        return None
    return median, math.log(high / low) / (2 * _Z)


def _text(value: Any) -> str:
    if value in (None, ""):
        return ""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)
