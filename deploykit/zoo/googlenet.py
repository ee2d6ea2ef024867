"""GoogLeNet (Inception v1) and BN-Inception, which is it with batch normalisation.

`googlenet`: Szegedy et al., "Going deeper with convolutions", arXiv 1409.4842, table 1: 5x5 convolutions, biases,
local response normalisation (constants as in AlexNet's Caffe form, the paper naming none), 3x3 pools.
`googlenet_bn` is torchvision's and has its keys: batch normalisation, 3x3 where the paper has 5x5, a 2x2 last pool.
Pools round up in both.

With `aux_logits` the two auxiliary classifiers of the paper's Fig. 3 exist for training; in eval mode, and so in
exported graphs, they do nothing.

`bn_inception`: Ioffe and Szegedy, arXiv 1502.03167, Fig. 5 (appendix). It is often called Inception v2, a name that
"Rethinking the Inception architecture" (arXiv 1512.00567) has for another network, `inception_v2`. The widths are
those that the figure's output sizes follow from: 576 channels in 4c and 4d (Caffe's release: 608). Convolutions
have no bias, batch normalisation shifting anyway; pools round up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

from .blocks import ConvNormRelu, LocalResponseNorm, Parallel, to_half_range

#: Table 1: name, input channels, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
_INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}

#: Makes a convolution with what follows it: input and output channels, kernel, stride; same padding.
Conv = Callable[[int, int, int, int], nn.Module]


class ConvRelu(nn.Module):
    """Convolution with bias and ReLU, size kept at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W'): filtered and rectified."""
        return F.relu(self.conv(x), inplace=True)


