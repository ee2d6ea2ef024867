"""What every precision recipe is given and states: layers to keep in float32, and the facts of its work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from deploykit.errors import UnknownName, UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.nodes import node_name
from deploykit.graph.operators import Trait, has
from deploykit.graph.precision.products import Product
from deploykit.lazy import onnx


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
        return [node_name(node) for node in model.graph.node if self.keeps(node)]


def needs(calibration: Calibration | None, precision: str) -> Calibration:
    """The calibration, or a UsageError in one line where there is none."""
    if calibration is None:
        raise UsageError(
            f"{precision} needs calibration images: give --data, or --synthetic-calibration "
            "for an engine to time but not to trust"
        )
    return calibration


def range_facts(
    calibration: Calibration,
    ranges: Mapping[str, tuple[float, float]],
    products: Sequence[Product],
    model: onnx.ModelProto,
) -> dict[str, Any]:
    """The calibration's part of a recipe: method, data, count, all ranges with their hash, what was kept.

    "kept" names the convolutions and matrix products of the model that are none of `products`.
    """
    quantised = {product.node.output[0] for product in products}
    listed = {name: [low, high] for name, (low, high) in sorted(ranges.items())}
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    facts = {
        "calibration": calibration.facts(),
        "products_quantised": len(products),
        "ranges": listed,
        "ranges_sha256": digest,
    }
    kept = [
        node_name(node)
        for node in model.graph.node
        if has(node, Trait.PRODUCT) and node.output[0] not in quantised
    ]
    return facts | ({"kept": kept} if kept else {})
