"""Each layer of a network on its own: time, work, roofline and drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploykit import backends
from deploykit.backends.building import precision_share
from deploykit.backends.onnxruntime_layers import EngineNode
from deploykit.bench.contain import TimeLimit, bounding
from deploykit.bench.drift import IMAGES, LayerDrift, layer_drift
from deploykit.bench.feeds import batch_run
from deploykit.bench.layer_times import (
    COST_SPAN_S,
    DEVICE_RUNS,
    MODULE_ROUNDS,
    NODE_ROUNDS,
    QUICK_COST_SPAN_S,
    QUICK_DEVICE_RUNS,
    QUICK_ROUNDS,
    LayerTimes,
    ModuleTimes,
    device_layer_times,
    expected_s,
    layer_times,
    module_times,
)
from deploykit.bench.roofline import Ceilings, ceilings, doubt_text
from deploykit.errors import MissingDependency, UsageError
from deploykit.graph.count import LayerCounts
from deploykit.graph.lineage import Layer
from deploykit.graph.operators import PRODUCTS
from deploykit.spec import Reason
from deploykit.store import Store
from deploykit.workflow.build import build_network
from deploykit.workflow.choices import CalibrationChoice, EngineChoice
from deploykit.workflow.judge import read_layers, time_by_type
from deploykit.workflow.keep import duration
from deploykit.workflow.network import Network

#: How far the sum of the layers may be from the whole run before the display says so.
TOLERANCE = 0.05
#: What the time of a run and of a load is expected from before anything has run.
_USUAL_FRACTION, _USUAL_GFLOPS, _LOAD_S, _LOAD_BYTES_PER_S = 0.3, 50.0, 0.3, 3e8
#: Between the names of layers in `LayerRow.reads`.
JOINT = " | "
#: Orders that rows can be given in.
ORDERS = ("order", "drift", "time", "macs")


@dataclass(frozen=True)
class LayerRow:
    """One layer of the float graph, or one node that the runtime added.

    Attributes:
        node: its ONNX node; of an added one, the engine's name.
        module: the PyTorch module it was exported from; "" where that is not known, or where it was added.
        op_type: its operator; of an added one, the engine's.
        added: whether the runtime added it.
        engine_node, engine_op_type: what computes it; None where it was removed or can't be traced.
        fused_into: the layer under which its time is counted; None where it has a time of its own.
        time_ms, time_share: of one run; None where it is counted under another layer.
        macs: multiply-accumulates for one image; None where its shapes don't tell.
        gflops: reached, of the layer and what is fused into it, in 10^9 operations per second.
        roofline_fraction: of what this machine could do at best with that work and data.
        roofline_bound: what bounds it there, "compute" or "memory".
        drift_snr_db, drift_cosine, drift_max_abs: against fp32; None where there is nothing to compare.
        drift_at: the layer whose value was compared, where it is another one.
        computes_in: the type that it computes in, as read back from the engine, of layers that multiply and what is
            fused with them; of other integer nodes "int8"; None where it is not known.
        reads: the layers whose values it reads, joined by " | ".
    """

    node: str
    module: str
    op_type: str
    added: bool = False
    engine_node: str | None = None
    engine_op_type: str | None = None
    fused_into: str | None = None
    time_ms: float | None = None
    time_share: float | None = None
    macs: int | None = None
    gflops: float | None = None
    roofline_fraction: float | None = None
    roofline_bound: str | None = None
    drift_snr_db: float | None = None
    drift_cosine: float | None = None
    drift_max_abs: float | None = None
    drift_at: str | None = None
    computes_in: str | None = None
    reads: str = ""


@dataclass(frozen=True)
class LayerReport:
    """All layers of one engine, in the order in which it runs them.

    Attributes:
        rows: the layers.
        times: what was measured.
        precision_actual: what the engine computes in.
        doubt: why the machine's ceilings are uncertain; "" where they are not.
        cut: what the limit of time left out or shortened; "" where it was not reached.
        share, time_share: of what multiplies, how much computes in the precision asked for: by MACs, and by time.
    """

    rows: tuple[LayerRow, ...]
    times: LayerTimes
    precision_actual: str
    doubt: str = ""
    cut: str = ""
    share: float | None = None
    time_share: float | None = None

    @property
    def warning(self) -> str | None:
        """What to say where the parts don't make up the whole, else None."""
        if abs(self.times.ratio - 1) <= TOLERANCE:
            return None
        return (
            f"the layers add up to {100 * self.times.ratio:.0f}% of the whole run, more than "
            f"{100 * TOLERANCE:.0f}% off: something disturbed, or the layers are too small for the "
            "runtime's profile; measure again on an idle machine"
        )


