"""What papers printed, set against what is said of them. The figures stand in claims.toml with their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from deploykit.claims.check import check
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, within
from deploykit.claims.wording import figure, listed

#: The first two digits of an arXiv number are the year, the next two the month.
_ARXIV = re.compile(r"arXiv (\d\d)(\d\d)\.\d{4,5}")


@check
def publication_year(stated: int, network: Network) -> Outcome:
    """Whether the paper of `network` is from the stated year, by its arXiv number and the catalogue."""
    facts = network.facts
    parts = [PartResult("year in the catalogue", facts.year == stated)]
    evidence: dict[str, Value] = {"catalogue_year": facts.year, "paper": facts.paper}
    explanation = f"{network.name} was published in {facts.year}"
    number = _ARXIV.search(facts.paper)
    if number:
        year = 2000 + int(number[1])
        parts.append(PartResult("year of the preprint", year == stated))
        evidence["preprint_year"] = year
        explanation += f": the number {number[0]} was given in {year}-{number[2]}"
    return Outcome(parts, facts.year, f"{explanation}.", evidence)


@check
def published_values(
    stated: float, tolerance: float, values: Mapping[str, float], where: str
) -> Outcome:
    """Whether each printed value, by what it is of, is within the tolerance of the stated one."""
    parts = [PartResult(what, within(tolerance, value, stated)) for what, value in values.items()]
    printed = listed(f"{figure(value)} for {what}" for what, value in values.items())
    return Outcome(parts, next(iter(values.values())), f"Printed: {printed} ({where}).", values)


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two printed numbers of one kind, `what`, and the relation between them that the claim implies."""

    what: str
    first: float
    first_of: str
    second: float
    second_of: str
    relation: Literal["less", "more", "not less", "equal"]

    def holds(self, tolerance: float) -> bool:
        """Whether the relation is so; "equal" allows an absolute difference of `tolerance`."""
        # Printed values have a few decimals; a difference of two of them shouldn't fail by binary rounding.
        difference = round(self.first - self.second, 6)
        return {
            "less": difference < 0,
            "more": difference > 0,
            "not less": difference >= 0,
            "equal": abs(difference) <= tolerance,
        }[self.relation]


@check
def published_comparisons(
    tolerance: float | None, comparisons: tuple[Comparison, ...], where: str
) -> Outcome:
    """Whether each of `comparisons`, of numbers printed in `where`, comes out as the claim implies."""
    evidence: dict[str, Value] = {}
    for each in comparisons:
        evidence[f"{each.what}({each.first_of})"] = each.first
        evidence[f"{each.what}({each.second_of})"] = each.second
    sentences = "; ".join(
        f"{each.what}, {each.first:g} for {each.first_of} and {each.second:g} for {each.second_of}"
        for each in comparisons
    )
    return Outcome(
        [PartResult(each.what, each.holds(tolerance or 0.0)) for each in comparisons],
        ", ".join(f"{each.first:g} / {each.second:g}" for each in comparisons),
        f"Printed: {sentences} ({where}).",
        evidence,
    )
