"""What comes of evaluating a claim: parts that hold or fail, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploykit.claims.claim import Claim

#: A computed value: a number in the claim's unit, or text.
Value = float | int | str


@dataclass(frozen=True)
class PartResult:
    """One of the things that a claim says, and whether it is so; None where that could not be decided here."""

    name: str
    holds: bool | None


@dataclass(frozen=True)
class Outcome:
    """What a check computed: the verdict follows from `parts` and from nothing else.

    Attributes:
        parts: each thing that the claim says, with its result.
        computed: the value to set against the stated one, in the claim's unit; None where there is none.
        explanation: one or two sentences, made from the numbers.
        evidence: the numbers, by name, as computed.
    """

    parts: Sequence[PartResult]
    computed: Value | None
    explanation: str
    evidence: Mapping[str, Value] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Confirmed when all holds, refuted when nothing does, partly between; undecided parts don't count."""
        decided = [part.holds for part in self.parts if part.holds is not None]
        if not decided:
            return "undecided"
        if all(decided):
            return "confirmed"
        return "partly" if any(decided) else "refuted"


@dataclass(frozen=True)
class Verdict:
    """A claim, with what came of evaluating it now.

    Attributes:
        claim: as it was stated.
        outcome: what its check computed.
        seconds: how long the check took.
        missing: where a package that the check needs is not installed, the line that says so; else empty.
    """

    claim: Claim
    outcome: Outcome
    seconds: float
    missing: str = ""

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`: "confirmed", "refuted", "partly" or "undecided"."""
        return self.outcome.verdict

    @property
    def as_expected(self) -> bool:
        """Whether the claim names this verdict among those that are no surprise."""
        return self.verdict in self.claim.expected

    @property
    def holds(self) -> dict[str, bool | None]:
        """Whether each part holds, by the part's name."""
        return {part.name: part.holds for part in self.outcome.parts}

    @property
    def deviation(self) -> float | None:
        """Relative deviation of the computed value from the stated one; None where no tolerance decides."""
        if self.claim.tolerance is None:
            return None
        return deviation(self.outcome.computed, self.claim.stated)


def deviation(computed: Value | None, stated: Value) -> float | None:
    """Relative deviation of `computed` from `stated`; None where one of them is no number, or stated is 0."""
    if isinstance(computed, str) or computed is None or isinstance(stated, str):
        return None
    if stated == 0 or not math.isfinite(computed):
        return None
    return computed / stated - 1


def within(tolerance: float, computed: float, stated: float) -> bool:
    """Whether `computed` deviates from `stated` by no more than `tolerance`, a share of `stated`."""
    off = deviation(computed, stated)
    return off is not None and abs(off) <= tolerance
