"""Which operators of a graph run in integers on the CPU, and which tensors that quantises."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from deploykit.errors import DriftFailed
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.operators import Kind, Trait, has, kind_of
from deploykit.graph.precision.recipe import KeepRules, Product, product_of
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Products that also have a form with integer inputs and a float output.
_FLOAT_OUTPUT = frozenset({"Gemm", "MatMul"})

#: Operands of a Concat share one scale up to this ratio of their ranges: the smallest loses two bits.
WIDEST_CONCAT = 4.0

#: Operands of an addition do so up to this ratio: eight steps of 255 are left of the smaller one.
WIDEST_ADDITION = 32.0

#: Between a Concat and a product: all of them keep its one scale, or nearly so.
_PASSING = frozenset({"AveragePool", "Clip", "Concat", "GlobalAveragePool", "Relu"})

Range = tuple[float, float]


class IntegerRegions:
    """The plan of a graph in integers.

    Without ranges it is what could be in integers; with them, joins and additions whose operands differ too
    much in range stay in float: a box in pixels beside a score, a mask of -1e9 on attention's scores.

    Attributes:
        products: convolutions and matrix products that are quantised.
        tensors: activations that get a pair, in the order of the graph.
        constant_operands: constant inputs of additions and multiplications: node, position, value.
        planned: ids of the nodes that run in integers.
    """

    def __init__(
        self,
        view: GraphView,
        keep: KeepRules,
        ranges: Mapping[str, Range] | None = None,
        left: Collection[str] = (),
    ) -> None:
        """Plan a graph; products whose results are among `left` stay in float beside those that are kept."""
        self.view = view
        self.keep = keep
        self._left = frozenset(left)
        self.products: list[Product] = []
        self.constant_operands: list[tuple[onnx.NodeProto, int, np.ndarray]] = []
        self.tensors: list[str] = []
        self.planned: set[int] = set()
        self._ranges = ranges
        self._types = view.types
        self._sources: dict[str, str] = {}
        self._joined: dict[str, str] = {}
        self._made: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._listed: set[str] = set()
        self._fused: set[int] = set()
        for node in view.nodes:
            self._visit(node)
        if ranges is not None:
            self._leave_ends_float()

    def root(self, tensor: str) -> str:
        """The tensor whose range decides the scale of this one."""
        while True:
            if tensor in self._sources:
                tensor = self._sources[tensor]
            elif tensor in self._joined:
                tensor = self._joined[tensor]
            else:
                return tensor

    def roots(self) -> list[str]:
        """The tensors whose ranges decide scales."""
        return sorted({self.root(tensor) for tensor in self.tensors})

    def measured(self) -> dict[str, str]:
        """The tensors whose ranges a plan with ranges may ask for, each with that which has the same values."""
        return {tensor: self._own(tensor) for tensor in self.tensors}

    def optional(self) -> set[str]:
        """Those of them that no product reads or makes: where they are infinite they can stay in float."""
        needed = {self._own(product.activation) for product in self.products}
        needed |= {self.result(product.node)[0] for product in self.products}
        return set(self.measured().values()) - needed

    def range_of(self, tensor: str) -> Range:
        """The range of a tensor that was measured."""
        assert self._ranges is not None, "the plan was made without ranges"
        return self._ranges[tensor]

    def made_in_integers(self, tensor: str) -> bool:
        """Whether an integer operator makes the tensor, so that all its readers see it quantised."""
        return tensor in self._made

    def integer_readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The integer operators that read the tensor."""
        return self._readers.get(tensor, [])

    # ---- building the plan

    def _own(self, tensor: str) -> str:
        while tensor in self._sources:
            tensor = self._sources[tensor]
        return tensor

    def _visit(self, node: onnx.NodeProto) -> None:
        if not is_standard(node) or self.keep.keeps(node) or id(node) in self._fused:
            return
        product = product_of(self.view, node)
        if product is not None:
            self._add_product(product)
        elif has(node, Trait.SHARES_SCALE):
            self._add_moving(node)
        elif has(node, Trait.INTEGER_FORM) and kind_of(node) is Kind.ELEMENTWISE:
            self._add_elementwise(node)
        elif has(node, Trait.INTEGER_FORM):
            if node.input[0] in self._made and self._supported(node):
                self._read(node.input[0], node)
                self._make(node)
        elif node.op_type == "Concat":
            self._add_concat(node)

    def _add_product(self, product: Product) -> None:
        if (product.has_bias and product.bias is None) or product.node.output[0] in self._left:
            return
        if not (self._finite([product.activation]) and np.isfinite(product.weight).all()):
            raise DriftFailed(
                f"activation {product.activation!r} or the weight of {product.node.name!r} is not finite; "
                "check the network's weights and the images' scaling"
            )
        self.products.append(product)
        self._read(product.activation, product.node)
        self._make(product.node)

    def _add_moving(self, node: onnx.NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        if source not in self._made or len([name for name in node.output if name]) > 1:
            return
        self._read(source, node)
        self._made[result] = node
        self.planned.add(id(node))
        self._list(result)
        self._sources[result] = source

    def _add_elementwise(self, node: onnx.NodeProto) -> None:
        if not any(name in self._made for name in node.input) or not self._all_float(node):
            return
        constants = []
        for slot, name in enumerate(node.input):
            if self.view.is_constant(name):
                value = self.view.constant(name)
                if value is None or not np.isfinite(value).all():
                    return
                constants.append((node, slot, value))
        if not self._finite([*node.input, self.result(node)[0]]):
            return
        if node.op_type == "Add" and self._ratio(node.input) > WIDEST_ADDITION:
            return
        for name in node.input:
            if not self.view.is_constant(name):
                self._read(name, node)
        self.constant_operands.extend(constants)
        self._make(node)

    def _add_concat(self, node: onnx.NodeProto) -> None:
        names = list(node.input)
        if not any(name in self._made for name in names) or not self._all_float(node):
            return
        if any(self.view.is_constant(name) for name in names) or not self._finite(names):
            return
        if self._ratio(names) > WIDEST_CONCAT and not self._only_multiplied(node.output[0]):
            return
        for name in names:
            self._read(name, node)
        result = self._make(node)
        for name in names:
            # Values that go nowhere else are stored in the result's steps at once: nothing to convert.
            alone = self.view.read_only_by(name, node) and names.count(name) == 1
            if alone and name in self._made and name not in self._sources:
                self._joined[name] = result

    # ---- what ranges decide

    def _peak(self, name: str) -> float:
        """The largest magnitude of a tensor; infinite where the range is."""
        if self.view.is_constant(name):
            value = self.view.constant(name)
            return 0.0 if value is None else float(np.max(np.abs(value), initial=0.0))
        low, high = self.range_of(name)
        return max(-low, high)

    def _ratio(self, names: Iterable[str]) -> float:
        """How many times wider the widest tensor is than the narrowest that is not all zero."""
        if self._ranges is None:
            return 1.0
        peaks = [peak for name in names if (peak := self._peak(name)) > 0.0]
        return max(peaks) / min(peaks) if peaks else 1.0

    def _finite(self, names: Iterable[str]) -> bool:
        if self._ranges is None:
            return True
        known = [name for name in names if name in (self._ranges or {})]
        return all(math.isfinite(self._peak(name)) for name in known)

    def _only_multiplied(self, tensor: str) -> bool:
        """Whether nothing but products reads the tensor in the end, which take one scale for all of it anyway."""
        waiting, seen = [tensor], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            readers = self.view.readers(name)
            if name in self.view.outputs or not readers:
                return False
            for node in readers:
                if self.keep.keeps(node):
                    return False
                if product_of(self.view, node) is not None:
                    continue
                if not has(node, Trait.SHARES_SCALE) and node.op_type not in _PASSING:
                    return False
                waiting.append(node.output[0])
        return True

    # ---- bookkeeping

    def _all_float(self, node: onnx.NodeProto) -> bool:
        return all(self._types.get(name) == ElementType.FLOAT for name in node.input)

    def _supported(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "AveragePool":
            return True
        dilations = attribute(node, "dilations", [1])
        # ONNX Runtime's integer form divides a last window that is cut by another count than the float form.
        cut = attribute(node, "ceil_mode", 0) and attribute(node, "count_include_pad", 0)
        return all(d == 1 for d in dilations) and not cut

    def _read(self, tensor: str, node: onnx.NodeProto) -> None:
        self._readers.setdefault(tensor, []).append(node)
        self._list(tensor)

    def _list(self, tensor: str) -> None:
        if tensor not in self._listed:
            self._listed.add(tensor)
            self.tensors.append(tensor)

    def _make(self, node: onnx.NodeProto) -> str:
        """Note what an integer operator makes: its output, or that of the activation fused behind."""
        result, follower = self.result(node)
        if follower is not None:
            self._fused.add(id(follower))
            self.planned.add(id(follower))
        self.planned.add(id(node))
        self._made[result] = node
        self._list(result)
        return result

    def result(self, node: onnx.NodeProto) -> tuple[str, onnx.NodeProto | None]:
        """What an integer operator makes, with the activation that is fused behind it, if there is one."""
        result = str(node.output[0])
        readers = self.view.consumers(result)
        if len(readers) == 1 and self.view.read_only_by(result, readers[0][0]):
            follower = readers[0][0]
            if not self.keep.keeps(follower) and self._fuses(follower):
                return str(follower.output[0]), follower
        return result, None

    def _fuses(self, node: onnx.NodeProto) -> bool:
        """Whether a quantised range from zero up makes this activation superfluous."""
        if not is_standard(node):
            return False
        if node.op_type == "Relu":
            return True
        if node.op_type != "Clip" or len(node.input) < 2 or not node.input[1]:
            return False
        least = self.view.constant(node.input[1])
        if least is None or float(least.reshape(-1)[0]) != 0.0:
            return False
        if len(node.input) < 3 or not node.input[2]:
            return True
        # A bound above that lies below the other one wins over it: every result is that bound.
        largest = self.view.constant(node.input[2])
        return largest is not None and float(largest.reshape(-1)[0]) >= 0.0

    def _leave_ends_float(self) -> None:
        """What nothing in integers reads is left in float where its operator can: an end loses nothing.

        A matrix product reads integers and writes floats; additions, activations and moves are computed in
        float. A convolution has no such form.
        """
        dropped: set[int] = set()
        for tensor, node in reversed(list(self._made.items())):
            if any(id(reader) not in dropped for reader in self._readers.get(tensor, ())):
                continue
            if node.op_type in _FLOAT_OUTPUT:
                del self._made[tensor]
            elif node.op_type in _ENDS or has(node, Trait.SHARES_SCALE):
                del self._made[tensor]
                self._sources.pop(tensor, None)
                dropped.add(id(node))
        if dropped:
            self.planned -= dropped
            self.constant_operands = [c for c in self.constant_operands if id(c[0]) not in dropped]
            self._readers = {
                tensor: [node for node in nodes if id(node) not in dropped]
                for tensor, nodes in self._readers.items()
            }
            self._joined = {t: to for t, to in self._joined.items() if to in self._made}
        self.tensors = [t for t in self.tensors if t in self._made or self._readers.get(t)]


#: Operators with an integer form that are left in float at an end.
_ENDS = frozenset({"Add", "Concat", "HardSwish", "LeakyRelu", "Mul", "Sigmoid"})
