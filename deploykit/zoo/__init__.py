"""The catalogue of architectures: facts at hand at once, networks made on demand.

Importing this package, and asking it for facts, needs only the standard library; `torch` is imported
when a network is made or counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalogue import Architecture, architectures, lookup

if TYPE_CHECKING:
    import torch

    from deploykit.spec import Counts

    from .creation import create, input_shape

__all__ = ["Architecture", "architectures", "count_module", "create", "input_shape", "lookup"]


def __getattr__(name: str) -> object:
    """Find what makes networks where it is defined, when it is first used: facts need none of it."""
    if name in ("create", "input_shape"):
        from . import creation

        return getattr(creation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def count_module(module: torch.nn.Module, input_shape: tuple[int, ...]) -> Counts:
    """Count parameters, MACs and activation bytes of `module` for one input of `input_shape`, without its batch.

    That is (C, H, W) of an image, (length, features) of a sequence, (features,) of a row. Nothing is computed:
    shapes alone are followed, on the meta device; `module` is left as it was.
    """
    # Its classes derive from PyTorch's, so that importing it imports PyTorch.
    from .counting import count_module as count

    return count(module, input_shape)
