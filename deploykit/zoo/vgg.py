"""VGG: Simonyan and Zisserman, arXiv 1409.1556, table 1, configurations A, A-LRN, B, C, D and E.

Keys are torchvision's, the variants with batch normalisation too, which the paper doesn't have; A-LRN and C, which
torchvision doesn't have, are numbered in the same way. A-LRN normalises after its first convolution, with AlexNet's
constants (section 2.1). Inputs other than 224 px are pooled to the 7x7 grid that the first linear layer expects.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import GridPool, LocalResponseNorm

#: Convolutions before each of the five pools; the widths are 64, 128, 256, 512, 512.
_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Stacks of 3x3 convolutions, each ended by a 2x2 pool, then three linear layers.

    Args:
        depth: layers with weights: 11 (A), 13 (B), 16 (C and D) or 19 (E).
        num_classes: number of logits.
        batch_norm: whether each convolution is normalised.
        response_norm: whether the first one's responses are.
        kernel_of_third: of the third convolution of a stack: C has 1, D has 3.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        batch_norm: bool = False,
        response_norm: bool = False,
        kernel_of_third: int = 3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, repeats in zip(_WIDTHS, _DEPTHS[depth], strict=True):
            for place in range(repeats):
                kernel = kernel_of_third if place == 2 else 3
                layers.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                if response_norm and channels == 3:
                    layers.append(LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = GridPool(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the images `x`."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def vgg11(*, num_classes: int = 1000) -> nn.Module:
    """Configuration A: 8 convolutions."""
    return VGG(11, num_classes)


def vgg11_lrn(*, num_classes: int = 1000) -> nn.Module:
    """Configuration A-LRN: A with local response normalisation after its first convolution."""
    return VGG(11, num_classes, response_norm=True)


def vgg13(*, num_classes: int = 1000) -> nn.Module:
    """Configuration B: 10 convolutions."""
    return VGG(13, num_classes)


def vgg16_c(*, num_classes: int = 1000) -> nn.Module:
    """Configuration C: 13 convolutions, the third of each stack of three 1x1."""
    return VGG(16, num_classes, kernel_of_third=1)


def vgg16(*, num_classes: int = 1000) -> nn.Module:
    """Configuration D: 13 convolutions."""
    return VGG(16, num_classes)


def vgg19(*, num_classes: int = 1000) -> nn.Module:
    """Configuration E: 16 convolutions."""
    return VGG(19, num_classes)


def vgg11_bn(*, num_classes: int = 1000) -> nn.Module:
    """Configuration A with batch normalisation."""
    return VGG(11, num_classes, batch_norm=True)


def vgg13_bn(*, num_classes: int = 1000) -> nn.Module:
    """Configuration B with batch normalisation."""
    return VGG(13, num_classes, batch_norm=True)


def vgg16_bn(*, num_classes: int = 1000) -> nn.Module:
    """Configuration D with batch normalisation."""
    return VGG(16, num_classes, batch_norm=True)


def vgg19_bn(*, num_classes: int = 1000) -> nn.Module:
    """Configuration E with batch normalisation."""
    return VGG(19, num_classes, batch_norm=True)
