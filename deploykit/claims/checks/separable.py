"""Depthwise separable layers: what they cost, by formula and by count, and against full convolutions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure
from deploykit.zoo import lookup


@check
def separable_cost_formula(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    alphas: Sequence[float],
    rhos: Sequence[str],
) -> Finding:
    """Whether DK*DK*aM*(rDF)^2 + aM*aN*(rDF)^2 gives the MACs of every separable layer.

    M, N and DF are the input channels, output channels and output side of the layer at alpha 1 and rho 1, DK
    is the depthwise kernel; counted is the network made at that alpha and rho.
    """
    full = _separable(model, 1.0, Fraction(1))
    right, wrong = 0, []
    for alpha in alphas:
        for text in rhos:
            rho = Fraction(text)
            for base, layer in zip(full, _separable(model, alpha, rho), strict=True):
                kernel, m, n, side = base[:4]
                # As fractions: the formula is to be met exactly.
                a = Fraction(alpha)
                area = (rho * side) ** 2
                predicted = kernel**2 * a * m * area + a * m * a * n * area
                if predicted == layer[4]:
                    right += 1
                else:
                    wrong.append((alpha, text, float(predicted), layer[4]))
    evidence: dict[str, Value] = {
        "layers_checked": right + len(wrong),
        "layers_equal": right,
        "alphas": " ".join(f"{alpha:g}" for alpha in alphas),
        "rhos": " ".join(rhos),
    }
    explanation = (
        f"{right} of {right + len(wrong)} separable layers of {model}, over {len(alphas)} alphas and "
        f"{len(rhos)} rhos, cost exactly what the formula gives, DF being the side of the output."
    )
    if wrong:
        alpha, text, predicted_macs, counted = wrong[0]
        explanation += (
            f" The first that does not, at alpha {alpha:g} and rho {text}: {figure(predicted_macs)} by formula, "
            f"{figure(counted)} counted."
        )
    share = right / (right + len(wrong))
    return Finding({"every layer": not wrong}, share, explanation, evidence)


@check
def separable_against_full(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    separable: str,
    full: str,
    published_top1: Sequence[float],
    where: str,
) -> Finding:
    """Parameters and MACs of the two networks, counted, and the top-1 accuracies printed for them.

    `published_top1` is of the separable and the full network, in per cent, as printed in `where`.
    """
    one, other = counts(separable), counts(full)
    macs, parameters = one.macs / other.macs, one.parameters / other.parameters
    thin, thick = published_top1
    evidence: dict[str, Value] = {
        f"macs({separable})/macs({full})": round(macs, 4),
        f"parameters({separable})/parameters({full})": round(parameters, 4),
        f"published_top1({separable})": thin,
        f"published_top1({full})": thick,
    }
    holds = {
        "fewer parameters": parameters < 1,
        "fewer MACs": macs < 1,
        "higher accuracy": thin > thick,
    }
    explanation = (
        f"{separable} has {figure(1 / parameters)} times fewer parameters and {figure(1 / macs)} times fewer "
        f"MACs than {full} ({lookup(full).summary}). Accuracy is not higher: {thin:g}% against {thick:g}% top-1 "
        f"({where})."
        if thin <= thick
        else f"{separable} costs less than {full} and is more accurate ({where})."
    )
    return Finding(dict(holds), macs, explanation, evidence)


def _separable(model: str, alpha: float, rho: Fraction) -> list[tuple[int, int, int, int, int]]:
    """Kernel, input channels, output channels, output side and MACs of each separable layer."""
    convolutions = [layer for layer in layers(model, alpha, rho) if layer.kind == "conv"]
    return [
        (
            depthwise.kernel[0],
            depthwise.in_channels,
            pointwise.out_channels,
            pointwise.output[-1],
            depthwise.macs + pointwise.macs,
        )
        for depthwise, pointwise in pairwise(convolutions)
        if depthwise.depthwise and pointwise.pointwise
    ]
