"""Networks that end in a 1x1 convolution and a global average: Network in Network, SqueezeNet.

`nin`: Lin, Chen, Yan, arXiv 1312.4400. The paper has CIFAR and MNIST networks only; this is the ImageNet one that
its authors released for Caffe: four blocks of a convolution and two 1x1 convolutions. Pools round down here, 224 px
giving maps of 54, 26, 12 and 5.

`squeezenet1_0`: Iandola et al., arXiv 1602.07360, table 1 and Fig. 2 (left); 1.1 is the authors' later release.
Keys and pooling follow torchvision: pools round up, the last convolution has no padding, its ReLU precedes
the global average. (The Caffe release of 1.0 takes 227 px and pads conv10 by 1.)
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


class Fire(nn.Module):
    """Squeeze by a 1x1 convolution, expand by 1x1 and 3x3 side by side."""

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 2 * expand, H, W)."""
        x = self.squeeze_activation(self.squeeze(x))
        narrow = self.expand1x1_activation(self.expand1x1(x))
        wide = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([narrow, wide], 1)


class SqueezeNet(nn.Module):
    """A first convolution, fire modules with pools among them, and a 1x1 convolution as the classifier."""

    def __init__(self, features: list[nn.Module], num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Conv2d(512, num_classes, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the images `x`; never negative, as the last ReLU makes them."""
        return torch.flatten(self.classifier(self.features(x)), 1)


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def squeezenet1_0(*, num_classes: int = 1000) -> nn.Module:
    """SqueezeNet of the paper: 7x7 first, pools after conv1, fire4 and fire8."""
    return SqueezeNet(
        [
            nn.Conv2d(3, 96, 7, stride=2),
            nn.ReLU(inplace=True),
            _pool(),
            Fire(96, 16, 64),
            Fire(128, 16, 64),
            Fire(128, 32, 128),
            _pool(),
            Fire(256, 32, 128),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            _pool(),
            Fire(512, 64, 256),
        ],
        num_classes,
    )


def squeezenet1_1(*, num_classes: int = 1000) -> nn.Module:
    """SqueezeNet 1.1: 3x3 first with fewer filters, earlier pools, 2.4 times less work."""
    return SqueezeNet(
        [
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(inplace=True),
            _pool(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            _pool(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            _pool(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        ],
        num_classes,
    )
