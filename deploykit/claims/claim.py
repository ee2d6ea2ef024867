"""What is claimed: the entries of claims.toml. Standard library only."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

#: What a claim can come out as.
VERDICTS = ("confirmed", "refuted", "partly", "undecided")

#: How a claim is decided: from structure, by a small computation, by training, from measured rows, or
#: from figures that a paper printed.
KINDS = ("static", "computed", "trained", "measured", "cited")


@dataclass(frozen=True)
class Claim:
    """One claim as people state it, and how it is to be checked. The verdict is not stored anywhere.

    Attributes:
        id: what `deploykit claims ID` takes.
        statement: the claim, in a sentence.
        source: which kind of document says so, and the paper it goes back to.
        about: the quantity that decides it.
        kind: how it is decided, several of `KINDS` joined by "+".
        stated: the value that the claim gives, in `unit`; text where it is not a number.
        check: name of the check, see `deploykit.claims.checks`.
        parameters: what the check is given.
        tolerance: relative deviation (in the checks of exponents: absolute) that still agrees with the
            statement; None where only equality or an order counts.
        tolerance_reason: why this much, or why none.
        expected: the verdicts that are no surprise.
    """

    id: str
    statement: str
    source: str
    about: str
    kind: str
    stated: float | int | str
    unit: str
    check: str
    expected: tuple[str, ...]
    tolerance: float | None = None
    tolerance_reason: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.expected) - set(VERDICTS)
        if unknown or not self.expected:
            raise ValueError(f"claim {self.id}: expected must be among {', '.join(VERDICTS)}")
        if not set(self.kind.split("+")) <= set(KINDS):
            raise ValueError(f"claim {self.id}: kind must be made of {', '.join(KINDS)}")
        if not self.tolerance_reason:
            raise ValueError(f"claim {self.id}: tolerance_reason is missing")


def parse_claims(text: str) -> list[Claim]:
    """Read claims from TOML text: one `[[claim]]` table each, keys as the attributes of `Claim`.

    Raises:
        ValueError: a value that can't be, or an id that comes twice.
        TypeError: a key that is missing or unknown.
    """
    claims = []
    for table in tomllib.loads(text)["claim"]:
        expected = table["expected"]
        table["expected"] = (expected,) if isinstance(expected, str) else tuple(expected)
        claims.append(Claim(**table))
    ids = [claim.id for claim in claims]
    twice = {name for name in ids if ids.count(name) > 1}
    if twice:
        raise ValueError(f"claims.toml has {', '.join(sorted(twice))} twice")
    return claims


@functools.cache
def _stored() -> tuple[Claim, ...]:
    text = files(__package__).joinpath("claims.toml").read_text(encoding="utf-8")
    return tuple(parse_claims(text))


def list_claims() -> list[Claim]:
    """All claims, in the order of claims.toml. Needs the standard library only."""
    return list(_stored())
