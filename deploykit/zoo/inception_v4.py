"""Inception v4 and Inception-ResNet v1 and v2: Szegedy, Ioffe, Vanhoucke, Alemi, arXiv 1602.07261.

`inception_v4` follows Fig. 3 to 9. Keys are timm's. Averages leave out the padding, as the released weights were
trained.

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


class ModuleC(nn.Module):
    """8x8 module (Fig. 6): 1536 channels in and out; two branches fork into a row and a column."""

    def __init__(self) -> None:
        super().__init__()
        row, column = (1, 3), (3, 1)
        self.branch0 = _conv(1536, 256, 1)
        self.branch1_0 = _conv(1536, 384, 1)
        self.branch1_1a = _conv(384, 256, row)
        self.branch1_1b = _conv(384, 256, column)
        self.branch2_0 = _conv(1536, 384, 1)
        self.branch2_1 = _conv(384, 448, column)
        self.branch2_2 = _conv(448, 512, row)
        self.branch2_3a = _conv(512, 256, row)
        self.branch2_3b = _conv(512, 256, column)
        self.branch3 = _pooled(1536, 256)

    def forward(self, x: Tensor) -> Tensor:
        """Six ends of four branches, concatenated."""
        short = self.branch1_0(x)
        long = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        ends = [
            self.branch0(x),
            self.branch1_1a(short),
            self.branch1_1b(short),
            self.branch2_3a(long),
            self.branch2_3b(long),
            self.branch3(x),
        ]
        return torch.cat(ends, 1)


class InceptionV4(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_stem(),
            *[_v4_module_a() for _ in range(4)],
            _reduction_a(),
            *[_v4_module_b() for _ in range(7)],
            _reduction_b(),
            *[ModuleC() for _ in range(3)],
        )
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(1536, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.last_linear(torch.flatten(self.global_pool(self.features(x)), 1))


def _conv(in_channels: int, out_channels: int, kernel: int | tuple[int, int]) -> ConvNormRelu:
    return ConvNormRelu(in_channels, out_channels, kernel, padding=None)


def _pooled(in_channels: int, out_channels: int) -> nn.Sequential:
    average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return nn.Sequential(average, _conv(in_channels, out_channels, 1))


def _stem() -> list[nn.Module]:
    """Fig. 3: 299 px to 35x35 with 384 channels."""
    return [
        ConvNormRelu(3, 32, 3, stride=2),
        ConvNormRelu(32, 32, 3),
        _conv(32, 64, 3),
        Parallel(maxpool=nn.MaxPool2d(3, 2), conv=ConvNormRelu(64, 96, 3, stride=2)),
        Parallel(
            branch0=conv_chain(160, (64, 1), (96, 3, 1)),
            branch1=conv_chain(160, (64, 1), (64, _ROW), (64, _COLUMN), (96, 3, 1)),
        ),
        Parallel(conv=ConvNormRelu(192, 192, 3, stride=2), maxpool=nn.MaxPool2d(3, 2)),
    ]


def _v4_module_a() -> nn.Module:
    """Fig. 4: 35x35, 384 channels in and out."""
    return Parallel(
        branch0=_conv(384, 96, 1),
        branch1=conv_chain(384, (64, 1), (96, 3)),
        branch2=conv_chain(384, (64, 1), (96, 3), (96, 3)),
        branch3=_pooled(384, 96),
    )


def _reduction_a() -> nn.Module:
    """Fig. 7 with k, l, m, n of table 1 (192, 224, 256, 384): to 17x17 with 1024 channels."""
    return Parallel(
        branch0=ConvNormRelu(384, 384, 3, stride=2),
        branch1=conv_chain(384, (192, 1), (224, 3), (256, 3, 2)),
        branch2=nn.MaxPool2d(3, 2),
    )


def _v4_module_b() -> nn.Module:
    """Fig. 5: 17x17, 1024 channels in and out."""
    return Parallel(
        branch0=_conv(1024, 384, 1),
        branch1=conv_chain(1024, (192, 1), (224, _ROW), (256, _COLUMN)),
        branch2=conv_chain(
            1024, (192, 1), (192, _COLUMN), (224, _ROW), (224, _COLUMN), (256, _ROW)
        ),
        branch3=_pooled(1024, 128),
    )


def _reduction_b() -> nn.Module:
    """Fig. 8: to 8x8 with 1536 channels."""
    return Parallel(
        branch0=conv_chain(1024, (192, 1), (192, 3, 2)),
        branch1=conv_chain(1024, (256, 1), (256, _ROW), (320, _COLUMN), (320, 3, 2)),
        branch2=nn.MaxPool2d(3, 2),
    )


def inception_v4(*, num_classes: int = 1000) -> nn.Module:
    """Inception v4."""
    return InceptionV4(num_classes)


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
