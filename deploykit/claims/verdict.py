"""What comes of evaluating a claim: parts that hold or fail, the verdict that follows, and how both are shown.

The standard library is enough to read and show a verdict.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.claims.margin import Stated
from deploykit.errors import DeploykitError, MissingDependency
from deploykit.figures import in_full, significant

if TYPE_CHECKING:
    from deploykit.claims.claim import Claim

#: What a part comes to, in words.
_WORDS = {True: "holds", False: "fails", None: "undecided"}
OUTCOMES = tuple(_WORDS.values())

#: A computed value: a number in the claim's unit, or text.
Value = float | int | str


@dataclass(frozen=True)
class PartResult:
    """One of the things that a claim says, and whether it is so.

    Attributes:
        name: what it is; unlike the other parts' names.
        holds: None where that could not be computed here and now.
        under: the reading, network or condition that it is looked at under; parts under the same one must all hold
            for the claim to be true there. Empty where the part is by itself.
        printed: whether it rests on a figure that was printed, and nothing was computed for it.
    """

    name: str
    holds: bool | None
    under: str = ""
    printed: bool = False

    @property
    def word(self) -> str:
        """As claims are written and shown: "holds", "fails" or "undecided"."""
        return _WORDS[self.holds]


@dataclass(frozen=True)
class Outcome:
    """What a check computed: the verdict follows from `parts` and from nothing else.

    Attributes:
        parts: each thing that the claim says, with its result.
        computed: the value to set against the stated one, in the claim's unit; None where there is none.
        explanation: one or two sentences, made from the numbers.
        evidence: the numbers, by name, as computed.
        lacks_rows: whether it takes rows of a report, and there are none that could decide it, whatever they said.
    """

    parts: Sequence[PartResult]
    computed: Value | None
    explanation: str
    evidence: Mapping[str, Value] = field(default_factory=dict)
    lacks_rows: bool = False


#: What a claim can come out as, and what that means.
VERDICTS: dict[str, str] = {
    "confirmed": "all that it says was computed, and holds",
    "refuted": "something that it says fails; one counterexample is enough where it is said of all",
    "in context": "true under some readings, networks or conditions and false under others; the parts say which",
    "cited": "holds, but by figures that were printed, for which nothing was computed",
    "undecided": "a part that it can't stand without was not computed, or could not be",
}


def decide(parts: Sequence[PartResult], universal: bool) -> str:
    """The verdict that follows from the parts.

    Args:
        parts: those under one reading, network or condition must hold together.
        universal: whether the claim says that it is so under all of them: one that fails refutes it. Otherwise it
            is "in context" as soon as it holds under one and fails under another.
    """
    contexts: dict[str, list[PartResult]] = {}
    for part in parts:
        contexts.setdefault(part.under or part.name, []).append(part)
    holds = [all_hold(part.holds for part in context) for context in contexts.values()]
    if not universal and True in holds and False in holds:
        return "in context"
    whole = all_hold(holds)
    if not holds or whole is None or (not universal and None in holds):
        return "undecided"
    if not whole:
        return "refuted"
    return "cited" if any(part.printed for part in parts) else "confirmed"


def all_hold(holds: Iterable[bool | None]) -> bool | None:
    """Whether all hold: no, as soon as one fails; not known, where one is not known."""
    known = list(holds)
    return False if False in known else None if None in known else True


@dataclass(frozen=True)
class Verdict:
    """A claim, with what came of evaluating it now.

    Attributes:
        claim: as it was stated.
        outcome: what its check computed.
        seconds: how long the check took.
        error: what kept it from being evaluated; None where nothing did.
    """

    claim: Claim
    outcome: Outcome
    seconds: float
    error: DeploykitError | None = None

    @property
    def missing(self) -> str:
        """Where a package or data that the check needs is not here, the line that says so; else empty."""
        return str(self.error) if isinstance(self.error, MissingDependency) else ""

    @functools.cached_property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return decide(self.outcome.parts, self.claim.universal)

    @functools.cached_property
    def surprises(self) -> tuple[str, ...]:
        """What is not as the claim's entry expects, the verdict or a part, in words; empty where nothing is.

        No entry expects that a claim can't be evaluated, also where undecided is no surprise.
        """
        if self.error is not None:
            return ("could not be evaluated",)
        claim, found = self.claim, []
        if self.verdict not in claim.expected:
            found.append(f"is {self.verdict}, not {' or '.join(claim.expected)}")
        names = [part.name for part in self.outcome.parts]
        for part in self.outcome.parts:
            expected = claim.expected_of(part.name)
            if part.word not in expected:
                said = f"not {' or '.join(expected)}" if expected else "which no entry expects"
                found.append(f"part {part.name!r} {_told(part.word)}, {said}")
        if claim.names_parts:
            found += [
                f"part {name!r} is gone" for name in claim.required_parts if name not in names
            ]
        return tuple(found)

    @property
    def as_expected(self) -> bool:
        """Whether verdict and parts are among those that the claim's entry says are no surprise."""
        return not self.surprises

    @property
    def holds(self) -> dict[str, bool | None]:
        """Whether each part holds, by the part's name."""
        return {part.name: part.holds for part in self.outcome.parts}

    @property
    def deviation(self) -> float | None:
        """Relative deviation of the computed value from the stated one; None where a bound or words decide."""
        if self.claim.margin.is_bound:
            return None
        return deviation(self.outcome.computed, self.claim.stated)

    @property
    def settled_by(self) -> str:
        """The command that would decide what is undecided; empty where there is none, or nothing is.

        Training has the same seeds every time: where it was done and left a claim open, it would again.
        """
        command = self.claim.settled_by
        trained = self.outcome.computed is not None and command.endswith("--train")
        return "" if self.verdict != "undecided" or self.error or trained else command


