"""Claims about files: what an export keeps of outputs, and how large a graph is in another precision."""

from __future__ import annotations

import functools
import math
import tempfile
from pathlib import Path
from typing import NamedTuple

from deploykit.claims.check import check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed
from deploykit.figures import significant
from deploykit.graph import export, precision
from deploykit.spec import ModelSpec


class _Files(NamedTuple):
    """Of one network: largest deviation of the export, as a share of the largest output, and bytes of graphs."""

    deviation: float
    fp32_bytes: int
    fp16_bytes: int


@functools.cache
def _files(spec: ModelSpec) -> _Files:
    with tempfile.TemporaryDirectory() as folder:
        # No deviation is refused, as how large it is decides.
        path = Path(folder) / "fp32.onnx"
        model = export.export_model(spec, path, tolerance=math.inf)
        half = precision.convert(model, "fp16", "cpu", Path(folder) / "fp16.onnx")
        sizes = [one.path.stat().st_size for one in (model, half)]
    return _Files(float(model.recipe["verified"]["max_rel_error"]), *sizes)


@check
def export_keeps_outputs(networks: tuple[Network, ...], stated: Stated, margin: Margin) -> Outcome:
    """Whether exported networks put out what they do in PyTorch, up to the stated deviation, and bit for bit.

    Random images, batches of 1 and 3, in ONNX Runtime with the graph as it stands.
    """
    found = {network.name: _files(network.spec).deviation for network in networks}
    worst = max(found, key=lambda name: found[name])
    parts = [
        PartResult("up to rounding", all(margin.agrees(value, stated) for value in found.values())),
        PartResult("bit for bit", not any(found.values())),
    ]
    evidence: dict[str, Value] = {
        f"deviation({name})": float(f"{value:.3g}") for name, value in found.items()
    }
    explanation = (
        f"Exported to ONNX, {listed(found)} put out the same up to {significant(found[worst], 2)} of the largest "
        f"output, most in {worst}; {sum(not v for v in found.values())} of {len(found)} do so bit for bit."
    )
    return Outcome(parts, found[worst], explanation, evidence)


@check
def half_precision_file(networks: tuple[Network, ...], stated: Stated, margin: Margin) -> Outcome:
    """Whether the graph in float32 is so many times the size of the one in float16, network by network."""
    ratios = {}
    for network in networks:
        files = _files(network.spec)
        ratios[network.name] = files.fp32_bytes / files.fp16_bytes
    parts = [PartResult(name, margin.agrees(ratio, stated)) for name, ratio in ratios.items()]
    evidence: dict[str, Value] = {
        f"bytes({name}, fp32 over fp16)": round(ratio, 4) for name, ratio in ratios.items()
    }
    said = listed(f"{figure(ratio)} ({name})" for name, ratio in ratios.items())
    explanation = (
        f"The float32 graph is so many times as large as the float16 one: {said}. What describes the graph is not "
        "halved: it shows where weights are few."
    )
    return Outcome(parts, min(ratios.values()), explanation, evidence)
