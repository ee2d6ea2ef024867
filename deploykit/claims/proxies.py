"""Small networks that are trained, as proxies of what is said of large ones on ImageNet.

What holds of a proxy need not hold at scale; claims that rest on one say so. Each is trained by plain
stochastic gradient descent with momentum, on one thread, so that a seed gives the same weights every time. The
digits come with the package; Fashion-MNIST has to be there, see `deploykit.data`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from deploykit.data import open_dataset
from deploykit.lazy import np, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

_CLASSES = 10
_BATCH = 32
_MOMENTUM = 0.9
#: Images that are judged at a time, and those of a training part that are looked at: the first ones.
_JUDGED, _POOL = 250, 20_000


class Proxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A small network and how it is trained.

    Attributes:
        kind: of its hidden layers: convolutions that keep the size, fully connected ones, or Inception modules of
            three branches (1x1, 3x3, and two of 3x3).
        layers: how many of these there are; convolutions and modules have a 2x2 pool after the first half.
        width: channels or units of each.
        kernel: of the convolutions.
        activation: after each layer.
        norm: whether each convolution is followed by batch normalisation.
        local_norm: whether each activation is followed by AlexNet's local response normalisation.
        shortcuts: whether each two convolutions after the first have an identity around them, as in residual
            blocks; or each module after the first.
        head: what comes before the last layer: the flattened map, or its global average.
        dropout: before the last layer and between fully connected ones.
        smoothing: share of the target that is spread over all classes.
        dataset: the images, of one channel.
        side_px: that they are scaled to.
        canvas_px: side of the blank square on which each is put at a place drawn at random; 0 is none.
        classes: those that are learned and judged: all, the first five, or the others.
        images: of the training part that are learned, the first ones; 0 is all.
        images_per_class: the same of each class, drawn by the seed; 0 is no such limit.
        start: what was trained before, with the same seed: hidden layers start with the weights of the layers at
            the same places where these are alike.
        epochs: passes over these.
        rate: learning rate, constant.
    """

    kind: Literal["conv", "linear", "inception"] = "conv"
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
    dataset: Literal["digits", "fashion-mnist"] = "digits"
    side_px: int = 16
    canvas_px: int = 0
    classes: Literal["all", "first", "second"] = "all"
    images: int = 0
    images_per_class: int = 0
    start: Proxy | None = None
    epochs: int = 5
    rate: float = 0.05


@dataclass(frozen=True)
class Trained:
    """What came of one training.

    Attributes:
        losses: of each step, in order.
        steps: of one epoch.
        first_gradient: norm of the gradient of the first layer's weights over that of the last layer's, each per
            weight: the geometric mean over the steps of the first epoch.
        train_loss: loss on the training images at the end, without dropout.
        train_accuracy, accuracy: shares of training and test images that come out right.
        confidence: mean of the largest probability over the test images.
        probabilities: of the test images' classes, (N, classes).
        labels: right classes of the test images.
        weights: of the network at the end, by name.
    """

    losses: Tensor
    steps: int
    first_gradient: float
    train_loss: float
    train_accuracy: float
    accuracy: float
    confidence: float
    probabilities: Tensor
    labels: Tensor
    weights: Mapping[str, Tensor]

    @property
    def first_loss(self) -> float:
        """Mean loss over the first epoch."""
        return float(self.losses[: self.steps].mean())

    @property
    def last_loss(self) -> float:
        """Mean loss over the last epoch."""
        return float(self.losses[-self.steps :].mean())

    @property
    def gap(self) -> float:
        """How much better training images come out than test images: what is called overfitting."""
        return self.train_accuracy - self.accuracy

    @property
    def overconfidence(self) -> float:
        """How much more is promised than comes out right."""
        return self.confidence - self.accuracy


