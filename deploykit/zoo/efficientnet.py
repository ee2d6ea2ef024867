"""EfficientNet: Tan and Le, arXiv 1905.11946, table 1 for B0, section 3.3 for the scaling.

Keys are torchvision's, with its symmetric padding and its BatchNorm epsilon (1e-5; 1e-3 from B5 on). Widths are
rounded to multiples of 8, depths up, as in the authors' code; the canonical inputs are the authors' too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .blocks import SqueezeExcite

#: Table 1: expansion, kernel, stride, output channels, layers of each stage of B0.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class MBConv(nn.Module):
    """Expand by 1x1, filter each channel, squeeze-and-excite, project by 1x1; shortcut where shapes allow.

    Args:
        inputs, outputs: number of channels in and out.
        expansion: how many times wider the block is inside; at 1 nothing expands.
        kernel, stride: of the depthwise convolution.
        eps: of the batch normalisation.
    """

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int, eps: float
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_conv(inputs, inner, 1, eps=eps))
        layers += [
            _conv(inner, inner, kernel, stride=stride, groups=inner, eps=eps),
            SqueezeExcite(inner, max(1, inputs // 4), nn.SiLU(inplace=True)),
            _conv(inner, outputs, 1, eps=eps, activation=False),
        ]
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    @property
    def branch_norm(self) -> nn.BatchNorm2d | None:
        """The normalisation that ends the residual branch; see `deploykit.zoo.creation.initialise`."""
        last = self.block[-1]
        return (
            next(m for m in last.modules() if isinstance(m, nn.BatchNorm2d))
            if self.shortcut
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.block(x)
        return y + x if self.shortcut else y


class EfficientNet(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes).

    Args:
        width, depth: what B0's channels and numbers of layers are multiplied by.
        dropout: before the linear layer, in training.
        num_classes: number of logits that the network gives.
        eps: of the batch normalisation.
    """

    def __init__(
        self, width: float, depth: float, dropout: float, num_classes: int, eps: float = 1e-5
    ) -> None:
        super().__init__()
        channels = _round_width(32, width)
        layers: list[nn.Module] = [_conv(3, channels, 3, stride=2, eps=eps)]
        for expansion, kernel, stride, base, repeats in _STAGES:
            outputs = _round_width(base, width)
            stage = []
            for index in range(math.ceil(repeats * depth)):
                stage.append(
                    MBConv(
                        channels,
                        outputs,
                        expansion=expansion,
                        kernel=kernel,
                        stride=1 if index else stride,
                        eps=eps,
                    )
                )
                channels = outputs
            layers.append(nn.Sequential(*stage))
        layers.append(_conv(channels, 4 * channels, 1, eps=eps))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def _conv(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    eps: float,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution, normalisation and, unless told, SiLU; the size is kept at stride 1."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
    ]
    if activation:
        layers.append(nn.SiLU(inplace=True))
    return nn.Sequential(*layers)


def _round_width(channels: int, width: float) -> int:
    """The nearest multiple of 8 to the scaled width, at most a tenth below it."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def efficientnet_b0(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B0, 224 px."""
    return EfficientNet(1.0, 1.0, 0.2, num_classes)


def efficientnet_b1(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B1, 240 px."""
    return EfficientNet(1.0, 1.1, 0.2, num_classes)


def efficientnet_b2(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B2, 260 px."""
    return EfficientNet(1.1, 1.2, 0.3, num_classes)


def efficientnet_b3(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B3, 300 px."""
    return EfficientNet(1.2, 1.4, 0.3, num_classes)


def efficientnet_b4(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B4, 380 px."""
    return EfficientNet(1.4, 1.8, 0.4, num_classes)


def efficientnet_b5(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B5, 456 px."""
    return EfficientNet(1.6, 2.2, 0.4, num_classes, eps=1e-3)


def efficientnet_b6(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B6, 528 px."""
    return EfficientNet(1.8, 2.6, 0.5, num_classes, eps=1e-3)


def efficientnet_b7(*, num_classes: int = 1000) -> nn.Module:
    """EfficientNet-B7, 600 px."""
    return EfficientNet(2.0, 3.1, 0.5, num_classes, eps=1e-3)