def _told(word: str) -> str:
    return f"is {word}" if word == "undecided" else word


def deviation(computed: Value | None, stated: Value) -> float | None:
    """Relative deviation of `computed` from `stated`; None where one of them is no number, or stated is 0."""
    if isinstance(computed, str) or computed is None or isinstance(stated, str):
        return None
    if stated == 0 or not math.isfinite(computed):
        return None
    return computed / stated - 1


#: More digits after the point than these are for machines.
_MOST_DECIMALS = 9
#: From here on numbers have more digits than anybody reads.
_MOST_IN_FULL = 1e18


def figure(value: Value, beside: Value = 0) -> str:
    """A number for reading: integers with separators, others to three or four digits; text as it is.

    A stated number has the digits that it was stated with, which say how far others may be off, and a number
    that is read `beside` it has at least as many.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if _MOST_IN_FULL <= abs(value) < math.inf:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa}×10^{int(exponent)}"
    decimals = max(one.decimals if isinstance(one, Stated) else 0 for one in (value, beside))
    text = _to_few_digits(value)
    if len(text.partition(".")[2]) < decimals <= _MOST_DECIMALS and "^" not in text:
        return f"{value:,.{decimals}f}"
    return text


def _to_few_digits(value: float) -> str:
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
    "verdict": "confirmed, refuted, in context, cited or undecided, as computed in this run",
    "as_expected": "whether that and every part is no surprise",
    "statement": "the claim",
    "source": "which kind of document says so, and the paper it goes back to",
    "about": "the quantity that decides it",
    "kind": "counted, structural, computed, measured, trained or cited, joined by +",
    "stated": "value that the claim gives, in `unit`",
    "found": "value found, in `unit`; blank where nothing was",
    "unit": "unit of both",
    "hedge": "the word by which the statement loosens `stated`, such as about; blank where it stands as a figure",
    "agrees_from": "lowest value found that agrees with `stated`, in `unit`; blank where there is no limit",
    "agrees_to": "highest such value",
    "tolerance": "the rule that these limits follow from, in words; blank where no number is stated, or where more "
    "is asked of it than a number, as the explanation says",
    "deviation": "found / stated - 1; blank where one is no number, or a bound counts",
    "parts": "what the claim says, one by one: holds, fails or undecided, and by what if by print",
    "explanation": "why, in a sentence or two",
    "evidence": "the numbers computed, name=value",
    "expected": "verdicts that are no surprise",
    "expected_parts": "the same of the parts",
    "settled_by": "the command that would decide what is undecided; else blank",
    "seconds": "time that the check took",
    "device": "the processor that decided it; rows of a profile say their own",
    "versions": "of the packages that took part",
}

#: Columns of the table for reading.
HEADER = ("claim", "verdict", "stated", "found", "why")


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
            "stated": _whole(v.claim.stated),
            "found": _whole(v.outcome.computed),
            "unit": v.claim.unit,
            "hedge": v.claim.hedge or None,
            **_limits(v.claim),
            "deviation": v.deviation,
            "parts": "; ".join(map(_part_text, v.outcome.parts)),
            "explanation": v.outcome.explanation,
            "evidence": "; ".join(f"{k}={value}" for k, value in v.outcome.evidence.items()),
            "expected": " or ".join(v.claim.expected),
            "expected_parts": _expected_parts(v.claim),
            "settled_by": v.settled_by or None,
            "seconds": round(v.seconds, 3),
            "device": env.device_name(),
            "versions": _versions(),
        }
        for v in verdicts
    ]


@functools.cache
def _versions() -> str:
    """The packages that claims are computed with, such as "torch 2.13.0"."""
    found = ((name, env.package_version(name)) for name in _COMPUTED_WITH)
    return "; ".join(f"{name} {version}" for name, version in found if version is not None)


#: Packages whose versions can move a verdict.
_COMPUTED_WITH = ("deploykit", "torch", "onnx", "onnxruntime", "openvino", "tensorrt-rtx", "numpy")


def _part_text(part: PartResult) -> str:
    printed = " (printed)" if part.printed and part.holds is not None else ""
    under = f" [{part.under}]" if part.under and part.under != part.name else ""
    return f"{part.name}{under}: {part.word}{printed}"


def _expected_parts(claim: Claim) -> str:
    if not claim.names_parts:
        return f"each {' or '.join(claim.expected_of(''))}"
    return "; ".join(f"{name}: {' or '.join(claim.expected_of(name))}" for name in claim.parts)


def _limits(claim: Claim) -> dict[str, Value | None]:
    """The columns that say which values agree with the stated one: blank where the check has a rule of its own."""
    if isinstance(claim.stated, str) or not claim.goes_by_margin:
        return {"agrees_from": None, "agrees_to": None, "tolerance": None}
    low, high = (
        _whole(limit) if math.isfinite(limit) else None
        for limit in claim.margin.limits(claim.stated)
    )
    return {"agrees_from": low, "agrees_to": high, "tolerance": claim.margin.meaning}


#: Columns whose digits decide, so that files have all of them.
_IN_FULL = ("stated", "agrees_from", "agrees_to")


def written_rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """The rows of `verdict_rows` for files, with stated figures and their limits in full, as text."""
    rows = verdict_rows(verdicts)
    for row in rows:
        for name in _IN_FULL:
            if isinstance(row[name], float):
                row[name] = in_full(float(f"{row[name]:.12g}"))  # without what binary fractions add
    return rows


def _whole(value: Any) -> Any:
    """A whole number as one, which no table rounds; all else as it is, and so what no float has every digit of."""
    is_exact = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_exact else value


def verdict_cells(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """Cells under `HEADER` for a table on the terminal or in Markdown; surprising verdicts are marked."""
    return [
        [
            f"{v.claim.id}: {v.claim.statement}",
            v.verdict if v.as_expected else f"{v.verdict} (unexpected)",
            quantity(v.claim.stated, v.claim.unit),
            computed_text(v),
            v.outcome.explanation + (f" To settle it: `{v.settled_by}`." if v.settled_by else ""),
        ]
        for v in verdicts
    ]


def tally(verdicts: Iterable[Verdict]) -> str:
    """How many claims came to which verdict, and which of them surprise, in a sentence."""
    verdicts = list(verdicts)
    if not verdicts:
        return "No claim was judged"
    counts = Counter(v.verdict for v in verdicts)
    said = listed(f"{count} {verdict}" for verdict, count in counts.most_common())
    text = f"Of {len(verdicts)} claims, {said}"
    odd = [v for v in verdicts if not v.as_expected]
    if not odd:
        return f"{text}; none is unexpected"
    named = ", ".join(f"{v.claim.id} ({'; '.join(v.surprises)})" for v in odd)
    return f"{text}; unexpected: {named}"


def quantity(value: Value, unit: str, beside: Value = 0) -> str:
    """A value with its unit for reading, as `figure` has it; units that are no units, such as "ratio", stay out."""
    if unit == "year":  # 2016, not 2,016
        return str(_whole(value))
    text = figure(value, beside)
    if isinstance(value, str) or unit in ("ratio", "exponent", "share", ""):
        return text
    return f"{text} {unit}"


def computed_text(verdict: Verdict) -> str:
    """The computed value, with its deviation from the stated one."""
    if verdict.outcome.computed is None:
        return "–"
    text = quantity(verdict.outcome.computed, verdict.claim.unit, verdict.claim.stated)
    off = verdict.deviation
    return text if off is None else f"{text} ({percent(off, signed=True)})"


def junit_cases(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Keyword arguments of `deploykit.report.junit.Case`, one per claim.

    A verdict that surprises is a failure, as is one that couldn't be reached; for want of a package it is skipped.
    """
    return [
        {
            "name": v.claim.id,
            "classname": "deploykit.claims",
            "seconds": v.seconds,
            "failure": ""
            if v.as_expected or v.missing
            else f"{'; '.join(v.surprises)}: {v.outcome.explanation}",
            "skipped": v.missing,
            "output": f"{v.claim.statement}\n{v.verdict}: {v.outcome.explanation}",
        }
        for v in verdicts
    ]