def train(proxy: Proxy, seed: int, start: Mapping[str, Tensor] | None = None) -> Trained:
    """Train a proxy from one seed, of its weights, the order and choice of images and dropout.

    Args:
        proxy: the network, and how.
        seed: the same gives the same weights.
        start: weights of what `proxy.start` came to.

    Raises:
        MissingDependency: the data set is not to be had.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _train(proxy, start or {})
    finally:
        torch.set_num_threads(threads)


def _train(proxy: Proxy, start: Mapping[str, Tensor]) -> Trained:
    images, labels = _learned(proxy)
    network = make(proxy)
    _take_over(network, start)
    optimiser = torch.optim.SGD(network.parameters(), lr=proxy.rate, momentum=_MOMENTUM)
    weights = [p for p in network.parameters() if p.dim() > 1]
    losses: list[float] = []
    ratios: list[float] = []
    steps = -(-len(images) // _BATCH)
    for _ in range(proxy.epochs):
        for chosen in torch.split(torch.randperm(len(images)), _BATCH):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                network(images[chosen]), labels[chosen], label_smoothing=proxy.smoothing
            )
            loss.backward()  # type: ignore[no-untyped-call]
            if len(losses) < steps:
                ratios.append(_gradient(weights[0]) / _gradient(weights[-1]))
            optimiser.step()
            losses.append(float(loss.detach()))
    network.eval()
    test_images, test_labels, _ = part_of(proxy, "test")
    logits, test_logits = _judged(network, images), _judged(network, test_images)
    probabilities = test_logits.softmax(1)
    return Trained(
        losses=torch.tensor(losses, dtype=torch.float64),
        steps=steps,
        first_gradient=math.exp(sum(map(math.log, ratios)) / len(ratios)),
        train_loss=float(torch.nn.functional.cross_entropy(logits, labels)),
        train_accuracy=share_right(logits, labels),
        accuracy=share_right(test_logits, test_labels),
        confidence=float(probabilities.max(1).values.mean()),
        probabilities=probabilities,
        labels=test_labels,
        weights={name: value.clone() for name, value in network.state_dict().items()},
    )


def _gradient(weight: nn.Parameter) -> float:
    """Root of the mean square of a weight's gradient, and no less than what float32 can tell from 0."""
    assert weight.grad is not None
    return max(float(weight.grad.square().mean().sqrt()), 1e-30)


def _take_over(network: nn.Module, start: Mapping[str, Tensor]) -> None:
    """Start the hidden layers with weights that have their names and shapes; the last layer stays as it is."""
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in start.items()
        if name.startswith("hidden") and name in own and own[name].shape == value.shape
    }
    network.load_state_dict(fitting, strict=False)


def _judged(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(some) for some in torch.split(images, _JUDGED)])


