"""Claims: the entries of claims.toml and of files like it, and their verdicts, computed when they are asked for."""

from __future__ import annotations

import functools
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import deploykit.claims.checks  # noqa: F401  registers them
from deploykit.claims import stored_text
from deploykit.claims.check import OF_CLAIM, MeasuredRow, find_check, measured_rows, typed
from deploykit.claims.verdict import Outcome, PartResult, Verdict
from deploykit.errors import CheckFailed, DeploykitError, MissingDependency, UnknownName, UsageError
from deploykit.row import Row

#: What a claim can come out as.
VERDICTS = ("confirmed", "refuted", "partly", "undecided")

#: How a claim is decided: from structure, by a small computation, by training, from measured rows, or
#: from figures that a paper printed.
KINDS = ("static", "computed", "trained", "measured", "cited")


@dataclass(frozen=True)
class Claim:
    """One claim as people state it, and how it is decided. The verdict is not stored anywhere.

    Attributes:
        id: what `deploykit claims ID` takes.
        statement: the claim, in a sentence.
        source: which kind of document says so, and the paper it goes back to.
        about: the quantity that decides it.
        kind: how it is decided, several of `KINDS` joined by "+".
        stated: the value that the claim gives, in `unit`; text where it is not a number.
        check: name of the check, see `deploykit.claims.checks`.
        expected: the verdicts that are no surprise.
        tolerance: relative deviation (of exponents and of printed percentages: absolute) that still agrees with
            the statement; None where only equality or an order counts.
        tolerance_reason: why this much, or why none.
        arguments: what the check is given, as TOML holds it or as typed values.
        decide: the check with all its arguments; it takes the measured rows.

    Raises:
        UsageError: a value can't be, or the check does not take these arguments; the line names the claim.
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
    arguments: Mapping[str, Any] = field(default_factory=dict)
    decide: Callable[[Sequence[MeasuredRow]], Outcome] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        try:
            if not self.expected or not set(self.expected) <= set(VERDICTS):
                raise UsageError(f"expected must be among {', '.join(VERDICTS)}")
            if not set(self.kind.split("+")) <= set(KINDS):
                raise UsageError(f"kind must be made of {', '.join(KINDS)}")
            if not self.tolerance_reason:
                raise UsageError("tolerance_reason is missing")
            of_claim = {name: getattr(self, name) for name in OF_CLAIM}
            decide = find_check(self.check).bind(of_claim, self.arguments)
        except UsageError as error:
            raise UsageError(f"claim {self.id}: {error}") from error
        object.__setattr__(self, "decide", decide)


_KEYS = {f.name: f for f in fields(Claim) if f.init}
_TYPES = {
    **dict.fromkeys(_KEYS, str),
    "stated": float | int | str,
    "expected": str | tuple[str, ...],
    "tolerance": float | None,
    "arguments": dict[str, Any],
}
_REQUIRED = [
    name for name, key in _KEYS.items() if key.default is MISSING and key.default_factory is MISSING
]


def parse_claims(text: str, file: str = "claims.toml") -> list[Claim]:
    """Read claims from TOML text: one `[[claim]]` table each, with the attributes of `Claim` as keys.

    Raises:
        UsageError: `file`, as messages call it, is no TOML, or an entry can't be; one line that names the claim.
    """
    try:
        tables = tomllib.loads(text).get("claim", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is no TOML: {error}") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{file}: each claim is a table headed [[claim]]")
    claims = [_claim(table, f"number {number}") for number, table in enumerate(tables, 1)]
    ids = [claim.id for claim in claims]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise UsageError(f"{file} has {', '.join(twice)} twice")
    return claims


def _claim(table: Mapping[str, Any], place: str) -> Claim:
    try:
        values = typed(table, _TYPES, _REQUIRED, "key")
    except UsageError as error:
        raise UsageError(f"claim {table.get('id', place)}: {error}") from error
    expected = values["expected"]
    values["expected"] = (expected,) if isinstance(expected, str) else expected
    return Claim(**values)


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file like claims.toml.

    Raises:
        UsageError: it can't be read, or as `parse_claims`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't read {path}: {error}") from error
    return parse_claims(text, str(path))


@functools.cache
def _stored() -> tuple[Claim, ...]:
    return tuple(parse_claims(stored_text()))


def list_claims() -> list[Claim]:
    """All claims of the project, in the order of claims.toml; neither torch nor onnx nor numpy is imported."""
    return list(_stored())


def evaluate_claims(
    ids: Iterable[str] | None = None,
    rows: Iterable[Row] | None = None,
    *,
    claims: Sequence[Claim] | None = None,
) -> list[Verdict]:
    """Evaluate claims and say what came out, one verdict each.

    Args:
        ids: which, in this order; None for all.
        rows: what was measured. Without it the parts of a
            claim that are about time stay undecided and the explanation says "not measured".
        claims: those to choose from, as `read_claims` reads them; None for the project's own.

    A claim whose check needs a package that isn't installed is "undecided", `missing` saying what to install.

    Raises:
        UnknownName: there is no such claim.
    """
    chosen = _chosen(ids, list_claims() if claims is None else claims)
    measured = measured_rows(rows)
    return [evaluate_claim(claim, measured) for claim in chosen]


def evaluate_claim(claim: Claim, rows: Sequence[MeasuredRow] = ()) -> Verdict:
    """Evaluate one claim, which need not be of claims.toml."""
    start = time.perf_counter()
    missing = ""
    try:
        outcome = claim.decide(rows)
    except MissingDependency as error:
        missing = str(error)
        outcome = Outcome([PartResult(claim.about, None)], None, f"Not checked: {missing}.")
    return Verdict(claim, outcome, time.perf_counter() - start, missing)


def failure(verdicts: Iterable[Verdict]) -> DeploykitError | None:
    """The error that a command should end with, or None when every verdict is as expected.

    CheckFailed (exit code 1) names the verdicts that surprise; MissingDependency (3) where the only trouble is
    that something isn't installed.
    """
    surprises = [verdict for verdict in verdicts if not verdict.as_expected]
    wrong = [verdict for verdict in surprises if not verdict.missing]
    if wrong:
        named = ", ".join(
            f"{verdict.claim.id} is {verdict.verdict}, not {' or '.join(verdict.claim.expected)}"
            for verdict in wrong
        )
        return CheckFailed(f"unexpected verdict: {named}; see the explanation")
    if surprises:
        return MissingDependency(f"{len(surprises)} claims not checked: {surprises[0].missing}")
    return None


def _chosen(ids: Iterable[str] | None, claims: Sequence[Claim]) -> list[Claim]:
    if ids is None:
        return list(claims)
    by_id = {claim.id: claim for claim in claims}
    chosen = list(dict.fromkeys(ids))
    for name in chosen:
        if name not in by_id:
            raise UnknownName("claim", name, by_id, "see `deploykit claims --list`")
    return [by_id[name] for name in chosen]
