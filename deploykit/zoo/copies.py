"""Copies of PyTorch modules to be run and thrown away, with their weights or with the shapes of these alone.

What a module holds beside weights is copied where that can be done: a tensor that was computed from weights (as
pruning, the older weight normalisation and caches leave one) as its values, a lock or a generator not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

#: What of a module's attributes PyTorch looks after, and copies.
_OWN = frozenset(("_parameters", "_buffers", "_modules"))


def shapes_of(module: nn.Module) -> nn.Module:
    """The same module with shapes for weights, without copying the weights on the way."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        if nn.parameter.is_lazy(parameter):
            kind: Any = type(parameter)
            memo[id(parameter)] = kind(device="meta", dtype=parameter.dtype)
            continue
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
    for buffer in module.buffers():
        if nn.parameter.is_lazy(buffer):
            kind = type(buffer)
            memo[id(buffer)] = kind(device="meta", dtype=buffer.dtype)
        else:
            memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    for tensor in _computed(module):
        memo[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=False)
    return _copied(module, memo)


def values_of(module: nn.Module) -> nn.Module:
    """The same module with its weights, on the CPU."""
    uncopied = (*_computed(module), *_sparse(module))
    return _copied(module, {id(t): t.detach().clone() for t in uncopied}).cpu()


def _computed(module: nn.Module) -> Iterator[Tensor]:
    """The tensors that are held as results of a computation, which PyTorch doesn't copy."""
    for _, value in _attributes(module):
        for leaf in tree_leaves(value):
            if isinstance(leaf, Tensor) and not leaf.is_leaf:
                yield leaf


def _sparse(module: nn.Module) -> Iterator[Tensor]:
    """The buffers of which only some values are stored, some kinds of which PyTorch doesn't copy."""
    for buffer in module.buffers():
        if not nn.parameter.is_lazy(buffer) and buffer.layout != torch.strided:
            yield buffer


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for part in module.modules():
        yield from ((name, value) for name, value in vars(part).items() if name not in _OWN)


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy but for what stands in `memo`, and for what can't be copied: the copy has that too."""
    try:
        return copy.deepcopy(module, dict(memo))
    except Exception:  # whatever the objects that a module holds may raise
        pass
    for _, value in _attributes(module):
        try:
            copy.deepcopy(value, dict(memo))
        except Exception:
            memo[id(value)] = value
    return copy.deepcopy(module, memo)
