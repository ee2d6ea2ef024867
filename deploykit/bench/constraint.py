"""A condition on a row, such as `latency_p95_ms<=10`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deploykit.errors import UsageError

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

    def met_by(self, row: Mapping[str, Any]) -> bool:
        """Whether a row was measured, has the number and meets the bound."""
        value = row.get(self.column)
        return row.get("status", "ok") == "ok" and value is not None and self.holds(row)

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{self.bound:g}"
