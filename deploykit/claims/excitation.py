"""Squeeze and excitation (Hu et al. 2017, arXiv 1709.01507, section 3) behind the convolutions of any network."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deploykit.claims.networks import Network, changed
from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextlib.contextmanager
def with_excitation(network: Network, reduction: int) -> Iterator[Network]:
    """The network with a block called `se` behind each convolution larger than 1x1, while the context lasts."""
    with changed(network.spec.name, _excited(reduction)):
        yield Network(network.spec)


@functools.cache
def _excited(reduction: int) -> functools.partial[nn.Module]:
    return functools.partial(_excite, reduction=reduction)


def _excite(module: nn.Module, reduction: int) -> nn.Module:
    module = copy.deepcopy(module)
    spatial = [
        (parent, name, part)
        for parent in list(module.modules())
        for name, part in parent.named_children()
        if isinstance(part, torch.nn.Conv2d) and part.kernel_size > (1, 1)
    ]
    for parent, name, convolution in spatial:
        setattr(parent, name, _followed(convolution, reduction))
    return module


def _followed(convolution: nn.Conv2d, reduction: int) -> nn.Module:
    """The convolution, its map squeezed to an average, two fully connected layers, and the product of the two."""

    class Excited(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = convolution.out_channels
            hidden = max(1, channels // reduction)
            self.conv = convolution
            self.se = torch.nn.Sequential(
                torch.nn.Linear(channels, hidden, device="meta"),
                torch.nn.ReLU(),
                torch.nn.Linear(hidden, channels, device="meta"),
                torch.nn.Sigmoid(),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            scale: Tensor = self.se(x.mean((2, 3)))
            return x * scale[:, :, None, None]

    return Excited()
