"""DenseNet-BC: Huang et al., arXiv 1608.06993, table 1.

Keys are torchvision's. Every layer takes all earlier outputs of its block, concatenated; bottlenecks have four
times the growth rate, transitions halve the channels. DenseNet-161 (growth 48) is the authors' release.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1, norm, ReLU, 3x3: all that came before to `growth` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, earlier: list[Tensor]) -> Tensor:
        """(N, c, H, W) each, `inputs` channels together, to (N, growth, H, W)."""
        x = self.conv1(F.relu(self.norm1(torch.cat(earlier, 1))))
        return self.conv2(F.relu(self.norm2(x)))


class DenseBlock(nn.Module):
    """Layers that each see the block's input and all layers before."""

    def __init__(self, depth: int, inputs: int, growth: int) -> None:
        super().__init__()
        for index in range(depth):
            layer = DenseLayer(inputs + index * growth, growth)
            self.add_module(f"denselayer{index + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, inputs + depth * growth, H, W)."""
        outputs = [x]
        for layer in self.children():
            outputs.append(layer(outputs))
        return torch.cat(outputs, 1)


class DenseNet(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes).

    Args:
        growth: channels that a layer adds.
        depths: number of layers in each dense block.
        stem: channels of the first convolution.
        num_classes: number of logits that the network gives.
    """

    def __init__(
        self, growth: int, depths: tuple[int, int, int, int], stem: int, num_classes: int
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, stem, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(stem),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        channels = stem
        for number, depth in enumerate(depths, start=1):
            parts[f"denseblock{number}"] = DenseBlock(depth, channels, growth)
            channels += depth * growth
            if number < len(depths):
                parts[f"transition{number}"] = _transition(channels)
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(parts)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(torch.flatten(self.avgpool(x), 1))


def _transition(channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


def densenet121(*, num_classes: int = 1000) -> nn.Module:
    """DenseNet-121: growth 32, 6-12-24-16."""
    return DenseNet(32, (6, 12, 24, 16), 64, num_classes)


def densenet161(*, num_classes: int = 1000) -> nn.Module:
    """DenseNet-161: growth 48, 6-12-36-24."""
    return DenseNet(48, (6, 12, 36, 24), 96, num_classes)


def densenet169(*, num_classes: int = 1000) -> nn.Module:
    """DenseNet-169: growth 32, 6-12-32-32."""
    return DenseNet(32, (6, 12, 32, 32), 64, num_classes)


def densenet201(*, num_classes: int = 1000) -> nn.Module:
    """DenseNet-201: growth 32, 6-12-48-32."""
    return DenseNet(32, (6, 12, 48, 32), 64, num_classes)
