"""DenseNet and CondenseNet: what is connected to what, in groups or not, and at what cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from itertools import pairwise

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow, by_setting
from deploykit.claims.networks import counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed, percent


@check
def connects_to_all_previous(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, block: str, layer: str
) -> Finding:
    """Whether each layer of a dense block takes in the block's input and all outputs before it.

    Names of blocks contain `block` and their first convolutions end in `layer`. Across blocks, a transition
    stands between: it must be absent for the claim to hold of the whole network.
    """
    inputs: dict[str, list[int]] = {}
    transitions = 0
    for found in layers(model):
        if block in found.name and found.name.endswith(layer):
            inputs.setdefault(found.name.rsplit(".", 2)[0], []).append(found.in_channels)
        transitions += found.kind == "conv" and "transition" in found.name
    steps = {b - a for widths in inputs.values() for a, b in pairwise(widths)}
    layers_seen = sum(map(len, inputs.values()))
    evidence: dict[str, Value] = {
        name: f"{widths[0]} to {widths[-1]} channels in {len(widths)} layers"
        for name, widths in inputs.items()
    }
    evidence["growth"] = " ".join(map(str, sorted(steps)))
    evidence["transitions"] = transitions
    holds = {"within a block": len(steps) == 1 and min(steps) > 0, "across blocks": not transitions}
    explanation = (
        f"In each of the {len(inputs)} blocks of {model}, every one of {layers_seen} layers takes in "
        f"{listed(map(str, sorted(steps)))} channels more than the one before, which is what that one put out. "
        f"Between blocks stand {transitions} transitions, 1x1 convolutions that mix and thin what came before."
    )
    found_text = "all of its block" if holds["within a block"] else "not all"
    return Finding(dict(holds), found_text, explanation, evidence)


@check
def costs_more(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, than: str) -> Finding:
    """MACs, activation memory and (where measured) latency of `model` over those of `than`."""
    one, other = counts(model), counts(than)
    ratios = {
        "MACs": one.macs / other.macs,
        "activation bytes": one.activation_bytes / other.activation_bytes,
    }
    evidence: dict[str, Value] = {
        f"{what}({model}/{than})": round(r, 4) for what, r in ratios.items()
    }
    holds: dict[str, bool | None] = {f"more {what}": ratio > 1 for what, ratio in ratios.items()}
    slower = []
    usable = [
        row
        for row in rows
        if row.model in (model, than) and row.macs in (None, counts(row.model).macs)
    ]
    for group in by_setting(usable).values():
        times: dict[str, list[float]] = {model: [], than: []}
        for row in group:
            times[row.model].append(row.latency_p50_ms)
        if all(times.values()):
            ratio = statistics.median(times[model]) / statistics.median(times[than])
            slower.append(ratio)
            evidence[f"latency({model}/{than}, {group[0].label})"] = round(ratio, 4)
    holds["more latency"] = all(ratio > 1 for ratio in slower) if slower else None
    measured = (
        f"Measured latency: {listed(figure(ratio) for ratio in slower)} times."
        if slower
        else "Latency: not measured."
    )
    explanation = (
        f"{model} takes {figure(ratios['MACs'])} times the MACs of {than}, with "
        f"{figure(one.parameters / other.parameters)} times the parameters, and "
        f"{figure(ratios['activation bytes'])} times the activation memory. {measured}"
    )
    return Finding(holds, ratios["MACs"], explanation, evidence)


@check
def built_on_groups(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str) -> Finding:
    """Whether more than half of the convolutions of `model` are grouped, without being depthwise."""
    convolutions = [layer for layer in layers(model) if layer.kind == "conv"]
    grouped = [layer for layer in convolutions if layer.groups > 1 and not layer.depthwise]
    share = len(grouped) / len(convolutions)
    saved = sum(layer.macs * (layer.groups - 1) for layer in grouped)
    evidence: dict[str, Value] = {
        "convolutions": len(convolutions),
        "grouped": len(grouped),
        "groups": " ".join(map(str, sorted({layer.groups for layer in grouped}))),
        "macs": counts(model).macs,
        "macs_without_groups": counts(model).macs + saved,
    }
    explanation = (
        f"{len(grouped)} of {len(convolutions)} convolutions of {model} are grouped, in "
        f"{' or '.join(str(evidence['groups']).split()) or 'no'} groups ({percent(share)}); with full ones the "
        f"same widths would take {figure((counts(model).macs + saved) / counts(model).macs)} times the MACs."
    )
    return Finding({claim.about: share > 0.5}, share, explanation, evidence)