def _has_layers(backend: backends.BackendBase) -> bool:
    """Whether what a backend times are layers rather than all of one kind together."""
    return backend.timed_parts not in (None, "operators")


def require_timed_parts(backend: backends.BackendBase) -> None:
    """Refuse, before any work is done, a backend whose engines' parts can't be timed here.

    Raises:
        UsageError: it gives no times per layer, anywhere.
        MissingDependency: its device is not here.
    """
    device = backend.device()
    absent = device if isinstance(device, Reason) else None
    if not _has_layers(backend):
        others = " or ".join(one.name for one in backends.builtin() if _has_layers(one))
        here = f", and its device is not here either ({absent.text})" if absent else ""
        raise UsageError(
            f"{backend.name} gives no times per layer here{here}: use --backend {others}"
        )
    if absent:
        raise MissingDependency(f"layers runs the engine, and {backend.name} can't here: {absent}")


def report_layers(
    network: Network,
    precision: str,
    store: Store,
    choice: CalibrationChoice,
    *,
    backend: str = "onnxruntime",
    batch: int = 1,
    threads: int | None = None,
    images: int = IMAGES,
    data: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    limit: TimeLimit | None = None,
    quick: bool = False,
) -> LayerReport:
    """Build a network in a precision and look at its layers one by one.

    Args:
        network: the fp32 network.
        precision: what the engine is asked to compute in.
        store: takes the engine and the machine's ceilings.
        choice: the calibration.
        backend: one whose engines' parts can be timed (see `BackendBase.timed_parts`).
        batch: images per run; 1 is what the network's file insists on, where it does.
        threads: of the runtime; None is one per usable core.
        images: that drift is measured on, from the calibration part of the data.
        data: where they come from; None is the network's own data set, else seeded noise.
        say: called with each step, in words.
        limit: of the time for all of it: the build has to be done by then, and rounds and images that don't fit
            are left out, which `LayerReport.cut` says. One round and one image are always measured.
        quick: fewer rounds, for a first look.

    Raises:
        UsageError, MissingDependency: as `require_timed_parts`.
        BuildFailed: the build was not done within `limit`.
        DeploykitError: as conversion, building and measuring say.
    """
    builder = backends.get(backend)
    require_timed_parts(builder)
    batch = batch_run(network.model.inputs, network.model.outputs, batch)
    say(f"build {network.model.spec.label} {precision}")
    options = EngineChoice().at_batch(batch)
    with bounding(limit):
        built = build_network(network, precision, builder, options, choice, store)
        of_nodes = builder.timed_parts == "nodes"
        read = read_layers(network.model.path, built.engine.path if of_nodes else None)
    graph_layers, counts, nodes = read.layers, read.counts, list(read.nodes)
    machine: Ceilings | None = None
    if not builder.on_gpu():  # the ceilings are the processor's
        say("measure the machine's ceilings")
        machine = ceilings(store.root, threads)
    modules, converted = (
        builder.timed_parts == "modules",
        built.model.sha256 != network.model.sha256,
    )
    manifest = built.engine.manifest
    ends = (
        ""
        if limit is None
        else f", ends after {duration(limit.left_s())} with what there is by then"
    )
    if machine is None:
        say(f"time the engine's parts{ends}")
    else:
        expected = _expected_s(
            network, machine, manifest["bytes"], batch, images if converted else 0, modules, quick
        )
        say(f"time the engine's parts: all will take about {duration(expected)}{ends}")

    def left_s() -> float | None:
        return None if limit is None else limit.left_s()

    if modules:
        by_module = module_times(
            built.engine.path.parent,
            batch=batch,
            threads=threads,
            rounds=QUICK_ROUNDS if quick else MODULE_ROUNDS,
            limit_s=left_s(),
        )
        times, nodes = by_module.times, module_nodes(graph_layers, by_module)
    elif builder.timed_parts == "layers":
        runs = QUICK_DEVICE_RUNS if quick else DEVICE_RUNS
        times = device_layer_times(
            built.engine.path.parent, batch=batch, runs=runs, limit_s=left_s()
        )
        nodes = listed_nodes(graph_layers, times, manifest["layer_nodes"])
    else:
        times = layer_times(
            built.engine.path,
            batch=batch,
            threads=threads,
            rounds=QUICK_ROUNDS if quick else NODE_ROUNDS,
            limit_s=left_s(),
            cost_span_s=QUICK_COST_SPAN_S if quick else COST_SPAN_S,
        )
    left = left_s()
    cut = "" if left is None or left > 0 else "times rest on fewer rounds"
    drift: Mapping[str, LayerDrift] = {}
    if converted and cut:
        cut += ", and drift is left out"
    elif converted:
        say("compare the layers with fp32")
        drift = layer_drift(
            network.model,
            built.model,
            dataset=data or network.dataset,
            images=images,
            activation_bytes=int(network.facts["activation_bytes"]),
            limit_s=left,
        )
        compared = max((layer.images for layer in drift.values()), default=images)
        left = left_s()
        if left is not None and left <= 0 and compared < images:
            cut = f"drift rests on {compared} of {images} images"
    if cut and limit is not None:
        cut = f"the limit of {limit.seconds:g} s was reached: {cut}; give more with {limit.option}"
    by_time = time_by_type(nodes, times, manifest["compute_types"])
    rows = layer_rows(graph_layers, nodes, times, counts, drift, machine, batch)
    rows = placed_rows(rows, nodes, manifest["compute_types"], read.reads)
    return LayerReport(
        tuple(rows),
        times,
        built.engine.precision_actual,
        "" if machine is None else doubt_text(store.root, machine),
        cut,
        precision_share(manifest["compute_types"], precision, manifest.get("compute_macs")),
        precision_share(manifest["compute_types"], precision, by_time) if by_time else None,
    )


