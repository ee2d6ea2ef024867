"""Claims with their arithmetic: what is stated, what was found, how far apart they may be, and each part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.figures import general, plainly
from deploykit.report.page.markup import element, escaped
from deploykit.row import text_of

_SIGNS = {"confirmed": "✓", "refuted": "✕", "in context": "◐", "cited": "❝", "undecided": "?"}


def claims_section(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each claim of a claims.csv, those whose verdict is unexpected first."""
    cells = [{name: plainly(text_of(value)) for name, value in row.items()} for row in rows]
    cells.sort(key=lambda one: one.get("as_expected") != "false")
    counts = Counter(one.get("verdict", "") for one in cells)
    unexpected = sum(one.get("as_expected") == "false" for one in cells)
    tally = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    tally += f"; {unexpected} not as expected" if unexpected else "; all as expected"
    reading = (
        "Each box is a statement, the value that it gives, the value that was found and by how much they may "
        "differ; below are its parts and the numbers that the verdict was computed from."
    )
    return (
        element("p", escaped(f"{len(cells)} claims: {tally}."))
        + element("p", escaped(reading), class_="reading")
        + element("div", "".join(map(_claim, cells)), class_="claims")
    )


def _claim(cells: Mapping[str, str]) -> str:
    verdict = cells.get("verdict", "")
    surprise = cells.get("as_expected") == "false"
    said = f"{_SIGNS.get(verdict, '')} {verdict}{', not as expected' if surprise else ''}"
    parts = [
        element("h3", escaped(cells.get("statement", ""))),
        element(
            "p",
            element("span", escaped(said), class_=f"state {verdict.replace(' ', '-')}")
            + f" {escaped(_sum(cells))}",
        ),
        element("p", escaped(cells.get("explanation", ""))),
    ]
    listed = [part for part in cells.get("parts", "").split("; ") if part]
    numbers = [part for part in cells.get("evidence", "").split("; ") if part]
    if listed or numbers:
        items = "".join(element("li", escaped(text)) for text in listed)
        items += "".join(element("li", element("code", escaped(text))) for text in numbers)
        parts.append(element("details", element("summary", "Arithmetic") + element("ul", items)))
    parts.append(
        element("p", escaped(f"{cells.get('id', '')}; {cells.get('source', '')}"), class_="reading")
    )
    return element("div", "".join(parts), class_="claim surprise" if surprise else "claim")


#: How units read behind a number; the others stand as they are.
_UNITS = {"ratio": " times", "year": "", "share": "", "%": "%"}


def _number(text: str) -> float | None:
    """The finite number that a cell holds; None where it holds words or nothing."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def amount(text: str, unit: str) -> str:
    """What is stated or found, with its unit: numbers to four digits, whole ones in full."""
    number = _number(text)
    if number is None:
        return text or "nothing"
    is_whole = number == int(number) and unit != "year"
    shown = text if unit == "year" else f"{number:,.0f}" if is_whole else general(number, 4)
    if unit == "share" and number not in (0, 1):
        shown = f"{general(100 * number, 4)}%"
    return f"{shown}{_UNITS.get(unit, f' {unit}' * bool(unit))}"


def _sum(cells: Mapping[str, str]) -> str:
    """What is stated, found and allowed, in one line."""
    unit = cells.get("unit", "")
    text = f"stated {amount(cells.get('stated', ''), unit)}, found {amount(cells.get('found', ''), unit)}"
    off = _number(cells.get("deviation", ""))
    if off is not None:
        text += f": {100 * off:+.1f}% off"
    low, high = cells.get("agrees_from"), cells.get("agrees_to")
    if low and high:
        text += f", {low} to {high} agrees ({cells.get('tolerance', '')})"
    elif low or high:
        text += (
            f", {'from' if low else 'up to'} {low or high} agrees ({cells.get('tolerance', '')})"
        )
    return text
