"""Which layers a precision costs most: each one's own contribution to the drift of the outputs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from deploykit.bench.layer_drift import IMAGES, layer_drift
from deploykit.graph.lineage import layers
from deploykit.graph.precision.products import PRODUCTS
from deploykit.workflow.conversion import CalibrationChoice, calibration_of
from deploykit.workflow.network import Network

#: Images whose ranges are enough to rank layers by; the verdict on what is kept takes them all.
RANKING_IMAGES = 8


def layers_by_drift(
    network: Network,
    precision: str,
    target: str,
    choice: CalibrationChoice | None = None,
    *,
    images: int = IMAGES,
    on_layer: Callable[[str], None] = lambda node: None,
) -> list[tuple[str, float | None]]:
    """Convolutions and matrix products by what writing that one alone in `precision` costs, worst first.

    For each, the network is converted with all others kept in float32, and the outputs are compared with
    those of fp32: a layer's own contribution, without what others before it have done to its input. That
    takes a conversion and a run per layer.

    Args:
        network: the fp32 network.
        precision: of the recipe.
        target: that the recipe is for.
        choice: the calibration; no more than `RANKING_IMAGES` of its images are used.
        images: that outputs are compared on, from the calibration part.
        on_layer: is told which layer comes next.

    Returns:
        Node names, each with the signal-to-noise ratio of the outputs in dB, lowest first.

    Raises:
        DeploykitError: as `deploykit.graph.precision.convert` and `deploykit.bench.layer_drift` say.
    """
    from deploykit.graph.loading import read_model
    from deploykit.graph.precision import KeepRules, convert, find_recipe

    recipe = find_recipe(precision, target)
    few = choice or CalibrationChoice()
    few = replace(few, images=min(few.images or RANKING_IMAGES, RANKING_IMAGES))
    calibration = calibration_of(network, few) if recipe.needs_calibration else None
    proto = read_model(network.model.path)
    found = layers(proto)
    ends = {value.name for value in proto.graph.output}
    last = [layer.node for layer in found if layer.tensor in ends]
    named = {node.name for node in proto.graph.node if node.name}
    products = [x.node for x in found if x.op_type in PRODUCTS and x.node in named]
    del proto
    ranked: list[tuple[str, float | None]] = []
    with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
        for name in products:
            on_layer(name)
            keep = KeepRules(nodes=tuple(other for other in products if other != name))
            model = convert(
                network.model, precision, target, Path(folder) / "one.onnx", calibration, keep
            )
            drift = layer_drift(
                network.model,
                model,
                dataset=few.data or network.dataset,
                images=images,
                activation_bytes=int(network.facts["activation_bytes"]),
                only=last,
            )
            values = [d.snr_db for d in drift.values() if d.snr_db is not None]
            ranked.append((name, min(values, default=None)))
    return sorted(ranked, key=lambda pair: float("inf") if pair[1] is None else pair[1])
