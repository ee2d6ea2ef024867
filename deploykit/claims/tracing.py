"""The layers of a module as it calls them, on shapes alone: its leaves, and its outermost modules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkLayer:
    """One leaf module, as it was called, for one image.

    Attributes:
        name: dotted, as in the state_dict.
        kind: "conv", "linear", "pool" or the class' name.
        kernel, stride: (vertical, horizontal) of convolutions and pools, else ().
        groups: of a convolution, else 1.
        in_channels, out_channels: of convolutions; in and out features of linear layers; else 0.
        output: the output's shape without the batch.
        parameters, macs: of this layer alone; biases are parameters but no MACs.
    """

    name: str
    kind: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    in_channels: int
    out_channels: int
    output: tuple[int, ...]
    parameters: int
    macs: int

    @property
    def weighted(self) -> bool:
        """Whether it multiplies by weights: what papers count as a layer."""
        return self.kind in ("conv", "linear")

    @property
    def size(self) -> str:
        """Its kernel as text, such as "3x3"."""
        return "x".join(map(str, self.kernel))

    @property
    def depthwise(self) -> bool:
        """Whether each channel is filtered by itself."""
        return self.kind == "conv" and self.groups == self.in_channels > 1

    @property
    def pointwise(self) -> bool:
        """Whether it mixes channels only, by a 1x1 kernel."""
        return self.kind == "conv" and self.kernel == (1, 1) and self.groups == 1


class Unit(NamedTuple):
    """An outermost module of a network, chains of modules opened, as a paper would draw a layer.

    Attributes:
        name, kind: dotted, and the class.
        values_in, values_out: numbers of values that it takes and gives, without the batch.
        parameters: trainable values in all of it.
    """

    name: str
    kind: str
    values_in: int
    values_out: int
    parameters: int


def trace(module: nn.Module, shape: tuple[int, int, int]) -> tuple[NetworkLayer, ...]:
    """Run `module`, which is on the meta device, for one image of `shape` (C, H, W) and note its leaves."""
    called: list[NetworkLayer] = []

    def note(name: str) -> Any:
        def hook(leaf: nn.Module, _: Any, output: torch.Tensor) -> None:
            called.append(_layer(name, leaf, tuple(output.shape[1:])))

        return hook

    handles = [
        leaf.register_forward_hook(note(name))
        for name, leaf in module.named_modules()
        if not list(leaf.children())
    ]
    try:
        with torch.no_grad():
            module(torch.empty(1, *shape, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(called)


def trace_units(module: nn.Module, shape: tuple[int, int, int]) -> tuple[Unit, ...]:
    """Run `module`, which is on the meta device, for one image of `shape` and note its outermost modules."""
    called: list[Unit] = []

    def note(name: str) -> Any:
        def hook(part: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            parameters = sum(p.numel() for p in part.parameters())
            taken, given = (math.prod(t.shape[1:]) for t in (inputs[0], output))
            called.append(Unit(name, type(part).__name__, taken, given, parameters))

        return hook

    handles = [part.register_forward_hook(note(name)) for name, part in _outermost("", module)]
    try:
        with torch.no_grad():
            module(torch.empty(1, *shape, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(called)


def _outermost(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, part in module.named_children():
        if isinstance(part, torch.nn.Sequential):
            yield from _outermost(f"{prefix}{name}.", part)
        else:
            yield f"{prefix}{name}", part


def _layer(name: str, leaf: nn.Module, output: tuple[int, ...]) -> NetworkLayer:
    nn = torch.nn
    kind, groups, channels, macs = type(leaf).__name__, 1, (0, 0), 0
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    values = math.prod(output)
    if isinstance(leaf, nn.Conv2d):
        kind, groups = "conv", leaf.groups
        kernel, stride = _pair(leaf.kernel_size), _pair(leaf.stride)
        channels = (leaf.in_channels, leaf.out_channels)
        macs = values * kernel[0] * kernel[1] * leaf.in_channels // groups
    elif isinstance(leaf, nn.Linear):
        kind, channels = "linear", (leaf.in_features, leaf.out_features)
        macs = values * leaf.in_features
    elif isinstance(leaf, nn.MaxPool2d | nn.AvgPool2d):
        kind, kernel, stride = "pool", _pair(leaf.kernel_size), _pair(leaf.stride)
    parameters = sum(p.numel() for p in leaf.parameters())
    return NetworkLayer(name, kind, kernel, stride, groups, *channels, output, parameters, macs)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
