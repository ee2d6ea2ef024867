"""AlexNet, three times, and ZFNet.

`alexnet`: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks",
2012, Fig. 2: two halves (groups=2 in the second, fourth and fifth convolution), local response
normalisation after the first two ReLUs (section 3.3: n=5, k=2, alpha=1e-4, beta=0.75; PyTorch divides alpha
by n, the paper doesn't, hence 5e-4), overlapping 3x3 pools. 227 px make the 55x55 map that the paper
states; its 224 do not.

`alexnet_one_tower`: the same without groups, as it is drawn and built wherever one device holds it.

`alexnet_owt`: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, the
single-tower 64-192-384-256-256 variant without normalisation, which torchvision calls alexnet and whose keys
these are.

`zfnet`: Zeiler and Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901, Fig. 3:
AlexNet with a 7x7 first layer at stride 2 and one tower. Where the figure leaves a choice, the one that makes
its map sizes (110, 55, 26, 13, 6) is taken: padding 1 first, none second, pools that round up. The contrast
normalisation after the first two pools has AlexNet's constants, the paper naming none.

All pool to 6x6 before the linear layers when another input size makes another map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import GridPool, LocalResponseNorm


class AlexNet(nn.Module):
    """Five convolutions in `features`, a 6x6 grid of 256 channels, three linear layers."""

    def __init__(self, features: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = GridPool(6)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the images `x`."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def alexnet(*, num_classes: int = 1000) -> nn.Module:
    """The grouped network of 2012."""
    return AlexNet(_features_of_2012(2), num_classes)


def alexnet_one_tower(*, num_classes: int = 1000) -> nn.Module:
    """The network of 2012 whose convolutions see all channels."""
    return AlexNet(_features_of_2012(1), num_classes)


def _features_of_2012(groups: int) -> nn.Sequential:
    """Fig. 2's convolutions, the second, fourth and fifth in `groups`."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(inplace=True),
        LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=groups),
        nn.ReLU(inplace=True),
        LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=groups),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=groups),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )


def alexnet_owt(*, num_classes: int = 1000) -> nn.Module:
    """The single-tower network of 2014, as torchvision has it."""
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )
    return AlexNet(features, num_classes)


class ZFNet(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes); maps other than 6x6 are pooled to that."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = GridPool(6)
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def zfnet(*, num_classes: int = 1000) -> nn.Module:
    """ZFNet with 384-384-256 in its last three convolutions."""
    return ZFNet(num_classes)