def _expected_s(
    network: Network,
    machine: Ceilings,
    engine_bytes: int,
    batch: int,
    images: int,
    modules: bool,
    quick: bool,
) -> float:
    """Seconds that timing and comparing will take, if runs reach `_USUAL_FRACTION` of the machine's peak."""
    peak = machine.gflops.get("fp32") or _USUAL_GFLOPS
    image_s = 2 * network.facts["macs"] / (_USUAL_FRACTION * peak * 1e9)
    load_s = _LOAD_S + engine_bytes / _LOAD_BYTES_PER_S
    timed_s = expected_s(image_s * batch, load_s, modules=modules, quick=quick)
    return timed_s + (2 * load_s + 3 * images * image_s if images else 0.0)


def module_nodes(graph_layers: Sequence[Layer], timed: ModuleTimes) -> list[EngineNode]:
    """The modules of a PyTorch network as what computes its layers; the last one is the time between them.

    Layers that lie in no timed module, such as sums, are part of that time.
    """
    nodes = []
    for index, (name, kind) in enumerate(zip(timed.times.names, timed.types, strict=True)):
        within = [layer for layer in graph_layers if name and layer.module == name]
        products = [layer.node for layer in within if layer.op_type in PRODUCTS]
        main = next(iter([*products, *(layer.node for layer in within)]), None)
        nodes.append(
            EngineNode(index, name or kind, kind, tuple(layer.node for layer in within), main)
        )
    return nodes


def listed_nodes(
    graph_layers: Sequence[Layer], times: LayerTimes, listed: Sequence[Sequence[str]]
) -> list[EngineNode]:
    """The layers of a TensorRT engine as what computes those of the graph.

    Args:
        graph_layers: of the fp32 graph.
        times: by the engine's layer, in its order.
        listed: of every layer of the engine the name, the kind and the ONNX nodes, in its order. A node that
            several layers name belongs to the last: what prepares its input comes before what computes it.
    """
    computed_by = {node: name for name, _, *nodes in listed for node in nodes}
    kinds = {name: kind for name, kind, *_ in listed}
    nodes = []
    for index, name in enumerate(times.names):
        within = [layer for layer in graph_layers if computed_by.get(layer.node) == name]
        products = [layer.node for layer in within if layer.op_type in PRODUCTS]
        main = next(iter([*products, *(layer.node for layer in within)]), None)
        kind = kinds.get(name, "unlisted")
        nodes.append(EngineNode(index, name, kind, tuple(layer.node for layer in within), main))
    return nodes


def layer_rows(
    graph_layers: Sequence[Layer],
    nodes: Sequence[EngineNode],
    times: LayerTimes,
    counts: Mapping[str, LayerCounts],
    drift: Mapping[str, LayerDrift],
    machine: Ceilings | None,
    batch: int,
) -> list[LayerRow]:
    """A row per layer and per added node, in the order in which the engine runs them."""
    computed_by = {layer: node for node in nodes for layer in node.layers}
    rows: list[tuple[tuple[float, int], LayerRow]] = []
    place = -1.0
    for position, layer in enumerate(graph_layers):
        node = computed_by.get(layer.node)
        # What was removed stands behind the layer before it.
        place = float(node.index) if node is not None else place
        count = counts.get(layer.node)
        row = LayerRow(
            layer.node, layer.module, layer.op_type, macs=None if count is None else count.macs
        )
        if node is not None:
            row = replace(row, engine_node=node.name, engine_op_type=node.op_type)
            if node.main == layer.node:
                row = _timed(row, node, times, counts, machine, batch)
            else:
                row = replace(row, fused_into=node.main)
        row = _with_drift(row, drift.get(layer.node))
        rows.append(((place, position), row))
    for node in nodes:
        if not node.layers:
            added = LayerRow(node.name, "", node.op_type, True, node.name, node.op_type)
            rows.append(
                ((float(node.index), -1), _timed(added, node, times, counts, machine, batch))
            )
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def placed_rows(
    rows: Sequence[LayerRow],
    nodes: Sequence[EngineNode],
    compute_types: Mapping[str, Sequence[str]],
    reads: Mapping[str, Sequence[str]],
) -> list[LayerRow]:
    """The rows with what each reads and which type it computes in, where that is known.

    Args:
        rows: of layers and added nodes.
        nodes: of the engine, traced to the layers.
        compute_types: the layers that multiply, by type, as read back from the engine.
        reads: the layers whose values each layer reads.
    """
    kinds = {layer: kind for kind, named in compute_types.items() for layer in named}
    kinds |= {node.name: "int8" for node in nodes if node.integer and node.name not in kinds}
    return [
        replace(
            row,
            computes_in=next(
                (
                    kinds[name]
                    for name in (row.node, row.fused_into, row.engine_node)
                    if name is not None and name in kinds
                ),
                None,
            ),
            reads=JOINT.join(reads.get(row.node, ())),
        )
        for row in rows
    ]


