"""One network's cost over another's, and whether it is called better for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, millions


@check
def about_equal_macs(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, pairs: Sequence[tuple[str, str]]
) -> Finding:
    """Whether the two of each pair take the same number of MACs, within the tolerance."""
    if claim.tolerance is None:
        raise ValueError(f"claim {claim.id}: a tolerance is needed")
    ratios = {f"{one}/{other}": counts(one).macs / counts(other).macs for one, other in pairs}
    holds = {name: abs(ratio - 1) <= claim.tolerance for name, ratio in ratios.items()}
    evidence: dict[str, Value] = {f"macs({name})": round(r, 4) for name, r in ratios.items()}
    sentences = [
        f"{one} takes {figure(counts(one).macs / 1e9)} and {other} {figure(counts(other).macs / 1e9)} "
        "billion MACs"
        for one, other in pairs
    ]
    worst = max(ratios.values(), key=lambda ratio: abs(ratio - 1))
    return Finding(dict(holds), worst, f"{'; '.join(sentences)}.", evidence)


@check
def slightly_fewer_parameters(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, than: str
) -> Finding:
    """Whether `model` has fewer parameters than `than`, but no fewer than the tolerance allows."""
    if claim.tolerance is None:
        raise ValueError(f"claim {claim.id}: a tolerance is needed")
    one, other = counts(model).parameters, counts(than).parameters
    ratio = one / other
    evidence: dict[str, Value] = {f"parameters({model})": one, f"parameters({than})": other}
    holds = {"fewer": ratio < 1, "only slightly": abs(ratio - 1) <= claim.tolerance}
    explanation = (
        f"{model} has {figure(one)} parameters, {than} {figure(other)}: a ratio of {figure(ratio)}. "
        f"It takes {figure(counts(model).macs / counts(than).macs)} times the MACs."
    )
    return Finding(dict(holds), ratio, explanation, evidence)


@check
def fewer_parameters_and_better(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    pairs: Sequence[Mapping[str, str | float]],
    where: str,
) -> Finding:
    """Whether in each of `pairs` `model` has fewer parameters than `than`, counted, and less error, as printed.

    `error` and `error_than` are top-1 errors in per cent, printed in `where`.
    """
    holds: dict[str, bool | None] = {}
    evidence: dict[str, Value] = {}
    sentences = []
    ratios = []
    for pair in pairs:
        model, than = str(pair["model"]), str(pair["than"])
        one, other = counts(model).parameters, counts(than).parameters
        ratios.append(one / other)
        holds[f"{model} has fewer parameters"] = one < other
        holds[f"{model} has less error"] = float(pair["error"]) < float(pair["error_than"])
        evidence |= {f"parameters({model})": one, f"parameters({than})": other}
        evidence |= {
            f"published_error({model})": float(pair["error"]),
            f"published_error({than})": float(pair["error_than"]),
        }
        sentences.append(
            f"{model} has {millions(one)} parameters and {float(pair['error']):g}% error, {than} "
            f"{millions(other)} and {float(pair['error_than']):g}%"
        )
    explanation = f"{'; '.join(sentences)} (errors: {where})."
    return Finding(holds, max(ratios), explanation, evidence)


@check
def no_relu(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str) -> Finding:
    """Whether `model` has no ReLU, anywhere, and between a depthwise convolution and the 1x1 after it."""
    operators = counts(model).by_operator
    # A bounded ReLU, such as ReLU6, is a Clip.
    rectifiers = sum(operators[name].nodes for name in ("Relu", "Clip") if name in operators)
    called = layers(model)
    after = [b for a, b in pairwise(called) if a.depthwise]
    direct = sum(layer.pointwise for layer in after)
    evidence: dict[str, Value] = {
        "Relu": rectifiers,
        "depthwise": len(after),
        "depthwise_followed_by_1x1": direct,
    }
    holds = {
        "no ReLU in the network": rectifiers == 0,
        "none between depthwise and 1x1": direct == len(after) > 0,
    }
    explanation = (
        f"{model} has {rectifiers} ReLUs, but none inside a separable convolution: {direct} of {len(after)} "
        "depthwise convolutions are followed by their 1x1 directly."
        if direct == len(after)
        else f"{model} has {rectifiers} ReLUs; {direct} of {len(after)} depthwise convolutions are followed "
        "by a 1x1 directly."
    )
    return Finding(dict(holds), rectifiers, explanation, evidence)
