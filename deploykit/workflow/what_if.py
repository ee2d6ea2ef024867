"""What a network would take as a mix of int8 and fp32: both engines timed layer by layer, and the best mix tried.

Both engines of ONNX Runtime are timed node by node, and so are the nodes that change values between them, in a
graph of their own: quantising and dequantising, and moving values between the layouts that the two compute in. The
best mix by that table (`workflow.mix`) is a prediction: it is built and measured beside both engines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from deploykit import backends
from deploykit.backends.onnxruntime_layers import EngineNode, trace_layers
from deploykit.bench.contain import READING_LIMIT_S, contained
from deploykit.bench.feeds import batch_run, fixed_batch
from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.layer_times import LayerTimes, layer_times
from deploykit.bench.request import WorkerRequest
from deploykit.bench.runtime_profile import ProfileCost
from deploykit.bench.scenario import Policy
from deploykit.errors import BuildFailed, UsageError
from deploykit.figures import general
from deploykit.graph.lineage import Layer, layers
from deploykit.graph.nodes import node_name
from deploykit.graph.normalise import inline_functions
from deploykit.graph.operators import PRODUCTS
from deploykit.graph.read_write import load_model
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx
from deploykit.stats import RatioInterval
from deploykit.store import Store
from deploykit.workflow.build import Built, build_network
from deploykit.workflow.choices import CalibrationChoice, EngineChoice, KeepChoice
from deploykit.workflow.keep import name_as_rule
from deploykit.workflow.mix import Passed, Table, Unit, best_mix, mean_table
from deploykit.workflow.network import Network
from deploykit.writing import working_folder

#: The operators that change a value, as the runtime writes them, and the sizes that they are timed at, in elements.
QUANTIZE, DEQUANTIZE, TRANSPOSE = "QuantizeLinear", "DequantizeLinear", "Transpose"
BLOCK, UNBLOCK = "ReorderInput", "ReorderOutput"
CHANNELS, SIDES = 64, (4, 16, 48, 112)
#: Sessions in which each engine is timed node by node, twice, and the graph of changes.
ROUNDS, CHANGE_ROUNDS = 3, 3
#: Of all runs' times, stands for a node: on a busy machine every run is interrupted somewhere.
QUANTILE = 0.2
#: Seconds that both engines, and later the mix, are compared for.
COMPARED_S = 5.0
#: A mix that is predicted to gain less than this over the better engine is not worth building.
MIN_GAIN = 0.02
_BLOCKED_DOMAIN = "com.microsoft.nchwc"


@dataclass(frozen=True)
class Value:
    """A tensor of the float graph: the layer that makes it ("" for an input), those that read it, and its size.

    Attributes:
        is_output: whether the network puts it out, in float32.
    """

    maker: str
    readers: tuple[str, ...]
    elements: int
    is_output: bool


@dataclass(frozen=True)
class Parts:
    """What is read of a network and of its two engines.

    Attributes:
        layers: of the float graph.
        fp32, int8: the nodes of the engines, traced to the layers.
        blocked: indices of the nodes of the fp32 engine that compute in blocks of channels.
        transposed: whether the int8 engine computes with channels last.
        values: that layers pass on.
    """

    layers: tuple[Layer, ...]
    fp32: tuple[EngineNode, ...]
    int8: tuple[EngineNode, ...]
    blocked: tuple[int, ...]
    transposed: bool
    values: tuple[Value, ...]


def read_parts(source: Path, fp32: Path, int8: Path) -> Parts:
    """Read the layers of a float graph and the nodes of its two engines, in a process of their own.

    Raises:
        UsageError: nodes have no names, so that none of them can be kept in fp32.
        BuildFailed: reading a graph crashed or took too long.
    """
    return contained(
        read_parts_here,
        source,
        fp32,
        int8,
        doing=f"reading the layers of {source.name}",
        failed=BuildFailed,
        limit_s=READING_LIMIT_S,
    )


def read_parts_here(source: Path, fp32: Path, int8: Path) -> Parts:
    """Read in this process; see `read_parts`."""
    model = load_model(source)
    inline_functions(model)
    view = GraphView(model)
    known = {layer.node for layer in layers(view)}
    if unnamed := sum(not node.name and node_name(node) in known for node in view.nodes):
        raise UsageError(
            f"{unnamed} nodes have no names, by which layers are kept in fp32: give every node a name"
        )
    engines = [onnx.load(str(path), load_external_data=False) for path in (fp32, int8)]
    of_fp32, of_int8 = (trace_layers(view, engine) for engine in engines)
    blocked = [i for i, n in enumerate(engines[0].graph.node) if n.domain == _BLOCKED_DOMAIN]
    return Parts(
        tuple(layers(view)),
        tuple(of_fp32),
        tuple(of_int8),
        tuple(blocked),
        any(node.op_type == TRANSPOSE and not node.layers for node in of_int8),
        tuple(_values(view)),
    )


def _values(view: GraphView) -> list[Value]:
    known = {layer.node for layer in layers(view)}
    outputs = set(view.outputs)
    inputs = [value.name for value in view.inputs if not view.is_constant(value.name)]
    made = [("", name) for name in inputs]
    made += [
        (node_name(node), name)
        for node in view.nodes
        if node_name(node) in known
        for name in node.output
        if name
    ]
    values = []
    for maker, name in made:
        readers = {node_name(reader) for reader in view.readers(name)} & known
        shape = view.shape(name)
        if (readers or name in outputs) and shape is not None:
            elements = math.prod(size for size in shape if isinstance(size, int))
            values.append(Value(maker, tuple(sorted(readers)), elements, name in outputs))
    return values


@dataclass
class ChangeCosts:
    """What the nodes cost that change a value: milliseconds by operator, at each of some sizes in elements."""

    sizes: tuple[int, ...]
    ms: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def of(self, op_type: str, elements: int) -> float:
        """Milliseconds of one node on so many elements: between the sizes on a line, above them in proportion."""
        times = self.ms.get(op_type)
        if times is None:
            return 0.0
        if elements > self.sizes[-1]:
            return times[-1] * elements / self.sizes[-1]
        return float(np.interp(elements, self.sizes, times))


def changes_graph(blocked: bool) -> onnx.ModelProto:
    """Chains of the nodes that change values, one for each size; with those of blocked layouts where there are any.

    Nodes are named by operator and size.
    """
    make = onnx.helper.make_node
    float_type = onnx.TensorProto.FLOAT
    nodes, inputs, outputs = [], [], []
    for side in SIDES:
        shape = [1, CHANNELS, side, side]
        size = math.prod(shape)
        chain: list[tuple[str, list[str], dict[str, Any], str]] = [
            (QUANTIZE, ["scale", "zero"], {}, ""),
            (TRANSPOSE, [], {"perm": [0, 2, 3, 1]}, ""),
            (TRANSPOSE, [], {"perm": [0, 3, 1, 2]}, ""),
            (DEQUANTIZE, ["scale", "zero"], {}, ""),
        ]
        if blocked:
            chain += [
                (BLOCK, [], {}, _BLOCKED_DOMAIN),
                (UNBLOCK, [], {"channels": CHANNELS}, _BLOCKED_DOMAIN),
            ]
        name = f"x{size}"
        inputs.append(onnx.helper.make_tensor_value_info(name, float_type, shape))
        for place, (op_type, more, attributes, domain) in enumerate(chain):
            result = f"y{size}" if place == len(chain) - 1 else f"{name}_{place}"
            node = make(op_type, [name, *more], [result], domain=domain, **attributes)
            node.name = f"{op_type} {size} {place}"
            nodes.append(node)
            name = result
        outputs.append(onnx.helper.make_tensor_value_info(name, float_type, shape))
    constants = [
        onnx.numpy_helper.from_array(np.array(0.05, np.float32), "scale"),
        onnx.numpy_helper.from_array(np.array(128, np.uint8), "zero"),
    ]
    graph = onnx.helper.make_graph(nodes, "changes", inputs, outputs, constants)
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(_BLOCKED_DOMAIN, 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets[: 1 + blocked], ir_version=8)


def change_costs(
    threads: int | None, *, blocked: bool, cost: ProfileCost | None = None
) -> ChangeCosts:
    """Time the nodes that change values, at a few sizes.

    Args:
        threads: of the runtime; None is one per usable core.
        blocked: time those of ONNX Runtime's blocked layout, too.
        cost: of the profile, see `layer_times`.

    Raises:
        WorkerFailure: the graph does not run.
    """
    with working_folder() as folder:
        path = folder / "changes.onnx"
        path.write_bytes(changes_graph(blocked).SerializeToString())
        times = layer_times(
            path, threads=threads, rounds=CHANGE_ROUNDS, quantile=QUANTILE, cost=cost
        )
    found: dict[tuple[str, int], list[float]] = {}
    for name, ms in zip(times.names, times.nodes_ms, strict=True):
        op_type, size, _ = name.split()
        found.setdefault((op_type, int(size)), []).append(ms)
    costs = ChangeCosts(tuple(sorted({size for _, size in found})))
    for op_type in {op_type for op_type, _ in found}:
        at_sizes = (found[op_type, size] for size in costs.sizes)
        costs.ms[op_type] = tuple(sum(each) / len(each) for each in at_sizes)
    return costs


def make_table(
    parts: Parts, fp32: LayerTimes, int8: LayerTimes, costs: ChangeCosts, batch: int = 1
) -> Table:
    """Join what was read and what was timed.

    Args:
        parts: of the network.
        fp32: times of the nodes of the one engine.
        int8: of the other's.
        costs: of the nodes that change values.
        batch: images per run.
    """
    of_layer = _units(parts)
    names = sorted(set(of_layer.values()))
    index = {root: i for i, root in enumerate(names)}
    unit_of = {layer: index[root] for layer, root in of_layer.items()}
    spent: dict[str, list[float]] = {"fp32": [0.0] * len(names), "int8": [0.0] * len(names)}
    has_int8, blocked = [False] * len(names), [False] * len(names)
    for which, nodes, times in (("fp32", parts.fp32, fp32), ("int8", parts.int8, int8)):
        for node in nodes:
            if not node.layers:
                continue
            i = unit_of[node.layers[0]]
            spent[which][i] += times.nodes_ms[node.index]
            if which == "int8":
                has_int8[i] |= node.integer
            else:
                blocked[i] |= node.index in parts.blocked
    members: list[list[Layer]] = [[] for _ in names]
    for layer in parts.layers:
        members[unit_of[layer.node]].append(layer)
    units = []
    for i, within in enumerate(members):
        products = [layer for layer in within if layer.op_type in PRODUCTS]
        main = next(iter([*products, *within]))
        units.append(
            Unit(
                tuple(layer.node for layer in within),
                main.node,
                main.op_type,
                spent["fp32"][i],
                spent["int8"][i],
                has_int8[i],
                has_int8[i] and not products,
            )
        )
    passed = []
    for value in parts.values:
        maker = unit_of[value.maker] if value.maker else None
        readers = sorted({unit_of[reader] for reader in value.readers} - {maker})
        if not readers and not (value.is_output and maker is not None):
            continue
        elements = value.elements * batch
        moved = costs.of(TRANSPOSE, elements) if parts.transposed else 0.0
        to_int8 = moved + costs.of(QUANTIZE, elements)
        to_fp32 = moved + costs.of(DEQUANTIZE, elements)
        if maker is not None and blocked[maker]:
            to_int8 += costs.of(UNBLOCK, elements)
        if any(blocked[reader] for reader in readers):
            to_fp32 += costs.of(BLOCK, elements)
        passed.append(Passed(maker, tuple(readers), value.is_output, to_int8, to_fp32))
    return Table(tuple(units), tuple(passed), fp32.whole_ms, int8.whole_ms).fitted()


def _units(parts: Parts) -> dict[str, int]:
    """The unit of each layer, as the place of its first layer in the graph."""
    place = {layer.node: i for i, layer in enumerate(parts.layers)}
    roots = list(range(len(place)))

    def root(i: int) -> int:
        while roots[i] != i:
            i = roots[i]
        return i

    def join(a: str, b: str) -> None:
        first, second = sorted((root(place[a]), root(place[b])))
        roots[second] = first

    traced = set()
    for node in (*parts.fp32, *parts.int8):
        traced |= set(node.layers)
        for layer in node.layers[1:]:
            join(node.layers[0], layer)
    for value in parts.values:  # what a runtime removed has the precision of what it reads
        for reader in value.readers:
            if value.maker and reader not in traced:
                join(value.maker, reader)
    return {name: root(i) for name, i in place.items()}


# --- A network ---

#: Of a unit's row.
COLUMNS = ("node", "op_type", "layers", "fp32_ms", "int8_ms", "to_int8_ms", "to_fp32_ms", "mix")


@dataclass(frozen=True)
class WhatIf:
    """A network's table, and the best of all mixes by it.

    Attributes:
        table: of its units.
        in_int8: the units that the best mix has in int8.
        kept: the layers that it keeps in fp32, as rules of --keep.
        predicted_ms: of a run of it.
        fp32, int8: the engines that were timed.
    """

    table: Table
    in_int8: frozenset[int]
    kept: tuple[str, ...]
    predicted_ms: float
    fp32: Built
    int8: Built

    @property
    def is_mix(self) -> bool:
        """Whether it is none of the two engines."""
        return bool(self.in_int8) and self.in_int8 != self.table.all_int8

    @property
    def sentence(self) -> str:
        """What was predicted, in one sentence."""
        of = f"fp32 takes {general(self.table.fp32_ms, 4)} ms and int8 {general(self.table.int8_ms, 4)}"
        if not self.is_mix:
            which = "int8" if self.in_int8 else "fp32"
            return f"No mix of int8 and fp32 is predicted to be faster than {which} alone: {of}."
        return (
            f"The best mix of int8 and fp32 keeps {len(self.kept)} layers in fp32, and is predicted to take "
            f"{general(self.predicted_ms, 4)} ms: {of}."
        )

    @property
    def gain(self) -> float:
        """By which share it is predicted to be faster than the better engine."""
        return 1 - self.predicted_ms / min(self.table.fp32_ms, self.table.int8_ms)


@dataclass(frozen=True)
class Tried:
    """A mix that was built and measured beside both engines.

    Attributes:
        built: its engine.
        measured_ms: of a run, by what int8's takes and the first ratio.
        to_int8, to_fp32: what it takes over what these take.
    """

    built: Built
    measured_ms: float
    to_int8: RatioInterval
    to_fp32: RatioInterval

    def sentence(self, found: WhatIf) -> str:
        """What was measured, and how near the prediction was."""
        off = found.predicted_ms / self.measured_ms - 1
        return (
            f"Measured: {general(self.measured_ms, 4)} ms, so that the prediction is {abs(off):.1%} too "
            f"{'high' if off > 0 else 'low'}. It takes {_interval(self.to_int8)} of int8, and "
            f"{_interval(self.to_fp32)} of fp32."
        )


def what_if(
    network: Network,
    store: Store,
    choice: CalibrationChoice,
    *,
    batch: int = 1,
    threads: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> WhatIf:
    """Time a network's engines in fp32 and int8 layer by layer, and predict the best mix.

    Args:
        network: the fp32 network.
        store: takes the engines.
        choice: the calibration, which keeps no layers.
        batch: images per run.
        threads: of the runtime; None is one per usable core.
        say: called with each step, in words.

    Raises:
        DeploykitError: as conversion, building and measuring say.
    """
    batch = batch_run(network.model.inputs, network.model.outputs, batch)
    say("build fp32 and int8")
    fp32, int8 = (_build(network, store, choice, name, batch) for name in ("fp32", "int8"))
    parts = read_parts(network.model.path, fp32.engine.path, int8.engine.path)
    say("time the layers in fp32 and in int8")
    # What the profile costs is measured once for each pair, so that it errs alike for both of its engines.
    of_engine = partial(layer_times, batch=batch, threads=threads, rounds=ROUNDS, quantile=QUANTILE)
    timed = []
    for _ in range(2):
        of_fp32 = of_engine(fp32.engine.path)
        timed.append((of_fp32, of_engine(int8.engine.path, cost=of_fp32.cost)))
    say("time what changes values between them")
    costs = change_costs(threads, blocked=bool(parts.blocked), cost=of_fp32.cost)
    say("compare fp32 and int8 in turns")
    ratio = _beside(int8, fp32, batch, threads).ratio
    # The graph of a network with a fixed batch states what all of its images have.
    fixed = fixed_batch(network.model.inputs, network.model.outputs) is not None
    tables = []
    for of_fp32, of_int8 in timed:
        # The profiles were taken one after the other, on a machine that may have been busier for one.
        whole = replace(of_fp32, whole_ms=ratio * of_int8.whole_ms)
        tables.append(make_table(parts, whole, of_int8, costs, 1 if fixed else batch))
    chosen, predicted_ms = best_mix(*tables)
    kept = tuple(name_as_rule(name) for name in tables[0].kept(chosen))
    return WhatIf(mean_table(*tables), chosen, kept, predicted_ms, fp32, int8)


def try_mix(
    network: Network,
    store: Store,
    choice: CalibrationChoice,
    found: WhatIf,
    *,
    batch: int = 1,
    threads: int | None = None,
) -> Tried:
    """Build the mix that was found, and measure it beside both engines.

    Raises:
        UsageError: what was found is no mix.
        DeploykitError: as building and measuring say.
    """
    if not found.is_mix:
        raise UsageError("there is no mix to try: one precision is predicted to be best throughout")
    batch = batch_run(network.model.inputs, network.model.outputs, batch)
    choice = replace(choice, keep=KeepChoice(nodes=found.kept))
    built = _build(network, store, choice, "int8", batch)
    to_int8 = _beside(found.int8, built, batch, threads)
    to_fp32 = _beside(found.fp32, built, batch, threads)
    return Tried(built, to_int8.ratio * found.table.int8_ms, to_int8, to_fp32)


def found_and_tried(
    network: Network,
    store: Store,
    choice: CalibrationChoice,
    *,
    batch: int = 1,
    threads: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[WhatIf, Tried | None]:
    """The best mix by the table, as `what_if` finds it, and that mix as it was built; None where it is none.

    Raises:
        DeploykitError: as `what_if` and `try_mix` say.
    """
    found = what_if(network, store, choice, batch=batch, threads=threads, say=say)
    if not found.is_mix:
        return found, None
    say("build the mix and measure it beside both")
    return found, try_mix(network, store, choice, found, batch=batch, threads=threads)


def _build(
    network: Network, store: Store, choice: CalibrationChoice, precision: str, batch: int
) -> Built:
    options = EngineChoice().at_batch(batch)
    return build_network(network, precision, backends.reference(), options, choice, store)


def _beside(base: Built, judged: Built, batch: int, threads: int | None) -> RatioInterval:
    """What one engine takes over what another takes, in turns."""
    sides = [
        WorkerRequest(
            built.engine.path.parent,
            backends.reference().name,
            batch,
            threads,
            policy=Policy.quick(),
        )
        for built in (base, judged)
    ]
    return compare_interleaved(*sides, budget_s=COMPARED_S).ratio


def _interval(found: RatioInterval) -> str:
    return f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"


def rows(found: WhatIf) -> list[dict[str, Any]]:
    """The table, a row for each unit; changes are of what it makes."""
    table = found.table
    listed = []
    for i, unit in enumerate(table.units):
        made = [value for value in table.passed if value.maker == i]
        in_mix = "fp32" if i not in found.in_int8 else "int8"
        listed.append(
            {
                "node": unit.name,
                "op_type": unit.op_type,
                "layers": len(unit.layers),
                "fp32_ms": unit.fp32_ms,
                "int8_ms": unit.int8_ms if unit.has_int8 else None,
                "to_int8_ms": sum(value.to_int8_ms for value in made),
                "to_fp32_ms": sum(value.to_fp32_ms for value in made),
                "mix": in_mix if unit.has_int8 else "fp32 only",
            }
        )
    return listed


def as_values(found: WhatIf, tried: Tried | None) -> dict[str, Any]:
    """What was found and measured as plain values, for JSON."""
    return {
        "units": rows(found),
        "fp32_ms": found.table.fp32_ms,
        "int8_ms": found.table.int8_ms,
        "kept": list(found.kept) if found.is_mix else [],
        "predicted_ms": found.predicted_ms,
        "measured_ms": None if tried is None else tried.measured_ms,
        "mix_over_int8": None if tried is None else vars(tried.to_int8),
        "mix_over_fp32": None if tried is None else vars(tried.to_fp32),
    }
