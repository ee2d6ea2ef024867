"""Which fixed tensors of a graph are parameters of the network, and under which operator they count.

A parameter is a fixed tensor (an initialiser, a Constant, what ConstantOfShape makes) that reaches a position where
an operator takes its weight, bias or scale (`Operator.parameters`), or a fixed float tensor of more than one value
that is an operand of an operator of trait `SCALES`. It counts once, however often it is used.

On the way there it may pass through any operators whose inputs are fixed too: split, joined, cut, dequantised,
or normalised as weight normalisation does. Where only a size, a place or a condition depends on an input it stays a
parameter: a table of positions cut to the length of a sequence, the weights of one of several layers. It may come
into a body with each run, and out of the branches of an If. What a weight is divided by, indices and shapes are
none; nor are buffers: masks, grids, tables of positions, and the mean and deviation that images are normalised by
(`deploykit.graph.buffers`). What PyTorch's exporter says of a tensor goes before what its place or values tell.

Weights made by ConstantOfShape are never materialised; only shapes are looked at.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from deploykit.graph.buffers import (
    Origin,
    gathered_from,
    has_one_of_two,
    is_bias_without_keys,
    is_buffer,
    is_constant_of_code,
    is_folded,
    is_frequencies,
    is_in_state,
    is_made_up,
    is_of_code,
    is_of_module_code,
    is_own,
    is_same_weight,
    is_turned,
    learned_from,
    origins_of,
)
from deploykit.graph.element_types import FLOATS, ElementType, tensor_bytes
from deploykit.graph.nodes import (
    attribute,
    attribute_graphs,
    captured_by,
    first_output,
    tensor_values,
)
from deploykit.graph.operators import Arithmetic, Kind, Operator, Trait, has, operator_of
from deploykit.graph.scope import domain_of, per_byte
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Operators all of whose inputs hold values; of others the first does, beside shapes, indices, scales and divisors.
_ALL = frozenset({"Concat", "MatMul", "Gemm", "Einsum", "Mean", "SequenceConstruct"})
#: Operators that write values, their third input, over others, which are no weight where they are zeros.
_WRITING = frozenset({"Scatter", "ScatterElements", "ScatterND"})
#: Operators that look up rows or values in a table.
_PICKING = frozenset({"Gather", "GatherElements", "GatherND"})
#: Of these the largest operand is the weight, which the others scale or shift.
_JOINING = frozenset({"Mul", "Add", "Sub", "Sum"})
#: What is the same for every image of a batch is spread over it, by sizes that depend on it.
_SPREAD = frozenset({"Expand", "Tile", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "Identity"})
#: What is fixed stays a weight through these, of which a size or a place may depend on an input.
_PASSING = _SPREAD | {
    "Cast", "CastLike", "DequantizeLinear", "Pad", "Resize", "SequenceAt", "Slice", "Split", "Upsample",
}  # fmt: skip
#: The same where all that they join is fixed but for sizes and places.
_GATHERING = frozenset({"Concat", "SequenceConstruct", "SequenceInsert"})
#: Results of these are numbers of their own: shapes, places, what is drawn.
_NO_VALUES = frozenset({Kind.MAKES, Kind.RANDOM})
_PLACES = frozenset({"ArgMax", "ArgMin"})
#: Between an offset and the softmax of the scores that it is added to.
_SCORES = frozenset({"Add", "Mul", "Div", "Sub", "Where", "Cast", "Softmax"})
#: Nobody writes more numbers than this into the code of a module: such a tensor is a weight.
_IN_CODE = 256
#: Values are looked at only up to this many: larger tensors are weights.
_LOOKED_AT = 1 << 24
#: What is done to an image before a network proper begins.
_ON_IMAGES = frozenset({"Cast", "Div", "Mul", "Sub", "Add"})
#: An image has at most this many channels, each with a mean and a deviation.
_IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class Constant:
    """A fixed tensor: its number of values, their ONNX type, the bytes the file stores, and itself where stored."""

    elements: int
    element_type: int
    stored_bytes: int
    tensor: onnx.TensorProto | None = None

    def values(self) -> np.ndarray | None:
        """What it holds, where the file states that and there is no more than can be looked at."""
        tensor = self.tensor
        if tensor is None or self.elements > _LOOKED_AT:
            return None
        given = tensor.raw_data or tensor.float_data or tensor.double_data or tensor.int32_data
        if not given and tensor.data_location != onnx.TensorProto.EXTERNAL:
            return None
        try:
            return tensor_values(tensor)
        except (OSError, ValueError):  # a file beside it that is not there
            return None


def _of_tensor(tensor: onnx.TensorProto) -> Constant:
    elements = math.prod(tensor.dims)
    size = tensor_bytes(elements, tensor.data_type)
    return Constant(elements, int(tensor.data_type), size, tensor)


def _of_sparse(sparse: onnx.SparseTensorProto) -> Constant:
    """Describe a tensor of which the zeros are not stored; they are values as those of a pruned weight are."""
    values, places = _of_tensor(sparse.values), _of_tensor(sparse.indices)
    stored = values.stored_bytes + places.stored_bytes
    return Constant(math.prod(sparse.dims), values.element_type, stored)


def _of_node(node: onnx.NodeProto) -> Constant | None:
    """Describe what a Constant node holds."""
    for entry in node.attribute:
        if entry.name == "value":
            return _of_tensor(entry.t)
        if entry.name == "sparse_value":
            return _of_sparse(entry.sparse_tensor)
        if entry.name in ("value_float", "value_floats"):
            elements = 1 if entry.name == "value_float" else len(entry.floats)
            return Constant(elements, ElementType.FLOAT, 4 * elements)
        if entry.name in ("value_int", "value_ints"):
            elements = 1 if entry.name == "value_int" else len(entry.ints)
            return Constant(elements, ElementType.INT64, 8 * elements)
    return None


class Constants:
    """What the fixed tensors of one graph hold, and those of the graphs around it."""

    def __init__(
        self,
        view: GraphView,
        outer: Constants | None = None,
        given: Mapping[str, str] | None = None,
    ) -> None:
        """Look at what a graph stores.

        Args:
            view: of the graph.
            outer: the constants of the graph around a body.
            given: inputs of a body that hold a tensor of the graph around it, or a part of one; see `given_to`.
        """
        self.view = view
        self._outer = outer
        self._given = given or {}
        self._bodies: dict[int, list[Constants]] = {}
        self._origins = origins_of(view.graph)
        #: Of what the exporter computed from several parameters, how many values each of these has.
        self.learned_from = learned_from(view.graph)
        self._held = {tensor.name: _of_tensor(tensor) for tensor in view.stored}
        for sparse in view.graph.sparse_initializer:
            self._held[sparse.values.name] = _of_sparse(sparse)
        self.stored_bytes = sum(constant.stored_bytes for constant in self._held.values())
        #: By name, once asked for: of tensors as such, and as factors.
        self._roots: dict[bool, dict[str, list[Root]]] = {False: {}, True: {}}
        for node in view.nodes:
            if node.op_type == "Constant":
                self._add_constant(node)
            elif node.op_type == "ConstantOfShape" and view.all_fixed(node):
                self._add_filled(node)

    def _add_constant(self, node: onnx.NodeProto) -> None:
        constant = _of_node(node)
        if constant is not None:
            self._held[node.output[0]] = constant
            self.stored_bytes += constant.stored_bytes

    def _add_filled(self, node: onnx.NodeProto) -> None:
        shape = self.view.shape(node.output[0])
        if shape is not None:
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            element_type = ElementType.FLOAT if value is None else int(value.data_type)
            # What the file stores of it is its shape, which is a constant of its own.
            self._held[node.output[0]] = Constant(math.prod(shape), element_type, 0)

    def bodies(self, node: onnx.NodeProto) -> list[Constants]:
        """Those of the graphs within a node of this one."""
        place = id(node)  # the view holds its nodes, so that no other object takes it
        if place not in self._bodies:
            views = self.view.bodies(node)
            self._bodies[place] = [Constants(v, self, given_to(node, v.graph)) for v in views]
        return self._bodies[place]

    def roots(self, name: str, factor: bool = False) -> list[Root]:
        """The tensors that hold the values of a fixed tensor, each once; one that depends on an input has none.

        Of which of them it holds the values, and how many, may depend on an input.

        Args:
            name: the name of the tensor that is asked about.
            factor: whether it only scales or shifts a weight: a single value, or a mask, is then no parameter.
        """
        known = self._roots[factor]
        waiting, begun = [name], set[str]()
        while waiting:  # chains may be as long as the graph, which is more than calls may nest
            top = waiting[-1]
            missing = [] if top in known else [x for x in self._sources(top) if x not in known]
            if missing and top not in begun:
                begun.add(top)
                waiting += missing
                continue
            if top not in known:
                found = self._found(top, factor)
                each = {(id(root.owner), root.name, root.real): root for root in found}
                known[top] = list(each.values())
            waiting.pop()
        return known[name]

    def _sources(self, name: str) -> list[str]:
        """The tensors of this graph whose roots those of a tensor are."""
        node = None if name in self._held else self.view.producer(name)
        operator = None if node is None else operator_of(node)
        if node is None or operator is None:
            return []
        if operator.kind in _NO_VALUES or node.op_type in _PLACES:
            return []
        if node.op_type == "If":
            # What its branches make of tensors of this graph; asked for first, as calls may not nest.
            names = captured_by(node)
            return [x for x in names if x in self._held or self.view.producer(x) is not None]
        if not self.view.is_fixed(name) and node.op_type not in _PASSING | _GATHERING:
            return []
        sources = node.input[:1]
        if node.op_type in _ALL or node.op_type in _JOINING:
            sources = node.input
        elif node.op_type == "SequenceInsert":
            sources = node.input[:2]
        elif node.op_type in _WRITING:
            sources = node.input[::2]
        elif node.op_type == "Where":
            sources = node.input[1:]
        return [source for source in sources if source]

    def _found(self, name: str, factor: bool) -> Iterator[Root]:
        """The roots of a tensor, from those of what it is made of."""
        constant = self._held.get(name)
        if constant is not None:
            real = constant.element_type in FLOATS
            root = Root(self, name, constant, real, self._origins.get(name, Origin.UNKNOWN))
            # Integers that a weight was quantised to are buffers of a module; a single one is a number of its code.
            is_said = real or (factor and constant.elements <= 1)
            if root.origin is Origin.PARAMETER or not (is_said and root.is_said_none(factor)):
                yield root
            return
        node = self.view.producer(name)
        if node is None:
            if self._outer is not None:
                yield from self._outer.roots(self._given.get(name, name), factor)
            return
        if node.op_type == "If":
            place = list(node.output).index(name)
            for body in self.bodies(node):
                yield from body.roots(body.view.graph.output[place].name, factor)
            return
        known = self._roots[factor]
        found = [known.get(source, []) for source in self._sources(name)]
        if node.op_type in _JOINING:
            yield from self._joined(found)
            return
        if node.op_type in _GATHERING and not (all(found) or self.view.is_fixed(name)):
            return  # padding and anchors beside what depends on an input
        if node.op_type in _WRITING and found and all(found):
            # Zeros that a weight is written over are none.
            found[0] = [root for root in found[0] if root.varies()]
        for roots in found:
            for root in roots:
                yield replace(root, real=True) if node.op_type == "DequantizeLinear" else root

    def _joined(self, operands: list[list[Root]]) -> Iterator[Root]:
        """A weight and what scales or shifts it: the largest operand is the weight."""
        operands = [operand for operand in operands if operand]
        if not operands:
            return
        weight = max(operands, key=_size)
        size = _size(weight)
        stored = all(not root.real for root in weight)
        for operand in operands:
            if (
                operand is weight
            ):  # of a long chain all that came before, which is not looked at again at each step
                yield from operand
                continue
            for root in operand:
                # Stored integers are made real by a scale, which is no parameter of its own.
                if root.origin is Origin.PARAMETER or (
                    not stored
                    and root.constant.elements > 1
                    and not is_buffer(root.constant.values(), size)
                ):
                    yield root

    @property
    def states_parameters(self) -> bool:
        """Whether the exporter says which tensors are parameters, here or in a graph around it."""
        here = Origin.PARAMETER in self._origins.values()
        return here or (self._outer is not None and self._outer.states_parameters)

    def fills(self, name: str, value: float) -> bool:
        """Whether all values of a stored tensor are this one."""
        constant = self._held.get(name)
        if constant is None:
            return False
        values = constant.values()
        return values is not None and bool(np.all(values == value))

    @property
    def outer(self) -> Constants | None:
        """Those of the graph around it."""
        return self._outer


def _size(roots: list[Root]) -> int:
    return sum(root.constant.elements for root in roots)


@dataclass(frozen=True)
class Root:
    """A tensor that holds values.

    Attributes:
        owner: the constants of its graph; tensors of different graphs may share a name.
        name: the name of the tensor in that graph.
        constant: how many values the tensor holds, and of which type.
        real: whether its values are real numbers: floats, or quantised from them.
        origin: what the exporter says of it.
    """

    owner: Constants
    name: str
    constant: Constant
    real: bool
    origin: Origin = Origin.UNKNOWN

    def is_said_none(self, factor: bool) -> bool:
        """Whether it is no parameter, as the exporter says or, of a `factor` or addend, its name or values tell."""
        if self.origin is Origin.BUFFER:
            return True
        if not factor:
            return is_of_module_code(self.name) and self.constant.elements <= _IN_CODE
        if self.constant.elements <= 1:
            return not is_in_state(self.name)
        return (
            is_constant_of_code(self.name) or self.is_made_up() or is_buffer(self.constant.values())
        )

    def varies(self) -> bool:
        """Whether it is seen to hold different values."""
        values = self.constant.values()
        return values is not None and values.size > 1 and bool(values.min() != values.max())

    def is_made_up(self) -> bool:
        """Whether it holds ones alone, or zeros alone, and is named as what exporters make up."""
        if self.origin in (Origin.PARAMETER, Origin.COMPUTED) or not is_made_up(self.name):
            return False
        values = self.constant.values()
        return (
            values is not None and values.size > 0 and bool(values.min() == values.max() in (0, 1))
        )

    @property
    def is_matrix(self) -> bool:
        """Whether it is stored as a matrix, of which there may be a turned copy."""
        return self.constant.tensor is not None and len(self.constant.tensor.dims) == 2

    def is_same(self, other: Root) -> bool:
        """Whether both are one weight, of which an exporter stored a turned copy beside it, or two."""
        mine, theirs = self.constant.tensor, other.constant.tensor
        if mine is None or theirs is None or not self.is_matrix:
            return False
        # What dynamo's exporter turned has a name that says nothing, but a record of where it came from. Without
        # that it may be the weight of another module that is alike.
        copied = any(is_turned(r.name) or r.origin is Origin.COMPUTED for r in (self, other))
        if not copied or sorted(mine.dims) != sorted(theirs.dims):
            return False
        with contextlib.suppress(
            OSError, TypeError, ValueError
        ):  # a file beside it that is not there
            return is_same_weight(tensor_values(mine), tensor_values(theirs))
        return False

    def of_bias(self, operator: Operator | None = None) -> Root:
        """The same without what stands for a bias that a network has not.

        That is the keys' between queries' and values'; and of a recurrent `operator` the second of its two biases,
        which Keras has not and its exporters fill with zeros.
        """
        folded = is_folded(self.name) or self.origin is Origin.COMPUTED
        if operator is not None and operator.kind is Kind.RECURRENT:
            # PyTorch's layers have both, of which one may begin with zeros.
            if (
                folded
                or self.origin is Origin.PARAMETER
                or not has_one_of_two(self.constant.values())
            ):
                return self
            return replace(
                self, constant=replace(self.constant, elements=self.constant.elements // 2)
            )
        if not folded or not is_bias_without_keys(self.constant.values()):
            return self
        learned = self.constant.elements // 3 * 2
        return replace(self, constant=replace(self.constant, elements=learned))

    def of_table(self) -> Root:
        """The same with as many values as the table has that it was gathered from."""
        size = gathered_from(self.constant.values())
        return (
            self if size is None else replace(self, constant=replace(self.constant, elements=size))
        )


def given_to(node: onnx.NodeProto, body: onnx.GraphProto) -> dict[str, str]:
    """Which inputs of a body hold, in each run, a tensor that the node reads, or a part of one, by name.

    Of what a Loop or a Scan hands from run to run these are such as the body hands on as they came.
    """
    names = [value.name for value in body.input]
    if node.op_type == "Scan":
        read = list(node.input[len(node.input) - len(names) :])  # opset 8 has lengths before them
        states = len(names) - int(attribute(node, "num_scan_inputs", 0))
        made = [value.name for value in body.output]
    elif node.op_type == "Loop":
        names, read, states = names[2:], list(node.input[2:]), len(node.input) - 2
        made = [value.name for value in body.output[1:]]
    else:  # a SequenceMap, as an If has no inputs
        read, states, made = list(node.input), 0, []
    given = dict(zip(names[states:], read[states:], strict=False))
    copies = {n.output[0]: n.input[0] for n in body.node if n.op_type == "Identity"}
    for name, source, last in zip(names[:states], read, made, strict=False):
        while last in copies:
            last = copies[last]
        if last == name:
            given[name] = source
    return {name: source for name, source in given.items() if source}


def first_states(node: onnx.NodeProto) -> list[str]:
    """What a recurrent layer, a Loop or a Scan begins with and changes from step to step."""
    operator = operator_of(node)
    if operator is not None and operator.kind is Kind.RECURRENT:
        return [name for name in node.input[5:7] if name]
    if node.op_type not in ("Loop", "Scan"):
        return []
    begin = 2 if node.op_type == "Loop" else 0
    scanned = int(attribute(node, "num_scan_inputs", 0))
    given = {name for body in attribute_graphs(node) for name in given_to(node, body).values()}
    states = node.input[begin : len(node.input) - scanned]
    return [name for name in states if name and name not in given]


def parameters_of(node: onnx.NodeProto, constants: Constants) -> Iterator[Root]:
    """The parameters that a node takes, which others may take as well."""
    operator = operator_of(node)
    if operator is None or _stands_for_groups(node, constants):
        return
    yield from _by_place(node, operator, constants)
    # What the exporter calls a parameter is one wherever it is read: the exponent of a Pow, a divisor.
    stated = constants.states_parameters or constants.learned_from
    for name in filter(None, node.input if stated else ()):
        for root in constants.roots(name):
            if root.origin is Origin.PARAMETER or root.name in root.owner.learned_from:
                yield root


def values_of_unknown(node: onnx.NodeProto, constants: Constants) -> dict[tuple[int, str], int]:
    """How many fixed values an operator reads or states that is not known, so that any may be parameters.

    By what holds them, as several nodes may read one tensor.
    """
    if operator_of(node) is not None or any(True for _ in attribute_graphs(node)):
        return {}
    roots = {(id(r.owner), r.name): r for n in node.input if n for r in constants.roots(n)}
    sizes = {key: (root.constant.elements, root.real) for key, root in roots.items()}
    # Those of classic machine learning keep weights in attributes.
    for entry in node.attribute:
        sizes[id(constants), f"{first_output(node)}:{entry.name}"] = (len(entry.floats), True)
    # Few whole numbers are shapes and axes; many may be weights in few bits.
    return {key: size for key, (size, real) in sizes.items() if size > (1 if real else _IN_CODE)}


def _by_place(node: onnx.NodeProto, operator: Operator, constants: Constants) -> Iterator[Root]:
    """The parameters of a node that the places tell at which it takes fixed tensors."""
    if Trait.SCALES in operator.traits:
        if node.op_type == "Mul" and _restores(node, constants.view):
            return
        of_scores = node.op_type == "Add" and _is_score(node.output[0], constants.view)
        for place in _operands(node, constants):
            for root in constants.roots(node.input[place], factor=True):
                if root.real or node.op_type.startswith("QLinear"):
                    yield root.of_table() if of_scores else root.of_bias()
        return
    if node.op_type in ("MatMulNBits", "MatMulBnb4"):
        yield from _packed(node, constants)
        return
    if node.op_type == "GatherBlockQuantized":
        for root in constants.roots(node.input[0]):
            size = root.constant.elements * per_byte(node, root.constant.element_type)
            yield replace(root, constant=replace(root.constant, elements=size), real=True)
        return
    if node.op_type == "Where":
        # A token that stands where an image is masked; a number for all such places is none.
        for name in filter(None, node.input[1:]):
            yield from (r for r in constants.roots(name, factor=True) if r.real and r.varies())
        return
    # States that were learned, others begin with zeros; and a token that is written where something is masked.
    written = node.input[2:3] if node.op_type in _WRITING else ()
    for name in (*first_states(node), *written):
        roots = constants.roots(name, factor=True)
        yield from (r for r in roots if r.real and r.varies())
    if node.op_type == "Concat" or operator.kind is Kind.CONVOLUTION:
        # A token that each image of a batch is joined with, or what a generator begins with for each; anchors,
        # padding and the like are no parameters.
        for name in node.input if node.op_type == "Concat" else node.input[:1]:
            is_spread = _spread(name, constants)
            for root in constants.roots(name, factor=True):
                if root.real and (is_spread(root) or root.origin is Origin.COMPUTED):
                    yield root
    offset = operator.added.get(domain_of(node))
    if offset is not None and offset < len(node.input) and node.input[offset]:
        for root in constants.roots(node.input[offset], factor=True):
            if root.real:
                yield root.of_table()
    for place in operator.parameters:
        if place < len(node.input) and node.input[place]:
            for root in constants.roots(node.input[place]):
                if not _is_none_at(node, operator, root, constants.view):
                    yield root.of_bias(operator) if place == operator.bias else root


def _restores(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a Mul brings what integers multiplied back to its scale: the first such factor is no parameter.

    The scale of the weight meets the product, or first that of the data which a DynamicQuantizeLinear found.
    """
    varying = [name for name in node.input if not view.is_fixed(name)]
    while len(varying) == 1 and (maker := view.producer(varying[0])) is not None:
        if maker.op_type == "DynamicQuantizeLinear":
            return bool(maker.output[1] == varying[0])
        if maker.op_type == "Mul":
            # One of its factors comes from the product, the other may be the scale of the data.
            varying = [name for name in maker.input if not _is_found_scale(name, view)]
            if any(view.is_fixed(name) for name in varying):
                return False
            continue
        if maker.op_type not in ("Cast", "Identity"):
            kind = operator_of(maker)
            return kind is not None and kind.arithmetic is Arithmetic.INTEGER
        varying = list(maker.input[:1])
    return False


