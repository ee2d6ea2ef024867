"""Residual networks: what shortcuts and bottlenecks cost."""

from __future__ import annotations

from collections.abc import Iterable

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, millions, percent


@check
def shortcuts_without_parameters(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, blocks: int, projection: str
) -> Finding:
    """Whether the shortcuts of `model` have no parameters: those that are identities, and those that project.

    Layers whose name contains `projection` belong to a shortcut; of `blocks` the others are identities.
    """
    on_shortcuts = [layer for layer in layers(model) if projection in layer.name]
    projecting = sum(layer.kind == "conv" for layer in on_shortcuts)
    parameters = sum(layer.parameters for layer in on_shortcuts)
    share = parameters / counts(model).parameters
    evidence: dict[str, Value] = {
        "shortcuts": blocks,
        "projecting": projecting,
        "parameters(projections)": parameters,
        "share": round(share, 4),
    }
    holds = {
        f"{blocks - projecting} identities": blocks > projecting,
        f"{projecting} projections": parameters == 0,
    }
    explanation = (
        f"Of {blocks} shortcuts in {model}, {blocks - projecting} are identities without parameters; "
        f"{projecting}, where channels or size change, are 1x1 convolutions with {millions(parameters)} "
        f"parameters in all, {percent(share)} of the network."
    )
    return Finding(dict(holds), parameters, explanation, evidence)


@check
def bottleneck_saves(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, block: str
) -> Finding:
    """Weights of a bottleneck block against two 3x3 convolutions on as many channels."""
    convolutions = [
        layer
        for layer in layers(model)
        if layer.kind == "conv" and layer.name.startswith(f"{block}.")
    ]
    channels = convolutions[-1].out_channels
    weights = sum(layer.parameters for layer in convolutions)
    plain = 2 * 9 * channels**2
    kernels = "-".join(f"{layer.kernel[0]}x{layer.kernel[1]}" for layer in convolutions)
    evidence: dict[str, Value] = {
        "kernels": kernels,
        "channels": channels,
        "weights(bottleneck)": weights,
        "weights(two 3x3)": plain,
    }
    ratio = weights / plain
    explanation = (
        f"Block {block} of {model} ({kernels} on {channels} channels) has {figure(weights)} weights; two 3x3 on "
        f"{channels} channels would have {figure(plain)}, {figure(plain / weights)} times as many."
    )
    return Finding({"fewer parameters": weights < plain}, ratio, explanation, evidence)
