"""Parameters, multiply-accumulates and bytes of any ONNX graph and its layers, from its structure alone.

What counts as a parameter, `deploykit.graph.parameters` says; how often bodies of If, Loop and Scan run,
`deploykit.graph.propagate`. What can't be counted is listed, with why: the total is then a lower bound.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deploykit.graph.element_types import tensor_bytes
from deploykit.graph.evidence import batch_seen_on, fixed_images
from deploykit.graph.nodes import attribute, attribute_graphs, first_output, node_name
from deploykit.graph.operators import Kind, has_no_macs, operator_of
from deploykit.graph.parameters import Constants, Root, parameters_of, values_of_unknown
from deploykit.graph.read_write import read_model
from deploykit.graph.scope import Body, Scope
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.spec import Counts, OnnxModel, OperatorCounts, length_remarks

#: What is said of operators whose products shapes do not tell.
_NO_RULE = "there is no rule for it"
_FOURIER = "how many products it takes depends on the algorithm of the runtime"
_CACHE = "how much of its cache is filled depends on values"
_WHY = dict.fromkeys(("DFT", "STFT", "Rfft", "Irfft"), _FOURIER) | dict.fromkeys(
    ("DecoderMaskedSelfAttention", "DecoderMaskedMultiHeadAttention"), _CACHE
)


def operator_name(node: onnx.NodeProto) -> str:
    """Name an operator, with its domain where that is not ONNX's own: "com.microsoft.Attention"."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def has_work(graph: onnx.GraphProto) -> bool:
    """Whether a graph, its bodies included, has an operator that is not known to have no MACs."""
    for node in graph.node:
        bodies = list(attribute_graphs(node))
        if any(has_work(body) for body in bodies):
            return True
        # What is not known may multiply beside what its bodies do.
        if operator_of(node) is None or (not bodies and not has_no_macs(node)):
            return True
    return False


def made(node: onnx.NodeProto, view: GraphView) -> list[str]:
    """What a node makes; the mask of a Dropout or the indices of a MaxPool that nobody reads are not made."""
    outputs = [output for output in node.output if output]
    return [output for output in outputs if view.is_read(output)] or outputs[:1]


def bytes_of(name: str, view: GraphView) -> int | None:
    """The size of a tensor for one image; None where its shape or type is not known."""
    shape, element_type = view.shape(name), view.shapes.element_type(name)
    if shape is None or element_type is None:
        return None
    return tensor_bytes(math.prod(shape), element_type)


def has_rule(node: onnx.NodeProto) -> bool:
    """Whether the MACs of an operator can be counted."""
    operator = operator_of(node)
    return operator is not None and operator.macs is not None


def macs_of(node: onnx.NodeProto, view: GraphView) -> int | None:
    """The MACs of a node that has a rule; None where its shapes do not tell, 0 where it has no rule."""
    operator = operator_of(node)
    if operator is None or operator.macs is None:
        return 0
    inputs = [view.shape(name) if name else None for name in node.input]
    outputs = made(node, view)
    return operator.macs(node, inputs, view.shape(outputs[0]) if outputs else None)


