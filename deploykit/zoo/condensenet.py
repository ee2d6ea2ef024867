"""CondenseNet: Huang, Liu, van der Maaten, Weinberger, arXiv 1711.09224, table 1 and section 4.

The network after training, as its authors convert it for inference (Fig. 4, right): learned group convolutions
have become an index layer, which hands each group the inputs that it selected, and an ordinary grouped 1x1;
channels are shuffled behind it; the linear layer reads half of its inputs. Which inputs are kept is
learned, hence part of the state (`index`); with random weights it is a random choice of the right size.
Group and condensation factors are equal, so that an index layer puts out as many channels as it takes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn


class CondensedConv(nn.Module):
    """Index layer, norm, ReLU, grouped 1x1 convolution, channel shuffle; `inputs` to `outputs` channels."""

    index: Tensor

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, groups=groups, bias=False)
        self.register_buffer("index", torch.arange(inputs))

    def reset_values(self, generator: torch.Generator) -> None:
        """Draw each group's inputs, a different 1/groups of all for each, in ascending order."""
        inputs = len(self.index)
        share = inputs // self.groups
        chosen = [
            torch.randperm(inputs, generator=generator)[:share].sort().values
            for _ in range(self.groups)
        ]
        self.index.copy_(torch.cat(chosen))

    def forward(self, x: Tensor) -> Tensor:
        """Gather, normalise, rectify, filter, shuffle."""
        x = torch.index_select(x, 1, self.index)
        x = self.conv(F.relu(self.norm(x), inplace=True))
        # Shuffle: the filters of all groups take turns.
        _, channels, height, width = x.shape
        x = x.reshape(-1, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(-1, channels, height, width)


class CondensedLinear(nn.Module):
    """A linear layer on a learned half of its inputs: (N, inputs) to (N, outputs)."""

    index: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.linear = nn.Linear(inputs // 2, outputs)
        self.register_buffer("index", torch.arange(inputs // 2))

    def reset_values(self, generator: torch.Generator) -> None:
        """Draw the inputs that are chosen, in ascending order."""
        chosen = torch.randperm(self.inputs, generator=generator)[: len(self.index)]
        self.index.copy_(chosen.sort().values)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the features `x`: the inputs that the layer reads are gathered and multiplied."""
        return self.linear(torch.index_select(x, 1, self.index))


class CondensedLayer(nn.Module):
    """A condensed 1x1, then norm, ReLU and a grouped 3x3; its input goes along with its output."""

    def __init__(self, inputs: int, growth: int, groups: int) -> None:
        super().__init__()
        self.conv_1 = CondensedConv(inputs, 4 * growth, groups)
        self.norm_2 = nn.BatchNorm2d(4 * growth)
        self.conv_2 = nn.Conv2d(4 * growth, growth, 3, padding=1, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, inputs + growth, H, W)."""
        y = self.conv_2(F.relu(self.norm_2(self.conv_1(x)), inplace=True))
        return torch.cat([x, y], 1)


class CondenseNet(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes).

    Args:
        depths: number of layers in each stage.
        growth: new channels per layer of the first stage; doubles with each stage.
        groups: of all convolutions but the first, and the condensation factor.
        num_classes: number of logits that the network gives.
        stem_stride: of the first convolution: 2 for ImageNet, 1 for CIFAR.
    """

    def __init__(
        self, depths: tuple[int, ...], growth: int, groups: int, num_classes: int, stem_stride: int
    ) -> None:
        super().__init__()
        channels = 2 * growth
        self.features = nn.Sequential()
        stem = nn.Conv2d(3, channels, 3, stem_stride, 1, bias=False)
        self.features.add_module("init_conv", stem)
        for stage, depth in enumerate(depths):
            if stage:
                self.features.add_module(f"transition_{stage}", nn.AvgPool2d(2))
            layers = []
            for _ in range(depth):
                layers.append(CondensedLayer(channels, growth << stage, groups))
                channels += growth << stage
            self.features.add_module(f"denseblock_{stage + 1}", nn.Sequential(*layers))
        self.features.add_module("norm_last", nn.BatchNorm2d(channels))
        self.features.add_module("relu_last", nn.ReLU(inplace=True))
        self.features.add_module("pool_last", nn.AdaptiveAvgPool2d(1))
        self.classifier = CondensedLinear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.classifier(torch.flatten(self.features(x), 1))


def condensenet_g4(*, num_classes: int = 1000) -> nn.Module:
    """CondenseNet for ImageNet with 4 groups."""
    return CondenseNet((4, 6, 8, 10, 8), 8, 4, num_classes, stem_stride=2)


def condensenet_g8(*, num_classes: int = 1000) -> nn.Module:
    """CondenseNet for ImageNet with 8 groups."""
    return CondenseNet((4, 6, 8, 10, 8), 8, 8, num_classes, stem_stride=2)


def condensenet_86(*, num_classes: int = 10) -> nn.Module:
    """CondenseNet-86 for CIFAR: three stages of 14 layers."""
    return CondenseNet((14, 14, 14), 8, 4, num_classes, stem_stride=1)


def condensenet_182(*, num_classes: int = 10) -> nn.Module:
    """CondenseNet-182 for CIFAR: three stages of 30 layers."""
    return CondenseNet((30, 30, 30), 12, 4, num_classes, stem_stride=1)
