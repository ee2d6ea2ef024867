"""What came out of checking a claim. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

#: A value as found: a number in the claim's unit, or text.
Value = float | int | str


@dataclass(frozen=True)
class Finding:
    """What a check found: the verdict follows from `holds` and from nothing else.

    Attributes:
        holds: each thing that the claim says, and whether it is so; None where it could not be decided
            here, for instance because nothing was measured.
        found: the value to set against the stated one, in the claim's unit.
        explanation: one or two sentences, made from the numbers.
        evidence: the numbers, by name, as computed.
    """

    holds: Mapping[str, bool | None]
    found: Value | None
    explanation: str
    evidence: Mapping[str, Value] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Confirmed when all holds, refuted when nothing does, partly between; undecided parts don't count."""
        decided = [held for held in self.holds.values() if held is not None]
        if not decided:
            return "undecided"
        if all(decided):
            return "confirmed"
        return "partly" if any(decided) else "refuted"


@dataclass(frozen=True)
class Verdict:
    """A claim with what came of checking it now.

    Attributes:
        id, statement, source, about, kind, stated, unit, tolerance, tolerance_reason, expected: the claim's.
        verdict: "confirmed", "refuted", "partly" or "undecided".
        holds: as in `Finding`.
        found: the value found, in `unit`.
        deviation: found / stated - 1 where both are numbers and the claim has a tolerance; None where a
            bound, an order or equality decides.
        explanation, evidence: as in `Finding`.
        seconds: what the check took.
        missing: where a package that the check needs is not installed, the line that says so.
    """

    id: str
    verdict: str
    statement: str
    source: str
    about: str
    kind: str
    stated: Value
    unit: str
    found: Value | None
    deviation: float | None
    tolerance: float | None
    tolerance_reason: str
    holds: Mapping[str, bool | None]
    explanation: str
    evidence: Mapping[str, Value]
    expected: tuple[str, ...]
    seconds: float
    missing: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether this verdict is no surprise."""
        return self.verdict in self.expected


def deviation(found: Value | None, stated: Value) -> float | None:
    """Relative deviation of `found` from `stated`; None where one of them is no number, or stated is 0."""
    if isinstance(found, str) or found is None or isinstance(stated, str):
        return None
    if stated == 0 or not math.isfinite(found):
        return None
    return found / stated - 1
