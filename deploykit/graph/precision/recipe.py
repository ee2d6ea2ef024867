"""What every precision recipe is made of, and the facts it states about its work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from deploykit.errors import UsageError
from deploykit.graph.calibration import Calibration
from deploykit.graph.precision.products import PRODUCTS, Product


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
        node.name or node.output[0]
        for node in model.graph.node
        if node.op_type in PRODUCTS and node.output[0] not in quantised
    ]
    return facts | ({"kept": kept} if kept else {})
