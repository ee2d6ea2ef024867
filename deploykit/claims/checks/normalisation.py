"""Claims about what normalises activations: batch normalisation and AlexNet's local response normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.claims.check import check
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed
from deploykit.figures import significant
from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@check
def norm_has_two_per_channel(networks: tuple[Network, ...], each: int, seed: int) -> Outcome:
    """Whether every batch normalisation has `each` parameters a channel, and one mean and variance for each.

    The statistics are worked out by hand over images and pixels and held against PyTorch's.
    """
    norms = {n.name: [a for a in n.layers if a.kind == "BatchNorm2d"] for n in networks}
    right = {
        name: sum(layer.parameters == each * layer.output[0] for layer in layers)
        for name, layers in norms.items()
    }
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 6, 5, 7, generator=random, dtype=torch.float64) * 3 + 1
    norm = torch.nn.BatchNorm2d(6, dtype=torch.float64).train()
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    off = float((norm(x) - (x - mean) / torch.sqrt(variance + norm.eps)).abs().max().detach())
    parts = [
        PartResult(f"{name}: {each} a channel", len(norms[name]) == count > 0)
        for name, count in right.items()
    ]
    parts.append(PartResult("statistics over images and pixels", off < 1e-9))
    evidence: dict[str, Value] = {f"normalisations({n})": len(ls) for n, ls in norms.items()}
    evidence |= {f"with {each} a channel({name})": count for name, count in right.items()}
    evidence["deviation(by hand)"] = float(f"{off:.2g}")
    said = listed(f"{right[name]} of {len(layers)} in {name}" for name, layers in norms.items())
    explanation = (
        f"Scale and shift, {each} parameters a channel: {said}. A mean and a variance of each channel over all "
        "images and "
        f"pixels, worked out by hand, give PyTorch's output to {significant(off, 1)}."
    )
    return Outcome(parts, f"{sum(right.values())} normalisations", explanation, evidence)


@check
def norm_can_be_undone(channels: int, seed: int, close: float) -> Outcome:
    """Whether gamma = sqrt(variance + eps) and beta = mean give the input of a normalisation back."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(8, channels, 6, 6, generator=random, dtype=torch.float64) * 3 - 2
    norm = torch.nn.BatchNorm2d(channels, dtype=torch.float64).train()
    plain = float((norm(x) - x).abs().max().detach() / x.abs().max())
    with torch.no_grad():
        norm.weight.copy_(torch.sqrt(x.var((0, 2, 3), correction=0) + norm.eps))
        norm.bias.copy_(x.mean((0, 2, 3)))
    off = float((norm(x) - x).abs().max().detach() / x.abs().max())
    explanation = (
        "With gamma set to sqrt(variance + eps) and beta to the mean, the output is the input to "
        f"{significant(off, 2)} of "
        f"the largest value; with 1 and 0 it is off by {figure(plain)} of it."
    )
    evidence: dict[str, Value] = {
        "deviation(undone)": float(f"{off:.2g}"),
        "deviation(gamma 1, beta 0)": round(plain, 4),
    }
    parts = [
        PartResult("input given back", off <= close),
        PartResult("changed otherwise", plain > close),
    ]
    return Outcome(parts, off, explanation, evidence)


@check
def local_norm_favours_large(network: Network, scales: tuple[float, ...], seed: int) -> Outcome:
    """How often the largest channel of a pixel grows relative to its neighbours in the network's own normalisation.

    On random rectified maps of each of `scales`. The claim holds at a scale where that is so of every neighbour.
    """
    norm = _local_norm(network)
    shares: dict[float, float] = {}
    for scale in scales:
        x = _rectified(scale, seed)
        ratio = _neighbours_over_largest(x, of=x)
        after = _neighbours_over_largest(norm(x), of=x)
        alive = ratio > 0
        shares[scale] = float((after[alive] < ratio[alive]).double().mean())
    parts = [PartResult(f"at scale {scale:g}", share == 1.0) for scale, share in shares.items()]
    evidence: dict[str, Value] = {f"share({s:g})": round(share, 4) for s, share in shares.items()}
    said = listed(
        f"{share:.0%} of neighbours at scale {scale:g}" for scale, share in shares.items()
    )
    explanation = (
        f"The largest channel of a pixel gains on {said}. A channel is divided by the sum of its own window, "
        "and the "
        "windows of neighbours reach channels that the largest one's does not, which may be more or less."
    )
    return Outcome(parts, min(shares.values()), explanation, evidence)


@check
def local_norm_normalises(
    network: Network, scales: tuple[float, ...], spread: float, seed: int
) -> Outcome:
    """Whether the factors by which the network's local normalisation multiplies differ, at each of some scales.

    It normalises at a scale where the 99% quantile of the factors is over the 1% quantile by more than `spread`
    of it.
    """
    norm = _local_norm(network)
    quantiles: dict[float, list[float]] = {}
    for scale in scales:
        x = _rectified(scale, seed)
        alive = x > 0
        factors = (norm(x)[alive] / x[alive]).double()
        at = torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)
        quantiles[scale] = torch.quantile(factors[:100_000], at).tolist()
    parts = [
        PartResult(f"at scale {scale:g}", q[2] > q[0] * (1 + spread))
        for scale, q in quantiles.items()
    ]
    evidence: dict[str, Value] = {
        f"factors({scale:g})": f"{q[0]:.4g} {q[1]:.4g} {q[2]:.4g}" for scale, q in quantiles.items()
    }
    said = listed(f"{q[0]:.3g} to {q[2]:.3g} at scale {scale:g}" for scale, q in quantiles.items())
    explanation = (
        f"With the constants of {network.name}, activations are multiplied by {said} (1% to 99% quantile). "
        "Below about 10 "
        "the constant outweighs the sum of squares and all are scaled alike."
    )
    return Outcome(
        parts, "; ".join(str(value) for value in evidence.values()), explanation, evidence
    )


def _local_norm(network: Network) -> nn.Module:
    """The first local response normalisation of a network."""
    return next(m for m in network.module.modules() if type(m).__name__ == "LocalResponseNorm")


def _rectified(scale: float, seed: int) -> Tensor:
    """Maps (N, C, H, W) of random values of standard deviation `scale`, rectified."""
    random = torch.Generator().manual_seed(seed)
    return torch.relu(torch.randn(2, 96, 16, 16, generator=random, dtype=torch.float64)) * scale


def _neighbours_over_largest(x: Tensor, of: Tensor) -> Tensor:
    """Of each pixel of `x`, what the two channels on either side of the largest in `of` are of that; rows of 4."""
    pixels, order = (each.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for each in (x, of))
    largest = order.argmax(1)
    inner = (largest >= 2) & (largest < x.shape[1] - 2)
    pixels, largest = pixels[inner], largest[inner]
    beside = torch.stack(
        [pixels.gather(1, (largest + s)[:, None])[:, 0] for s in (-2, -1, 1, 2)], 1
    )
    return beside / pixels.gather(1, largest[:, None])
