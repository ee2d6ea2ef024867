"""What stands at the end of a network: fully connected layers, or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploykit.claims.checks.shares import linear_layers
from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed, millions


@check
def no_linear_layers(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    models: Sequence[str],
    fewer_than: str = "",
    factor: float = 1.0,
) -> Finding:
    """Whether each of `models` has no fully connected layer.

    With `fewer_than`, also whether each has at least `factor` times fewer parameters than that network.
    """
    dense = {name: linear_layers(name) for name in models}
    holds = {f"{name} has none": not found for name, found in dense.items()}
    evidence: dict[str, Value] = {f"linear_layers({n})": len(found) for n, found in dense.items()}
    evidence |= {
        f"parameters({name}, linear)": sum(layer.parameters for layer in found)
        for name, found in dense.items()
        if found
    }
    sentences = [
        f"{name} has none"
        if not found
        else f"{name} has {len(found)}, {millions(sum(layer.parameters for layer in found))} of "
        f"{millions(counts(name).parameters)} parameters"
        for name, found in dense.items()
    ]
    explanation = f"Fully connected layers: {listed(sentences)}."
    if fewer_than:
        other = counts(fewer_than).parameters
        evidence[f"parameters({fewer_than})"] = other
        for name in models:
            ratio = other / counts(name).parameters
            evidence[f"parameters({name})"] = counts(name).parameters
            holds[f"{name} has far fewer parameters"] = ratio >= factor
            explanation += f" {fewer_than} has {figure(ratio)} times the parameters of {name}."
    return Finding(dict(holds), max(len(found) for found in dense.values()), explanation, evidence)
