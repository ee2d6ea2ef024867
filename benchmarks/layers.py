"""Whether times of layers add up: to the whole run, and part of them to a network that is cut off there.

The first is what `deploykit layers` itself prints. The second is independent of how a profile's cost is
taken off: the engine without its last nodes is run, not profiled, and takes as long as the layers that are
left. It is cut about the middle, where one tensor alone goes on.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deploykit
from benchmarks.result import Result
from deploykit.bench.layer_times import layer_times
from deploykit.lazy import onnx
from deploykit.store import Store

TOLERANCE = 1.05
TIMES = 3
#: From 30 us to 20 ms.
NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lenet5", {}),
    ("lenet5", {"precision": "int8", "weights": "trained"}),
    ("mobilenet", {"precision": "int8", "weights": "trained", "alpha": 0.25}),
    ("squeezenet1_0", {}),
    ("resnet18", {}),
)


def _apart(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def cut_engine(engine: Path, target: Path) -> int:
    """Write an engine's first nodes, up to about the middle; returns how many they are."""
    model = onnx.load(str(engine))
    nodes = list(model.graph.node)
    places = [count for count in range(1, len(nodes)) if len(_going_on(nodes, count)) == 1]
    count = min(places, key=lambda place: abs(place - len(nodes) / 2))
    (name,) = _going_on(nodes, count)
    del model.graph.node[count:]
    del model.graph.output[:]
    # Without a type: the runtime infers it, also of its own operators.
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    read = {name for node in model.graph.node for name in node.input}
    weights = [weight for weight in model.graph.initializer if weight.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    onnx.save(model, str(target))
    return count


def _going_on(nodes: list[Any], count: int) -> set[str]:
    """The tensors that the first nodes make and later ones read."""
    made = {name for node in nodes[:count] for name in node.output if name}
    return made & {name for node in nodes[count:] for name in node.input}


def measure() -> Iterator[Result]:
    """Yield both ratios for each network."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as name:
        folder = Path(name)
        for model, options in NETWORKS:
            engine = deploykit.build(model, store=Store(folder / "engines"), **options).path
            cut = folder / f"{model}-{options.get('precision', 'fp32')}.onnx"
            count = cut_engine(engine, cut)
            sums, parts, wholes_us = [], [], []
            for _ in range(TIMES):
                whole, part = layer_times(engine), layer_times(cut)
                sums.append(whole.ratio)
                parts.append((sum(whole.nodes_ms[:count]) + whole.call_ms) / part.whole_ms)
                wholes_us.append(whole.whole_ms * 1e3)
            label = f"{model} {options.get('precision', 'fp32')}"
            how = (
                f"medians of {TIMES} profiles of {statistics.median(wholes_us):.4g} us runs; worst"
            )
            for metric, ratios, note in (
                ("all layers over the whole", sums, how),
                (f"first {count} layers over a cut engine", parts, how),
            ):
                worst = max(ratios, key=_apart)
                value = _apart(statistics.median(ratios))
                note = f"ratio {statistics.median(ratios):.4f}, {note} {worst:.4f}"
                yield Result("layers", f"{label}: {metric}", value, "ratio", TOLERANCE, note=note)
