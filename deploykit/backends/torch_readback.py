"""What a PyTorch module computes in: the types of its convolutions' and products' operands, as dispatched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators that multiply, by the start of their names.
_PRODUCTS = (
    "convolution",
    "mkldnn_convolution",
    "addmm",
    "mm",
    "bmm",
    "baddbmm",
    "addmv",
    "mv",
    "linear",
    "_scaled_dot_product",
)
_NAMES = {
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.uint8: "int8",
}


class _Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every product with the module that it was called in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.within: list[str] = []
        self.found: dict[str, list[str]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith(_PRODUCTS):
            # The last operand is the weight, where there is one; a bias comes before the operands.
            operands = [a for a in args if isinstance(a, torch.Tensor) and a.ndim > 1]
            dtype = operands[-1].dtype
            kind = _NAMES.get(dtype, str(dtype).removeprefix("torch."))
            self.found.setdefault(kind, []).append(self.within[-1] if self.within else name)
        return func(*args, **(kwargs or {}))


def compute_types(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> dict[str, list[str]]:
    """The modules that multiply, by the type of what they multiply, of one forward pass.

    Args:
        module: in eval mode.
        inputs: of the pass.
    """
    listener = _Listener()

    def enter(name: str, *_: Any) -> None:
        listener.within.append(name)

    def leave(*_: Any) -> None:
        listener.within.pop()

    hooks: list[Any] = []
    for name, part in module.named_modules():
        entering: Callable[..., None] = partial(enter, name or type(module).__name__)
        hooks += [
            part.register_forward_pre_hook(entering),
            part.register_forward_hook(leave),
        ]
    try:
        # Not inference mode: there, composite operators would arrive whole, under names of their own.
        with torch.no_grad(), listener:
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return listener.found
