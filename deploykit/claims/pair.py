"""Single layers, and what is said to stand for them, as networks that can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.lazy import torch

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
):
    _factory.input_shape = (CHANNELS, SIZE_PX, SIZE_PX)  # type: ignore[attr-defined]
one_3x3_of_63.input_shape = (CHANNELS - 1, SIZE_PX, SIZE_PX)  # type: ignore[attr-defined]