@dataclass
class _Tally:
    """Sums that grow as nodes are looked at, by operator."""

    nodes: Counter[str] = field(default_factory=Counter)
    macs: Counter[str] = field(default_factory=Counter)
    parameters: Counter[str] = field(default_factory=Counter)
    activation_bytes: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    unsized: Counter[str] = field(default_factory=Counter)
    chosen: set[str] = field(default_factory=set)
    #: How often what the operators hold runs for one image: the steps of a sequence, the trips of a Loop.
    runs: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    remarks: dict[str, None] = field(default_factory=dict)
    #: Fixed values of operators that are not known, by operator and what holds them.
    unknown: dict[str, dict[tuple[int, str], int]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    stored_bytes: int = 0
    seen: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: The matrices that were counted, by how many values they have: only these are stored twice.
    counted: dict[int, list[Root]] = field(default_factory=lambda: defaultdict(list))
    #: Owners of parameters are told apart by identity, so that they have to live as long as the tally.
    owners: list[Constants] = field(default_factory=list)

    def add_parameters(self, constants: Constants) -> None:
        """Count the parameters of a graph and of all bodies within it, run or not."""
        view = constants.view
        self.stored_bytes += constants.stored_bytes
        for node in view.nodes:
            if (unknown := values_of_unknown(node, constants)) and not view.all_fixed(node):
                self.unknown[operator_name(node)].update(unknown)
            for root in () if view.all_fixed(node) else parameters_of(node, constants):
                # Tensors of different graphs may share a name, and one tensor may be read from several.
                seen = self.seen[id(root.owner)]
                parts = root.owner.learned_from.get(root.name, {})
                for name in parts.keys() - seen:
                    seen.add(name)
                    self.parameters[operator_name(node)] += parts[name]
                if root.name not in seen and not parts:
                    seen.add(root.name)
                    counted = self.counted[root.constant.elements] if root.is_matrix else []
                    if any(map(root.is_same, counted)):
                        continue
                    counted.append(root)
                    self.parameters[operator_name(node)] += root.constant.elements
            for body in constants.bodies(node):
                self.add_parameters(body)
        self.owners.append(constants)

    def add_work(
        self, view: GraphView, scope: Scope | None, times: int = 1, first: bool = True
    ) -> None:
        """Count what the nodes of a graph do that runs `times`; nodes themselves where it is the `first` run."""
        for node in view.nodes:
            name = operator_name(node)
            self.nodes[name] += first
            outputs = made(node, view)
            if outputs and all(view.is_fixed(output) for output in outputs):
                continue
            if any(True for _ in attribute_graphs(node)):
                self.add_bodies(node, view, scope, times, first)
                continue
            for output in outputs:
                size = bytes_of(output, view)
                self.unsized[name] += size is None
                self.activation_bytes[name] += (size or 0) * times
            if has_rule(node):
                macs = macs_of(node, view)
                self.macs[name] += (macs or 0) * times
                if macs is None:
                    self._leave_out(
                        name,
                        "the shapes of some depend on values, or on operators that are not known",
                    )
                elif macs and (steps := steps_of(node, view)) is not None:
                    self.runs[name].add(steps)
            elif not has_no_macs(node):
                self._leave_out(name, _WHY.get(node.op_type, _NO_RULE))

    def add_bodies(
        self, node: onnx.NodeProto, view: GraphView, scope: Scope | None, times: int, first: bool
    ) -> None:
        """Count what runs within a node."""
        name = operator_name(node)
        bodies = None if scope is None else scope.bodies.get(first_output(node))
        if bodies is None or scope is None:
            if operator_of(node) is None or any(has_work(b) for b in attribute_graphs(node)):
                self._leave_out(name, "what runs in it is not known")
            return
        if first_output(node) in scope.chosen:
            self.chosen.add(name)
            self.remarks[f"of {name} the branch with more work is counted"] = None
        if first_output(node) in scope.partial:
            self._leave_out(name, "what its other branch multiplies can't be counted")
        start = sum(self.macs.values())
        for place, body in enumerate(bodies):
            before = sum(self.macs.values()), sum(self.uncounted.values())
            inner = view_of(body, view)
            self.add_work(inner, body.scope, times * body.times, first and place == 0)
            works = (sum(self.macs.values()), sum(self.uncounted.values())) != before
            if not body.known and works:
                self._leave_out(name, "how often it runs depends on values, one run is counted")
        trips = all(body.known for body in bodies) and sum(self.macs.values()) > start
        if trips and node.op_type != "If":
            self.runs[name].add(sum(body.times for body in bodies))

    def _leave_out(self, name: str, why: str) -> None:
        self.uncounted[name] += 1
        self.remarks[f"{name}: {why}"] = None


def steps_of(node: onnx.NodeProto, view: GraphView) -> int | None:
    """How many steps of a sequence a recurrent layer takes; None for other operators."""
    operator = operator_of(node)
    if operator is None or operator.kind is not Kind.RECURRENT:
        return None
    shape = view.shape(node.input[0])
    return shape[1 if attribute(node, "layout", 0) else 0] if shape else None


def view_of(body: Body, outer: GraphView) -> GraphView:
    """A view of a run of a body, with the shapes of that run."""
    view = GraphView(outer.model, graph=body.scope.graph, outer=outer)
    view.shapes = body.scope
    return view


def stated_batch(view: GraphView) -> int:
    """The fixed batch that inputs of a graph start with, and an output does; 1 where they differ, or it is none.

    Scalars and rows of numbers beside them say nothing of it.

    It stands on another axis where a recurrent layer has it there. A first dimension is no batch where an input has
    a free one on another axis, which is the batch then, nor where an operator that has a batch axis of its own sees
    another there: it may be the steps of sequences. Convolutions may tell it where outputs do not begin with it.
    """
    sized = view.sizes.keys()
    free = (
        dim
        for value in view.inputs
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_value <= 0 and dim.dim_param not in sized
    )
    if any(True for _ in free):
        return 1
    shapes = [[int(d.dim_value) for d in value.type.tensor_type.shape.dim] for value in view.inputs]
    images = fixed_images(view)
    for value, shape in zip(view.inputs, shapes, strict=True):
        if value.name in images:
            return shape[images[value.name]]
    axes = [batch_seen_on(view, v.name, len(s)) for v, s in zip(view.inputs, shapes, strict=True)]
    made_of = [
        [d.dim_value for d in value.type.tensor_type.shape.dim] for value in view.graph.output
    ]
    if any(axes):
        firsts = {s[axis or 0] for s, axis in zip(shapes, axes, strict=True) if len(s) > 1}
        firsts |= {0} if made_of and not any(firsts & {*shape[:3]} for shape in made_of) else set()
    else:
        firsts = {shape[0] for shape in shapes if len(shape) > 1}
        if any(
            len(shape) == 1 and shape[0] > 4 and shape[0] not in firsts and _is_whole(value)
            for value, shape in zip(view.inputs, shapes, strict=True)
        ):
            return 1  # edges of a graph: what they index is no batch
        made_firsts = {shape[0] for shape in made_of if shape}
        if made_firsts and 0 not in made_firsts and not firsts & made_firsts:
            return 1
    batch = firsts.pop() if len(firsts) == 1 and min(firsts) > 1 else 1
    if batch > 1 and any(size % batch for node in view.nodes for size in _batch_of(node, view)):
        return 1
    return 1 if any(_sums_over_first(node, view) for node in view.nodes) else batch


def _is_whole(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def _sums_over_first(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a product of two tensors that vary sums over the first axis of one of them, as graph networks do."""
    if node.op_type not in ("MatMul", "Gemm") or any(view.is_fixed(n) for n in node.input[:2]):
        return False
    right = view.shape(node.input[1])
    return right is not None and len(right) == 2


def _batch_of(node: onnx.NodeProto, view: GraphView) -> Iterator[int]:
    """The batch that an operator sees, where it has an axis for it."""
    operator = operator_of(node)
    if operator is None or not node.input or view.is_fixed(node.input[0]):
        return
    shape = view.shape(node.input[0])
    if shape and operator.kind is Kind.RECURRENT:
        yield shape[0 if attribute(node, "layout", 0) else 1]
    elif shape and operator.kind in (Kind.CONVOLUTION, Kind.POOLING):
        yield shape[0]


def count_graph(
    source: GraphView | onnx.ModelProto | OnnxModel | str | os.PathLike[str],
    dims: Mapping[str, int] | None = None,
) -> Counts:
    """Count a model for one image.

    A symbolic batch is taken as 1; a graph with a fixed batch above 1 on all inputs and outputs is
    counted as it is, and MACs and activation bytes are divided by the batch, rounding down.

    Args:
        source: the model, a view of it, or its path.
        dims: sizes for other symbolic dimensions of the inputs, by name; a view has its own.

    Raises:
        InvalidModel: the file can't be read, or its shapes contradict each other.
        UsageError: inputs have symbolic dimensions that are neither the batch nor in `dims`.
    """
    if isinstance(source, OnnxModel):
        source = source.path
    if not isinstance(source, GraphView):
        model = source if isinstance(source, onnx.ModelProto) else read_model(source)
        source = GraphView(model, dims=dims)
    view = source.expanded
    tally = _Tally()
    tally.add_parameters(Constants(view))
    tally.add_work(view, view.scope)
    batch = stated_batch(view)
    by_operator = {
        name: OperatorCounts(
            nodes=tally.nodes[name],
            macs=tally.macs[name] // batch,
            parameters=tally.parameters[name],
            activation_bytes=tally.activation_bytes[name] // batch,
        )
        for name in sorted({*tally.nodes, *tally.parameters})
    }
    text = "it is not known which of its fixed values are parameters"
    unknown = (
        f"{name}: {text}, {sum(sizes.values()):,} in all" for name, sizes in tally.unknown.items()
    )
    return Counts(
        parameters=sum(one.parameters for one in by_operator.values()),
        macs=sum(one.macs for one in by_operator.values()),
        activation_bytes=sum(one.activation_bytes for one in by_operator.values()),
        weight_bytes=tally.stored_bytes,
        by_operator=by_operator,
        uncounted=dict(sorted(tally.uncounted.items())),
        unsized=dict(sorted((+tally.unsized).items())),
        chosen=tuple(sorted(tally.chosen)),
        remarks=(*unknown, *tally.remarks, *length_remarks(tally.runs)),
    )


@dataclass(frozen=True)
class LayerCounts:
    """One layer's work.

    Attributes:
        macs: multiply-accumulates; None where its shapes don't tell. 0 where it has none. Where values decide what
            runs, of the branch with more work.
        weight_bytes: of the constants it reads, as the graph stores them.
        inputs: names of the tensors it reads that depend on an input, with their bytes.
        outputs: the same of what it writes; a mask or index that nobody reads is left out.
        is_chosen: values decide what runs, so that its time may be that of less work.
    """

    macs: int | None
    weight_bytes: int
    inputs: dict[str, int]
    outputs: dict[str, int]
    is_chosen: bool = False


def count_layers(source: GraphView | onnx.ModelProto) -> dict[str, LayerCounts]:
    """The work of every node of the main graph that depends on an input, by name, for one image.

    What a graph with a fixed batch does is divided by that, rounding down, as `count_graph` does.
    """
    view = GraphView.of(source).expanded
    batch = stated_batch(view)
    counts: dict[str, LayerCounts] = {}
    for node in view.nodes:
        if node.op_type == "Constant" or view.all_fixed(node):
            continue
        sizes = {name: bytes_of(name, view) or 0 for name in node.input if name}
        macs, is_chosen = _layer_macs(node, view, view.scope)
        counts[node_name(node)] = LayerCounts(
            None if macs is None else macs // batch,
            sum(size for name, size in sizes.items() if view.is_fixed(name)),
            {name: size // batch for name, size in sizes.items() if not view.is_fixed(name)},
            {name: (bytes_of(name, view) or 0) // batch for name in made(node, view)},
            is_chosen,
        )
    return counts


def _layer_macs(
    node: onnx.NodeProto, view: GraphView, scope: Scope | None
) -> tuple[int | None, bool]:
    """The MACs of a node and of what runs in it, None where they can't be counted; whether a branch was chosen."""
    if not any(True for _ in attribute_graphs(node)):
        return macs_of(node, view), False
    tally = _Tally()
    tally.add_bodies(node, view, scope, 1, first=True)
    return None if tally.uncounted else sum(tally.macs.values()), bool(tally.chosen)


def product_macs(source: GraphView | onnx.ModelProto) -> dict[str, int | None]:
    """Multiply-accumulates by node, of one run at a batch of one; None where they are not known.

    A node in the body of a Loop counts as often as it runs, of an If those of the branch that is counted; nodes of
    the same name count together.
    """
    view = GraphView.of(source).expanded
    macs_by_node: dict[str, int | None] = {}
    for name, macs in _products(view, view.scope, 1):
        before = macs_by_node.get(name, 0)
        macs_by_node[name] = None if macs is None or before is None else before + macs
    return macs_by_node


def _products(
    view: GraphView, scope: Scope | None, times: int | None
) -> Iterator[tuple[str, int | None]]:
    """The products of a graph that runs `times`, None where that is not known."""
    for node in view.nodes:
        if view.all_fixed(node) and made(node, view):
            continue
        if has_rule(node):
            macs = macs_of(node, view)
            yield node_name(node), None if macs is None or times is None else macs * times
        elif any(True for _ in attribute_graphs(node)):
            bodies = None if scope is None else scope.bodies.get(first_output(node))
            for inner in view.bodies(node):  # a branch that is not among those that run works not
                for name, _ in _products(inner, None, None):
                    yield name, None if bodies is None else 0
            for body in bodies or ():
                runs = times * body.times if times is not None and body.known else None
                yield from _products(view_of(body, view), body.scope, runs)
