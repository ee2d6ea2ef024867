"""Parameters, multiply-accumulates and activation bytes of any ONNX graph, from its structure alone.

What counts as a parameter: a fixed tensor (an initialiser, a Constant, what ConstantOfShape makes)
at a position where an operator takes its weight, bias or scale (`counting_rules.PARAMETER_INPUTS`), or
a fixed float tensor of more than one value in Add, Sub, Mul, Div or Sum. It may come through a
DequantizeLinear or a change of shape, and counts once however often it is used.

Weights made by ConstantOfShape are never materialised; only shapes are looked at.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx

from deploykit.graph.constants import Constants, tensor_bytes
from deploykit.graph.counting_rules import ARITHMETIC, MACS, PARAMETER_INPUTS, has_no_macs
from deploykit.graph.loading import read_model
from deploykit.graph.shapes import Shapes
from deploykit.graph.walking import attribute_graphs, graph_inputs
from deploykit.spec import Counts, OnnxModel, OperatorCounts


def operator_name(node: onnx.NodeProto) -> str:
    """Name an operator, with its domain where that is not ONNX's own: "com.microsoft.Attention"."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def has_work(graph: onnx.GraphProto) -> bool:
    """Whether a graph, its bodies included, has an operator that is not known to have no MACs."""
    for node in graph.node:
        bodies = list(attribute_graphs(node))
        if any(has_work(body) for body in bodies):
            return True
        if not bodies and not has_no_macs(node):
            return True
    return False


@dataclass
class _Tally:
    """Sums that grow as nodes are looked at, by operator."""

    nodes: Counter[str] = field(default_factory=Counter)
    macs: Counter[str] = field(default_factory=Counter)
    parameters: Counter[str] = field(default_factory=Counter)
    activation_bytes: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    stored_bytes: int = 0
    seen: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add_parameters(self, node: onnx.NodeProto, constants: Constants) -> None:
        arithmetic = node.op_type in ARITHMETIC
        places: Iterable[int] = PARAMETER_INPUTS.get(node.op_type, ())
        for place in range(len(node.input)) if arithmetic else places:
            name = node.input[place] if place < len(node.input) else ""
            root = constants.root(name) if name else None
            constant = constants.held(root) if root is not None else None
            if root is None or constant is None:
                continue
            if (arithmetic or node.op_type == "Gather") and (
                constant.elements <= 1 or not constants.is_float(name)
            ):
                continue
            # Tensors of different graphs may share a name, and one tensor may be read from several.
            owner = self.seen[constants.owner(root)]
            if root not in owner:
                owner.add(root)
                self.parameters[operator_name(node)] += constant.elements

    def add_body(
        self, graph: onnx.GraphProto, shapes: Shapes, outer: Constants | None
    ) -> Constants:
        """Count what a graph holds; the work of the bodies of If, Loop and Scan is not known."""
        stored = shapes.stored if outer is None else list(graph.initializer)
        constants = Constants(graph, stored, shapes, outer)
        self.stored_bytes += constants.stored_bytes
        for node in graph.node:
            if not all(constants.is_fixed(name) for name in node.output if name):
                self.add_parameters(node, constants)
            for body in attribute_graphs(node):
                self.add_body(body, shapes, constants)
        return constants

    def add_work(self, node: onnx.NodeProto, shapes: Shapes, constants: Constants) -> None:
        name = operator_name(node)
        self.nodes[name] += 1
        outputs = [output for output in node.output if output]
        # The mask of a Dropout or the indices of a MaxPool that nobody reads are not made.
        outputs = [o for o in outputs if o in shapes.used] or outputs[:1]
        if outputs and all(constants.is_fixed(output) for output in outputs):
            return
        known = True
        for output in outputs:
            shape, element_type = shapes.shape(output), shapes.element_type(output)
            if shape is None or element_type is None:
                known = False
            else:
                self.activation_bytes[name] += tensor_bytes(math.prod(shape), element_type)
        rule = MACS.get(node.op_type)
        bodies = list(attribute_graphs(node))
        if rule is not None:
            inputs = [shapes.shape(value) if value else None for value in node.input]
            macs = rule(node, inputs, shapes.shape(outputs[0]) if outputs else None)
            known = known and macs is not None
            self.macs[name] += macs or 0
        elif bodies:
            known = known and not any(has_work(body) for body in bodies)
        elif not has_no_macs(node):
            known = False
        if not known:
            self.uncounted[name] += 1


def stated_batch(model: onnx.ModelProto) -> int:
    """Give the fixed batch that all inputs and outputs of a graph start with; 1 where they differ."""
    values = [*graph_inputs(model.graph), *model.graph.output]
    firsts = {
        value.type.tensor_type.shape.dim[0].dim_value if value.type.tensor_type.shape.dim else 0
        for value in values
    }
    return int(firsts.pop()) if len(firsts) == 1 and min(firsts) > 1 else 1


def count_graph(
    source: onnx.ModelProto | OnnxModel | str | os.PathLike[str],
    dims: Mapping[str, int] | None = None,
) -> Counts:
    """Count a model for one image.

    A symbolic batch is taken as 1; a graph with a fixed batch above 1 on all inputs and outputs is
    counted as it is, and MACs and activation bytes are divided by the batch, rounding down.

    Args:
        source: the model, or its path.
        dims: sizes for other symbolic dimensions of the inputs, by name.

    Raises:
        InvalidModel: the file can't be read, or its shapes contradict each other.
        UsageError: inputs have symbolic dimensions that are neither the batch nor in `dims`.
    """
    if isinstance(source, OnnxModel):
        source = source.path
    model = source if isinstance(source, onnx.ModelProto) else read_model(source)
    shapes = Shapes(model, dims)
    tally = _Tally()
    constants = tally.add_body(shapes.graph, shapes, None)
    for node in shapes.graph.node:
        tally.add_work(node, shapes, constants)
    batch = stated_batch(model)
    by_operator = {
        name: OperatorCounts(
            nodes=tally.nodes[name],
            macs=tally.macs[name] // batch,
            parameters=tally.parameters[name],
            activation_bytes=tally.activation_bytes[name] // batch,
        )
        for name in sorted({*tally.nodes, *tally.parameters})
    }
    return Counts(
        parameters=sum(one.parameters for one in by_operator.values()),
        macs=sum(one.macs for one in by_operator.values()),
        activation_bytes=sum(one.activation_bytes for one in by_operator.values()),
        weight_bytes=tally.stored_bytes,
        by_operator=by_operator,
        uncounted=dict(sorted(tally.uncounted.items())),
    )
