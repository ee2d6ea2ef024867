"""Building blocks that several families share."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

#: Means and deviations that torchvision's networks expect images to be normalised with, 0..1 RGB.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)

#: A kernel, stride or padding: one number for both axes, or (vertical, horizontal).
Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """Both axes' values: `value` itself, or the one number twice."""
    return value if isinstance(value, tuple) else (value, value)


@runtime_checkable
class Resettable(Protocol):
    """A module with values of its own kind, which tells how they start."""

    def reset_values(self, generator: torch.Generator) -> None:
        """Set them in place, random ones from `generator`."""


class ConvNormRelu(nn.Module):
    """Convolution without bias, batch normalisation, ReLU: (N, C, H, W) to (N, out_channels, H', W').

    Its parts are called `conv` and `bn`, as in the public Inception implementations. A `padding` of None
    keeps the size at stride 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Pair,
        *,
        stride: int = 1,
        padding: Pair | None = 0,
        eps: float = 1e-3,
        bias: bool = False,
    ) -> None:
        super().__init__()
        kernel = pair(kernel)
        if padding is None:
            padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, pair(padding), bias=bias)
        self.bn = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W'): filtered, normalised and rectified."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


#: One layer of a chain: filters and kernel, padded to keep the size; with a stride, not padded.
Layer = tuple[int, Pair] | tuple[int, Pair, int]


def conv_chain(in_channels: int, *layers: Layer) -> nn.Sequential:
    """`ConvNormRelu` one after another, as the branches of Inception modules are.

    A layer with a stride (1 included) is one that the papers' figures mark "V": without padding.
    """
    steps = []
    for out_channels, kernel, *stride in layers:
        steps.append(
            ConvNormRelu(
                in_channels,
                out_channels,
                kernel,
                stride=stride[0] if stride else 1,
                padding=0 if stride else None,
            )
        )
        in_channels = out_channels
    return nn.Sequential(*steps)


class Parallel(nn.Module):
    """Branches side by side on the same input, their outputs concatenated over the channels in order.

    Each branch is a child under the name that it is given by.
    """

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, sum of the branches' channels, H', W')."""
        return torch.cat([branch(x) for branch in self.children()], 1)


class SqueezeExcite(nn.Module):
    """Channels scaled by what two 1x1 convolutions make of their averages (Hu et al., arXiv 1709.01507, eq. 3).

    Args:
        channels: of the input and output.
        squeezed: channels between the two convolutions.
        activation: what stands between the two convolutions.
    """

    def __init__(self, channels: int, squeezed: int, activation: nn.Module) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = activation
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        scale = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(scale))


class GridPool(nn.Module):
    """Average pooling to a fixed grid, for the networks whose first linear layer expects one.

    At the canonical input the grid is there already and nothing is done. Elsewhere cell i of n averages the
    rows floor(i*h/n) to ceil((i+1)*h/n), which is `torch.nn.AdaptiveAvgPool2d`, written with slices because
    neither ONNX nor TensorRT knows adaptive pooling with uneven cells.
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, cells, cells)."""
        return self._along(self._along(x, 2), 3)

    def _along(self, x: Tensor, axis: int) -> Tensor:
        size, cells = int(x.shape[axis]), self.cells
        if size == cells:
            return x
        parts = []
        for cell in range(cells):
            start, end = cell * size // cells, -(-(cell + 1) * size // cells)
            parts.append(x.narrow(axis, start, end - start).mean(axis, keepdim=True))
        return torch.cat(parts, axis)


class LocalResponseNorm(nn.Module):
    """Normalisation across neighbouring channels: x / (bias + alpha/size * sum of squares)^beta.

    Exported as ONNX's own operator LRN, which runtimes have kernels for, rather than as the padding,
    3-D pooling and powers that PyTorch computes it with.

    Args:
        size: how many channels are summed over.
        alpha, beta, bias: as in the formula; `alpha` is divided by `size`, as PyTorch and ONNX do.
    """

    def __init__(self, size: int, alpha: float, beta: float, bias: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if torch.onnx.is_in_onnx_export():
            facts: dict[str, Any] = {
                "size": self.size,
                "alpha": self.alpha,
                "beta": self.beta,
                "bias": self.bias,
            }
            return torch.onnx.ops.symbolic("LRN", (x,), attrs=facts, dtype=x.dtype, shape=x.shape)
        # Of half types in float32: PyTorch has no such pooling of them on processors, and squares of values that
        # float16 holds are beyond it.
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return F.local_response_norm(wide, self.size, self.alpha, self.beta, self.bias).to(x.dtype)


def to_half_range(x: Tensor) -> Tensor:
    """Images (N, 3, H, W) normalised by mean and deviation, rescaled to what -1..1 pixels are.

    torchvision's GoogLeNet and Inception v3 hold weights that were trained on -1..1, and do this inside.
    """
    scale = torch.tensor([s / 0.5 for s in _STD], dtype=x.dtype, device=x.device)
    shift = torch.tensor([(m - 0.5) / 0.5 for m in _MEAN], dtype=x.dtype, device=x.device)
    return x * scale.reshape(1, 3, 1, 1) + shift.reshape(1, 3, 1, 1)
