"""One figure, with the target it is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A measured figure.

    Attributes:
        benchmark: name of the module that measured it.
        metric: what it is.
        value: in `unit`.
        unit: "s", "MB", "ratio", …
        target: the most (or, where `at_least`, the least) that it should be; None where none is set.
        at_least: whether `target` is a lower bound.
        note: how it was measured, and what to beware of.
    """

    benchmark: str
    metric: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target
