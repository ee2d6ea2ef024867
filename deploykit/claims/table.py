"""Verdicts as rows, as cells for reading, and as test cases. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
            "id": v.id,
            "verdict": v.verdict,
            "as_expected": v.as_expected,
            "statement": v.statement,
            "source": v.source,
            "about": v.about,
            "kind": v.kind,
            "stated": v.stated,
            "found": v.found,
            "unit": v.unit,
            "deviation": v.deviation,
            "tolerance": v.tolerance,
            "tolerance_reason": v.tolerance_reason,
            "parts": _parts(v.holds),
            "explanation": v.explanation,
            "evidence": "; ".join(f"{name}={value}" for name, value in v.evidence.items()),
            "expected": " or ".join(v.expected),
            "seconds": round(v.seconds, 3),
        }
        for v in verdicts
    ]


def verdict_cells(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """Cells under `HEADER` for a table on the terminal or in Markdown; surprising verdicts are marked."""
    return [
        [
            f"{v.id}: {v.statement}",
            v.verdict if v.as_expected else f"{v.verdict} (unexpected)",
            quantity(v.stated, v.unit),
            found_text(v),
            v.explanation,
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


def found_text(verdict: Verdict) -> str:
    """The value found, with its deviation from the stated one."""
    if verdict.found is None:
        return "–"
    text = quantity(verdict.found, verdict.unit)
    return (
        text if verdict.deviation is None else f"{text} ({percent(verdict.deviation, signed=True)})"
    )


def junit_cases(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Keyword arguments of `deploykit.report.junit.Case`, one per claim.

    A verdict that surprises is a failure; one that couldn't be reached for want of a package is skipped.
    """
    return [
        {
            "name": v.id,
            "classname": "deploykit.claims",
            "seconds": v.seconds,
            "failure": ""
            if v.as_expected or v.missing
            else f"{v.verdict}, not {' or '.join(v.expected)}: {v.explanation}",
            "skipped": v.missing,
            "output": f"{v.statement}\n{v.verdict}: {v.explanation}",
        }
        for v in verdicts
    ]


def _parts(holds: Mapping[str, bool | None]) -> str:
    return "; ".join(f"{what}: {_WORDS[held]}" for what, held in holds.items())
