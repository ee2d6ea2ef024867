"""How the operations of a network are joined: which reads what, seen by running it on shapes alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from deploykit.claims.tracing import NetworkLayer

#: PyTorch's operators by the names that claims have for them; others keep PyTorch's.
_NAMES = {
    "convolution": "conv",
    "addmm": "linear",
    "native_batch_norm": "batchnorm",
    "_native_batch_norm_legit_no_training": "batchnorm",
    "cudnn_batch_norm": "batchnorm",
    "hardtanh": "relu",
    "max_pool2d_with_indices": "maxpool",
    "avg_pool2d": "avgpool",
    "cat": "concat",
    "mean": "average",
    "_adaptive_avg_pool2d": "average",
}

#: What changes no value, so that who looks for what follows looks through it.
_TRANSPARENT = frozenset(
    "view reshape flatten _unsafe_view detach alias clone native_dropout dropout".split()
)


@dataclass(frozen=True)
class Operation:
    """One operator, as it ran for one image.

    Attributes:
        index: its place in the order of running.
        name: "conv", "linear", "batchnorm", "relu" (bounded too), "add", "mul", "concat", "maxpool", "avgpool",
            "average" (over the whole map), else PyTorch's own.
        module: dotted name of the innermost module that it ran in.
        reads: indices of the operations whose outputs it read, in order; -1 is the network's input.
        shapes: shapes of these, without the batch.
        shape: of its output, without the batch.
        kernel: of a convolution, else ().
    """

    index: int
    name: str
    module: str
    reads: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    kernel: tuple[int, ...] = ()


def trace_operations(module: nn.Module, input_shape: tuple[int, int, int]) -> tuple[Operation, ...]:
    """Run `module`, on the meta device, for one image of `input_shape` (C, H, W) and note what reads what.

    What is computed from weights alone is left out.
    """
    mode = torch.utils._python_dispatch.TorchDispatchMode
    operations: list[Operation] = []
    made: dict[int, int] = {}  # operation by the identity of what it put out
    alive: list[torch.Tensor] = []  # so that no identity is used twice
    inside: list[str] = []

    class Watch(mode):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            raw = func.overloadpacket.__name__
            if raw.endswith("batch_norm") and args[0].is_meta:  # composed of many operators there
                x = args[0]
                result: Any = (torch.empty_like(x), x.new_empty(0), x.new_empty(0))
            else:
                result = func(*args, **(kwargs or {}))
            flat = [x for arg in args for x in (arg if isinstance(arg, list | tuple) else [arg])]
            read = [t for t in flat if isinstance(t, torch.Tensor) and id(t) in made]
            output = result[0] if isinstance(result, tuple | list) else result
            if not read or not isinstance(output, torch.Tensor):
                return result
            plain = raw.rstrip("_")
            kernel = tuple(args[1].shape[2:]) if plain == "convolution" else ()
            reads = tuple(made[id(t)] for t in read)
            shapes = tuple(tuple(t.shape[1:]) for t in read)
            name = _NAMES.get(raw, _NAMES.get(plain, plain))
            operation = Operation(
                len(operations),
                name,
                inside[-1] if inside else "",
                reads,
                shapes,
                tuple(output.shape[1:]),
                kernel,
            )
            operations.append(operation)
            for each in result if isinstance(result, tuple | list) else [result]:
                if isinstance(each, torch.Tensor):
                    made[id(each)] = operation.index
                    alive.append(each)
            return result

    def enter(name: str) -> Any:
        return lambda *_: inside.append(name)

    handles = []
    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(enter(name)))
        handles.append(part.register_forward_hook(lambda *_: (inside.pop(), None)[1]))
    try:
        image = torch.empty(1, *input_shape, device="meta")
        made[id(image)] = -1
        with torch.no_grad(), Watch():
            module(image)
    finally:
        for handle in handles:
            handle.remove()
    return tuple(operations)


def readers(operations: Sequence[Operation]) -> dict[int, list[Operation]]:
    """The operations that read each one's output, by its index; what changes no value is looked through."""
    by_index: dict[int, list[Operation]] = {}
    for operation in operations:
        for source in operation.reads:
            by_index.setdefault(source, []).append(operation)

    def through(index: int) -> Iterator[Operation]:
        for reader in by_index.get(index, ()):
            if reader.name in _TRANSPARENT:
                yield from through(reader.index)
            else:
                yield reader

    return {operation.index: list(through(operation.index)) for operation in operations}


def depth(operations: Sequence[Operation]) -> int:
    """Layers with weights on the longest way through a network.

    Convolutions of a map of one pixel, as in squeeze-and-excitation, scale channels beside that way and are not
    counted.
    """
    longest: dict[int, int] = {-1: 0}
    for operation in operations:
        before = max(longest[index] for index in operation.reads)
        squeezed = (
            operation.name == "conv" and operation.shape[1:] == (1, 1) == operation.shapes[0][1:]
        )
        counts = operation.name in ("conv", "linear") and not squeezed
        longest[operation.index] = before + counts
    return max(longest.values())


def joins(operations: Iterable[Operation]) -> list[Operation]:
    """The concatenations of several values."""
    return [each for each in operations if each.name == "concat" and len(each.reads) > 1]


def branches(operations: Iterable[Operation]) -> list[int]:
    """How many values each concatenation joins."""
    return [len(each.reads) for each in joins(operations)]


def before_pools(layers: Iterable[NetworkLayer]) -> list[int]:
    """After which convolutions pools stand, the first being 1."""
    convolutions, places = 0, []
    for layer in layers:
        convolutions += layer.kind == "conv"
        if layer.kind == "pool":
            places.append(convolutions)
    return places
