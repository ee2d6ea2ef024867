"""Evaluating claims: each verdict is computed when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from deploykit.claims.claim import Claim, list_claims
from deploykit.claims.measured import MeasuredRow, measured_rows
from deploykit.claims.verdict import Outcome, PartResult, Verdict
from deploykit.errors import CheckFailed, DeploykitError, MissingDependency, UnknownName
from deploykit.row import Row


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
