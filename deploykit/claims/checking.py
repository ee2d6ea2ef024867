"""Checking claims: each verdict is computed when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from deploykit.claims.claim import Claim, list_claims
from deploykit.claims.measured import MeasuredRow, measured_rows
from deploykit.claims.registry import find_check
from deploykit.claims.verdict import Finding, Verdict, deviation
from deploykit.errors import CheckFailed, DeploykitError, MissingDependency, UnknownName


def check_claims(ids: Iterable[str] | None = None, rows: Any = None) -> list[Verdict]:
    """Check claims and say what came out, one verdict each.

    Args:
        ids: which, in this order; None for all.
        rows: what was measured, a DataFrame or mappings in the profile's columns. Without it the parts of a
            claim that are about time stay undecided and the explanation says "not measured".

    A claim whose check needs a package that isn't installed is "undecided", `missing` saying what to install.

    Raises:
        UnknownName: there is no such claim.
    """
    claims = _chosen(ids)
    measured = measured_rows(rows)
    return [check_claim(claim, measured) for claim in claims]


def check_claim(claim: Claim, rows: Sequence[MeasuredRow] = ()) -> Verdict:
    """Check one claim, which need not be of claims.toml."""
    start = time.perf_counter()
    missing = ""
    try:
        finding = find_check(claim.check)(claim, rows, **claim.parameters)
    except MissingDependency as error:
        missing = str(error)
        finding = Finding({claim.about: None}, None, f"Not checked: {missing}.")
    return Verdict(
        id=claim.id,
        verdict=finding.verdict,
        statement=claim.statement,
        source=claim.source,
        about=claim.about,
        kind=claim.kind,
        stated=claim.stated,
        unit=claim.unit,
        found=finding.found,
        deviation=None if claim.tolerance is None else deviation(finding.found, claim.stated),
        tolerance=claim.tolerance,
        tolerance_reason=claim.tolerance_reason,
        holds=dict(finding.holds),
        explanation=finding.explanation,
        evidence=dict(finding.evidence),
        expected=claim.expected,
        seconds=time.perf_counter() - start,
        missing=missing,
    )


def failure(verdicts: Iterable[Verdict]) -> DeploykitError | None:
    """The error that a command should end with, or None when every verdict is as expected.

    CheckFailed (exit code 1) names the verdicts that surprise; MissingDependency (3) where the only trouble is
    that something isn't installed.
    """
    surprises = [verdict for verdict in verdicts if not verdict.as_expected]
    wrong = [verdict for verdict in surprises if not verdict.missing]
    if wrong:
        named = ", ".join(
            f"{verdict.id} is {verdict.verdict}, not {' or '.join(verdict.expected)}"
            for verdict in wrong
        )
        return CheckFailed(f"unexpected verdict: {named}; see the explanation")
    if surprises:
        return MissingDependency(f"{len(surprises)} claims not checked: {surprises[0].missing}")
    return None


def _chosen(ids: Iterable[str] | None) -> list[Claim]:
    claims = {claim.id: claim for claim in list_claims()}
    if ids is None:
        return list(claims.values())
    chosen = list(dict.fromkeys(ids))
    for name in chosen:
        if name not in claims:
            raise UnknownName("claim", name, claims, "see `deploykit claims --list`")
    return [claims[name] for name in chosen]
