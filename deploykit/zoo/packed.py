"""Weights that are no parameters of a PyTorch module: those of quantised layers, and constants of frozen scripts.

PyTorch packs the weights of quantised layers for its own kernels, and `torch.jit.freeze` writes weights into the
graph; `module.parameters()` lists neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def packed_weights(owner: nn.Module) -> Iterator[Tensor]:
    """The weights and biases that `owner` itself holds in packed form."""
    if not any(kind.__module__.startswith("torch.ao.nn.") for kind in type(owner).__mro__):
        return  # a layer of the user's own may have methods of these names
    given: list[Any] = []
    read_weights, read_biases = (getattr(owner, name, None) for name in ("get_weight", "get_bias"))
    # A linear layer hands on what the part of it holds that has the packed weights.
    handed_on = any(hasattr(child, "_weight_bias") for child in owner.children())
    if callable(read_weights) and callable(read_biases):
        given = [*read_weights().values(), *read_biases().values()]
    elif hasattr(owner, "_weight_bias") and not handed_on:
        given = [*owner._weight_bias()]  # type: ignore[operator]  # a method of quantised layers
    yield from (one for one in given if isinstance(one, Tensor))


def frozen_weights(module: nn.Module) -> Iterator[Tensor]:
    """The weights that stand as constants in the graphs of scripts, of those that have no parameters."""
    scripts = [part for part in module.modules() if isinstance(part, torch.jit.ScriptModule)]
    inner = {id(child) for script in scripts for child in script.children()}
    for script in scripts:
        if id(script) in inner or next(script.parameters(), None) is not None:
            continue
        graph: Any = script.inlined_graph
        for node in graph.findAllNodes("prim::Constant"):
            if node.hasAttribute("value") and node.kindOf("value") == "t":
                value = node.t("value")
                if value.is_floating_point() and value.dim():
                    yield value


def packed_product(func: Any, args: Any, result: Any) -> tuple[str, int] | None:
    """The kind of a product with packed weights, and its multiply-accumulates; None for what is no such product."""
    kind = func.overloadpacket.__name__
    packed = [one for one in args if isinstance(one, torch._C.ScriptObject)]
    if func.namespace != "quantized" or len(packed) != 1 or not isinstance(result, Tensor):
        return None
    weight = packed[0].unpack()[0] if hasattr(packed[0], "unpack") else None
    if not isinstance(weight, Tensor) or not kind.startswith(("conv", "linear")):
        return None
    turned = kind.startswith("conv_transpose")
    macs = (args[0] if turned else result).numel() * math.prod(weight.shape[1:])
    if kind.startswith("conv"):
        return "QLinearConv", int(macs)
    return ("MatMulInteger" if "dynamic" in kind else "QLinearMatMul"), int(macs)
