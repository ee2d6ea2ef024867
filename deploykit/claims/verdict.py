"""What comes of evaluating a claim: parts that hold or fail, the verdict that follows, and how both are shown.

The standard library is enough to read and show a verdict.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploykit.figures import significant

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


def figure(value: float | int | str) -> str:
    """A number for reading: integers with separators, others to three or four digits; text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return significant(value)
    return f"{value:.4g}" if abs(value) >= 10 else f"{value:.3g}"


def millions(value: int) -> str:
    """A count in millions, to two decimals."""
    return f"{value / 1e6:.2f}M"


def percent(share: float, *, signed: bool = False) -> str:
    """A share in per cent, to one decimal."""
    return f"{share * 100:+.1f}%" if signed else f"{share * 100:.1f}%"


def listed(items: Iterable[str]) -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    words = list(items)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


#: Columns of claims.csv, in order, and what each holds.
COLUMNS: dict[str, str] = {
    "id": "name of the claim",
    "verdict": "confirmed, refuted, partly or undecided, as computed in this run",
    "as_expected": "whether that is no surprise",
    "statement": "the claim",
    "source": "which kind of document says so, and the paper it goes back to",
    "about": "the quantity that decides it",
    "kind": "static, computed, trained, measured or cited, joined by +",
    "stated": "value that the claim gives, in `unit`",
    "found": "value found, in `unit`; blank where nothing was",
    "unit": "unit of both",
    "deviation": "found / stated - 1; blank where one is no number, or equality or an order counts",
    "tolerance": "deviation that still agrees (of an exponent: absolute); blank where equality or an order counts",
    "tolerance_reason": "why so much",
    "parts": "what the claim says, one by one: holds, fails, undecided",
    "explanation": "why, in a sentence or two",
    "evidence": "the numbers computed, name=value",
    "expected": "verdicts that are no surprise",
    "seconds": "time that the check took",
}

#: Columns of the table for reading.
HEADER = ("claim", "verdict", "stated", "found", "why")

_WORDS = {True: "holds", False: "fails", None: "undecided"}


def verdict_rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """One flat row per verdict, in the order of `COLUMNS`; blanks are None."""
    return [
        {
            "id": v.claim.id,
            "verdict": v.verdict,
            "as_expected": v.as_expected,
            "statement": v.claim.statement,
            "source": v.claim.source,
            "about": v.claim.about,
            "kind": v.claim.kind,
            "stated": v.claim.stated,
            "found": v.outcome.computed,
            "unit": v.claim.unit,
            "deviation": v.deviation,
            "tolerance": v.claim.tolerance,
            "tolerance_reason": v.claim.tolerance_reason,
            "parts": "; ".join(f"{part.name}: {_WORDS[part.holds]}" for part in v.outcome.parts),
            "explanation": v.outcome.explanation,
            "evidence": "; ".join(f"{k}={value}" for k, value in v.outcome.evidence.items()),
            "expected": " or ".join(v.claim.expected),
            "seconds": round(v.seconds, 3),
        }
        for v in verdicts
    ]


def verdict_cells(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """Cells under `HEADER` for a table on the terminal or in Markdown; surprising verdicts are marked."""
    return [
        [
            f"{v.claim.id}: {v.claim.statement}",
            v.verdict if v.as_expected else f"{v.verdict} (unexpected)",
            quantity(v.claim.stated, v.claim.unit),
            computed_text(v),
            v.outcome.explanation,
        ]
        for v in verdicts
    ]


def tally(verdicts: Iterable[Verdict]) -> str:
    """How many claims came to which verdict, and which of them surprise, in a sentence."""
    verdicts = list(verdicts)
    counts = Counter(v.verdict for v in verdicts)
    said = listed(f"{count} {verdict}" for verdict, count in counts.most_common())
    text = f"Of {len(verdicts)} claims, {said}"
    odd = [v for v in verdicts if not v.as_expected]
    if not odd:
        return f"{text}; none is unexpected"
    named = ", ".join(
        f"{v.claim.id} ({v.verdict} instead of {' or '.join(v.claim.expected)})" for v in odd
    )
    return f"{text}; unexpected: {named}"


def quantity(value: Value, unit: str) -> str:
    """A value with its unit for reading; units that are no units, such as "ratio", stay out."""
    if unit == "year":  # 2016, not 2,016
        return str(value)
    text = figure(value)
    if isinstance(value, str) or unit in ("ratio", "exponent", "share", ""):
        return text
    return f"{text} {unit}"


def computed_text(verdict: Verdict) -> str:
    """The computed value, with its deviation from the stated one."""
    if verdict.outcome.computed is None:
        return "–"
    text = quantity(verdict.outcome.computed, verdict.claim.unit)
    off = verdict.deviation
    return text if off is None else f"{text} ({percent(off, signed=True)})"


def junit_cases(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Keyword arguments of `deploykit.report.junit.Case`, one per claim.

    A verdict that surprises is a failure; one that couldn't be reached for want of a package is skipped.
    """
    return [
        {
            "name": v.claim.id,
            "classname": "deploykit.claims",
            "seconds": v.seconds,
            "failure": ""
            if v.as_expected or v.missing
            else f"{v.verdict}, not {' or '.join(v.claim.expected)}: {v.outcome.explanation}",
            "skipped": v.missing,
            "output": f"{v.claim.statement}\n{v.verdict}: {v.outcome.explanation}",
        }
        for v in verdicts
    ]
