"""Reading single nodes, and walking over all that a model holds, in sub-graphs and functions too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deploykit.lazy import np, onnx

#: Numbers of `AttributeProto.AttributeType`, part of the file format; walks look at every attribute of a model.
TENSOR, GRAPH, TENSORS, GRAPHS = 4, 5, 9, 10

_INFINITIES = (float("inf"), float("-inf"))
#: Operators whose constants, of a Clip all but the first input, are bounds.
_BOUNDING = ("Clip", "Max", "Min")


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or `default` where it is not set."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether the node is one of ONNX's own operators."""
    return node.domain in ("", "ai.onnx")


def node_name(node: onnx.NodeProto) -> str:
    """A node's name, or that of its first output where it has none, or what it is where it makes nothing."""
    return str(node.name or (node.output[0] if node.output else node.op_type))


def first_output(node: onnx.NodeProto) -> str:
    """The name of the first output that a node makes, for those that nobody wants may be left out; "" if none."""
    return next((str(name) for name in node.output if name), "")


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model is written for; 0 where it names none."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def attribute_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the bodies that a node carries: the branches of an If, the body of a Loop or Scan."""
    for entry in node.attribute:
        if entry.type == GRAPH:
            yield entry.g
        elif entry.type == GRAPHS:
            yield from entry.graphs


def nodes_below(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes, each followed by those of its bodies."""
    for node in nodes:
        yield node
        for graph in attribute_graphs(node):
            yield from nodes_below(graph.node)


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of the graph, of its sub-graphs and of the model's own functions."""
    yield from nodes_below(model.graph.node)
    for function in model.functions:
        yield from nodes_below(function.node)


def captured_by(node: onnx.NodeProto) -> list[str]:
    """Names that the bodies of a node read, those of their own tensors among them."""
    names: list[str] = []
    for body in attribute_graphs(node):
        names += [name for inner in nodes_below(body.node) for name in inner.input]
        for graph in graphs_below(body):
            names += [value.name for value in graph.output]
    return names


def graphs_below(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and those in its nodes."""
    yield graph
    for node in graph.node:
        for inner in attribute_graphs(node):
            yield from graphs_below(inner)


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every stored tensor: initialisers, the parts of sparse ones, and tensor attributes."""
    for graph in graphs_below(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
    for node in all_nodes(model):
        for entry in node.attribute:
            if entry.type == TENSOR:
                yield entry.t
            elif entry.type == TENSORS:
                yield from entry.tensors


def stored_infinities(model: onnx.ModelProto) -> frozenset[float]:
    """The infinities that a model stores as values of its own, as a mask does; not bounds that nothing reaches."""
    nodes = list(all_nodes(model))
    bounds = {
        n
        for node in nodes
        if node.op_type in _BOUNDING
        for n in node.input[1 if node.op_type == "Clip" else 0 :]
    }
    found: set[float] = set()
    kept = [
        t for graph in graphs_below(model.graph) for t in graph.initializer if t.name not in bounds
    ]
    for node in nodes:
        if node.op_type not in ("Constant", "ConstantOfShape") or node.output[0] in bounds:
            continue
        for entry in node.attribute:
            if entry.type == TENSOR:
                kept.append(entry.t)
            elif entry.name in ("value_float", "value_floats"):
                found.update([entry.f, *entry.floats])
    for tensor in kept:
        values = tensor_values(tensor)
        if values.dtype.kind == "f":
            found.update(values[np.isinf(values)].astype(np.float64).tolist())
    return frozenset(value for value in found if value in _INFINITIES)


def outside_place(tensor: onnx.TensorProto) -> tuple[str, int, int] | None:
    """The file that holds a tensor's bytes, where in it and how many; None where the tensor itself holds them.

    Only of models that `deploykit.graph.read_write` read is the file's path absolute.
    """
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    about = {entry.key: entry.value for entry in tensor.external_data}
    return about["location"], int(about.get("offset", 0)), int(about.get("length", 0))


def tensor_values(tensor: onnx.TensorProto) -> np.ndarray:
    """The values of a stored tensor; those that stand in a file are mapped, and read where they are looked at."""
    place = outside_place(tensor)
    if place is None:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    name, offset, length = place
    raw = np.memmap(name, np.uint8, mode="c", offset=offset, shape=(length,))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    dims = list(tensor.dims)
    if dtype.itemsize * int(np.prod(dims)) == length:
        return np.asarray(raw).view(dtype).reshape(dims)
    inside = onnx.TensorProto(data_type=tensor.data_type, dims=dims, raw_data=raw.tobytes())
    return np.asarray(onnx.numpy_helper.to_array(inside))  # several values a byte


def initializer_names(graph: onnx.GraphProto) -> set[str]:
    """Collect the names of a graph's stored tensors, dense and sparse."""
    names = {tensor.name for tensor in graph.initializer}
    return names | {sparse.values.name for sparse in graph.sparse_initializer}


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """List the inputs that a caller feeds; in old files initialisers stand among the inputs too."""
    stored = initializer_names(graph)
    return [value for value in graph.input if value.name not in stored]


def has_subgraphs(model: onnx.ModelProto) -> bool:
    """Whether a node of the main graph holds graphs of its own."""
    return any(True for node in model.graph.node for _ in attribute_graphs(node))
