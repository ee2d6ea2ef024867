"""The catalogue of architectures: facts at hand at once, networks made on demand.

Importing this package, and asking it for facts, needs only the standard library; `torch` is imported
when a network is made or counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .architecture import Architecture
from .inputs import input_shape
from .registry import architectures, lookup

if TYPE_CHECKING:
    import torch

    from deploykit.spec import Counts, ModelSpec

__all__ = ["Architecture", "architectures", "count_module", "create", "input_shape", "lookup"]


def create(spec: ModelSpec, *, device: str = "cpu") -> torch.nn.Module:
    """Make the network of `spec` in eval mode, its weights loaded, or seeded when random.

    On `device="meta"` no weights are allocated, which is enough to count. Input is (N, C, H, W) float32
    with the C, H, W of `input_shape(spec)`; output is the logits, (N, num_classes).

    Raises:
        UsageError: alpha, classes, weights or the factory can't be used so.
        InvalidModel: the checkpoint can't be read or belongs to another network.
        MissingDependency: torch, or the package that holds the weights, isn't installed.
    """
    from .creation import create as make

    return make(spec, device=device)


def count_module(module: torch.nn.Module, input_shape: tuple[int, int, int]) -> Counts:
    """Count parameters, MACs and activation bytes of `module` for one image of `input_shape` (C, H, W).

    Nothing is computed: shapes alone are followed, on the meta device; `module` is left as it was.
    """
    from .counting import count_module as count

    return count(module, input_shape)
