"""The networks that claims are about, looked at by shape alone; torch is imported when one is made."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from deploykit.spec import Counts, ModelSpec
from deploykit.zoo import count_module, create, input_shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Layer:
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
    def depthwise(self) -> bool:
        """Whether each channel is filtered by itself."""
        return self.kind == "conv" and self.groups == self.in_channels > 1

    @property
    def pointwise(self) -> bool:
        """Whether it mixes channels only, by a 1x1 kernel."""
        return self.kind == "conv" and self.kernel == (1, 1) and self.groups == 1


@functools.cache
def counts(name: str, alpha: float = 1.0, rho: Fraction = Fraction(1)) -> Counts:
    """Counts of a catalogue network at its canonical input times rho.

    Raises:
        MissingDependency: torch isn't installed.
    """
    spec = ModelSpec(name, alpha=alpha, rho=rho)
    return count_module(create(spec, device="meta"), input_shape(spec))


@functools.cache
def layers(name: str, alpha: float = 1.0, rho: Fraction = Fraction(1)) -> tuple[Layer, ...]:
    """The leaf modules of a catalogue network in the order they are called.

    Raises:
        MissingDependency: torch isn't installed.
    """
    spec = ModelSpec(name, alpha=alpha, rho=rho)
    return trace(create(spec, device="meta"), input_shape(spec))


def trace(module: nn.Module, shape: tuple[int, int, int]) -> tuple[Layer, ...]:
    """Run `module`, which is on the meta device, for one image of `shape` (C, H, W) and note its leaves."""
    import torch

    found: list[Layer] = []

    def note(name: str) -> Any:
        def hook(leaf: nn.Module, _: Any, output: torch.Tensor) -> None:
            found.append(_layer(name, leaf, tuple(output.shape[1:])))

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
    return tuple(found)


def _layer(name: str, leaf: nn.Module, output: tuple[int, ...]) -> Layer:
    from torch import nn

    kind, groups, channels, macs = type(leaf).__name__, 1, (0, 0), 0
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    values = 1
    for size in output:
        values *= size
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
    return Layer(name, kind, kernel, stride, groups, *channels, output, parameters, macs)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
