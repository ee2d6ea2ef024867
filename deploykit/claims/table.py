"""Verdicts as rows, as cells for reading, and as test cases. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deploykit.claims.verdict import Value, Verdict
from deploykit.claims.wording import figure, percent

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