def share_right(scores: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest score is that of the label."""
    return float((scores.argmax(1) == labels).double().mean())


def _learned(proxy: Proxy) -> tuple[Tensor, Tensor]:
    """The images to train on, and their labels."""
    images, labels, _ = part_of(proxy, "train")
    if proxy.images_per_class:
        order = torch.randperm(len(labels))
        of_each = [
            order[labels[order] == label][: proxy.images_per_class]
            for label in sorted(set(labels.tolist()))
        ]
        chosen = torch.cat(of_each)
        return images[chosen], labels[chosen]
    return (images[: proxy.images], labels[: proxy.images]) if proxy.images else (images, labels)


def part_of(proxy: Proxy, name: Literal["train", "test"]) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, 1, side, side), labels, and upper left corners on the canvas (N, 2), of what a proxy sees."""
    images, labels = _part(proxy.dataset, name, proxy.side_px)
    if proxy.classes != "all":
        first = labels < _CLASSES // 2
        chosen = first if proxy.classes == "first" else ~first
        images, labels = images[chosen], labels[chosen] % (_CLASSES // 2)
    corners = torch.zeros(len(images), 2, dtype=torch.long)
    if proxy.canvas_px:
        generator = torch.Generator().manual_seed(int(name == "test"))
        corners = torch.randint(
            proxy.canvas_px - proxy.side_px + 1, (len(images), 2), generator=generator
        )
        blank = torch.full((len(images), 1, proxy.canvas_px, proxy.canvas_px), float(images.min()))
        for canvas, image, (y, x) in zip(blank, images, corners.tolist(), strict=True):
            canvas[:, y : y + proxy.side_px, x : x + proxy.side_px] = image
        images = blank
    return images, labels, corners


@functools.cache
def _part(dataset: str, name: Literal["train", "test"], side_px: int) -> tuple[Tensor, Tensor]:
    opened = open_dataset(dataset)
    part = opened.train if name == "train" else opened.test
    limit = min(len(part), _POOL)
    batches = list(part.batches(limit, (1, side_px, side_px), limit))
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return torch.from_numpy(images), torch.from_numpy(labels)


def make(proxy: Proxy, weights: Mapping[str, Tensor] | None = None) -> nn.Sequential:
    """The network of a proxy: (N, 1, side, side) to (N, classes), with these weights or random ones.

    Its hidden layers are called hidden0, hidden1 and so on, its last layer "classes".
    """
    nn = torch.nn
    whole_px = side_px = proxy.canvas_px or proxy.side_px
    network = nn.Sequential()
    linear = proxy.kind == "linear"
    if linear:
        network.append(nn.Flatten())
    inputs = side_px**2 if linear else 1
    number = 0
    while number < proxy.layers:
        # The first layer has no shortcut, and the others have one around two of them, or around a module.
        name, spans = f"hidden{number}", 1
        if not proxy.shortcuts or linear or not number:
            network.add_module(name, _layer(proxy, inputs))
        elif proxy.kind == "inception":
            # As in Inception-ResNet: a 1x1 convolution without an activation before the addition, which follows it.
            expansion = _layer(
                msgspec.structs.replace(proxy, kind="conv", kernel=1), inputs, bare=True
            )
            branch = nn.Sequential(_layer(proxy, inputs), expansion)
            network.add_module(name, nn.Sequential(_shortcut(branch), _activation(proxy)))
        elif number < proxy.layers - 1:
            branch = nn.Sequential(_layer(proxy, inputs), _layer(proxy, inputs, bare=True))
            network.add_module(name, nn.Sequential(_shortcut(branch), _activation(proxy)))
            spans = 2
        else:
            network.add_module(name, _layer(proxy, inputs))
        number += spans
        inputs = proxy.width
        if linear:
            network.append(nn.Dropout(proxy.dropout))
        elif side_px == whole_px and number > (proxy.layers - 1) // 2:
            network.append(nn.MaxPool2d(2))
            side_px //= 2
    if not linear:
        if proxy.head == "average":
            network.append(nn.AdaptiveAvgPool2d(1))
            side_px = 1
        network.append(nn.Flatten()).append(nn.Dropout(proxy.dropout))
        inputs *= side_px**2
    classes = _CLASSES if proxy.classes == "all" else _CLASSES // 2
    network.add_module("classes", nn.Linear(inputs, classes))
    if weights is not None:
        network.load_state_dict(dict(weights))
    return network


def _activation(proxy: Proxy) -> nn.Module:
    return torch.nn.ReLU() if proxy.activation == "relu" else torch.nn.Sigmoid()


def _layer(proxy: Proxy, inputs: int, *, bare: bool = False) -> nn.Module:
    """A hidden layer with what follows it; where `bare`, without its activation."""
    nn = torch.nn
    if proxy.kind == "linear":
        return nn.Sequential(nn.Linear(inputs, proxy.width), _activation(proxy))
    if proxy.kind == "inception":
        return _module(proxy, inputs)
    parts: list[nn.Module] = [
        nn.Conv2d(inputs, proxy.width, proxy.kernel, padding=proxy.kernel // 2)
    ]
    if proxy.norm:
        parts.append(nn.BatchNorm2d(proxy.width))
    if not bare:
        parts.append(_activation(proxy))
        if proxy.local_norm:
            parts.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
    return nn.Sequential(*parts)


def _module(proxy: Proxy, inputs: int) -> nn.Module:
    """An Inception module: a quarter of the channels from 1x1, half from 3x3, a quarter from two of 3x3."""
    one, two = proxy.width // 4, proxy.width // 2

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            narrow = msgspec.structs.replace(proxy, kind="conv", width=one)
            point = msgspec.structs.replace(narrow, kernel=1)
            wide = msgspec.structs.replace(narrow, width=two)
            rest = msgspec.structs.replace(narrow, width=proxy.width - one - two)
            self.branches = torch.nn.ModuleList(
                [
                    _layer(point, inputs),
                    torch.nn.Sequential(_layer(point, inputs), _layer(wide, one)),
                    torch.nn.Sequential(
                        _layer(point, inputs), _layer(narrow, one), _layer(rest, one)
                    ),
                ]
            )

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([branch(x) for branch in self.branches], 1)

    return Module()


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
