"""What every precision recipe is made of, and the facts it states about its work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from deploykit.errors import UsageError
from deploykit.graph.calibration import Calibration
from deploykit.graph.precision.keep import KeepRules
from deploykit.graph.precision.products import PRODUCTS, Product

Transform = Callable[[onnx.ModelProto, KeepRules, Calibration | None], dict[str, Any]]


@dataclass(frozen=True)
class PrecisionRecipe:
    """One way to write a float32 graph in another precision.

    Attributes:
        name: as asked for on the command line ("int8").
        targets: the targets it is for.
        summary: one line for listings.
        needs_calibration: whether `transform` must be given a `Calibration`.
        transform: changes a float32 model in place; returns facts for the manifest.
    """

    name: str
    targets: tuple[str, ...]
    summary: str
    needs_calibration: bool
    transform: Transform


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
