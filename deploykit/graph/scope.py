"""What is known of the tensors of one graph: types with shapes, small values, and what runs in its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploykit.graph.macs import Shape
from deploykit.lazy import onnx

#: Values up to this many elements are followed: shapes, pads, axes, conditions.
_VALUE_ELEMENTS = 4096
#: Float values up to this many: the scales of a Resize and what they are computed from.
_FLOAT_ELEMENTS = 256


@dataclass
class Body:
    """A run of the graph within a node.

    Attributes:
        scope: what its tensors are.
        times: how often it runs; 1 where that is not known.
        known: whether it is known how often.
    """

    scope: Scope
    times: int
    known: bool


@dataclass
class Scope:
    """What is known of the tensors of one graph for one run of it.

    Attributes:
        graph: the graph.
        outer: of the graph around it.
        opsets: versions by domain.
        types: ONNX's types by tensor, with shapes.
        values: of tensors that are small and fixed.
        bodies: what runs within a node, by the name of its first output: one branch of an If, each run of a Loop.
        chosen: nodes, by first output, of which the branch with more work was taken as the condition is not known.
        macs: of the graph and what runs in it, as far as known.
        told: types that are known from elsewhere.
    """

    graph: onnx.GraphProto
    outer: Scope | None
    opsets: Mapping[str, int]
    types: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    bodies: dict[str, list[Body]] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)
    macs: int = 0
    told: Mapping[str, Any] = field(default_factory=dict)

    def type_of(self, name: str) -> Any:
        """The type of a tensor; looks outward; None where it is not known."""
        found = self.types.get(name)
        return found if found is not None or self.outer is None else self.outer.type_of(name)

    def value(self, name: str) -> Any:
        """The value of a small fixed tensor; looks outward; None where it is not known."""
        if name in self.values or name in self.types or self.outer is None:
            return self.values.get(name)
        return self.outer.value(name)

    def shape(self, name: str) -> Shape | None:
        """The shape of a tensor, where all of it is known."""
        return shape_of_type(self.type_of(name))

    def element_type(self, name: str) -> int | None:
        """ONNX's number of the type of a tensor's values."""
        found = self.type_of(name)
        return int(found.tensor_type.elem_type) or None if found is not None else None


def shape_of_type(found: Any) -> Shape | None:
    """The shape that a type states, where all of it is known."""
    if found is None or not found.tensor_type.HasField("shape"):
        return None
    dims = found.tensor_type.shape.dim
    return tuple(d.dim_value for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def tensor_type(element_type: int, shape: Sequence[int | None] | None) -> Any:
    """ONNX's type of a tensor; None stands for what is not known."""
    return onnx.helper.make_tensor_type_proto(element_type, shape)


def value_limit(element_type: int) -> int:
    """How many values of a type are followed at most."""
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
    return _VALUE_ELEMENTS if element_type in whole else _FLOAT_ELEMENTS


def scopes_below(scope: Scope, times: int = 1) -> Iterator[tuple[Scope, int]]:
    """A scope, and those within its nodes, each with how often it runs as far as known."""
    yield scope, times
    for bodies in scope.bodies.values():
        for body in bodies:
            yield from scopes_below(body.scope, times * body.times)
