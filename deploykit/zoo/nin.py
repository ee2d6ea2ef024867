"""Network in Network: Lin, Chen, Yan, arXiv 1312.4400.

The paper has CIFAR and MNIST networks only; this is the ImageNet one that its authors released for Caffe: four
blocks of a convolution and two 1x1 convolutions, a global average in place of linear layers. Pools round
down here, 224 px giving maps of 54, 26, 12 and 5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NiN(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _mlpconv(3, (96, 96, 96), 11, stride=4, padding=0),
            nn.MaxPool2d(3, stride=2),
            _mlpconv(96, (256, 256, 256), 5, stride=1, padding=2),
            nn.MaxPool2d(3, stride=2),
            _mlpconv(256, (384, 384, 384), 3, stride=1, padding=1),
            nn.MaxPool2d(3, stride=2),
            nn.Dropout(0.5),
            _mlpconv(384, (1024, 1024, num_classes), 3, stride=1, padding=1),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`; never negative, as the last ReLU makes them."""
        return torch.flatten(self.features(x), 1)


def _mlpconv(
    in_channels: int, widths: tuple[int, int, int], kernel: int, *, stride: int, padding: int
) -> nn.Sequential:
    """A convolution and a two-layer perceptron that slides over the map with it."""
    first, second, third = widths
    return nn.Sequential(
        nn.Conv2d(in_channels, first, kernel, stride, padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(first, second, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(second, third, 1),
        nn.ReLU(inplace=True),
    )


def nin(*, num_classes: int = 1000) -> nn.Module:
    """The ImageNet Network in Network."""
    return NiN(num_classes)
