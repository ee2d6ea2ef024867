"""Inception-ResNet v1 and v2: Szegedy, Ioffe, Vanhoucke, Alemi, arXiv 1602.07261.

`inception_resnet_v2` is the network that was released, with timm's keys: a stem like Inception v3's, 10, 20 and
10 residual modules, scales 0.17, 0.1 and 0.2, and a last 1x1 convolution, none of which is in the paper's
figures. `inception_resnet_v1` never was released and follows the figures (10 to 14, reductions by table 1):
5, 10 and 5 modules, every residual scaled by 0.17, 0.1 and 0.2 as in the release (the paper: between 0.1
and 0.3), its 1x1 expansions linear with a bias, the others batch normalised.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

from .blocks import ConvNormRelu, Parallel, conv_chain

_ROW, _COLUMN = (1, 7), (7, 1)

#: Scales of the residuals on the 35x35, 17x17 and 8x8 grids.
_SCALES = (0.17, 0.10, 0.20)


class ResidualModule(nn.Module):
    """Branches, concatenated, expanded by a linear 1x1 convolution `conv2d`, scaled and added to the input.

    Args:
        channels: of the input and output.
        scale: what the branches' sum is multiplied by.
        relu: whether the sum is rectified.
        branches: children by name, and their output channels, `width` in all.
        width: sum of the branches' output channels.
    """

    def __init__(
        self, channels: int, width: int, scale: float, *, relu: bool = True, **branches: nn.Module
    ) -> None:
        super().__init__()
        self.scale = scale
        self.relu = relu
        self.names = tuple(branches)
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.conv2d = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        joined = torch.cat([self.get_submodule(name)(x) for name in self.names], 1)
        x = self.conv2d(joined) * self.scale + x
        return F.relu(x) if self.relu else x


class InceptionResNetV1(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_chain(3, (32, 3, 2), (32, 3, 1), (64, 3)),
            nn.MaxPool2d(3, 2),
            conv_chain(64, (80, 1), (192, 3, 1), (256, 3, 2)),
        )
        self.repeat = nn.Sequential(*[_module_a(256, (32, 32), _SCALES[0]) for _ in range(5)])
        self.reduction_a = Parallel(
            branch0=ConvNormRelu(256, 384, 3, stride=2),
            branch1=conv_chain(256, (192, 1), (192, 3), (256, 3, 2)),
            branch2=nn.MaxPool2d(3, 2),
        )
        self.repeat_1 = nn.Sequential(
            *[_module_b(896, 128, (128, 128, 128), _SCALES[1]) for _ in range(10)]
        )
        self.reduction_b = Parallel(
            branch0=conv_chain(896, (256, 1), (384, 3, 2)),
            branch1=conv_chain(896, (256, 1), (256, 3, 2)),
            branch2=conv_chain(896, (256, 1), (256, 3), (256, 3, 2)),
            branch3=nn.MaxPool2d(3, 2),
        )
        self.repeat_2 = nn.Sequential(
            *[_module_c(1792, (192, 192, 192), _SCALES[2]) for _ in range(5)]
        )
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classif = nn.Linear(1792, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        x = self.reduction_a(self.repeat(self.stem(x)))
        x = self.repeat_2(self.reduction_b(self.repeat_1(x)))
        return self.classif(self.dropout(torch.flatten(self.global_pool(x), 1)))


class InceptionResNetV2(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv2d_1a = ConvNormRelu(3, 32, 3, stride=2)
        self.conv2d_2a = ConvNormRelu(32, 32, 3)
        self.conv2d_2b = ConvNormRelu(32, 64, 3, padding=None)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = ConvNormRelu(64, 80, 1)
        self.conv2d_4a = ConvNormRelu(80, 192, 3)
        self.maxpool_5a = nn.MaxPool2d(3, 2)
        self.mixed_5b = Parallel(
            branch0=ConvNormRelu(192, 96, 1),
            branch1=conv_chain(192, (48, 1), (64, 5)),
            branch2=conv_chain(192, (64, 1), (96, 3), (96, 3)),
            branch3=nn.Sequential(
                nn.AvgPool2d(3, 1, 1, count_include_pad=False), ConvNormRelu(192, 64, 1)
            ),
        )
        self.repeat = nn.Sequential(*[_module_a(320, (48, 64), _SCALES[0]) for _ in range(10)])
        self.mixed_6a = Parallel(
            branch0=ConvNormRelu(320, 384, 3, stride=2),
            branch1=conv_chain(320, (256, 1), (256, 3), (384, 3, 2)),
            branch2=nn.MaxPool2d(3, 2),
        )
        self.repeat_1 = nn.Sequential(
            *[_module_b(1088, 192, (128, 160, 192), _SCALES[1]) for _ in range(20)]
        )
        self.mixed_7a = Parallel(
            branch0=conv_chain(1088, (256, 1), (384, 3, 2)),
            branch1=conv_chain(1088, (256, 1), (288, 3, 2)),
            branch2=conv_chain(1088, (256, 1), (288, 3), (320, 3, 2)),
            branch3=nn.MaxPool2d(3, 2),
        )
        widths = (192, 224, 256)
        self.repeat_2 = nn.Sequential(*[_module_c(2080, widths, _SCALES[2]) for _ in range(9)])
        self.block8 = _module_c(2080, widths, 1.0, relu=False)
        self.conv2d_7b = ConvNormRelu(2080, 1536, 1)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.classif = nn.Linear(1536, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        x = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x))))
        x = self.maxpool_5a(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.mixed_6a(self.repeat(self.mixed_5b(x)))
        x = self.mixed_7a(self.repeat_1(x))
        x = self.conv2d_7b(self.block8(self.repeat_2(x)))
        return self.classif(torch.flatten(self.global_pool(x), 1))


def _module_a(channels: int, widths: tuple[int, int], scale: float) -> ResidualModule:
    """35x35 (Fig. 10, 16): `widths` are those of the two 3x3 convolutions in the longest branch."""
    return ResidualModule(
        channels,
        32 + 32 + widths[1],
        scale,
        branch0=ConvNormRelu(channels, 32, 1),
        branch1=conv_chain(channels, (32, 1), (32, 3)),
        branch2=conv_chain(channels, (32, 1), (widths[0], 3), (widths[1], 3)),
    )


def _module_b(
    channels: int, single: int, widths: tuple[int, int, int], scale: float
) -> ResidualModule:
    """17x17 (Fig. 11, 17): a 1x1 branch of `single` filters and one of 1x1, 1x7, 7x1."""
    first, row, column = widths
    return ResidualModule(
        channels,
        single + column,
        scale,
        branch0=ConvNormRelu(channels, single, 1),
        branch1=conv_chain(channels, (first, 1), (row, _ROW), (column, _COLUMN)),
    )


def _module_c(
    channels: int, widths: tuple[int, int, int], scale: float, *, relu: bool = True
) -> ResidualModule:
    """8x8 (Fig. 13, 19): a 1x1 branch and one of 1x1, 1x3, 3x1."""
    first, row, column = widths
    return ResidualModule(
        channels,
        first + column,
        scale,
        relu=relu,
        branch0=ConvNormRelu(channels, first, 1),
        branch1=conv_chain(channels, (first, 1), (row, (1, 3)), (column, (3, 1))),
    )


def inception_resnet_v1(*, num_classes: int = 1000) -> nn.Module:
    """Inception-ResNet v1 by the paper's figures."""
    return InceptionResNetV1(num_classes)


def inception_resnet_v2(*, num_classes: int = 1000) -> nn.Module:
    """Inception-ResNet v2 as released."""
    return InceptionResNetV2(num_classes)
