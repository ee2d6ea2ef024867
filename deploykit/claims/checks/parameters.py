"""How many parameters networks have, and in what ratio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value, deviation
from deploykit.claims.wording import figure, listed, millions, percent

_BYTES_FP32 = 4


@check
def parameters_ratio(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    top: str,
    bottom: str,
    others: Sequence[tuple[str, str]] = (),
) -> Finding:
    """Parameters of `top` over those of `bottom`, within the claim's tolerance of the stated ratio.

    `others` are pairs for which the ratio is given beside it, without deciding anything.
    """
    evidence: dict[str, Value] = {}
    for name in (top, bottom):
        evidence[f"parameters({name})"] = counts(name).parameters
    ratio = _ratio(top, bottom)
    evidence[f"{top}/{bottom}"] = round(ratio, 4)
    for one, other in others:
        evidence[f"{one}/{other}"] = round(_ratio(one, other), 4)
    upper, lower = counts(top).parameters, counts(bottom).parameters
    explanation = (
        f"{top} has {figure(upper)} parameters, {bottom} {figure(lower)}: a ratio of {figure(ratio)} "
        f"where {figure(claim.stated)} is stated; as float32 that is {upper * _BYTES_FP32 / 1e6:.1f} MB "
        f"against {lower * _BYTES_FP32 / 1e6:.2f} MB."
    )
    if others:
        pairs = listed(f"{one} over {other} {figure(_ratio(one, other))}" for one, other in others)
        explanation += f" For comparison, {pairs}."
    holds = {claim.about: within(claim, ratio)}
    return Finding(holds, ratio, explanation, evidence)


@check
def parameters_total(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    others: Sequence[str] = (),
) -> Finding:
    """Parameters of `model`, within the claim's tolerance; those of `others` are given beside it."""
    found = counts(model).parameters
    evidence: dict[str, Value] = {
        f"parameters({name})": counts(name).parameters for name in (model, *others)
    }
    off = deviation(found, claim.stated)
    explanation = f"{model} has {figure(found)} parameters"
    if off is not None and not isinstance(claim.stated, str):
        explanation += (
            f", {percent(off, signed=True)} from the {millions(int(claim.stated))} stated"
        )
    explanation += "."
    if others:
        explanation += f" {listed(f'{n} has {millions(counts(n).parameters)}' for n in others)}."
    return Finding({claim.about: within(claim, found)}, found, explanation, evidence)


def within(claim: Claim, found: float) -> bool:
    """Whether `found` deviates from the stated number by no more than the claim's tolerance."""
    off = deviation(found, claim.stated)
    if off is None or claim.tolerance is None:
        raise ValueError(f"claim {claim.id}: a stated number and a tolerance are needed")
    return abs(off) <= claim.tolerance


def _ratio(top: str, bottom: str) -> float:
    return counts(top).parameters / counts(bottom).parameters
