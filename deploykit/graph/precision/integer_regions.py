"""Which operators of a graph ONNX Runtime's CPU provider runs in integers, and which tensors that quantises."""

from __future__ import annotations

from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.operators import OPERATORS, Kind, Trait, has
from deploykit.graph.precision.products import Product, product_of
from deploykit.graph.precision.recipe import KeepRules
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Products that also have a form with integer inputs and a float output.
_FLOAT_OUTPUT = frozenset({"Gemm", "MatMul"})


class IntegerRegions:
    """The plan of a graph in integers.

    Attributes:
        products: convolutions and matrix products that are quantised.
        tensors: activations that get a pair, in the order of the graph.
        constant_operands: constant inputs of additions and multiplications: node, position, value.
    """

    def __init__(self, view: GraphView, keep: KeepRules) -> None:
        self.view = view
        self.keep = keep
        self.products: list[Product] = []
        self.constant_operands: list[tuple[onnx.NodeProto, int, np.ndarray]] = []
        self.tensors: list[str] = []
        self._types = view.types
        self._parents: dict[str, str] = {}
        self._made: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._listed: set[str] = set()
        self._fused: set[int] = set()
        for node in view.nodes:
            self._visit(node)
        self._leave_last_outputs_float()

    def root(self, tensor: str) -> str:
        """The tensor whose range decides the scale of this one."""
        while tensor in self._parents:
            tensor = self._parents[tensor]
        return tensor

    def roots(self) -> set[str]:
        """The tensors whose ranges are wanted."""
        return {self.root(tensor) for tensor in self.tensors}

    def made_in_integers(self, tensor: str) -> bool:
        """Whether an integer operator makes the tensor, so that all its readers see it quantised."""
        return tensor in self._made

    def integer_readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The integer operators that read the tensor."""
        return self._readers.get(tensor, [])

    # ---- building the plan

    def _visit(self, node: onnx.NodeProto) -> None:
        if not is_standard(node) or self.keep.keeps(node) or id(node) in self._fused:
            return
        product = product_of(self.view, node)
        if product is not None:
            self._add_product(product)
        elif has(node, Trait.SHARES_SCALE):
            self._add_moving(node)
        elif has(node, Trait.INTEGER_FORM) and OPERATORS[node.op_type].kind is Kind.ELEMENTWISE:
            self._add_elementwise(node)
        elif has(node, Trait.INTEGER_FORM):
            if node.input[0] in self._made and self._supported(node):
                self._read(node.input[0], node)
                self._make(node)
        elif node.op_type == "Concat":
            self._add_concat(node)

    def _add_product(self, product: Product) -> None:
        if product.has_bias and product.bias is None:
            return
        self.products.append(product)
        self._read(product.activation, product.node)
        self._make(product.node)

    def _add_moving(self, node: onnx.NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        if source not in self._made or len([name for name in node.output if name]) > 1:
            return
        self._read(source, node)
        self._made[result] = node
        self._list(result)
        self._parents[result] = source

    def _add_elementwise(self, node: onnx.NodeProto) -> None:
        if not any(name in self._made for name in node.input) or not self._all_float(node):
            return
        for slot, name in enumerate(node.input):
            if not self.view.is_constant(name):
                self._read(name, node)
                continue
            value = self.view.constant(name)
            if value is None:
                return
            self.constant_operands.append((node, slot, value))
        self._make(node)

    def _add_concat(self, node: onnx.NodeProto) -> None:
        names = list(node.input)
        if not any(name in self._made for name in names) or not self._all_float(node):
            return
        if any(self.view.is_constant(name) for name in names):
            return
        for name in names:
            self._read(name, node)
        result = self._make(node)
        for name in names:
            # Values that go nowhere else are stored in the result's steps at once: nothing to convert.
            alone = self.view.read_only_by(name, node) and names.count(name) == 1
            if alone and name in self._made and name not in self._parents:
                self._parents[name] = result

    def _all_float(self, node: onnx.NodeProto) -> bool:
        return all(self._types.get(name) == ElementType.FLOAT for name in node.input)

    def _supported(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "AveragePool":
            return True
        dilations = attribute(node, "dilations", [1])
        return all(d == 1 for d in dilations)

    def _read(self, tensor: str, node: onnx.NodeProto) -> None:
        self._readers.setdefault(tensor, []).append(node)
        self._list(tensor)

    def _list(self, tensor: str) -> None:
        if tensor not in self._listed:
            self._listed.add(tensor)
            self.tensors.append(tensor)

    def _make(self, node: onnx.NodeProto) -> str:
        """Note what an integer operator makes: its output, or that of the activation fused behind."""
        result = str(node.output[0])
        readers = self.view.consumers(result)
        if len(readers) == 1 and self.view.read_only_by(result, readers[0][0]):
            follower = readers[0][0]
            if not self.keep.keeps(follower) and self._fuses(follower):
                self._fused.add(id(follower))
                result = follower.output[0]
        self._made[result] = node
        self._list(result)
        return result

    def _fuses(self, node: onnx.NodeProto) -> bool:
        """Whether a quantised range from zero up makes this activation superfluous."""
        if not is_standard(node):
            return False
        if node.op_type == "Relu":
            return True
        if node.op_type != "Clip" or len(node.input) < 2 or not node.input[1]:
            return False
        least = self.view.constant(node.input[1])
        return least is not None and float(least.reshape(-1)[0]) == 0.0

    def _leave_last_outputs_float(self) -> None:
        """A matrix product that nothing in integers reads keeps a float output: logits lose nothing."""
        for tensor, node in list(self._made.items()):
            if node.op_type in _FLOAT_OUTPUT and not self._readers.get(tensor):
                del self._made[tensor]
                self.tensors.remove(tensor)
