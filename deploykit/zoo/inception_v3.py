"""Inception v2 and v3: Szegedy et al., "Rethinking the Inception architecture", arXiv 1512.00567.

`inception_v2` is the network of table 1, which section 6 calls 42 layers deep. It was never released, and how wide
its branches are the paper leaves to a file of its submission. Here the stem, the numbers of modules and the
channels between them are the table's; modules follow Fig. 5, 6 and 7 and both reductions Fig. 10. Branches are
as wide as those of the released v3, which add up to the table's channels; of the five 17x17 modules one more has
v3's middle width. So its MACs are not the 3.8 billion of table 3, and its longest path has 53 layers with weights.
BN-Inception, which came before it, is at times called Inception v2 too: that is `bn_inception`.

`inception_v3` is the released network, which differs from the paper's figures, with torchvision's keys. The
auxiliary classifier exists with `aux_logits`, for training; in eval mode, and so in exported graphs, it
does nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

from .blocks import ConvNormRelu, Pair, Parallel, conv_chain, to_half_range


def _conv(in_channels: int, out_channels: int, kernel: Pair) -> ConvNormRelu:
    return ConvNormRelu(in_channels, out_channels, kernel, padding=None)


def _valid(in_channels: int, out_channels: int, kernel: Pair, stride: int = 1) -> ConvNormRelu:
    return ConvNormRelu(in_channels, out_channels, kernel, stride=stride)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1)


class MixedA(nn.Module):
    """35x35 module (Fig. 5, its 5x5 kept as released): to 224 + `pooled` channels."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _conv(inputs, 64, 1)
        self.branch5x5_1 = _conv(inputs, 48, 1)
        self.branch5x5_2 = _conv(48, 64, 5)
        self.branch3x3dbl_1 = _conv(inputs, 64, 1)
        self.branch3x3dbl_2 = _conv(64, 96, 3)
        self.branch3x3dbl_3 = _conv(96, 96, 3)
        self.branch_pool = _conv(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Four branches, concatenated."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_average(x))], 1)


class ReductionA(nn.Module):
    """From 35x35 with 288 channels to 17x17 with 768 (Fig. 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = _valid(288, 384, 3, 2)
        self.branch3x3dbl_1 = _conv(288, 64, 1)
        self.branch3x3dbl_2 = _conv(64, 96, 3)
        self.branch3x3dbl_3 = _valid(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Two branches and the pooled input, concatenated."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class MixedB(nn.Module):
    """17x17 module (Fig. 6): 7x7 in two factors; 768 channels in and out, `width` inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = _conv(768, 192, 1)
        self.branch7x7_1 = _conv(768, width, 1)
        self.branch7x7_2 = _conv(width, width, row)
        self.branch7x7_3 = _conv(width, 192, column)
        self.branch7x7dbl_1 = _conv(768, width, 1)
        self.branch7x7dbl_2 = _conv(width, width, column)
        self.branch7x7dbl_3 = _conv(width, width, row)
        self.branch7x7dbl_4 = _conv(width, width, column)
        self.branch7x7dbl_5 = _conv(width, 192, row)
        self.branch_pool = _conv(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Four branches, concatenated."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class ReductionB(nn.Module):
    """From 17x17 with 768 channels to 8x8 with 1280."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = _conv(768, 192, 1)
        self.branch3x3_2 = _valid(192, 320, 3, 2)
        self.branch7x7x3_1 = _conv(768, 192, 1)
        self.branch7x7x3_2 = _conv(192, 192, (1, 7))
        self.branch7x7x3_3 = _conv(192, 192, (7, 1))
        self.branch7x7x3_4 = _valid(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Two branches and the pooled input, concatenated."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], 1)


class MixedC(nn.Module):
    """8x8 module (Fig. 7): branches that fork into a row and a column; to 2048 channels."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        row, column = (1, 3), (3, 1)
        self.branch1x1 = _conv(inputs, 320, 1)
        self.branch3x3_1 = _conv(inputs, 384, 1)
        self.branch3x3_2a = _conv(384, 384, row)
        self.branch3x3_2b = _conv(384, 384, column)
        self.branch3x3dbl_1 = _conv(inputs, 448, 1)
        self.branch3x3dbl_2 = _conv(448, 384, 3)
        self.branch3x3dbl_3a = _conv(384, 384, row)
        self.branch3x3dbl_3b = _conv(384, 384, column)
        self.branch_pool = _conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Six ends of four branches, concatenated."""
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        ends = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_average(x)),
        ]
        return torch.cat(ends, 1)


class Auxiliary(nn.Module):
    """The classifier on the last 17x17 map, for training."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv0 = _valid(768, 128, 1)
        self.conv1 = _valid(128, 768, 5)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 768, H, W) to logits (N, num_classes)."""
        x = self.conv1(self.conv0(F.avg_pool2d(x, 5, stride=3)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class InceptionV3(nn.Module):
    """Stem, three 35x35, four 17x17 and two 8x8 modules with reductions between, and one linear layer."""

    def __init__(self, num_classes: int, aux_logits: bool, transform_input: bool) -> None:
        super().__init__()
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = _valid(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _valid(32, 32, 3)
        self.Conv2d_2b_3x3 = _conv(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = _valid(64, 80, 1)
        self.Conv2d_4a_3x3 = _valid(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b = MixedA(192, 32)
        self.Mixed_5c = MixedA(256, 64)
        self.Mixed_5d = MixedA(288, 64)
        self.Mixed_6a = ReductionA()
        self.Mixed_6b = MixedB(128)
        self.Mixed_6c = MixedB(160)
        self.Mixed_6d = MixedB(160)
        self.Mixed_6e = MixedB(192)
        self.AuxLogits = Auxiliary(num_classes) if aux_logits else None
        self.Mixed_7a = ReductionB()
        self.Mixed_7b = MixedC(1280)
        self.Mixed_7c = MixedC(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2048, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (N, num_classes); in training mode with the auxiliary head, its logits follow."""
        if self.transform_input:
            x = to_half_range(x)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        inner = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(inner)))
        logits = self.fc(torch.flatten(self.dropout(self.avgpool(x)), 1))
        if self.training and self.AuxLogits is not None:
            return logits, self.AuxLogits(inner)
        return logits


