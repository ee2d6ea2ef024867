"""Input sizes: which ones rho leads to, what they change, and how they compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed
from deploykit.spec import ModelSpec
from deploykit.zoo import input_shape, lookup


@check
def input_sizes(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    rhos: Sequence[str],
    sizes_px: Sequence[int],
) -> Finding:
    """Whether each rho gives the input size beside it, exactly and in the network that is made."""
    base_px = lookup(model).resolution_px
    holds: dict[str, bool | None] = {}
    evidence: dict[str, Value] = {}
    for text, size_px in zip(rhos, sizes_px, strict=True):
        rho = Fraction(text)
        _, height, width = input_shape(ModelSpec(model, rho=rho))
        evidence[f"{base_px}*{text}"] = str(base_px * rho)
        holds[f"rho {text}"] = base_px * rho == size_px == height == width
    found = ", ".join(str(value) for value in evidence.values())
    explanation = f"{base_px} px times {listed(rhos)} is {found}: "
    explanation += (
        "whole numbers, no rounding." if all(holds.values()) else "not all the sizes stated."
    )
    return Finding(holds, found, explanation, evidence)


@check
def fewer_parameters_over_rho(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, rhos: Sequence[str]
) -> Finding:
    """Whether parameters of `model` fall as rho does."""
    full = counts(model)
    small = {text: counts(model, 1.0, Fraction(text)) for text in rhos}
    evidence: dict[str, Value] = {f"parameters({model}, rho 1)": full.parameters}
    evidence |= {f"parameters({model}, rho {r})": small[r].parameters for r in rhos}
    holds = {f"rho {text}": small[text].parameters < full.parameters for text in rhos}
    ratio = min(c.parameters for c in small.values()) / full.parameters
    activations = small[rhos[-1]].activation_bytes / full.activation_bytes
    evidence[f"activation_bytes(rho {rhos[-1]})/activation_bytes(rho 1)"] = round(activations, 4)
    explanation = (
        f"{model} has {figure(full.parameters)} parameters at rho 1 and "
        f"{listed(f'{figure(small[r].parameters)} at {r}' for r in rhos)}: a filter has the same weights "
        f"whatever the map's size. What shrinks is work and activations, these to {figure(activations)} of "
        f"their bytes at {rhos[-1]}."
    )
    return Finding(dict(holds), ratio, explanation, evidence)


@check
def input_ratio(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, large: Sequence[str], small: str
) -> Finding:
    """Whether the inputs of `large` networks are over the stated number of times those of `small`, per side."""
    if isinstance(claim.stated, str):
        raise ValueError(f"claim {claim.id}: a stated ratio is needed")
    small_px = lookup(small).resolution_px
    ratios = {name: lookup(name).resolution_px / small_px for name in large}
    evidence: dict[str, Value] = {
        f"input_px({name})": lookup(name).resolution_px for name in (*large, small)
    }
    holds = {name: ratio > claim.stated for name, ratio in ratios.items()}
    inputs = listed(
        f"{lookup(name).resolution_px} px ({name}), {figure(ratio)} times"
        for name, ratio in ratios.items()
    )
    explanation = (
        f"Against {small_px} px for MNIST ({small}) stand {inputs}. Photographs in ImageNet are larger before "
        "they are scaled and cropped for a network; their sizes are not checked here."
    )
    return Finding(dict(holds), max(ratios.values()), explanation, evidence)
