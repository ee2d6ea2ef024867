"""Mixed precision: which layers a recipe leaves in float32."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx

from deploykit.errors import UnknownName


@dataclass(frozen=True)
class KeepRules:
    """Layers that stay in float32.

    Attributes:
        nodes: names of ONNX nodes; `*` and `?` match as in file names.
        op_types: operator types ("Gemm").
    """

    nodes: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()

    def keeps(self, node: onnx.NodeProto) -> bool:
        """Whether this node stays in float32."""
        return node.op_type in self.op_types or any(
            node.name == rule or fnmatchcase(node.name, rule) for rule in self.nodes
        )

    def check(self, model: onnx.ModelProto) -> None:
        """Raise UnknownName for a rule that no node of the model meets: a typo must not pass in silence."""
        names = [node.name for node in model.graph.node if node.name]
        types = sorted({node.op_type for node in model.graph.node})
        for rule in self.op_types:
            if rule not in types:
                raise UnknownName("operator type to keep", rule, types)
        for rule in self.nodes:
            if not any(name == rule or fnmatchcase(name, rule) for name in names):
                raise UnknownName(
                    "node to keep", rule, names, hint="see the nodes' names in the graph"
                )

    def kept(self, model: onnx.ModelProto) -> list[str]:
        """Names of the nodes that stay in float32, in the order of the graph."""
        return [node.name or node.output[0] for node in model.graph.node if self.keeps(node)]