def _is_found_scale(name: str, view: GraphView) -> bool:
    maker = view.producer(name)
    return (
        maker is not None
        and maker.op_type == "DynamicQuantizeLinear"
        and maker.output[1:2] == [name]
    )


def _is_none_at(node: onnx.NodeProto, operator: Operator, root: Root, view: GraphView) -> bool:
    """Whether a fixed tensor at a parameter's place is none: made up by the exporter, or a table of positions."""
    if root.origin is Origin.PARAMETER:
        return False
    if node.op_type in _PICKING:
        if root.constant.elements <= 1:
            return True
        if root.real:
            return is_buffer(root.constant.values())
        # Whole numbers are indices or shapes, but where they are brought to scale behind it.
        return not _is_brought_to_scale(node.output[0], view)
    # A number that PyTorch's exporter spreads over all channels, where a module has no bias or scale.
    if root.constant.elements <= 1 and root.origin is Origin.UNKNOWN and is_of_code(root.name):
        return True
    if operator.multiplies and is_frequencies(root.constant.values()):
        return True
    return operator.kind is Kind.NORMALISATION and root.is_made_up()


def _is_brought_to_scale(name: str, view: GraphView) -> bool:
    """Whether a DequantizeLinear reads a tensor, at most behind views of it."""
    for _ in range(4):
        readers = view.readers(name)
        if any(reader.op_type == "DequantizeLinear" for reader in readers):
            return True
        views = [reader for reader in readers if has(reader, Trait.REARRANGES)]
        if not views:
            return False
        name = views[0].output[0]
    return False


