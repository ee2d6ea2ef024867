"""What papers printed, set against what is said of them. The figures stand in claims.toml with their place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from deploykit.claims.checks.parameters import within
from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed
from deploykit.zoo import lookup

#: The first two digits of an arXiv number are the year, the next two the month.
_ARXIV = re.compile(r"arXiv (\d\d)(\d\d)\.\d{4,5}")


@check
def publication_year(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str) -> Finding:
    """Whether the paper of `model` is from the stated year, by its arXiv number and the catalogue."""
    architecture = lookup(model)
    number = _ARXIV.search(architecture.paper)
    evidence: dict[str, Value] = {
        "catalogue_year": architecture.year,
        "paper": architecture.paper,
    }
    holds: dict[str, bool | None] = {"year in the catalogue": architecture.year == claim.stated}
    explanation = f"{model} was published in {architecture.year}"
    if number:
        year = 2000 + int(number[1])
        holds["year of the preprint"] = year == claim.stated
        evidence["preprint_year"] = year
        explanation += f": the number {number[0]} was given in {year}-{number[2]}"
    return Finding(holds, architecture.year, f"{explanation}.", evidence)


@check
def published_values(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    values: Mapping[str, float],
    where: str,
) -> Finding:
    """Whether each printed value, by what it is of, is within the tolerance of the stated one."""
    holds = {what: within(claim, value) for what, value in values.items()}
    found = next(iter(values.values()))
    printed = listed(f"{figure(value)} for {what}" for what, value in values.items())
    explanation = f"Printed: {printed} ({where})."
    return Finding(dict(holds), found, explanation, dict(values))


@check
def published_comparisons(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    comparisons: Sequence[Mapping[str, str | float]],
    where: str,
) -> Finding:
    """Whether, in each of `comparisons`, `first` is less than, equal to or greater than `second`.

    Each has `what`, the printed `first` and `second`, what `first_of` and `second_of` they are, and the
    `relation` that the claim implies: "less", "more", "not less", or "equal" within the tolerance (absolute).
    """
    holds: dict[str, bool | None] = {}
    evidence: dict[str, Value] = {}
    sentences = []
    for entry in comparisons:
        what, first, second = str(entry["what"]), float(entry["first"]), float(entry["second"])
        holds[what] = _related(str(entry["relation"]), first, second, claim.tolerance or 0.0)
        evidence[f"{what}({entry['first_of']})"] = first
        evidence[f"{what}({entry['second_of']})"] = second
        sentences.append(
            f"{what}, {first:g} for {entry['first_of']} and {second:g} for {entry['second_of']}"
        )
    found = ", ".join(f"{float(e['first']):g} / {float(e['second']):g}" for e in comparisons)
    return Finding(holds, found, f"Printed: {'; '.join(sentences)} ({where}).", evidence)


def _related(relation: str, first: float, second: float, tolerance: float) -> bool:
    # Printed values have a few decimals; a difference of two of them shouldn't fail by binary rounding.
    difference = round(first - second, 6)
    outcomes = {
        "less": difference < 0,
        "more": difference > 0,
        "not less": difference >= 0,
        "equal": abs(difference) <= tolerance,
    }
    return outcomes[relation]
