"""Single layers, and what is said to stand for them, as networks that can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.lazy import torch
from deploykit.spec import ModelSpec
from deploykit.zoo import create

if TYPE_CHECKING:
    from torch import nn

#: Channels in and out, and the side of the map in pixels.
CHANNELS, SIZE_PX = 64, 56


def two_3x3() -> nn.Module:
    """(N, 64, 56, 56) to the same, by two convolutions of 3x3, each with a ReLU."""
    return _stack(3, 3)


def one_5x5() -> nn.Module:
    """The same by one convolution of 5x5 with a ReLU."""
    return _stack(5)


def one_3x3() -> nn.Module:
    """The same by one convolution of 3x3 with a ReLU."""
    return _stack(3)


def row_and_column() -> nn.Module:
    """The same by a convolution of 1x3 and one of 3x1, and a ReLU."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, (1, 3), padding=(0, 1)),
        nn.Conv2d(CHANNELS, CHANNELS, (3, 1), padding=(1, 0)),
        nn.ReLU(),
    )


def eight_groups() -> nn.Module:
    """The same by one convolution of 3x3 in eight groups with a ReLU."""
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=8), nn.ReLU())


def one_3x3_of_63() -> nn.Module:
    """(N, 63, 56, 56) to the same, by one convolution of 3x3 with a ReLU."""
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(CHANNELS - 1, CHANNELS - 1, 3, padding=1), nn.ReLU())


def eight_relus() -> nn.Module:
    """(N, 64, 56, 56) to the same, by eight 1x1 depthwise convolutions with a ReLU behind each."""
    return _activations(torch.nn.ReLU)


def eight_sigmoids() -> nn.Module:
    """The same with sigmoids."""
    return _activations(torch.nn.Sigmoid)


def mostly_zeros() -> nn.Module:
    """(N, 64, 56, 56) to the same, by one convolution of 3x3 of which nine weights in ten are 0, with a ReLU."""
    network = one_3x3()
    weight = next(network.parameters())
    kept = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    weight.data *= kept
    return network


def with_norm() -> nn.Module:
    """The same by one convolution of 3x3 with batch normalisation and a ReLU."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS), nn.ReLU()
    )


def separable_3x3() -> nn.Module:
    """The same by a depthwise convolution of 3x3 and a pointwise one, with a ReLU."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 1),
        nn.ReLU(),
    )


def depthwise_3x3() -> nn.Module:
    """The same by four depthwise convolutions of 3x3."""
    return _depthwise(3)


def depthwise_1x1() -> nn.Module:
    """The same by four depthwise convolutions of 1x1, which read and write as much with a ninth of the work."""
    return _depthwise(1)


def _depthwise(kernel: int) -> nn.Module:
    nn = torch.nn
    return nn.Sequential(
        *(
            nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=CHANNELS)
            for _ in range(4)
        )
    )


def fully_connected() -> nn.Module:
    """(N, 256, 6, 6) to (N, 4096), as AlexNet's first fully connected layer: 151 MB of weights."""
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU())


def resnet18_without_relus() -> nn.Module:
    """ResNet-18 with nothing in place of its ReLUs: (N, 3, 224, 224) to (N, 1000)."""
    network = create(ModelSpec("resnet18"))
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.Identity())
    return network


def mobilenet_pointwise() -> nn.Module:
    """The 1x1 convolutions of MobileNet alone, each with its ReLU: (N, 32, 112, 112) to (N, 1024, 7, 7)."""
    nn = torch.nn
    layers: list[nn.Module] = []
    for layer in create(ModelSpec("mobilenet")).modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        if layer.kernel_size == (1, 1):
            layers += [nn.Conv2d(layer.in_channels, layer.out_channels, 1), nn.ReLU()]
        elif (
            layer.stride == (2, 2) and layers
        ):  # of the depthwise ones, the first convolution left out
            layers.append(nn.MaxPool2d(1, 2))
    return nn.Sequential(*layers)


def _activations(activation: type[nn.Module]) -> nn.Module:
    nn = torch.nn
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Conv2d(CHANNELS, CHANNELS, 1, groups=CHANNELS), activation()]
    return nn.Sequential(*layers)


def _stack(*kernels: int) -> nn.Module:
    nn = torch.nn
    layers = []
    for kernel in kernels:
        layers += [nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2), nn.ReLU()]
    return nn.Sequential(*layers)


for _factory in (
    two_3x3,
    one_5x5,
    one_3x3,
    row_and_column,
    eight_groups,
    eight_relus,
    eight_sigmoids,
    mostly_zeros,
    with_norm,
    separable_3x3,
    depthwise_3x3,
    depthwise_1x1,
):
    _factory.input_shape = (CHANNELS, SIZE_PX, SIZE_PX)  # type: ignore[attr-defined]
one_3x3_of_63.input_shape = (CHANNELS - 1, SIZE_PX, SIZE_PX)  # type: ignore[attr-defined]
fully_connected.input_shape = (256, 6, 6)  # type: ignore[attr-defined]
resnet18_without_relus.input_shape = (3, 224, 224)  # type: ignore[attr-defined]
mobilenet_pointwise.input_shape = (32, 112, 112)  # type: ignore[attr-defined]