def _is_score(name: str, view: GraphView) -> bool:
    """Whether a softmax is taken over a tensor, at most behind operators that work value by value and views."""
    for _ in range(8):
        readers = view.readers(name)
        if any(reader.op_type == "Softmax" for reader in readers):
            return True
        after = [r for r in readers if r.op_type in _SCORES or has(r, Trait.REARRANGES)]
        if not after:
            return False
        name = after[0].output[0]
    return False


def _spread(name: str, constants: Constants) -> Callable[[Root], bool]:
    """Which of the tensors that `name` is made of are spread over the batch.

    In a file of one batch they are spread over what is fixed; a name of the network's own then tells them from
    padding and anchors.
    """
    view = constants.view
    while (node := view.producer(name)) is not None and node.op_type in _SPREAD:
        if node.op_type in ("Expand", "Tile"):
            fixed = view.is_fixed(name)
            if fixed or view.is_fixed(node.input[0]):
                return lambda root: not fixed or is_own(root.name)
        name = node.input[0]
    return lambda root: False


def _packed(node: onnx.NodeProto, constants: Constants) -> Iterator[Root]:
    """The weight of a MatMulNBits, K by N values packed into bytes, and its bias."""
    values = int(attribute(node, "K", 0)) * int(attribute(node, "N", 0))
    for root in constants.roots(node.input[1]):
        yield replace(root, constant=replace(root.constant, elements=values), real=True)
    if len(node.input) > 5 and node.input[5]:
        yield from constants.roots(node.input[5])


