"""Inception with batch normalisation: Ioffe and Szegedy, arXiv 1502.03167, Fig. 5 (appendix).

Called Inception v2, a name that "Rethinking the Inception architecture" (arXiv 1512.00567) later gave to a
299 px network that was never published. The widths are those that the figure's output sizes follow from:
576 channels in 4c and 4d (the Caffe release has 608). Convolutions have no bias, batch normalisation
shifting anyway; pools round up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import ConvNormRelu, Parallel

#: Fig. 5: name, input channels, 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, projection, pooling.
_INCEPTIONS: tuple[tuple[str, int, int, int, int, int, int, int, str], ...] = (
    ("3a", 192, 64, 64, 64, 64, 96, 32, "avg"),
    ("3b", 256, 64, 64, 96, 64, 96, 64, "avg"),
    ("3c", 320, 0, 128, 160, 64, 96, 0, "max"),
    ("4a", 576, 224, 64, 96, 96, 128, 128, "avg"),
    ("4b", 576, 192, 96, 128, 96, 128, 128, "avg"),
    ("4c", 576, 160, 128, 160, 128, 160, 96, "avg"),
    ("4d", 576, 96, 128, 192, 160, 192, 96, "avg"),
    ("4e", 576, 0, 128, 192, 192, 256, 0, "max"),
    ("5a", 1024, 352, 192, 320, 160, 224, 128, "avg"),
    ("5b", 1024, 352, 192, 320, 192, 224, 128, "max"),
)


class BNInception(nn.Module):
    """(N, 3, H, W) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "conv1": _conv(3, 64, 7, 2),
            "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
            "conv2_reduce": _conv(64, 64, 1),
            "conv2": _conv(64, 192, 3),
            "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        }
        for name, *widths, pooling in _INCEPTIONS:
            layers[f"inception{name}"] = _inception(*widths, pooling=pooling)
        self.features = nn.Sequential()
        for name, layer in layers.items():
            self.features.add_module(name, layer)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> ConvNormRelu:
    return ConvNormRelu(in_channels, out_channels, kernel, stride=stride, padding=None, eps=1e-5)


def _inception(
    inputs: int,
    one: int,
    three_reduce: int,
    three: int,
    double_reduce: int,
    double: int,
    projection: int,
    *,
    pooling: str,
) -> nn.Module:
    """One module; without a 1x1 branch it halves the size, its pool passing the input through."""
    stride = 1 if one else 2
    branches: dict[str, nn.Module] = {}
    if one:
        branches["branch1"] = _conv(inputs, one, 1)
    branches["branch2"] = nn.Sequential(
        _conv(inputs, three_reduce, 1), _conv(three_reduce, three, 3, stride)
    )
    branches["branch3"] = nn.Sequential(
        _conv(inputs, double_reduce, 1),
        _conv(double_reduce, double, 3),
        _conv(double, double, 3, stride),
    )
    if stride == 2:
        branches["branch4"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    else:
        pool = nn.MaxPool2d(3, 1, 1) if pooling == "max" else nn.AvgPool2d(3, 1, 1)
        branches["branch4"] = nn.Sequential(pool, _conv(inputs, projection, 1))
    return Parallel(**branches)


def inception_v2(*, num_classes: int = 1000) -> nn.Module:
    """BN-Inception."""
    return BNInception(num_classes)
