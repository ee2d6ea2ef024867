"""Where int8 is slower than fp32: that it is, and the operators that cost it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from deploykit.backends import get
from deploykit.backends.onnxruntime_layers import EngineNode, trace_layers
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.layer_times import LayerTimes, layer_times
from deploykit.graph.inline import inline_functions
from deploykit.graph.lineage import layers
from deploykit.lazy import onnx
from deploykit.report.views import significant
from deploykit.row import Note, Row

#: Operators that a note names at most, and the share of all that is lost which makes one worth naming.
NAMED, WORTH = 3, 0.1
#: Sessions per engine: shares of time are asked for, not small differences.
ROUNDS = 2


def operator_costs(
    nodes: Sequence[EngineNode], times: LayerTimes, op_types: Mapping[str, str]
) -> dict[str, float]:
    """Milliseconds of one run by the operator of the float graph; what the runtime added under its own.

    Args:
        nodes: of the engine, traced to the layers.
        times: of the same nodes.
        op_types: of the layers, by name.
    """
    costs: dict[str, float] = {}
    for node in nodes:
        name = node.op_type if node.main is None else op_types[node.main]
        costs[name] = costs.get(name, 0.0) + times.nodes_ms[node.index]
    return costs


def what_costs(
    int8: Mapping[str, float], fp32: Mapping[str, float], difference_ms: float = math.inf
) -> list[tuple[str, float]]:
    """Operators that take longer in int8, with the milliseconds that each loses, the most first.

    At most `NAMED`, and only those that make up a share `WORTH` of all that is lost. Where more is lost than int8
    is slower by, as other operators gain, each is given its share of the difference.

    Args:
        int8: milliseconds of one run by operator.
        fp32: the same of the fp32 engine.
        difference_ms: what they are to explain: by how much int8 is slower, without a profile.
    """
    lost = [(name, ms - fp32.get(name, 0.0)) for name, ms in int8.items()]
    lost = sorted(((name, ms) for name, ms in lost if ms > 0), key=lambda pair: -pair[1])
    total = sum(ms for _, ms in lost)
    scale = min(1.0, difference_ms / total) if total else 1.0
    return [(name, ms * scale) for name, ms in lost[:NAMED] if ms >= WORTH * total]


def _at_most(ms: float) -> str:
    """Two significant digits, rounded down, so that what is named never adds up to more than there is."""
    step = 10.0 ** (math.floor(math.log10(ms)) - 1)
    return f"{math.floor(ms / step + 1e-9) * step:.2g}"


class SlowerThanFp32:
    """Remembers fp32 rows, and says of the int8 rows like them whether they are slower.

    Both engines are timed node by node where one is, which takes some seconds. Only ONNX Runtime tells
    times per node.
    """

    def __init__(self) -> None:
        self._fp32: dict[Hashable, tuple[Row, Path]] = {}

    def note(
        self, like: Hashable, precision: str, row: Row, engine: Path, source: Path
    ) -> Note | None:
        """What to say of a measured row; None where it is not int8, or not surely slower.

        Args:
            like: equal for rows that differ in their precision only.
            precision: that was asked for.
            row: with its latency columns; an interval that is blank settles nothing.
            engine: the row's.
            source: the float graph.
        """
        if precision == "fp32":
            self._fp32[like] = row, engine
        if precision != "int8" or like not in self._fp32:
            return None
        other, fp32_engine = self._fp32[like]
        low, high = row.get("latency_p50_low_ms"), other.get("latency_p50_high_ms")
        if low is None or high is None or float(low) <= float(high):
            return None
        text = (
            f"int8 is slower than fp32, {significant(row['latency_p50_ms'])} ms against "
            f"{significant(other['latency_p50_ms'])}"
        )
        if get(str(row["backend"])).timed_parts != "nodes":
            return Note("slower", text)
        try:
            batch, threads = int(row["batch"]), row.get("threads")
            costs = [self._costs(e, source, batch, threads) for e in (engine, fp32_engine)]
        except WorkerFailure as failure:
            # One clause: "; " separates the notes of a row.
            said = str(failure).replace("; ", ", ")
            return Note("slower", f"{text}, and what costs it was not found: {said}")
        difference_ms = float(row["latency_p50_ms"]) - float(other["latency_p50_ms"])
        lost = what_costs(costs[0], costs[1], difference_ms)
        named = [f"{_at_most(ms)} ms in {name}" for name, ms in lost]
        return Note("slower", f"{text}: it loses {', '.join(named)}" if named else text)

    def _costs(
        self, engine: Path, source: Path, batch: int, threads: int | None
    ) -> Mapping[str, float]:
        graph = onnx.load(str(source), load_external_data=False)
        inline_functions(graph)
        nodes = trace_layers(graph, onnx.load(str(engine), load_external_data=False))
        times = layer_times(engine, batch=batch, threads=threads, rounds=ROUNDS)
        return operator_costs(nodes, times, {x.node: x.op_type for x in layers(graph)})
