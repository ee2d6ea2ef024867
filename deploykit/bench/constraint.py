"""A condition on a row, such as `latency_p95_ms<=10`, and the search for the largest amount that meets it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.errors import UsageError

#: Going on is not worth while where throughput gains less than this share.
MIN_GAIN = 0.05
#: What a larger amount is to raise.
GAIN_COLUMN = "throughput_ips"

#: A batch, a number of streams, or an arrival rate.
Amount = int | float
Measured = Mapping[str, Any]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*"


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
        match = re.fullmatch(_FORM, text)
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

    def met_by(self, row: Mapping[str, Any]) -> bool:
        """Whether a row was measured, has the number and meets the bound."""
        value = row.get(self.column)
        return row.get("status", "ok") == "ok" and value is not None and self.holds(row)

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{self.bound:g}"


@dataclass(frozen=True)
class Search:
    """How a search went.

    Attributes:
        best: the largest amount that met the constraint; None if none did.
        rows: every row measured, by amount, in the order measured.
        stopped: why no larger amount was tried.
    """

    best: Amount | None
    rows: Mapping[Amount, Measured]
    stopped: str


def steps(amounts: Sequence[Amount], constraint: Constraint) -> Generator[Amount, Measured, Search]:
    """Yield one amount after the other to be measured, take its row, and return how the search went.

    The amounts are tried in rising order until the constraint fails, or until throughput gains less than
    5% over the amount before; then the gap between the last good and the first bad one is halved, until it is
    one, or less than 5%. A row that failed, or lacks the number, does not meet the constraint.

    Args:
        amounts: positive; whole numbers where only those make sense.
        constraint: that must hold.

    Raises:
        UsageError: there are no amounts, or one that is not above zero.
    """
    if not amounts or min(amounts) <= 0:
        raise UsageError("a search needs loads of at least 1: give --batch or --streams as a list")
    rows: dict[Amount, Measured] = {}
    best: Amount | None = None
    for amount in sorted(set(amounts)):
        rows[amount] = row = yield amount
        if not constraint.met_by(row):
            if best is None:
                return Search(None, rows, f"{constraint} fails at {amount:g}")
            return (yield from _between(best, amount, rows, constraint))
        previous, best = best, amount
        if previous is not None:
            gain = row[GAIN_COLUMN] / rows[previous][GAIN_COLUMN] - 1
            if gain < MIN_GAIN:
                reason = f"from {previous:g} to {amount:g} {GAIN_COLUMN} gained {gain:+.1%} only"
                return Search(amount if gain > 0 else previous, rows, reason)
    return Search(best, rows, f"{constraint} holds for all that were tried")


def _between(
    low: Amount, bad: Amount, rows: dict[Amount, Measured], constraint: Constraint
) -> Generator[Amount, Measured, Search]:
    whole = isinstance(low, int) and isinstance(bad, int)
    while bad - low > max(1 if whole else 0, MIN_GAIN * low):
        middle = (low + bad) // 2 if whole else (low + bad) / 2
        rows[middle] = yield middle
        if constraint.met_by(rows[middle]):
            low = middle
        else:
            bad = middle
    return Search(low, rows, f"{constraint} fails at {bad:g}")
