"""ZFNet: Zeiler and Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901, Fig. 3.

AlexNet with a 7x7 first layer at stride 2 and one tower. Where the figure leaves a choice, the one that makes
its map sizes (110, 55, 26, 13, 6) is taken: padding 1 first, none second, pools that round up. The contrast
normalisation after the first two pools has AlexNet's constants, the paper naming none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import GridPool, LocalResponseNorm


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
