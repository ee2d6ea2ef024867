"""How much each convolution and matrix product of a graph works, wherever it stands: bodies are looked into."""

from __future__ import annotations

from collections.abc import Iterator

from deploykit.graph.count import has_rule, macs_of, made, view_of
from deploykit.graph.nodes import attribute_graphs, node_name
from deploykit.graph.scope import Scope
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx


def product_macs(source: GraphView | onnx.ModelProto) -> dict[str, int | None]:
    """Multiply-accumulates by node, of one run at a batch of one; None where they are not known.

    A node in the body of a Loop counts as often as it runs, of an If those of the branch that is counted; nodes of
    the same name count together.
    """
    view = GraphView.of(source).expanded
    found: dict[str, int | None] = {}
    for name, macs in _products(view, view.scope, 1):
        before = found.get(name, 0)
        found[name] = None if macs is None or before is None else before + macs
    return found


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
            bodies = None if scope is None else scope.bodies.get(node.output[0])
            for inner in view.bodies(node):  # a branch that is not among those that run works not
                for name, _ in _products(inner, None, None):
                    yield name, None if bodies is None else 0
            for body in bodies or ():
                runs = times * body.times if times is not None and body.known else None
                yield from _products(view_of(body, view), body.scope, runs)
