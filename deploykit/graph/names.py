"""Names of nodes and tensors: missing ones given, those that several have told apart.

Rules, reports and transforms go by names, and after a runtime optimised a graph nothing else tells what a node was.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from deploykit.graph.nodes import graphs_below, initializer_names, is_standard, nodes_below
from deploykit.lazy import onnx


def name_nodes(model: onnx.ModelProto) -> bool:
    """Name, in place, nodes that have no name by what they make.

    Of a node without one, nobody can tell after a runtime optimised the graph which it was.

    Returns:
        Whether any was named.
    """
    nodes = list(nodes_below(model.graph.node))
    taken = {node.name for node in nodes}
    unnamed = [node for node in nodes if not node.name]
    for node in unnamed:
        name = next((output for output in node.output if output), node.op_type)
        if name in taken:
            name = next(new for n in itertools.count(2) if (new := f"{name}_{n}") not in taken)
        node.name = name
        taken.add(name)
    return bool(unnamed)


#: Operators that make any number of tensors.
_OF_MANY_OUTPUTS = frozenset({"If", "Loop", "Scan", "SequenceMap", "Split"})


def name_outputs(model: onnx.ModelProto) -> bool:
    """Name, in place, what nodes with any number of outputs make and nobody wants.

    ONNX lets such an output stand without a name; ONNX Runtime wants a place for each of them, and ends the process
    where a Loop or a Split has none, or refuses the graph.

    Returns:
        Whether any was named.
    """
    named = False
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        inner = list(nodes_below(nodes))
        open_nodes = [n for n in inner if n.op_type in _OF_MANY_OUTPUTS and not all(n.output)]
        if not open_nodes:
            continue
        taken = {name for node in inner for name in (*node.input, *node.output)}
        for node in open_nodes:
            for place, output in enumerate(node.output):
                if not output and is_standard(node):
                    made = next(filter(None, node.output), node.op_type)
                    name = f"{made}_unused_{place}"
                    while name in taken:
                        name += "_"
                    taken.add(name)
                    node.output[place] = name
                    named = True
    return named


def part_names(model: onnx.ModelProto) -> int:
    """Give nodes that share their name with an earlier one of their graph names of their own, in place.

    ONNX Runtime refuses such graphs, and rules and reports go by names. Returns how many were renamed.
    """
    renamed = 0
    for graph in graphs_below(model.graph):
        taken = {node.name for node in graph.node}
        seen: set[str] = set()
        for node in graph.node:
            if node.name and node.name in seen:
                count = 1
                while f"{node.name}_{count}" in taken:
                    count += 1
                node.name = f"{node.name}_{count}"
                taken.add(node.name)
                renamed += 1
            seen.add(node.name)
    return renamed


def own_names(graph: onnx.GraphProto) -> set[str]:
    """The tensors that a graph itself, and no body in it, makes, stores or is fed."""
    own = {name for node in graph.node for name in node.output if name}
    own |= initializer_names(graph)
    return own | {value.name for value in graph.input}


def rename(body: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors of a body, in place, also where the bodies in it read them."""
    for graph in graphs_below(body):
        for node in graph.node:
            for of_node in (node.input, node.output):
                of_node[:] = [names.get(name, name) for name in of_node]
        for value in [*graph.input, *graph.output, *graph.value_info]:
            value.name = names.get(value.name, value.name)
    for tensor in body.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for sparse in body.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)


def part_tensors(model: onnx.ModelProto) -> int:
    """Give tensors of bodies that share their name with one elsewhere in the model a name of their own, in place.

    The two branches of an If may both call a tensor "a"; what is done to a graph goes by names. Returns how many
    were renamed.
    """
    everywhere = list(graphs_below(model.graph))
    taken = set(own_names(model.graph))
    names_in_all = {name for graph in everywhere for name in own_names(graph)}
    renamed = 0
    for body in everywhere[1:]:
        names: dict[str, str] = {}
        for name in sorted(own_names(body)):
            if name not in taken:
                continue
            new = next(
                new for n in itertools.count(1) if (new := f"{name}_{n}") not in names_in_all
            )
            names[name] = new
            names_in_all.add(new)
        rename(body, names)
        renamed += len(names)
        taken |= own_names(body)
    return renamed
