"""Two 3x3 convolutions and the one 5x5 that they stand for, as networks that can be measured."""

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


def _stack(*kernels: int) -> nn.Module:
    nn = torch.nn
    layers = []
    for kernel in kernels:
        layers += [nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2), nn.ReLU()]
    return nn.Sequential(*layers)


two_3x3.input_shape = one_5x5.input_shape = (CHANNELS, SIZE_PX, SIZE_PX)  # type: ignore[attr-defined]
