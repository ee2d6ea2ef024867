"""Small networks that are trained on the digits, as proxies of what is said of large ones on ImageNet.

What holds of a proxy need not hold at scale; claims that rest on one say so. Each is trained by plain stochastic
gradient descent with momentum, on one thread, so that a seed gives the same weights every time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from deploykit.data import open_dataset
from deploykit.lazy import np, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Side of the images, which are 8 px as they come.
_SIDE_PX = 16
_CLASSES = 10
_BATCH = 32
_MOMENTUM = 0.9


class Proxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A small network and how it is trained.

    Attributes:
        kind: of its hidden layers: convolutions that keep the size, or fully connected ones.
        layers: how many of these there are; convolutions have a 2x2 pool after the first half.
        width: channels or units of each.
        kernel: of the convolutions.
        activation: after each layer.
        norm: whether each convolution is followed by batch normalisation.
        local_norm: whether each activation is followed by AlexNet's local response normalisation.
        shortcuts: whether each two convolutions after the first have an identity around them, as in residual
            blocks.
        head: what comes before the last layer: the flattened map, or its global average.
        dropout: before the last layer and between fully connected ones.
        smoothing: share of the target that is spread over all classes.
        images: of the training part that are learned; 0 is all.
        epochs: passes over these.
        rate: learning rate, constant.
    """

    kind: Literal["conv", "linear"] = "conv"
    layers: int = 2
    width: int = 8
    kernel: int = 3
    activation: Literal["relu", "sigmoid"] = "relu"
    norm: bool = False
    local_norm: bool = False
    shortcuts: bool = False
    head: Literal["flat", "average"] = "flat"
    dropout: float = 0.0
    smoothing: float = 0.0
    images: int = 0
    epochs: int = 5
    rate: float = 0.05


@dataclass(frozen=True)
class Trained:
    """What came of one training.

    Attributes:
        first_loss: mean loss over the first epoch.
        train_loss: loss on the training images at the end, without dropout.
        train_accuracy, accuracy: shares of training and test images that come out right.
        confidence: mean of the largest probability over the test images.
        probabilities: of the test images' classes, (N, 10).
        labels: right classes of the test images.
    """

    first_loss: float
    train_loss: float
    train_accuracy: float
    accuracy: float
    confidence: float
    probabilities: Tensor
    labels: Tensor

    @property
    def gap(self) -> float:
        """How much better training images come out than test images: what is called overfitting."""
        return self.train_accuracy - self.accuracy

    @property
    def overconfidence(self) -> float:
        """How much more is promised than comes out right."""
        return self.confidence - self.accuracy


@functools.cache
def trained(proxy: Proxy, seed: int) -> Trained:
    """Train a proxy from one seed, of its weights, the order of images and dropout."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _train(proxy)
    finally:
        torch.set_num_threads(threads)


def _train(proxy: Proxy) -> Trained:
    images, labels = _part("train")
    if proxy.images:
        images, labels = images[: proxy.images], labels[: proxy.images]
    network = _network(proxy)
    optimiser = torch.optim.SGD(network.parameters(), lr=proxy.rate, momentum=_MOMENTUM)
    losses: list[float] = []
    for _ in range(proxy.epochs):
        for chosen in torch.split(torch.randperm(len(images)), _BATCH):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                network(images[chosen]), labels[chosen], label_smoothing=proxy.smoothing
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
    network.eval()
    steps = -(-len(images) // _BATCH)
    test_images, test_labels = _part("test")
    with torch.no_grad():
        logits, test_logits = network(images), network(test_images)
        probabilities = test_logits.softmax(1)
        return Trained(
            first_loss=sum(losses[:steps]) / steps,
            train_loss=float(torch.nn.functional.cross_entropy(logits, labels)),
            train_accuracy=share_right(logits, labels),
            accuracy=share_right(test_logits, test_labels),
            confidence=float(probabilities.max(1).values.mean()),
            probabilities=probabilities,
            labels=test_labels,
        )


def share_right(scores: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest score is that of the label."""
    return float((scores.argmax(1) == labels).double().mean())


@functools.cache
def _part(name: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 16, 16) and labels of a part of the digits."""
    dataset = open_dataset("digits")
    part = dataset.train if name == "train" else dataset.test
    batches = list(part.batches(len(part), (1, _SIDE_PX, _SIDE_PX)))
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return torch.from_numpy(images), torch.from_numpy(labels)


def _network(proxy: Proxy) -> nn.Module:
    layers: list[nn.Module] = [] if proxy.kind == "conv" else [torch.nn.Flatten()]
    inputs = 1 if proxy.kind == "conv" else _SIDE_PX**2
    side_px = _SIDE_PX
    pairs = proxy.shortcuts and proxy.kind == "conv"
    number = 0
    while number < proxy.layers:
        # The first layer has no shortcut, and the others have one around two of them.
        if pairs and 0 < number < proxy.layers - 1:
            branch = torch.nn.Sequential(_layer(proxy, inputs), _layer(proxy, inputs, bare=True))
            layers += [_shortcut(branch), _activation(proxy)]
            number += 2
        else:
            layers.append(_layer(proxy, inputs))
            number += 1
        inputs = proxy.width
        if proxy.kind == "linear":
            layers.append(torch.nn.Dropout(proxy.dropout))
        elif side_px == _SIDE_PX and number > (proxy.layers - 1) // 2:
            layers.append(torch.nn.MaxPool2d(2))
            side_px //= 2
    if proxy.kind == "conv":
        if proxy.head == "average":
            layers.append(torch.nn.AdaptiveAvgPool2d(1))
            side_px = 1
        layers += [torch.nn.Flatten(), torch.nn.Dropout(proxy.dropout)]
        inputs *= side_px**2
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, _CLASSES))


def _activation(proxy: Proxy) -> nn.Module:
    return torch.nn.ReLU() if proxy.activation == "relu" else torch.nn.Sigmoid()


def _layer(proxy: Proxy, inputs: int, *, bare: bool = False) -> nn.Module:
    """A hidden layer with what follows it; where `bare`, without its activation."""
    if proxy.kind == "linear":
        return torch.nn.Sequential(torch.nn.Linear(inputs, proxy.width), _activation(proxy))
    parts: list[nn.Module] = [
        torch.nn.Conv2d(inputs, proxy.width, proxy.kernel, padding=proxy.kernel // 2)
    ]
    if proxy.norm:
        parts.append(torch.nn.BatchNorm2d(proxy.width))
    if not bare:
        parts.append(_activation(proxy))
        if proxy.local_norm:
            parts.append(torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
    return torch.nn.Sequential(*parts)


def _shortcut(branch: nn.Module) -> nn.Module:
    """What adds its input to what `branch` makes of it."""

    class Shortcut(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = branch

        def forward(self, x: Tensor) -> Tensor:
            added: Tensor = x + self.branch(x)
            return added

    return Shortcut()