def _operands(node: onnx.NodeProto, constants: Constants) -> Sequence[int]:
    """Positions of operands that may be scales or offsets: not a divisor, nor what images are normalised by."""
    if node.op_type.startswith("QLinear"):
        return (0, 3)
    places: Sequence[int] = (0,) if node.op_type == "Div" else range(len(node.input))
    view = constants.view
    if not any(_is_image(name, view) for name in node.input):
        return places
    if node.op_type == "Sub" and _is_image(node.input[0], view):
        return (0,)
    # A scale of the image as it comes is a layer of its own; one behind a mean or a divisor is a deviation.
    varying = [name for name in node.input if not view.is_fixed(name)]
    normalised = any(_is_normalised(name, view) for name in varying)
    if not normalised or len(view.shape(node.output[0]) or ()) != 4:
        return places
    return [place for place in places if not _is_of_channels(node.input[place], constants)]


def _is_of_channels(name: str, constants: Constants) -> bool:
    """Whether a fixed tensor has no more values than an image has channels."""
    shape = constants.view.shape(name)
    return shape is not None and math.prod(shape) <= _IMAGE_CHANNELS


def _is_image(name: str, view: GraphView) -> bool:
    """Whether a tensor is what a caller feeds, at most in another type, order or scale."""
    while (node := view.producer(name)) is not None:
        if not has(node, Trait.REARRANGES) and node.op_type not in _ON_IMAGES:
            return False
        name = next((source for source in node.input if not view.is_fixed(source)), node.input[0])
    return view.outer is None and any(value.name == name for value in view.inputs)


def _is_normalised(name: str, view: GraphView) -> bool:
    """Whether something was subtracted from an image, or it was divided by it."""
    while (node := view.producer(name)) is not None:
        if node.op_type in ("Sub", "Div"):
            return True
        name = next((source for source in node.input if not view.is_fixed(source)), node.input[0])
    return False


def _stands_for_groups(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether an InstanceNormalization is half of a group's: ones and zeros, between two changes of shape."""
    if node.op_type != "InstanceNormalization":
        return False
    view = constants.view
    before, after = view.producer(node.input[0]), view.readers(node.output[0])
    return (
        before is not None
        and before.op_type == "Reshape"
        and [reader.op_type for reader in after] == ["Reshape"]
        and constants.fills(node.input[1], 1.0)
        and constants.fills(node.input[2], 0.0)
    )
