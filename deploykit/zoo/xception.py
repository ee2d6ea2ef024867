"""Xception: Chollet, arXiv 1610.02357, Fig. 5.

Keys are those of timm's legacy_xception. The first two convolutions are not padded, as in the Keras release;
nothing stands between a depthwise and its pointwise convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn


class SeparableConv(nn.Module):
    """3x3 per channel, then 1x1 across, without anything between."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return self.pointwise(self.conv1(x))


class XceptionBlock(nn.Module):
    """ReLU, separable convolution, norm for each of `widths`, and a shortcut.

    Args:
        inputs: number of channels in.
        widths: channels out of each separable convolution.
        halve: whether a pool and a projected shortcut halve the size.
        relu_first: whether the first separable convolution has a ReLU before it.
    """

    def __init__(
        self, inputs: int, widths: tuple[int, ...], *, halve: bool, relu_first: bool = True
    ) -> None:
        super().__init__()
        self.skip = self.skipbn = None
        if halve:
            self.skip = nn.Conv2d(inputs, widths[-1], 1, 2, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            if index or relu_first:
                # The input is needed again for the shortcut and must not be overwritten.
                layers.append(nn.ReLU(inplace=bool(index)))
            layers += [SeparableConv(inputs, width), nn.BatchNorm2d(width)]
            inputs = width
        if halve:
            layers.append(nn.MaxPool2d(3, 2, 1))
        self.rep = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, widths[-1], H', W')."""
        if self.skip is not None and self.skipbn is not None:
            return self.rep(x) + self.skipbn(self.skip(x))
        return self.rep(x) + x


class Xception(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes): entry, middle (eight times) and exit flow."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.block1 = XceptionBlock(64, (128, 128), halve=True, relu_first=False)
        self.block2 = XceptionBlock(128, (256, 256), halve=True)
        self.block3 = XceptionBlock(256, (728, 728), halve=True)
        for number in range(4, 12):
            self.add_module(f"block{number}", XceptionBlock(728, (728, 728, 728), halve=False))
        self.block12 = XceptionBlock(728, (728, 1024), halve=True)
        self.conv3 = SeparableConv(1024, 1536)
        self.bn3 = nn.BatchNorm2d(1536)
        self.conv4 = SeparableConv(1536, 2048)
        self.bn4 = nn.BatchNorm2d(2048)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        for number in range(1, 13):
            x = self.get_submodule(f"block{number}")(x)
        x = F.relu(self.bn3(self.conv3(x)), inplace=True)
        x = F.relu(self.bn4(self.conv4(x)), inplace=True)
        return self.fc(torch.flatten(self.global_pool(x), 1))


def xception(*, num_classes: int = 1000) -> nn.Module:
    """Xception."""
    return Xception(num_classes)