def inception_v3(
    *, num_classes: int = 1000, aux_logits: bool = False, transform_input: bool = False
) -> nn.Module:
    """Inception v3 as released; torchvision's weights want `transform_input`."""
    return InceptionV3(num_classes, aux_logits, transform_input)


class InceptionV2(nn.Module):
    """Stem, three 35x35, five 17x17 and two 8x8 modules with reductions between, and one linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_chain(3, (32, 3, 2), (32, 3, 1), (64, 3)),
            nn.MaxPool2d(3, 2),
            # The table marks the last of these as not padded, and has 35x35 before and after it.
            conv_chain(64, (80, 3, 1), (192, 3, 2), (288, 3)),
            *[_figure_5() for _ in range(3)],
            _figure_10(288, 64, 384, 96),
            *[MixedB(width) for width in (128, 160, 160, 160, 192)],
            _figure_10(768, 192, 320, 192),
            MixedC(1280),
            MixedC(2048),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, num_classes)."""
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


def _figure_5() -> nn.Module:
    """35x35 module: two 3x3 for each 5x5; 288 channels in and out."""
    return Parallel(
        branch1=conv_chain(288, (64, 1)),
        branch2=conv_chain(288, (48, 1), (64, 3)),
        branch3=conv_chain(288, (64, 1), (96, 3), (96, 3)),
        branch4=nn.Sequential(nn.AvgPool2d(3, 1, 1), _conv(288, 64, 1)),
    )


def _figure_10(inputs: int, reduced: int, single: int, double: int) -> nn.Module:
    """Reduction: halves the size, and adds `single` and `double` channels to those that its pool passes on."""
    return Parallel(
        branch1=conv_chain(inputs, (reduced, 1), (single, 3, 2)),
        branch2=conv_chain(inputs, (reduced, 1), (double, 3), (double, 3, 2)),
        branch3=nn.MaxPool2d(3, 2),
    )


def inception_v2(*, num_classes: int = 1000) -> nn.Module:
    """The network of table 1."""
    return InceptionV2(num_classes)