def _with_drift(row: LayerRow, drift: LayerDrift | None) -> LayerRow:
    if drift is None:
        return row
    return replace(
        row,
        drift_snr_db=drift.snr_db,
        drift_cosine=drift.cosine,
        drift_max_abs=drift.max_abs,
        drift_at=drift.measured_at if drift.measured_at != row.node else None,
    )


def _timed(
    row: LayerRow,
    node: EngineNode,
    times: LayerTimes,
    counts: Mapping[str, LayerCounts],
    machine: Ceilings | None,
    batch: int,
) -> LayerRow:
    time_ms = times.nodes_ms[node.index]
    row = replace(row, time_ms=time_ms, time_share=time_ms / times.sum_ms)
    parts = [counts[name] for name in node.layers if name in counts]
    if not parts or time_ms <= 0:
        return row
    macs = [part.macs for part in parts]
    known_macs = [value for value in macs if value is not None]
    is_known = len(known_macs) == len(macs) and not any(part.is_chosen for part in parts)
    operations = 2.0 * sum(known_macs) * batch if is_known else None
    if operations:
        row = replace(row, gflops=operations / time_ms / 1e6)
    # What is passed from one layer to the next inside a node is never written.
    produced = {name for part in parts for name in part.outputs}
    read = {
        name: size for part in parts for name, size in part.inputs.items() if name not in produced
    }
    consumed = {name for part in parts for name in part.inputs}
    written = {
        name: size for part in parts for name, size in part.outputs.items() if name not in consumed
    }
    moved_bytes = (sum(read.values()) + sum(written.values())) * batch
    moved_bytes += sum(part.weight_bytes for part in parts)
    # The float graph stores four bytes where an integer node moves one.
    moved_bytes //= 4 if node.integer else 1
    if machine is None:
        return row
    peak = machine.gflops.get("int8" if node.integer else "fp32")
    if operations is None or not peak or not moved_bytes:
        return row
    compute_ms = operations / peak / 1e6
    memory_ms = moved_bytes / machine.bandwidth_gb_s(moved_bytes) / 1e6
    return replace(
        row,
        roofline_fraction=max(compute_ms, memory_ms) / time_ms,
        roofline_bound="compute" if compute_ms >= memory_ms else "memory",
    )


def ordered(rows: Sequence[LayerRow], by: str) -> list[LayerRow]:
    """Rows as they run ("order"), or with the worst drift, the longest time or the most MACs first.

    Raises:
        UsageError: no such order.
    """
    if by not in ORDERS:
        raise UsageError(f"--by takes {', '.join(ORDERS)}, not {by!r}")
    if by == "drift":
        return sorted(
            (row for row in rows if not row.added),
            key=lambda row: math.inf if row.drift_snr_db is None else row.drift_snr_db,
        )
    if by == "time":
        return sorted(rows, key=lambda row: -(row.time_ms or 0.0))
    if by == "macs":
        return sorted(rows, key=lambda row: -(row.macs or 0))
    return list(rows)


def totals(report: LayerReport) -> dict[str, Any]:
    """What stands below the rows: the sum of the layers and the whole run, in ms."""
    times = report.times
    return {
        "layers_ms": sum(times.nodes_ms),
        "call_ms": times.call_ms,
        "whole_ms": times.whole_ms,
        "ratio": times.ratio,
        "profile_ms_per_node": times.profile_ms,
        "runs": times.runs,
        "precision_share": report.share,
        "precision_share_time": report.time_share,
        "cut": report.cut or None,
        "precision_actual": report.precision_actual,
    }
