"""Claims that a listing of code is a network of the catalogue: its calls, layer by layer, are data of the entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from deploykit.claims.check import check
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, figure

#: A call of a listing: its kind, the side of its kernel (of a pool also the stride; 0 for "fc"), and what it
#: puts out (0 for "pool"). Convolutions keep the size, and pools round it up, as TensorFlow's "SAME" does.
Call = tuple[Literal["conv", "pool", "fc"], int, int]


class _Step(NamedTuple):
    """A layer as both sides have it: kind, kernel, channels or units out, and side of its map."""

    kind: str
    kernel: int
    outputs: int
    side_px: int


class _Read(NamedTuple):
    """A listing, worked through."""

    steps: list[_Step]
    parameters: int
    macs: int


@check
def listing_is_network(network: Network, calls: tuple[Call, ...]) -> Outcome:
    """Whether the calls of a listing make the layers of `network`, in its order, and cost what it does."""
    listed = _read(calls, network.input_shape[0], network.input_shape[-1])
    steps = list(_steps(network))
    pairs = list(zip(listed.steps, steps, strict=False))
    different = [number for number, (one, other) in enumerate(pairs, 1) if one != other]
    parts = [
        PartResult("layers", len(listed.steps) == len(steps) and not different),
        PartResult("parameters", listed.parameters == network.parameters),
        PartResult("MACs", listed.macs == network.macs),
    ]
    evidence: dict[str, Value] = {
        "layers(listing)": len(listed.steps),
        f"layers({network.name})": len(steps),
        "parameters(listing)": listed.parameters,
        f"parameters({network.name})": network.parameters,
        "macs(listing)": listed.macs,
        f"macs({network.name})": network.macs,
    }
    explanation = (
        f"The {len(listed.steps)} calls of the listing make {figure(listed.parameters)} parameters and "
        f"{figure(listed.macs)} MACs; {network.name} has {len(steps)} layers, {figure(network.parameters)} and "
        f"{figure(network.macs)}."
    )
    if different:
        explanation += f" Layer {different[0]} is the first of {len(different)} that differ."
    return Outcome(
        parts, f"{len(pairs) - len(different)} of {len(steps)} layers", explanation, evidence
    )


def _read(calls: tuple[Call, ...], channels: int, side_px: int) -> _Read:
    steps: list[_Step] = []
    parameters = macs = 0
    for kind, kernel, outputs in calls:
        if kind == "pool":
            side_px = -(-side_px // kernel)
            steps.append(_Step("pool", kernel, channels, side_px))
            continue
        if kind == "conv":
            weights = kernel * kernel * channels * outputs
            macs += weights * side_px * side_px
        else:
            weights = channels * side_px * side_px * outputs
            macs += weights
            side_px = 1
        parameters += weights + outputs
        channels = outputs
        steps.append(_Step(kind, kernel, outputs, side_px))
    return _Read(steps, parameters, macs)


def _steps(network: Network) -> Iterator[_Step]:
    for layer in network.layers:
        if layer.kind == "linear":
            yield _Step("fc", 0, layer.out_channels, 1)
        elif layer.kind in ("conv", "pool"):
            yield _Step(layer.kind, layer.kernel[0], layer.output[0], layer.output[-1])
