"""MobileNet (version 1): Howard et al., arXiv 1704.04861, table 1.

`mobilenet` has the keys of timm's mobilenetv1_100 and its ReLU6 and symmetric padding: the paper writes ReLU,
the weights that the authors released were trained with ReLU6, and equal weights must give equal
logits. (TensorFlow pads at the far side only where the stride is 2.) `mobilenet_conv` is table 4's
"Conv MobileNet": each depthwise separable layer becomes one full 3x3 convolution.

`alpha` thins every layer, the first included; a width is int(channels * alpha) with at least one channel left,
which is exact for the paper's 1, 0.75, 0.5 and 0.25. `rho` is the input's size and no concern of this file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Table 1: output channels and stride of the 13 separable layers, in stages of equal resolution or width.
_STAGES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)


class Separable(nn.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 across channels, each normalised."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(
            in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act2 = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        x = self.act1(self.bn1(self.conv_dw(x)))
        return self.act2(self.bn2(self.conv_pw(x)))


class Full(nn.Module):
    """The full 3x3 convolution that a separable layer stands in for."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        return self.act(self.bn(self.conv(x)))


class MobileNet(nn.Module):
    """A full convolution at stride 2, 13 layers of `layer`, global average, one linear layer."""

    def __init__(self, layer: type[Separable] | type[Full], alpha: float, num_classes: int) -> None:
        super().__init__()
        channels = _width(32, alpha)
        self.conv_stem = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU6(inplace=True)
        stages: list[nn.Module] = []
        for stage in _STAGES:
            layers: list[nn.Module] = []
            for base, stride in stage:
                width = _width(base, alpha)
                layers.append(layer(channels, width, stride))
                channels = width
            stages.append(nn.Sequential(*layers))
        self.blocks = nn.Sequential(*stages)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the images `x`."""
        x = self.act1(self.bn1(self.conv_stem(x)))
        x = self.global_pool(self.blocks(x))
        return self.classifier(torch.flatten(x, 1))


def _width(channels: int, alpha: float) -> int:
    return max(1, int(channels * alpha))


def mobilenet(*, alpha: float = 1.0, num_classes: int = 1000) -> nn.Module:
    """MobileNet of depthwise separable layers; `alpha` in (0, 1] thins all of them."""
    return MobileNet(Separable, alpha, num_classes)


def mobilenet_conv(*, alpha: float = 1.0, num_classes: int = 1000) -> nn.Module:
    """MobileNet with full convolutions, the baseline of table 4."""
    return MobileNet(Full, alpha, num_classes)