class Auxiliary(nn.Module):
    """The classifier that Fig. 3 hangs on a module inside: 4x4 average, 1x1 convolution, two linear layers."""

    def __init__(self, in_channels: int, num_classes: int, conv: Conv, dropout: float) -> None:
        super().__init__()
        self.conv = conv(in_channels, 128, 1, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, num_classes)."""
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4)))
        return self.fc2(self.dropout(F.relu(self.fc1(torch.flatten(x, 1)))))


class GoogLeNet(nn.Module):
    """Both networks: a stem, nine Inception modules, a global average and one linear layer.

    Args:
        num_classes: number of logits, of the auxiliary classifiers too.
        conv: makes a convolution with its activation.
        big_kernel: of the branch that the paper gives 5x5.
        last_pool: kernel of the pool before modules 5.
        norm: makes the normalisation around the second pool, or nothing.
        aux_logits: whether the auxiliary classifiers exist.
        transform_input: whether images scaled for torchvision's other networks are rescaled to -1..1.
        dropout: of the auxiliary classifiers and the head.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        conv: Conv,
        big_kernel: int,
        last_pool: int,
        norm: Callable[[], nn.Module],
        aux_logits: bool,
        transform_input: bool,
        dropout: tuple[float, float],
    ) -> None:
        super().__init__()
        self.transform_input = transform_input
        self.conv1 = conv(3, 64, 7, 2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm1 = norm()
        self.conv2 = conv(64, 64, 1, 1)
        self.conv3 = conv(64, 192, 3, 1)
        self.norm2 = norm()
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        for name, widths in _INCEPTIONS.items():
            self.add_module(f"inception{name}", _inception(widths, conv, big_kernel))
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(last_pool, 2, ceil_mode=True)
        self.aux1 = Auxiliary(512, num_classes, conv, dropout[0]) if aux_logits else None
        self.aux2 = Auxiliary(528, num_classes, conv, dropout[0]) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout[1])
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Logits (N, num_classes); in training mode with heads, theirs follow."""
        if self.transform_input:
            x = to_half_range(x)
        x = self.norm1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
        x = self.maxpool3(self._inceptions(x, "3a", "3b"))
        inner1 = self._inceptions(x, "4a")
        inner2 = self._inceptions(inner1, "4b", "4c", "4d")
        x = self.maxpool4(self._inceptions(inner2, "4e"))
        x = self.avgpool(self._inceptions(x, "5a", "5b"))
        logits = self.fc(self.dropout(torch.flatten(x, 1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return logits, self.aux1(inner1), self.aux2(inner2)
        return logits

    def _inceptions(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(f"inception{name}")(x)
        return x


def _inception(widths: tuple[int, ...], conv: Conv, big_kernel: int) -> nn.Module:
    """The module of Fig. 2(b): four branches, concatenated."""
    inputs, one, three_reduce, three, five_reduce, five, projection = widths
    return Parallel(
        branch1=conv(inputs, one, 1, 1),
        branch2=nn.Sequential(conv(inputs, three_reduce, 1, 1), conv(three_reduce, three, 3, 1)),
        branch3=nn.Sequential(
            conv(inputs, five_reduce, 1, 1), conv(five_reduce, five, big_kernel, 1)
        ),
        branch4=nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv(inputs, projection, 1, 1)
        ),
    )


def _conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
    return ConvNormRelu(in_channels, out_channels, kernel, stride=stride, padding=None)


def googlenet(*, num_classes: int = 1000, aux_logits: bool = False) -> nn.Module:
    """GoogLeNet as the paper describes it."""
    return GoogLeNet(
        num_classes,
        conv=ConvRelu,
        big_kernel=5,
        last_pool=3,
        norm=lambda: LocalResponseNorm(5, alpha=1e-4, beta=0.75, bias=1.0),
        aux_logits=aux_logits,
        transform_input=False,
        dropout=(0.7, 0.4),
    )


def googlenet_bn(
    *, num_classes: int = 1000, aux_logits: bool = False, transform_input: bool = False
) -> nn.Module:
    """GoogLeNet as torchvision has it; its released weights want `transform_input`."""
    return GoogLeNet(
        num_classes,
        conv=_conv_norm,
        big_kernel=3,
        last_pool=2,
        norm=nn.Identity,
        aux_logits=aux_logits,
        transform_input=transform_input,
        dropout=(0.7, 0.2),
    )


#: Fig. 5: name, input channels, 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, projection, pooling.
_BN_INCEPTIONS: tuple[tuple[str, int, int, int, int, int, int, int, str], ...] = (
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
            "conv1": _bn_conv(3, 64, 7, 2),
            "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
            "conv2_reduce": _bn_conv(64, 64, 1),
            "conv2": _bn_conv(64, 192, 3),
            "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        }
        for name, *widths, pooling in _BN_INCEPTIONS:
            layers[f"inception{name}"] = _bn_inception(*widths, pooling=pooling)
        self.features = nn.Sequential()
        for name, layer in layers.items():
            self.features.add_module(name, layer)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


def _bn_conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> ConvNormRelu:
    return ConvNormRelu(in_channels, out_channels, kernel, stride=stride, padding=None, eps=1e-5)


def _bn_inception(
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
        branches["branch1"] = _bn_conv(inputs, one, 1)
    branches["branch2"] = nn.Sequential(
        _bn_conv(inputs, three_reduce, 1), _bn_conv(three_reduce, three, 3, stride)
    )
    branches["branch3"] = nn.Sequential(
        _bn_conv(inputs, double_reduce, 1),
        _bn_conv(double_reduce, double, 3),
        _bn_conv(double, double, 3, stride),
    )
    if stride == 2:
        branches["branch4"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    else:
        pool = nn.MaxPool2d(3, 1, 1) if pooling == "max" else nn.AvgPool2d(3, 1, 1)
        branches["branch4"] = nn.Sequential(pool, _bn_conv(inputs, projection, 1))
    return Parallel(**branches)


def bn_inception(*, num_classes: int = 1000) -> nn.Module:
    """BN-Inception, at times called Inception v2."""
    return BNInception(num_classes)
