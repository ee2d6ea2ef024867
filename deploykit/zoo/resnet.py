"""ResNet: He et al., arXiv 1512.03385, table 1; ResNeXt: Xie et al., arXiv 1611.05431, table 1.

Keys are torchvision's. Its bottlenecks halve the size in their 3x3 convolution ("v1.5"), which these do;
`resnet50_v1` halves in the first 1x1 as the paper does, for 6% less work. Shortcuts are projected where
the shape changes (option B).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

#: Makes what rescales a block's channels before the addition, for that many channels.
Attention = Callable[[int], nn.Module]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (Fig. 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride)

    @property
    def branch_norm(self) -> nn.BatchNorm2d:
        """The normalisation that ends the residual branch; see `deploykit.zoo.creation.initialise`."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (Fig. 5, right), grouped in ResNeXt (its Fig. 3c).

    Args:
        inputs: number of channels in.
        width: the stage's base width; four times that come out.
        stride: of the convolution that halves the size, 1 or 2.
        groups, group_width: of the 3x3 convolution; 1 and 64 in ResNet.
        stride_first: whether the first 1x1 halves the size, not the 3x3.
        attention: makes a module `se` before the addition.
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        *,
        groups: int = 1,
        group_width: int = 64,
        stride_first: bool = False,
        attention: Attention | None = None,
    ) -> None:
        super().__init__()
        inner = width * group_width // 64 * groups
        outputs = width * self.expansion
        first, second = (stride, 1) if stride_first else (1, stride)
        self.conv1 = nn.Conv2d(inputs, inner, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, second, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.se = attention(outputs) if attention else None
        self.downsample = projection(inputs, outputs, stride)

    @property
    def branch_norm(self) -> nn.BatchNorm2d:
        """The normalisation that ends the residual branch; see `deploykit.zoo.creation.initialise`."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 4 * width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.bn3(self.conv3(x))
        if self.se is not None:
            x = self.se(x)
        return F.relu(x + shortcut, inplace=True)


#: Makes a residual block from input channels, base width and stride.
Block = Callable[[int, int, int], nn.Module]


class ResNet(nn.Module):
    """A 7x7 stem, four stages of `block`, a global average and one linear layer.

    Args:
        block: the class of the residual blocks.
        expansion: output channels of a block per base width.
        depths: number of blocks in each stage.
        num_classes: number of logits that the network gives.
    """

    def __init__(
        self, block: Block, expansion: int, depths: tuple[int, int, int, int], num_classes: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages = stack(block, expansion, depths, inputs=64)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * expansion, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the images `x`."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def projection(inputs: int, outputs: int, stride: int, kernel: int = 1) -> nn.Sequential | None:
    """The shortcut's convolution where the shape changes, else None."""
    if stride == 1 and inputs == outputs:
        return None
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def stack(
    block: Block, expansion: int, depths: tuple[int, int, int, int], inputs: int
) -> list[nn.Sequential]:
    """The four stages, of widths 64 to 512, all but the first halving the size."""
    stages = []
    for index, depth in enumerate(depths):
        width = 64 << index
        blocks = []
        for position in range(depth):
            stride = 2 if index and not position else 1
            blocks.append(block(inputs, width, stride))
            inputs = width * expansion
        stages.append(nn.Sequential(*blocks))
    return stages


def bottleneck_resnet(
    depths: tuple[int, int, int, int],
    num_classes: int,
    *,
    groups: int = 1,
    group_width: int = 64,
    stride_first: bool = False,
    attention: Attention | None = None,
) -> nn.Module:
    """A ResNet of bottlenecks; arguments as in `Bottleneck`."""

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        return Bottleneck(
            inputs,
            width,
            stride,
            groups=groups,
            group_width=group_width,
            stride_first=stride_first,
            attention=attention,
        )

    return ResNet(block, Bottleneck.expansion, depths, num_classes)


def resnet18(*, num_classes: int = 1000) -> nn.Module:
    """ResNet-18: basic blocks, 2-2-2-2."""
    return ResNet(BasicBlock, BasicBlock.expansion, (2, 2, 2, 2), num_classes)


def resnet34(*, num_classes: int = 1000) -> nn.Module:
    """ResNet-34: basic blocks, 3-4-6-3."""
    return ResNet(BasicBlock, BasicBlock.expansion, (3, 4, 6, 3), num_classes)


def resnet50(*, num_classes: int = 1000) -> nn.Module:
    """ResNet-50: bottlenecks, 3-4-6-3, stride on the 3x3."""
    return bottleneck_resnet((3, 4, 6, 3), num_classes)


def resnet50_v1(*, num_classes: int = 1000) -> nn.Module:
    """ResNet-50 with the stride on the first 1x1, as in the paper."""
    return bottleneck_resnet((3, 4, 6, 3), num_classes, stride_first=True)


def resnet101(*, num_classes: int = 1000) -> nn.Module:
    """ResNet-101: bottlenecks, 3-4-23-3."""
    return bottleneck_resnet((3, 4, 23, 3), num_classes)


def resnet152(*, num_classes: int = 1000) -> nn.Module:
    """ResNet-152: bottlenecks, 3-8-36-3."""
    return bottleneck_resnet((3, 8, 36, 3), num_classes)


def resnext50_32x4d(*, num_classes: int = 1000) -> nn.Module:
    """ResNeXt-50 with 32 groups of width 4."""
    return bottleneck_resnet((3, 4, 6, 3), num_classes, groups=32, group_width=4)


def resnext101_32x4d(*, num_classes: int = 1000) -> nn.Module:
    """ResNeXt-101 with 32 groups of width 4."""
    return bottleneck_resnet((3, 4, 23, 3), num_classes, groups=32, group_width=4)


def resnext101_32x8d(*, num_classes: int = 1000) -> nn.Module:
    """ResNeXt-101 with 32 groups of width 8."""
    return bottleneck_resnet((3, 4, 23, 3), num_classes, groups=32, group_width=8)
