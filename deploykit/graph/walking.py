"""Walking over all nodes and tensors of a model, those in sub-graphs and functions included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx


def attribute_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the bodies that a node carries: the branches of an If, the body of a Loop or Scan."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def nodes_below(nodes: Any) -> Iterator[onnx.NodeProto]:
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
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.TENSORS:
                yield from attribute.tensors


def initializer_names(graph: onnx.GraphProto) -> set[str]:
    """Collect the names of a graph's stored tensors, dense and sparse."""
    names = {tensor.name for tensor in graph.initializer}
    return names | {sparse.values.name for sparse in graph.sparse_initializer}


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """List the inputs that a caller feeds; in old files initialisers stand among the inputs too."""
    stored = initializer_names(graph)
    return [value for value in graph.input if value.name not in stored]
