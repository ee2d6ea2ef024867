"""Claims about what gradients pass through: shortcuts, normalisation, many layers, biases, windows."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from deploykit.claims.check import check
from deploykit.claims.checks.stacks import seen_px
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, listed
from deploykit.figures import significant
from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chain of convolutions, and whether its gradients should stay within bounds by what is stated.

    Attributes:
        shortcuts: whether each convolution has one around it.
        normalised: whether each convolution is followed by batch normalisation.
        stays: what the statement implies: that the gradient neither vanishes nor explodes, or that it does.
    """

    shortcuts: bool
    normalised: bool
    stays: bool


@check
def gradient_through_chains(
    chains: Mapping[str, Chain], layers: int, seeds: int, within: float
) -> Outcome:
    """Norm of the gradient at the input over that at the output of chains of convolutions, before training.

    It stays where the ratio is between 1 / `within` and `within`; medians over `seeds` drawings after He.
    """
    ratios = {
        name: statistics.median(
            _through(chain.shortcuts, chain.normalised, layers, seed) for seed in range(seeds)
        )
        for name, chain in chains.items()
    }
    parts = [
        PartResult(name, (1 / within <= ratios[name] <= within) == chain.stays)
        for name, chain in chains.items()
    ]
    evidence: dict[str, Value] = {
        f"gradient in/out({name})": float(f"{ratio:.3g}") for name, ratio in ratios.items()
    }
    said = listed(f"{significant(ratio, 2)} ({name})" for name, ratio in ratios.items())
    explanation = (
        f"Through {layers} convolutions with ReLUs, before any training, the norm of the gradient changes by "
        "the factors "
        f"{said}. From 1/{within:g} to {within:g} counts as neither vanished nor exploded."
    )
    return Outcome(parts, next(iter(ratios.values())), explanation, evidence)


