"""How cost follows a network's multipliers: width (alpha) and resolution (rho).

A cost that goes with the square of a multiplier has the exponent log(ratio) / log(multiplier) = 2. The claim's
tolerance is the absolute deviation of that exponent, because it means the same for MACs, parameters and
milliseconds and at every multiplier.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow, by_setting
from deploykit.claims.networks import counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed, percent


@check
def width_exponent(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, alphas: Sequence[float]
) -> Finding:
    """MACs, parameters and (where measured) latency of `model` over alpha, against alpha to the stated power."""
    holds: dict[str, bool | None] = {}
    evidence: dict[str, Value] = {}
    macs = _exponents({a: counts(model, a).macs / counts(model).macs for a in alphas})
    parameters = _exponents(
        {a: counts(model, a).parameters / counts(model).parameters for a in alphas}
    )
    for alpha in alphas:
        evidence[f"macs({alpha:g})/macs(1)"] = round(
            counts(model, alpha).macs / counts(model).macs, 4
        )
        evidence[f"parameters({alpha:g})/parameters(1)"] = round(
            counts(model, alpha).parameters / counts(model).parameters, 4
        )
    holds["MACs"] = _all_near(claim, macs.values())
    holds["parameters"] = _all_near(claim, parameters.values())

    # Only a layer that thins on both sides shrinks with the square; the rest has one side fixed.
    one_sided = [layer for layer in layers(model) if not layer.pointwise]
    macs_share = sum(layer.macs for layer in one_sided) / counts(model).macs
    parameters_share = sum(layer.parameters for layer in one_sided) / counts(model).parameters
    evidence["share_linear_in_alpha(macs)"] = round(macs_share, 4)
    evidence["share_linear_in_alpha(parameters)"] = round(parameters_share, 4)

    latency = _latency(
        claim,
        rows,
        model,
        lambda row: row.alpha if row.rho == 1 else None,
    )
    holds["latency"] = latency.holds
    evidence.update(latency.evidence)
    explanation = (
        f"MACs fall with alpha to the power {_listed(macs)}; parameters with {_listed(parameters)}. "
        f"What keeps one side fixed shrinks only linearly: first convolution, depthwise layers, normalisation "
        f"and classifier, {percent(macs_share)} of the MACs but {percent(parameters_share)} of the parameters. "
        f"{latency.sentence}"
    )
    return Finding(holds, statistics.fmean(macs.values()), explanation, evidence)


@check
def resolution_exponent(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, rhos: Sequence[str]
) -> Finding:
    """MACs and (where measured) latency of `model` over rho, against rho to the stated power."""
    ratios = {Fraction(r): counts(model, 1.0, Fraction(r)).macs / counts(model).macs for r in rhos}
    macs = _exponents(ratios)
    evidence: dict[str, Value] = {
        f"macs({rho})/macs(1)": round(ratio, 4) for rho, ratio in ratios.items()
    }
    for rho in ratios:
        evidence[f"parameters({rho})"] = counts(model, 1.0, rho).parameters
    latency = _latency(
        claim,
        rows,
        model,
        lambda row: float(row.rho) if row.alpha == 1 else None,
    )
    evidence.update(latency.evidence)
    holds = {"MACs": _all_near(claim, macs.values()), "latency": latency.holds}
    same = len({counts(model, 1.0, rho).parameters for rho in (Fraction(1), *ratios)}) == 1
    explanation = (
        f"MACs fall with rho to the power {_listed(macs)}: all but the classifier's are spent per pixel. "
        f"Parameters {'stay the same' if same else 'change'}. {latency.sentence}"
    )
    return Finding(holds, statistics.fmean(macs.values()), explanation, evidence)


class _Latency(NamedTuple):
    """What rows say of latency over a multiplier."""

    holds: bool | None
    sentence: str
    evidence: dict[str, Value]


def _latency(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    model: str,
    multiplier: Callable[[MeasuredRow], float | None],
) -> _Latency:
    """Exponent of latency in every setting that was measured at multiplier 1 and below."""
    exponents: list[tuple[str, float, float]] = []
    evidence: dict[str, Value] = {}
    other_inputs = 0
    for group in by_setting(r for r in rows if r.model == model).values():
        times: dict[float, list[float]] = {}
        for row in group:
            value = multiplier(row)
            if value is None:
                continue
            if row.macs is not None and row.macs != counts(model, row.alpha, row.rho).macs:
                other_inputs += 1  # another base resolution or number of classes
                continue
            times.setdefault(value, []).append(row.latency_p50_ms)
        if 1.0 not in times:
            continue
        base_ms = statistics.median(times.pop(1.0))
        for value, found in sorted(times.items(), reverse=True):
            label = f"{group[0].label} at {value:.3g}"
            if any(label == name for name, _, _ in exponents):
                label += f" [{len(exponents)}]"  # settings that differ in what the label leaves out
            ratio = statistics.median(found) / base_ms
            exponents.append((label, value, math.log(ratio) / math.log(value)))
            evidence[f"latency({label})/latency(1)"] = round(ratio, 4)
    if other_inputs:
        evidence["rows_of_other_inputs_left_out"] = other_inputs
    if not exponents:
        return _Latency(None, "Latency: not measured.", evidence)
    near = [_near(claim, exponent) for _, _, exponent in exponents]
    shown = listed(f"{exponent:.2f} ({label})" for label, _, exponent in exponents[:6])
    more = f" and {len(exponents) - 6} more" if len(exponents) > 6 else ""
    sentence = (
        f"Measured latency falls with the power {shown}{more}; "
        f"{sum(near)} of {len(near)} within {claim.tolerance:g} of {figure(claim.stated)}."
    )
    return _Latency(all(near), sentence, evidence)


def _exponents(ratios: dict[float, float] | dict[Fraction, float]) -> dict[str, float]:
    """Exponents by multiplier as text."""
    return {
        (str(m) if isinstance(m, Fraction) else f"{m:g}"): math.log(ratio) / math.log(m)
        for m, ratio in ratios.items()
    }


def _near(claim: Claim, exponent: float) -> bool:
    if isinstance(claim.stated, str) or claim.tolerance is None:
        raise ValueError(f"claim {claim.id}: a stated exponent and a tolerance are needed")
    return abs(exponent - claim.stated) <= claim.tolerance


def _all_near(claim: Claim, exponents: Iterable[float]) -> bool:
    return all(_near(claim, exponent) for exponent in exponents)


def _listed(exponents: dict[str, float]) -> str:
    return listed(f"{value:.2f} (at {multiplier})" for multiplier, value in exponents.items())
