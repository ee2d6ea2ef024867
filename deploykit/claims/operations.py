"""What a network computes, as `wiring` has seen it, with views looked through: what is joined, added and kept.

Whoever asks where a value comes from does not care how it was shaped on the way: an operation here reads what the
views before it read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from deploykit.claims import wiring

#: Stands for the image among the sources of an operation.
IMAGE = -1

#: Bytes of one value of an activation.
_BYTES = 4

#: What some operators are called here that `wiring` tells apart or calls by PyTorch's names.
_KINDS = {
    "avgpool": "average",
    "clamp": "relu",
    "clamp_min": "relu",
    "leaky_relu": "relu",
    "mm": "linear",
    "_softmax": "softmax",
}

#: Operators that give the same values another shape.
_VIEWS = frozenset(
    "view _unsafe_view reshape t transpose permute expand slice select squeeze unsqueeze split split_with_sizes "
    "chunk unbind alias detach flatten narrow clone _reshape_alias".split()
)

#: Kinds that can write their result over their only input.
_IN_PLACE = frozenset(("batchnorm", "relu", "sigmoid", "silu", "tanh"))


@dataclass(frozen=True)
class Operation:
    """One operator that was run.

    Attributes:
        kind: "conv", "linear", "batchnorm", "relu" (bounded ones too), "add", "mul", "concat", "average" (also of
            windows), or what PyTorch calls it.
        module: the dotted name of the innermost module that ran it.
        sources: the operations whose results it read, by their place in the sequence; `IMAGE` for the input.
        shape_in: of the first of these, without the batch.
        shape: of its result, without the batch.
        bytes: of its result.
    """

    kind: str
    module: str
    sources: tuple[int, ...]
    shape_in: tuple[int, ...]
    shape: tuple[int, ...]
    bytes: int

    @property
    def is_global_average(self) -> bool:
        """Whether it averages each map as a whole."""
        maps = len(self.shape_in) == 3 and self.shape_in[1:] != (1, 1)
        return self.kind == "average" and maps and math.prod(self.shape[1:]) == 1


def watch(wired: Sequence[wiring.Operation]) -> tuple[Operation, ...]:
    """What was wired, without the views."""
    place = {IMAGE: IMAGE}
    found: list[Operation] = []
    for one in wired:
        if one.name in _VIEWS:
            place[one.index] = place[one.reads[0]]
            continue
        sources = tuple(dict.fromkeys(place[read] for read in one.reads))
        place[one.index] = len(found)
        kind = _KINDS.get(one.name, one.name)
        size = math.prod(one.shape) * _BYTES
        found.append(Operation(kind, one.module, sources, one.shapes[0], one.shape, size))
    return tuple(found)


def peak_bytes(operations: Sequence[Operation]) -> int:
    """Most bytes that are needed at once: of results that are still to be read, and of the one being made.

    An operator that works value by value writes over its input where nothing else reads that.
    """
    last = {source: number for number, one in enumerate(operations) for source in one.sources}
    live = 0
    held: dict[int, int] = {}
    most = 0
    for number, one in enumerate(operations):
        ends = [s for s in one.sources if last.get(s) == number and s in held]
        if one.kind in _IN_PLACE and ends and len(one.sources) == 1:
            live -= held.pop(ends[0])
            ends = []
        live += one.bytes
        held[number] = one.bytes
        most = max(most, live)
        for source in ends:
            live -= held.pop(source)
        if number not in last:
            live -= held.pop(number)
    return most


def chain(operations: Sequence[Operation], start: int) -> list[int]:
    """The operations from `start` backwards while each reads one other, and the one where that ends."""
    found = [start]
    while found[-1] != IMAGE and len(operations[found[-1]].sources) == 1:
        found.append(operations[found[-1]].sources[0])
    return found


class Shortcut(NamedTuple):
    """The shorter of the two branches of a residual sum.

    Attributes:
        modules: the names of the modules with weights on it; none on an identity.
        keeps_shape: whether the sum has the shape that both branches start from.
    """

    modules: tuple[str, ...]
    keeps_shape: bool


def shortcuts(operations: Sequence[Operation]) -> list[Shortcut]:
    """The shortcut of each residual sum: of two branches of one operation, the longer of which has convolutions."""
    found = []
    for one in operations:
        if one.kind != "add" or len(one.sources) != 2:
            continue
        branches = [chain(operations, source) for source in one.sources]
        common = next((place for place in branches[0] if place in branches[1]), None)
        if common is None or common == IMAGE:
            continue
        shorter, longer = sorted(
            (_weighted(operations, branch[: branch.index(common)]) for branch in branches), key=len
        )
        if longer:
            found.append(Shortcut(shorter, operations[common].shape == one.shape))
    return found


def _weighted(operations: Sequence[Operation], places: Sequence[int]) -> tuple[str, ...]:
    weighted = ("conv", "batchnorm", "linear")
    return tuple(operations[p].module for p in places if operations[p].kind in weighted)


def joined(operations: Sequence[Operation], place: int) -> frozenset[int]:
    """The operations that are concatenated to what `place` is: itself, where it is no concatenation."""
    if place == IMAGE or operations[place].kind != "concat":
        return frozenset((place,))
    return frozenset().union(*(joined(operations, source) for source in operations[place].sources))


def readers(operations: Sequence[Operation]) -> dict[int, list[int]]:
    """The operations that read each."""
    found: dict[int, list[int]] = {}
    for number, one in enumerate(operations):
        for source in one.sources:
            found.setdefault(source, []).append(number)
    return found


def between_convolutions(
    operations: Sequence[Operation], place: int
) -> tuple[list[str], int | None]:
    """The kinds of what stands between a convolution and the next one, and that one; None where there is none."""
    read_by = readers(operations)
    kinds: list[str] = []
    while True:
        following = read_by.get(place, [])
        if len(following) != 1:
            return kinds, None
        place = following[0]
        if operations[place].kind in ("conv", "linear"):
            return kinds, place
        kinds.append(operations[place].kind)
