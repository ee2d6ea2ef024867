"""Inception v4: Szegedy, Ioffe, Vanhoucke, Alemi, arXiv 1602.07261, Fig. 3 to 9.

Keys are timm's. Averages leave out the padding, as the released weights were trained.
"""

from __future__ import annotations

import torch
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
            *[_module_a() for _ in range(4)],
            _reduction_a(),
            *[_module_b() for _ in range(7)],
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


def _module_a() -> nn.Module:
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


def _module_b() -> nn.Module:
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