@functools.cache
def _through(shortcuts: bool, normalised: bool, layers: int, seed: int) -> float:
    random = torch.Generator().manual_seed(seed)
    image = torch.randn(4, 8, 6, 6, generator=random, dtype=torch.float64, requires_grad=True)
    x: Tensor = image
    for _ in range(layers):
        weight = torch.empty(8, 8, 3, 3, dtype=torch.float64)
        torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
        y = torch.nn.functional.conv2d(x, weight, padding=1)
        if normalised:
            y = torch.nn.functional.batch_norm(y, None, None, training=True)
        x = torch.relu(y + x) if shortcuts else torch.relu(y)
    upstream = torch.randn(x.shape, generator=random, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(x, image, upstream)
    return float(gradient.norm() / upstream.norm())


@check
def shortcut_passes_gradient(stated: Stated, margin: Margin, seed: int) -> Outcome:
    """Whether a shortcut passes the stated share of the gradient on unchanged, around a branch that adds nothing.

    Without an activation after the addition, and with the ReLU that residual networks have there.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 8, 10, 10, generator=random, requires_grad=True)
    upstream = torch.randn(x.shape, generator=random)
    weight = torch.zeros(8, 8, 3, 3)

    def passed(rectified: bool) -> float:
        y = torch.nn.functional.conv2d(x, weight, padding=1) + x
        (gradient,) = torch.autograd.grad(torch.relu(y) if rectified else y, x, upstream)
        return float((gradient == upstream).double().mean())

    shares = {"addition alone": passed(False), "addition and ReLU": passed(True)}
    parts = [PartResult(name, margin.agrees(found, stated)) for name, found in shares.items()]
    evidence: dict[str, Value] = {f"share({n})": round(found, 4) for n, found in shares.items()}
    explanation = (
        f"Past the addition alone {shares['addition alone']:.0%} of the gradient arrives unchanged. With the ReLU "
        f"that follows it in residual networks {shares['addition and ReLU']:.0%} does: where the sum is negative "
        "nothing comes through."
    )
    return Outcome(parts, shares["addition alone"], explanation, evidence)


@check
def gradient_regardless_of_bias(biases: tuple[float, float], seed: int) -> Outcome:
    """Whether the gradient at a convolution's input is the same for two biases, without and with a ReLU behind."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 9, 9, generator=random, requires_grad=True)
    weight = torch.randn(6, 4, 3, 3, generator=random)
    upstream = torch.randn(2, 6, 7, 7, generator=random)

    def gradient(bias: float, rectified: bool) -> Tensor:
        y = torch.nn.functional.conv2d(x, weight, torch.full((6,), bias))
        return torch.autograd.grad(torch.relu(y) if rectified else y, x, upstream)[0]

    changed = {
        name: float(
            (gradient(biases[0], rectified) != gradient(biases[1], rectified)).double().mean()
        )
        for name, rectified in (("convolution alone", False), ("with a ReLU", True))
    }
    parts = [PartResult(name, share == 0) for name, share in changed.items()]
    evidence: dict[str, Value] = {f"share changed({n})": round(s, 4) for n, s in changed.items()}
    explanation = (
        f"From a bias of {biases[0]:g} to one of {biases[1]:g}, {changed['convolution alone']:.0%} of the "
        "gradient at the "
        f"input changes without an activation, and {changed['with a ReLU']:.0%} with a ReLU, since the bias "
        "moves which of its outputs are above zero."
    )
    return Outcome(parts, changed["convolution alone"], explanation, evidence)


@check
def window_seen(windows: Mapping[str, int]) -> Outcome:
    """Whether one output of a convolution depends on a square of the stated side, by gradients, for each kernel."""
    seen = {kernel: seen_px([int(kernel)])[0] for kernel in windows}
    parts = [PartResult(f"{k}x{k}", seen[k] == side) for k, side in windows.items()]
    evidence: dict[str, Value] = {f"side({k}x{k})": side for k, side in seen.items()}
    said = listed(f"{side}x{side} for {k}x{k}" for k, side in seen.items())
    explanation = (
        f"Inputs with a gradient of one output of a convolution form a full square: {said}."
    )
    return Outcome(parts, ", ".join(map(str, seen.values())), explanation, evidence)


@check
def residual_scaling(
    network: Network,
    lowest: float,
    highest: float,
    scales: Mapping[str, bool],
    blocks: int,
    bounded: float,
    seed: int,
) -> Outcome:
    """Scales of the residual modules of `network`, and how activations grow over blocks at each of some scales.

    `scales` say for each scale whether activations should stay bounded, growing at most `bounded` times over
    `blocks` residual blocks without normalisation, before training.
    """
    used = [
        scale
        for module in network.module.modules()
        if isinstance(scale := getattr(module, "scale", None), float)
    ]
    growth = {scale: _growth(float(scale), blocks, seed) for scale in scales}
    inside = [lowest <= scale <= highest for scale in used]
    parts = [PartResult("scales of the network", bool(used) and all(inside))]
    parts += [
        PartResult(
            f"scale {scale} is {'stable' if stable else 'not stable'}",
            (growth[scale] <= bounded) == stable,
        )
        for scale, stable in scales.items()
    ]
    evidence: dict[str, Value] = {"scales": " ".join(f"{scale:g}" for scale in dict.fromkeys(used))}
    evidence |= {f"growth(scale {scale})": float(f"{g:.3g}") for scale, g in growth.items()}
    said = listed(f"{significant(g, 2)} times at scale {scale}" for scale, g in growth.items())
    explanation = (
        f"{sum(inside)} of {len(used)} residual modules of {network.name} are scaled by {lowest:g} to "
        f"{highest:g} (all: "
        f"{evidence['scales']}). Over {blocks} blocks without normalisation activations grow {said}."
    )
    return Outcome(parts, str(evidence["scales"]), explanation, evidence)


def _growth(scale: float, blocks: int, seed: int) -> float:
    """How many times the root mean square grows over residual blocks with weights after He."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 16, 8, 8, generator=random, dtype=torch.float64)
    before = x.square().mean().sqrt()
    for _ in range(blocks):
        weight = torch.empty(16, 16, 3, 3, dtype=torch.float64)
        torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
        x = x + scale * torch.nn.functional.conv2d(torch.relu(x), weight, padding=1)
    return float(x.square().mean().sqrt() / before)
