"""Networks with one thing changed in all of their layers: kernels, groups, widths, layers more and fewer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn

from deploykit.zoo.blocks import LocalResponseNorm, Parallel, SqueezeExcite

Change = Callable[[nn.Module], nn.Module]


def each_changed(module: nn.Module, kind: type, change: Callable[[Any], nn.Module]) -> nn.Module:
    """A copy of the module in which each part of a kind is changed."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, kind) and not name.startswith("_"):
                setattr(parent, name, change(part))
    return module


def _convolution(like: Any, kernel: tuple[int, int], groups: int) -> nn.Conv2d:
    return nn.Conv2d(
        like.in_channels,
        like.out_channels,
        kernel,
        stride=like.stride,
        padding=(kernel[0] // 2, kernel[1] // 2) if _keeps_size(like) else like.padding,
        groups=groups,
        bias=like.bias is not None,
        device="meta",
    )


def _keeps_size(one: Any) -> bool:
    return all(2 * p == k - 1 for p, k in zip(one.padding, one.kernel_size, strict=True))


def larger_kernels(module: nn.Module) -> nn.Module:
    """Each convolution that is padded so that its kernel does not show has one larger by 2."""

    def change(one: nn.Conv2d) -> nn.Module:
        height, width = one.kernel_size
        return _convolution(one, (height + 2, width + 2), one.groups) if _keeps_size(one) else one

    return each_changed(module, nn.Conv2d, change)


def smaller_kernels(module: nn.Module) -> nn.Module:
    """The same convolutions have one of a single pixel."""
    return each_changed(
        module,
        nn.Conv2d,
        lambda one: _convolution(one, (1, 1), one.groups) if _keeps_size(one) else one,
    )


def without_groups(module: nn.Module) -> nn.Module:
    """No convolution has groups."""
    return each_changed(module, nn.Conv2d, lambda one: _convolution(one, one.kernel_size, 1))


def more_convolutions(module: nn.Module) -> nn.Module:
    """Each convolution is followed by one of 3x3 on its channels."""

    def change(one: nn.Conv2d) -> nn.Module:
        channels = one.out_channels
        return nn.Sequential(one, nn.Conv2d(channels, channels, 3, padding=1, device="meta"))

    return each_changed(module, nn.Conv2d, change)


class _Fitted(nn.Module):
    """A convolution, and as many of its channels, or as many times them, as are asked for."""

    def __init__(self, convolution: nn.Conv2d, channels: int) -> None:
        super().__init__()
        self.convolution, self.channels = convolution, channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convolution(x)
        return x.repeat(1, -(-self.channels // x.shape[1]), 1, 1)[:, : self.channels]


def _of_width(one: nn.Conv2d, width: int) -> nn.Module:
    groups = one.groups if width % one.groups == 0 else 1
    other = nn.Conv2d(
        one.in_channels,
        width,
        one.kernel_size,  # type: ignore[arg-type]
        stride=one.stride,  # type: ignore[arg-type]
        padding=one.padding,  # type: ignore[arg-type]
        groups=groups,
        bias=one.bias is not None,
        device="meta",
    )
    return _Fitted(other, one.out_channels)


def as_wide_as_inputs(module: nn.Module) -> nn.Module:
    """No convolution has fewer channels out than in, of which the next one gets as many as before."""
    return each_changed(
        module, nn.Conv2d, lambda one: _of_width(one, max(one.in_channels, one.out_channels))
    )


def scaled_widths(module: nn.Module, ratio: float) -> nn.Module:
    """Each convolution has so many times the channels out, of which the next one gets as many as before."""
    return each_changed(
        module, nn.Conv2d, lambda one: _of_width(one, max(1, round(one.out_channels * ratio)))
    )


def rectified(module: nn.Module) -> nn.Module:
    """Each convolution is followed by a ReLU."""
    return each_changed(module, nn.Conv2d, lambda one: nn.Sequential(one, nn.ReLU()))


class _Unlearned(nn.Module):
    """As many values as a fully connected layer gives, with nothing learned."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(-1, keepdim=True).repeat(*[1] * (x.dim() - 1), self.outputs)


def without_linear(module: nn.Module) -> nn.Module:
    """No layer is fully connected."""
    return each_changed(module, nn.Linear, lambda one: _Unlearned(one.out_features))


def more_linear(module: nn.Module) -> nn.Module:
    """The whole is followed by two more fully connected layers, with a wide one between."""

    class Longer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = copy.deepcopy(module)
            self.layers = nn.Sequential(
                nn.Linear(1, 20_000, device="meta"), nn.Linear(20_000, 10_000, device="meta")
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layers(self.whole(x).flatten(1)[:, :1])
            return y

    return Longer()


class _Passed(nn.Module):
    """As many channels as a convolution gives, with none filtered."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, -(-self.channels // x.shape[1]), 1, 1)[:, : self.channels]


def without_pointwise(module: nn.Module) -> nn.Module:
    """What 1x1 convolutions filtered is passed on."""
    return each_changed(
        module,
        nn.Conv2d,
        lambda one: _Passed(one.out_channels) if one.kernel_size == one.stride == (1, 1) else one,
    )


def softened(module: nn.Module) -> nn.Module:
    """Each sigmoid is a softmax."""
    return each_changed(module, nn.Sigmoid, lambda one: nn.Softmax(1))


def larger_pools(module: nn.Module) -> nn.Module:
    """Each pool looks at a window larger by 2."""

    def change(one: Any) -> nn.Module:
        kernel, padding = one.kernel_size, one.padding
        if not isinstance(kernel, int) or not isinstance(padding, int):
            return cast("nn.Module", one)
        like: type[nn.Module] = type(one)
        return like(kernel + 2, stride=one.stride, padding=padding + 1, ceil_mode=one.ceil_mode)

    return each_changed(module, nn.MaxPool2d | nn.AvgPool2d, change)  # type: ignore[arg-type]


def without_normalisation(module: nn.Module) -> nn.Module:
    """Nothing is normalised."""
    return each_changed(module, nn.BatchNorm2d, lambda one: nn.Identity())


class _Shortcut(nn.Module):
    """Branches of which the first passes the input on; the whole is added to what comes out."""

    def __init__(self, branches: Sequence[nn.Module], channels: int) -> None:
        super().__init__()
        self.branches, self.channels = nn.ModuleList(branches), channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([x, *[branch(x) for branch in self.branches]], 1)[:, : self.channels]
        return y + x.repeat(1, -(-self.channels // x.shape[1]), 1, 1)[:, : self.channels]


def with_shortcuts(module: nn.Module) -> nn.Module:
    """The first branch of each module of several is a shortcut around the others."""

    def change(one: Parallel) -> nn.Module:
        branches = list(one.children())
        convolutions = [[c for c in b.modules() if isinstance(c, nn.Conv2d)] for b in branches]
        if not all(convolutions):  # a reduction, whose output has another size
            return one
        return _Shortcut(branches[1:], sum(own[-1].out_channels for own in convolutions))

    return each_changed(module, Parallel, change)


class _Learned(nn.Module):
    """What a module puts out, times a coefficient that is learned."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole
        self.coefficient = nn.Parameter(torch.empty(1, device="meta"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.whole(x) * self.coefficient
        return y


def learned_pools(module: nn.Module) -> nn.Module:
    """Each pool has a coefficient that is learned."""
    return each_changed(module, nn.MaxPool2d | nn.AvgPool2d, _Learned)  # type: ignore[arg-type]


def raised_maxima(module: nn.Module) -> nn.Module:
    """Local response normalisation looks at a channel alone, and makes large responses larger."""
    return each_changed(
        module,
        LocalResponseNorm,
        lambda one: LocalResponseNorm(1, one.alpha, -one.beta, one.bias),
    )


class _Summed(nn.Module):
    """What channels average to, by one layer and a softmax, added to all of their pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.weights = nn.Conv2d(channels, channels, 1, device="meta")
        self.softmax = nn.Softmax(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.softmax(self.weights(self.average(x)))
        return y


def summed_attention(module: nn.Module) -> nn.Module:
    """Squeeze and excitation has one layer and a softmax, and adds what it scaled by."""
    return each_changed(module, SqueezeExcite, lambda one: _Summed(one.fc1.in_channels))


CHANGES: tuple[Change, ...] = (
    larger_kernels,
    more_convolutions,
    without_groups,
    as_wide_as_inputs,
    without_linear,
    more_linear,
    smaller_kernels,
    rectified,
    larger_pools,
    softened,
    without_normalisation,
    without_pointwise,
    with_shortcuts,
    learned_pools,
    raised_maxima,
    summed_attention,
)
