"""The largest batch or load that still meets a condition such as `latency_p95_ms<=10`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.errors import UsageError

#: Going on is not worth while where throughput gains less than this share.
MIN_GAIN = 0.05

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound on one column of a row."""

    column: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read `COLUMN<=NUMBER`, with <=, >=, < or >.

        Raises:
            UsageError: it is of another form.
        """
        match = _FORM.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            return cls(match[1], match[2], float(match[3]))
        except ValueError:
            raise UsageError(
                f"constraint {text!r} can't be read: write COLUMN<=NUMBER, such as latency_p95_ms<=10"
            ) from None

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row meets it.

        Raises:
            UsageError: the row has no such column, or it is blank or no number.
        """
        value = row.get(self.column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            what = "blank" if self.column in row else "no column of the profile"
            raise UsageError(
                f"constraint on {self.column}: it is {what}; choose a column with a number, "
                "or measure longer"
            )
        return _COMPARISONS[self.comparison](value, self.bound)

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{self.bound:g}"


@dataclass(frozen=True)
class Search:
    """How a search went.

    Attributes:
        best: the largest load that met the constraint; None if none did.
        rows: every row measured, by load, in the order measured.
        stopped: why no larger load was tried.
    """

    best: int | None
    rows: Mapping[int, Mapping[str, Any]]
    stopped: str


def largest(
    loads: Sequence[int],
    measure: Callable[[int], Mapping[str, Any]],
    constraint: Constraint,
    *,
    gain_column: str = "throughput_ips",
) -> Search:
    """Find the largest load, a batch or a number of streams, whose row meets a constraint.

    The loads are tried in rising order until the constraint fails, or until throughput gains less than
    5% over the load before; then the gap between the last good and the first bad one is halved.

    Args:
        loads: positive; tried in rising order.
        measure: gives the row of a load.
        constraint: that must hold.
        gain_column: the throughput that a larger load is to raise.
    """
    if not loads or min(loads) < 1:
        raise UsageError("a search needs loads of at least 1: give --batch or --streams as a list")
    rows: dict[int, Mapping[str, Any]] = {}
    best: int | None = None
    for load in sorted(set(loads)):
        rows[load] = row = measure(load)
        if not constraint.holds(row):
            return _between(best, load, rows, measure, constraint)
        previous, best = best, load
        if previous is not None:
            gain = row[gain_column] / rows[previous][gain_column] - 1
            if gain < MIN_GAIN:
                reason = f"from {previous} to {load} {gain_column} gained {gain:+.1%} only"
                return Search(load if gain > 0 else previous, rows, reason)
    return Search(best, rows, f"{constraint} holds for all that were tried")


def _between(
    good: int | None,
    bad: int,
    rows: dict[int, Mapping[str, Any]],
    measure: Callable[[int], Mapping[str, Any]],
    constraint: Constraint,
) -> Search:
    first_bad = bad
    low = good or 0
    while good is not None and bad - low > 1:
        middle = (low + bad) // 2
        rows[middle] = measure(middle)
        if constraint.holds(rows[middle]):
            low = middle
        else:
            bad = middle
    return Search(
        low or None, rows, f"{constraint} fails at {bad if good is not None else first_bad}"
    )
