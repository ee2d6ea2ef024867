"""What is looked at of a trained proxy: where its class activation maps peak, and how its loss bends around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from deploykit.claims.proxies import Proxy, part_of
from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Images that the loss is taken over, and steps along a direction from -1 to 1 times its length.
_IMAGES, _STEPS = 200, 11
_JUDGED = 500


class Located(NamedTuple):
    """Where class activation maps peak.

    Attributes:
        share_inside: of the images, those whose map peaks on the object.
        deviation: largest difference of a map's mean, with the bias, from the logit, over the largest logit.
    """

    share_inside: float
    deviation: float


def activation_maps(
    network: nn.Sequential, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """The maps (N, side, side) of the class that each label names, and the network's logits.

    Args:
        network: a proxy with a global average before its last layer, called "classes".
        images: (N, 1, side, side).
        labels: (N,).
    """
    modules = dict(network.named_children())
    names = list(modules)
    average = next(n for n in names if isinstance(modules[n], torch.nn.AdaptiveAvgPool2d))
    features = network[: names.index(average)]
    classes = modules["classes"]
    assert isinstance(classes, torch.nn.Linear)
    with torch.no_grad():
        values = torch.cat([features(some) for some in torch.split(images, _JUDGED)])
        maps = torch.einsum("nc,nchw->nhw", classes.weight[labels], values)
        logits = torch.cat([network(some) for some in torch.split(images, _JUDGED)])
    return maps, logits


def located(
    network: nn.Sequential, images: Tensor, labels: Tensor, corners: Tensor, side_px: int
) -> Located:
    """How often maps peak within the square of `side_px` whose upper left corner is at `corners` (N, 2)."""
    maps, logits = activation_maps(network, images, labels)
    bias = network.get_parameter("classes.bias").detach()
    expected = logits.gather(1, labels[:, None])[:, 0]
    deviation = (maps.mean((1, 2)) + bias[labels] - expected).abs().max() / logits.abs().max()
    peaks = maps.flatten(1).argmax(1)
    cell_px = images.shape[-1] / maps.shape[-1]
    places = torch.stack([peaks // maps.shape[-1], peaks % maps.shape[-1]], 1)
    middles = (places + 0.5) * cell_px
    inside = ((middles >= corners) & (middles < corners + side_px)).all(1)
    return Located(float(inside.double().mean()), float(deviation))


def loss_along(proxy: Proxy, network: nn.Module, seed: int) -> Tensor:
    """Training losses at steps from -1 to 1 along one random direction from where a proxy's network is.

    Each filter of the direction has the norm of the network's own filter; biases and normalisation stay. Statistics
    of normalisation are those of the images, as while training.
    """
    images, labels, _ = part_of(proxy, "train")
    images, labels = images[:_IMAGES], labels[:_IMAGES]
    generator = torch.Generator().manual_seed(seed)
    weights = [p for p in network.parameters() if p.dim() > 1]
    directions = []
    for weight in weights:
        random = torch.randn(weight.shape, generator=generator)
        norms = weight.detach().flatten(1).norm(dim=1) / random.flatten(1).norm(dim=1)
        directions.append(random * norms.reshape(-1, *[1] * (weight.dim() - 1)))
    before = [weight.detach().clone() for weight in weights]
    network.train()
    losses = []
    with torch.no_grad():
        for step in torch.linspace(-1, 1, _STEPS):
            for weight, start, direction in zip(weights, before, directions, strict=True):
                weight.copy_(start + step * direction)
            losses.append(torch.nn.functional.cross_entropy(network(images), labels))
        for weight, start in zip(weights, before, strict=True):
            weight.copy_(start)
    return torch.stack(losses)


def roughness(proxy: Proxy, network: nn.Module, directions: int, seed: int) -> float:
    """Largest second difference of the loss along a direction over its range, the mean over directions."""
    found = []
    for number in range(directions):
        losses = loss_along(proxy, network, 1000 * seed + number)
        span = losses.max() - losses.min()
        found.append(float(losses.diff(n=2).abs().max() / span))
    return sum(found) / len(found)
