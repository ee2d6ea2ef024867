"""Rows held against fp32: the predictions that accuracy is judged by, and where int8 is slower and why."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploykit.backends import get, reference
from deploykit.backends.building import precision_share
from deploykit.backends.onnxruntime_layers import EngineNode, trace_layers
from deploykit.bench.contain import READING_LIMIT_S, contained
from deploykit.bench.feeds import fixed_batch
from deploykit.bench.layer_times import LayerTimes, layer_times, operator_times
from deploykit.bench.request import AccuracyRequest, WorkerRequest, run_worker
from deploykit.bench.runtime_profile import ProfileCost
from deploykit.bench.scenario import Policy
from deploykit.code_digest import code_digest
from deploykit.data import Dataset, open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.data.options import split_options
from deploykit.errors import BuildFailed, DeploykitError, UsageError
from deploykit.figures import general
from deploykit.graph.count import LayerCounts, count_layers
from deploykit.graph.lineage import Layer, layers, neighbours
from deploykit.graph.normalise import inline_functions
from deploykit.graph.read_write import load_model
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.ort_session import installed_version
from deploykit.report.views import significant
from deploykit.row import Note, Row
from deploykit.spec import BuildOptions, TensorSpec
from deploykit.store import EngineManifest, Store, key_of, read_entry
from deploykit.workflow.build import Built, build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import Network

#: Operators that a note names at most, and the share of all that is lost which makes one worth naming.
MAX_NAMED_OPERATORS, MIN_SHARE_OF_LOSS = 3, 0.1
#: Sessions per engine: shares of time are asked for, not small differences.
PROFILED_SESSIONS = 2
#: Modules that compute what fp32 puts out: tensors to measure drift against, and predicted classes.
REFERENCE, PREDICTIONS = "deploykit.bench.reference", "deploykit.bench.accuracy"

#: The worker also times what it runs; here nobody looks at the time.
UNTIMED = Policy(
    warmup_s=0.001, warmup_max_s=0.001, window_s=0.001, min_s=0.001, max_s=0.001, block_s=0.001
)


def judged_on(requested: str | None, trained_on: str | None) -> tuple[str | None, Note | None]:
    """The data set to judge a network on, and why there is none where its weights would have one.

    Data that was asked for is not tried here: that it can't be read is an error, which its reader raises.

    Args:
        requested: the user's choice.
        trained_on: the data set that the weights come from.
    """
    if requested is not None or trained_on is None:
        return requested, None
    if ":" in trained_on:
        text = f"accuracy is blank: the weights were trained on {trained_on}, and nobody says where that lies"
        return None, Note("unjudged", text, "--data with its path")
    try:
        open_dataset(trained_on)
    except DeploykitError as error:
        # One clause: "; " separates the notes of a row.
        reason = str(error).replace("; ", ", ")
        return None, Note("unjudged", f"accuracy is blank: {reason}")
    return trained_on, None


def redrawn(data: Dataset, stored: Mapping[str, str]) -> Note | None:
    """What to say where images that a network learned may be among those that judge it; None where nothing is.

    Of data that doesn't say which images are in which part, the parts are drawn from all of them, and drawn anew
    where one was added after a training.

    Args:
        data: that judges the network.
        stored: what its checkpoint says of itself.
    """
    name, learned = stored.get("dataset"), stored.get("train_sha256")
    if not learned or name != data.name or not data.drawn or data.train.sha256 == learned:
        return None
    text = (
        "images that the weights were trained on may be among those that judge them, as the training images of "
        f"{name}, or how they are prepared, are not those of the training any more"
    )
    remedy = "give it a test part of its own (val beside train, or split in an .npz file), or train again"
    return Note("learned", text, remedy)


def check_fed(dataset: str, network: Network) -> None:
    """Refuse data that has nothing for an input of a network, before anything is measured on it.

    Raises:
        UsageError: it has not, or it can't be read.
        BuildFailed: reading it crashed or took too long.
    """
    contained(
        check_fed_here,
        dataset,
        network.model.inputs,
        doing=f"reading {dataset}",
        failed=BuildFailed,
        limit_s=READING_LIMIT_S,
    )


def check_fed_here(dataset: str, inputs: tuple[TensorSpec, ...]) -> None:
    """Read the first image in this process; see `check_fed`."""
    next(feeds_of(open_dataset(dataset).for_drift, inputs, 1, 1), None)


def data_key(dataset: str) -> str:
    """A name for what was computed on a data set: its own, and where it lies in files, what they are.

    What is said of its images behind the path is in it too, as other values are computed of them.

    Raises:
        UsageError: the path is not there.
    """
    plain, options = split_options(dataset)
    name, _, path = plain.partition(":")
    if not path:
        return name
    root = Path(path)
    files = sorted(_files_under(root)) if root.is_dir() else [root]
    try:
        facts = [(str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    except OSError as error:
        raise UsageError(f"can't read the data at {error.filename}: {error.strerror}") from error
    said = {"options": repr(options)} if options else {}
    return f"{name}-{key_of({'files': facts} | said)[:12]}"


def _files_under(root: Path) -> Iterator[Path]:
    """The files of a folder and of all in it, links to folders followed as they are where images are read."""
    seen: set[str] = set()
    for here, folders, names in os.walk(root, followlinks=True):
        place = os.path.realpath(here)
        if place in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(place)
        yield from (path for name in names if (path := Path(here, name)).is_file())


def outputs_name(what: str, dataset: str | None, module: str) -> str:
    """File name of what fp32 puts out: it tells the data, the code that computed it and the runtime apart.

    Args:
        what: "reference" or "predictions".
        dataset: that was run on; None stands for seeded noise.
        module: full name of the module that computes it.

    Raises:
        UsageError: the path of the data is not there.
    """
    kind = "seed0" if dataset is None else data_key(dataset)
    made_by = {"code": code_digest(module), "runtime": installed_version()}
    return f"{what}-{kind}-{key_of(made_by)[:12]}.npz"


def is_reference(network: Network, built: Built, backend: str) -> bool:
    """Whether an engine is the reference itself: the fp32 graph on ONNX Runtime."""
    return backend == reference().name and built.model.sha256 == network.model.sha256


def judge_fp32(
    network: Network, accuracy: AccuracyRequest, store: Store, timeout_s: float | None
) -> Mapping[str, Any]:
    """The columns that fp32 on ONNX Runtime gives for a question on data.

    Raises:
        DeploykitError: the fp32 engine can't be built or run, or the data can't be read.
        OutputFailed: its predictions can't be written.
    """
    backend = reference()
    built = build_network(network, "fp32", backend, BuildOptions(), CalibrationChoice(), store)
    request = WorkerRequest(
        engine=built.engine.path.parent,
        backend=backend.name,
        batch=fixed_batch(network.model.inputs, network.model.outputs) or 1,
        policy=UNTIMED,
        accuracy=accuracy,
    )
    return run_worker(request, timeout_s).columns


def ensure_predictions(
    network: Network, accuracy: AccuracyRequest, path: Path, store: Store, timeout_s: float | None
) -> Path | None:
    """The .npz of fp32's predictions on the test part, made where it is not there yet; None where there are none.

    Raises:
        DeploykitError: as `judge_fp32`.
    """
    if not path.exists():
        judge_fp32(network, replace(accuracy, metric=None, predictions=path), store, timeout_s)
    return path if path.exists() else None


@dataclass(frozen=True)
class GraphLayers:
    """What is read of a network layer by layer.

    Attributes:
        layers: of the float graph, in its order.
        counts: their work, by name.
        nodes: of an engine of ONNX Runtime, traced to the layers; none where no engine was given.
        reads: the layers whose values each layer reads, by name, in the graph's order.
    """

    layers: tuple[Layer, ...]
    counts: dict[str, LayerCounts]
    nodes: tuple[EngineNode, ...]
    reads: dict[str, tuple[str, ...]]


def read_layers(source: Path, engine: Path | None = None) -> GraphLayers:
    """Read the layers of a float graph, and the nodes of an engine that compute them, in a process of their own.

    Raises:
        BuildFailed: reading a graph crashed or took too long.
    """
    return contained(
        read_layers_here,
        source,
        engine,
        doing=f"reading the layers of {source.name}",
        failed=BuildFailed,
        limit_s=READING_LIMIT_S,
    )


def read_layers_here(source: Path, engine: Path | None) -> GraphLayers:
    """Read in this process; see `read_layers`."""
    model = load_model(source)
    inline_functions(model)
    view = GraphView(model)
    nodes: list[EngineNode] = []
    if engine is not None:
        nodes = trace_layers(view, onnx.load(str(engine), load_external_data=False))
    found = layers(view)
    _, read = neighbours(view, found)
    places = {layer.node: place for place, layer in enumerate(found)}
    ordered = {name: tuple(sorted(names, key=places.__getitem__)) for name, names in read.items()}
    return GraphLayers(tuple(found), count_layers(view), tuple(nodes), ordered)


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


def time_by_type(
    nodes: Sequence[EngineNode], times: LayerTimes, compute_types: Mapping[str, Sequence[str]]
) -> dict[str, float] | None:
    """Milliseconds of one run by the type that products compute in; None where none can be traced.

    What is fused into a product counts with it.

    Args:
        nodes: of the engine, traced to the layers.
        times: of the same nodes.
        compute_types: the layers that multiply, by type, as read back from the engine.
    """
    kinds = {layer: kind for kind, layers_of in compute_types.items() for layer in layers_of}
    found: dict[str, float] = {}
    for node in nodes:
        products = [kinds[layer] for layer in node.layers if layer in kinds]
        if products:
            found[products[0]] = found.get(products[0], 0.0) + times.nodes_ms[node.index]
    return found or None


def costliest_operators(
    int8: Mapping[str, float], fp32: Mapping[str, float], difference_ms: float = math.inf
) -> list[tuple[str, float]]:
    """Operators that take longer in int8, with the milliseconds that each loses, the most first.

    At most `MAX_NAMED_OPERATORS`, and only those that make up `MIN_SHARE_OF_LOSS` of all that is lost. Where more
    is lost than int8 is slower by, as other operators gain, each is given its share of the difference.

    Args:
        int8: milliseconds of one run by operator.
        fp32: the same of the fp32 engine.
        difference_ms: what they are to explain: by how much int8 is slower, without a profile.
    """
    lost = [(name, ms - fp32.get(name, 0.0)) for name, ms in int8.items()]
    lost = sorted(((name, ms) for name, ms in lost if ms > 0), key=lambda pair: -pair[1])
    total = sum(ms for _, ms in lost)
    scale = min(1.0, difference_ms / total) if total else 1.0
    return [
        (name, ms * scale)
        for name, ms in lost[:MAX_NAMED_OPERATORS]
        if ms >= MIN_SHARE_OF_LOSS * total
    ]


def _at_most(ms: float) -> str:
    """Two significant digits, rounded down, so that what is named never adds up to more than there is."""
    step = 10.0 ** (math.floor(math.log10(ms)) - 1)
    return f"{general(math.floor(ms / step + 1e-9) * step, 2)}"


#: Milliseconds by operator in int8 and in fp32, and the share of the products' time spent in int8.
_OfBoth = tuple[Mapping[str, float], Mapping[str, float], float | None]


class SlowerThanFp32:
    """Remembers fp32 rows, and says of the int8 rows like them whether they are slower.

    Both engines are timed where one is, which takes some seconds: once for the repeats of a row. ONNX Runtime tells
    times of nodes, OpenVINO of its own operators.
    """

    def __init__(self) -> None:
        self._fp32: dict[Hashable, tuple[Row, Path]] = {}
        self._timed: dict[Hashable, _OfBoth] = {}

    def note(
        self, like: Hashable, precision: str, row: Row, engine: Path, source: Path
    ) -> tuple[Note | None, dict[str, Any]]:
        """What to say of a measured row, and cells for it; nothing where it is not int8, or not surely slower.

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
            return None, {}
        other, fp32_engine = self._fp32[like]
        low, high = row.get("latency_p50_low_ms"), other.get("latency_p50_high_ms")
        if low is None or high is None or float(low) <= float(high):
            return None, {}
        medians = row["latency_p50_ms"], other["latency_p50_ms"]
        shown = [significant(ms) for ms in medians]
        text = f"int8 is slower than fp32, {shown[0]} ms against {shown[1]}"
        parts = get(str(row["backend"])).timed_parts
        if parts not in ("nodes", "operators"):
            return Note("slower", text), {}
        try:
            batch, threads = int(row["batch"]), row.get("threads")
            same = engine, fp32_engine, source, batch, threads
            if (
                same not in self._timed and parts == "operators"
            ):  # by the runtime's own names, and no more
                int8, fp32 = (
                    operator_times(one.parent, batch=batch, threads=threads)
                    for one in (engine, fp32_engine)
                )
                self._timed[same] = int8, fp32, None
            elif same not in self._timed:
                int8, shares, cost = self._costs(engine, source, batch, threads)
                fp32, _, _ = self._costs(fp32_engine, source, batch, threads, cost)
                self._timed[same] = int8, fp32, shares
            int8, fp32, shares = self._timed[same]
        except DeploykitError as error:
            # One clause: "; " separates the notes of a row.
            reason = str(error).replace("; ", ", ")
            return Note("slower", f"{text}, and what costs it was not found: {reason}"), {}
        # As rounded, too, the parts are no more than the difference.
        rounded = [float(text.replace(",", "")) for text in shown]
        difference_ms = min(float(medians[0]) - float(medians[1]), rounded[0] - rounded[1])
        lost = costliest_operators(int8, fp32, difference_ms) if difference_ms > 0 else []
        named = [f"{_at_most(ms)} ms in {name}" for name, ms in lost]
        note = Note("slower", f"{text}: it loses {', '.join(named)}" if named else text)
        return note, {} if shares is None else {"precision_share_time": shares}

    def _costs(
        self,
        engine: Path,
        source: Path,
        batch: int,
        threads: int | None,
        cost: ProfileCost | None = None,
    ) -> tuple[Mapping[str, float], float | None, ProfileCost | None]:
        """Milliseconds by operator, the share of the products' time spent in int8, and the profile's cost."""
        read = read_layers(source, engine)
        nodes = read.nodes
        times = layer_times(
            engine, batch=batch, threads=threads, rounds=PROFILED_SESSIONS, cost=cost
        )
        costs = operator_costs(nodes, times, {x.node: x.op_type for x in read.layers})
        entry = read_entry(engine.parent, EngineManifest)
        types = {} if entry is None else entry.manifest.compute_types
        by_type = time_by_type(nodes, times, types)
        share = None if by_type is None else precision_share(types, "int8", by_type)
        return costs, share, times.cost
