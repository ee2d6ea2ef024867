"""Squeeze-and-excitation networks: Hu et al., arXiv 1709.01507, table 1, and the appendix for SENet-154.

`se_resnet50` is ResNet-50 as torchvision strides it with timm's seresnet50 keys. The others follow the authors'
Caffe release with the keys of timm's legacy_* networks: a first pool that rounds up instead of
padding, and `se_resnet50_v1` strides its first 1x1 (the 3.87 GMACs of the paper). The reduction ratio is 16.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

from .blocks import SqueezeExcite
from .resnet import Block, bottleneck_resnet, projection, stack

_EXPANSION = 4


class SEBottleneck(nn.Module):
    """1x1, 3x3, 1x1, squeeze-and-excitation, shortcut.

    Args:
        inputs: number of channels in.
        inner: channels out of the first two convolutions.
        outputs: number of channels out.
        strides: of the 1x1 and of the 3x3 convolution.
        groups: of the 3x3 convolution.
        shortcut_kernel: of the projection that halves the size.
    """

    def __init__(
        self,
        inputs: int,
        inner: tuple[int, int],
        outputs: int,
        *,
        strides: tuple[int, int],
        groups: int = 1,
        shortcut_kernel: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner[0], 1, strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(inner[0])
        self.conv2 = nn.Conv2d(inner[0], inner[1], 3, strides[1], 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner[1])
        self.conv3 = nn.Conv2d(inner[1], outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.se_module = _attention(outputs)
        stride = max(strides)
        self.downsample = projection(inputs, outputs, stride, shortcut_kernel if stride > 1 else 1)

    @property
    def branch_norm(self) -> nn.BatchNorm2d:
        """The normalisation that ends the residual branch; see `deploykit.zoo.creation.initialise`."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.se_module(self.bn3(self.conv3(x)))
        return F.relu(x + shortcut, inplace=True)


class SENet(nn.Module):
    """A stem `layer0`, four stages of `block`, a global average and one linear layer.

    Args:
        stem: widths of the first convolutions: one of 7x7, or three of 3x3.
        block: makes a block from input channels, base width and stride.
        depths: number of blocks in each stage.
        num_classes: number of logits that the network gives.
        dropout: before the linear layer, in training.
    """

    def __init__(
        self,
        stem: tuple[int, ...],
        block: Block,
        depths: tuple[int, int, int, int],
        num_classes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for number, width in enumerate(stem, start=1):
            kernel, stride = 7 if len(stem) == 1 else 3, 2 if number == 1 else 1
            layers[f"conv{number}"] = nn.Conv2d(
                channels, width, kernel, stride, kernel // 2, bias=False
            )
            layers[f"bn{number}"] = nn.BatchNorm2d(width)
            layers[f"relu{number}"] = nn.ReLU(inplace=True)
            channels = width
        self.layer0 = nn.Sequential(layers)
        self.pool0 = nn.MaxPool2d(3, 2, ceil_mode=True)
        stages = stack(block, _EXPANSION, depths, inputs=channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(512 * _EXPANSION, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the images `x`."""
        x = self.pool0(self.layer0(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.last_linear(self.dropout(torch.flatten(self.global_pool(x), 1)))


def _attention(channels: int) -> SqueezeExcite:
    return SqueezeExcite(channels, channels // 16, nn.ReLU(inplace=True))


def _block_v1(inputs: int, width: int, stride: int) -> nn.Module:
    return SEBottleneck(inputs, (width, width), width * _EXPANSION, strides=(stride, 1))


def _block_resnext(inputs: int, width: int, stride: int) -> nn.Module:
    inner = (width * 2, width * 2)  # 32 groups of width/16: 4 in the first stage
    return SEBottleneck(inputs, inner, width * _EXPANSION, strides=(1, stride), groups=32)


def _block_154(inputs: int, width: int, stride: int) -> nn.Module:
    return SEBottleneck(
        inputs,
        (width * 2, width * 4),
        width * _EXPANSION,
        strides=(1, stride),
        groups=64,
        shortcut_kernel=3,
    )


def se_resnet50(*, num_classes: int = 1000) -> nn.Module:
    """SE-ResNet-50, stride on the 3x3."""
    return bottleneck_resnet((3, 4, 6, 3), num_classes, attention=_attention)


def se_resnet50_v1(*, num_classes: int = 1000) -> nn.Module:
    """SE-ResNet-50, stride on the first 1x1 as in the authors' release."""
    return SENet((64,), _block_v1, (3, 4, 6, 3), num_classes)


def se_resnext50_32x4d(*, num_classes: int = 1000) -> nn.Module:
    """SE-ResNeXt-50 with 32 groups of width 4."""
    return SENet((64,), _block_resnext, (3, 4, 6, 3), num_classes)


def senet154(*, num_classes: int = 1000) -> nn.Module:
    """SENet-154: 64 groups, doubled widths, three 3x3 in the stem, 3x3 projections."""
    return SENet((64, 64, 128), _block_154, (3, 8, 36, 3), num_classes, dropout=0.2)
