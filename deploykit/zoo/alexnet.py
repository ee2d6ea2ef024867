"""AlexNet, twice.

`alexnet`: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks",
2012, Fig. 2: two halves (groups=2 in the second, fourth and fifth convolution), local response
normalisation after the first two ReLUs (section 3.3: n=5, k=2, alpha=1e-4, beta=0.75; PyTorch divides alpha
by n, the paper doesn't, hence 5e-4), overlapping 3x3 pools. 227 px make the 55x55 map that the paper
states; its 224 do not.

`alexnet_owt`: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, the
single-tower 64-192-384-256-256 variant without normalisation, which torchvision calls alexnet and whose keys
these are.

Both pool to 6x6 before the linear layers when another input size makes another map.
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
    features = nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(inplace=True),
        LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        LocalResponseNorm(5, alpha=5e-4, beta=0.75, bias=2.0),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )
    return AlexNet(features, num_classes)


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
