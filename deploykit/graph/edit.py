"""Editing a graph in place.

All graph transforms work through `GraphEditor`, so that names stay unique, nodes stay in an order that
runs, and what no output needs any more leaves the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from deploykit.graph.nodes import attribute_graphs, captured_by, graphs_below, nodes_below
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx


class GraphEditor(GraphView):
    """A view of a graph of a model that may be edited. The model is changed, at the latest by `finish`.

    Producers, consumers and constants follow each change. `types`, `shapes`, `is_fixed` and `by_name` answer
    for the graph as it was when they were first asked for.

    Attributes:
        nodes: the nodes, to be read in order; new ones go in by `add_node`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        graph: onnx.GraphProto | None = None,
        outer: GraphEditor | None = None,
    ) -> None:
        """Index the main graph, or a body within it, with the editor of the graph around that."""
        super().__init__(model, graph=graph, outer=outer)
        self._removed: set[int] = set()
        # Names are unique in all of a model: a body's may not hide those of the graphs around it.
        self._names: set[str] = set() if outer is None else outer._names
        self._node_names: set[str] = set() if outer is None else outer._node_names
        self._names.update(self._tensors, (value.name for value in self.inputs), self._producers)
        for node in self.nodes:
            self._node_names.add(node.name)
            for body in attribute_graphs(node):
                for inner in nodes_below(body.node):
                    self._names.update(inner.output)
                    self._node_names.add(inner.name)

    def live_nodes(self) -> Iterator[onnx.NodeProto]:
        """The nodes that were not removed, in the order of the graph when it was indexed."""
        return (node for node in list(self.nodes) if id(node) not in self._removed)

    # ---- changes

    def unique(self, name: str) -> str:
        """`name`, or `name_1`, `name_2`... where it is taken."""
        candidate, count = name, 0
        while candidate in self._names or candidate in self._node_names:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def add_initializer(self, name: str, value: np.ndarray, data_type: int | None = None) -> str:
        """Store a tensor; returns its name, made unique. `data_type` is for types numpy has none of."""
        unique = self.unique(name)
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        if data_type is None:
            tensor = onnx.numpy_helper.from_array(array, unique)
        else:
            tensor = onnx.helper.make_tensor(
                unique, data_type, array.shape, array.tobytes(), raw=True
            )
        self.graph.initializer.append(tensor)
        self._tensors[unique] = self.graph.initializer[-1]
        self._names.add(unique)
        return unique

    def add_node(
        self,
        op_type: str,
        inputs: Sequence[str],
        output: str,
        *,
        name: str | None = None,
        exact_output: bool = False,
        **attributes: Any,
    ) -> str:
        """Add a node with one output; returns the output's name, made unique unless `exact_output`."""
        result = output if exact_output else self.unique(output)
        self._names.add(result)
        node_name = self.unique(name or f"{result}_{op_type}")
        self._node_names.add(node_name)
        node = onnx.helper.make_node(op_type, list(inputs), [result], name=node_name, **attributes)
        self.nodes.append(node)
        self._index(node)
        return result

    def set_input(self, node: onnx.NodeProto, slot: int, name: str) -> None:
        """Let a node read another tensor at one of its inputs; trailing optional inputs are added."""
        while len(node.input) <= slot:
            node.input.append("")
        old = node.input[slot]
        if old:
            self._consumers[old] = [
                (reader, s) for reader, s in self._consumers[old] if reader is not node or s != slot
            ]
        node.input[slot] = name
        if name:
            self._consumers.setdefault(name, []).append((node, slot))

    def rename_output(self, node: onnx.NodeProto, old: str, new: str) -> str:
        """Rename what a node makes, without its readers: the old name is free for another node."""
        unique = self.unique(new)
        node.output[list(node.output).index(old)] = unique
        del self._producers[old]
        self._producers[unique] = node
        self._names.add(unique)
        return unique

    def take_over(self, node: onnx.NodeProto, old: str, new: str) -> None:
        """Let a node make `new`, whose producer was removed, in place of `old`, which no one reads any more."""
        node.output[list(node.output).index(old)] = new
        del self._producers[old]
        self._producers[new] = node

    def redirect(self, old: str, new: str, readers: Iterable[onnx.NodeProto] | None = None) -> None:
        """Let all readers of `old` (or those given) read `new`; outputs of the graph stay as they are."""
        chosen = None if readers is None else {id(node) for node in readers}
        for node, slot in self.consumers(old):
            if chosen is None or id(node) in chosen:
                self.set_input(node, slot, new)

    def redirect_in_bodies(self, old: str, new: str) -> None:
        """Let all that reads `old` within the bodies of the nodes read `new`; the bodies must be finished."""
        if old not in self._captured:
            return
        for node in self.live_nodes():
            for body in attribute_graphs(node):
                for graph in graphs_below(body):
                    for inner in graph.node:
                        inner.input[:] = [new if name == old else name for name in inner.input]
                    for value in graph.output:
                        if value.name == old:
                            value.name = new

    def remove(self, node: onnx.NodeProto) -> None:
        """Take a node out; its readers must have been redirected before."""
        self._removed.add(id(node))
        for slot, name in enumerate(node.input):
            if name:
                self._consumers[name] = [
                    (r, s) for r, s in self._consumers[name] if r is not node or s != slot
                ]
        for name in node.output:
            if self._producers.get(name) is node:
                del self._producers[name]

    def replace(self, node: onnx.NodeProto, new: onnx.NodeProto) -> None:
        """Put another node, which makes the same tensors, in a node's place."""
        self.remove(node)
        self.nodes.append(new)
        self._index(new)

    def bypass(self, node: onnx.NodeProto) -> bool:
        """Remove a node that passes its first input on; False where an output's name forbids it."""
        source, result = node.input[0], node.output[0]
        if result in self._captured:
            return False
        if result in self.outputs:
            producer = self._producers.get(source)
            if producer is None or source in self.outputs or source in self._captured:
                return False
            self.remove(node)
            self.redirect(source, result)
            self.take_over(producer, source, result)
            return True
        self.redirect(result, source)
        self.remove(node)
        return True

    # ---- the end

    def finish(self) -> None:
        """Write the nodes back in an order that runs; drop nodes and tensors that nothing needs.

        Bodies must be finished before the graph around them.
        """
        self._captured.clear()
        for node in self.live_nodes():
            for body in attribute_graphs(node):
                self._capture(body)
        needed = self._needed()
        ordered = self._ordered(needed)
        del self.graph.node[:]
        self.graph.node.extend(ordered)
        used = {name for node in ordered for name in node.input} | self.outputs | self._captured
        for index in range(len(self.graph.initializer) - 1, -1, -1):
            if self.graph.initializer[index].name not in used:
                del self.graph.initializer[index]
        stored = set(self._tensors)
        for index in range(len(self.graph.input) - 1, -1, -1):
            if self.graph.input[index].name in stored:
                del self.graph.input[index]
        del self.graph.value_info[:]
        least = onnx.helper.find_min_ir_version_for(
            list(self.model.opset_import), ignore_unknown=True
        )
        self.model.ir_version = max(self.model.ir_version, least, 4)

    def _needed(self) -> set[int]:
        needed: set[int] = set()
        pending = [*self.outputs, *self._captured]
        while pending:
            node = self._producers.get(pending.pop())
            if node is not None and id(node) not in needed:
                needed.add(id(node))
                pending.extend(name for name in node.input if name)
        return needed

    def _ordered(self, needed: set[int]) -> list[onnx.NodeProto]:
        done: set[int] = set()
        ordered: list[onnx.NodeProto] = []
        for start in self.live_nodes():
            if id(start) not in needed:
                continue
            stack = [(start, False)]
            while stack:
                node, ready = stack.pop()
                if id(node) in done:
                    continue
                if ready:
                    done.add(id(node))
                    ordered.append(node)
                    continue
                stack.append((node, True))
                read = [*node.input, *captured_by(node)]
                producers = (self._producers.get(name) for name in reversed(read) if name)
                stack.extend((m, False) for m in producers if m is not None and id(m) not in done)
        return ordered
