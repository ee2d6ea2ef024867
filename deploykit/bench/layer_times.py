"""Time of each node of an ONNX Runtime engine, from the runtime's own profile.

The profile costs some microseconds per node, which small nodes themselves don't take. That cost is measured
on a chain of nodes that do next to nothing, and taken off. What is left is held against runs of the same
session that were not profiled. It runs in a process of its own: `python -m deploykit.bench.layer_times`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.child import run_child, serve
from deploykit.errors import InvalidModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Sessions that are opened one after the other: where the buffers of one lie shifts all its times.
ROUNDS = 6
#: Time for the profiled and for the other runs of each session.
SPAN_S = 0.3
#: Profiled runs of one session: a profile holds a million events, and is read as one text.
MAX_RUNS, MAX_EVENTS = 400, 40_000
#: Which runs count, by their total: the undisturbed ones but not the very fastest. The same share of the
#: profiled and of the other runs is taken, from all sessions together.
LOW, HIGH = 0.05, 0.35
#: Runs that come first and are not counted.
WARM_UP_RUNS = 5
#: Nodes of the two chains that show what the profile itself costs.
CHAINS = (8, 72)
#: Inputs of their nodes.
INPUTS = (1, 9)
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class LayerTimes:
    """Where the time of one run goes, in milliseconds.

    Attributes:
        names: of the engine's nodes, in its order.
        nodes_ms: mean time of each over the undisturbed profiled runs, without what the profile costs.
        call_ms: what a run costs that has no nodes.
        whole_ms: a run that is not profiled, mean over the undisturbed ones.
        profile_ms: what the profile adds to a node, on average; it has been taken off.
        runs: profiled runs.
    """

    names: tuple[str, ...]
    nodes_ms: tuple[float, ...]
    call_ms: float
    whole_ms: float
    profile_ms: float
    runs: int

    @property
    def sum_ms(self) -> float:
        """All nodes and the call."""
        return sum(self.nodes_ms) + self.call_ms

    @property
    def ratio(self) -> float:
        """The sum over the whole run; 1 where each part is accounted for."""
        return self.sum_ms / self.whole_ms


def layer_times(
    engine: Path,
    *,
    batch: int = 1,
    threads: int | None = None,
    rounds: int = ROUNDS,
    span_s: float = SPAN_S,
    seed: int = 0,
    timeout_s: float | None = TIMEOUT_S,
) -> LayerTimes:
    """Time an engine of ONNX Runtime node by node, in a fresh process.

    Args:
        engine: its file.
        batch: images per run.
        threads: of the runtime; None is one per usable core.
        rounds: sessions.
        span_s: of profiled runs, and again of others, in each.
        seed: of the inputs, which are standard normal.
        timeout_s: of the whole.

    Raises:
        WorkerFailure: it does not run, or has control flow, whose nodes can't be told apart.
    """
    request = {
        "engine": str(engine.absolute()),
        "batch": batch,
        "threads": threads,
        "rounds": rounds,
        "span_s": span_s,
        "seed": seed,
    }
    found = run_child("deploykit.bench.layer_times", request, timeout_s, threads)
    return LayerTimes(**found | {key: tuple(found[key]) for key in ("names", "nodes_ms")})


def measure_layers(
    engine: Path, batch: int, threads: int | None, rounds: int, span_s: float, seed: int
) -> LayerTimes:
    """Measure in this process; see `layer_times`."""
    import numpy as np
    import onnx

    graph = onnx.load(str(engine), load_external_data=False).graph
    names = [node.name for node in graph.node]
    shown = tuple(node.name or node.output[0] for node in graph.node)
    with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
        cost = _cost(Path(folder), threads, span_s / 2)
        profiled, whole = [], []
        for _ in range(rounds):
            runs, others = _round(engine, names, batch, threads, span_s, seed, Path(folder))
            profiled.append(runs)
            whole.append(others)
    runs = np.concatenate(profiled)
    costs_us = cost.of([sum(1 for name in node.input if name) for node in graph.node])
    nodes_us = np.maximum(_undisturbed(runs, runs.sum(axis=1)).mean(axis=0) - costs_us, 0.0)
    others = np.concatenate(whole)
    return LayerTimes(
        shown,
        tuple(float(value) / 1e3 for value in nodes_us),
        cost.call_us / 1e3,
        float(_undisturbed(others, others).mean()) / 1e3,
        float(costs_us.mean()) / 1e3,
        len(runs),
    )


def _round(
    engine: Path,
    names: Sequence[str],
    batch: int,
    threads: int | None,
    span_s: float,
    seed: int,
    folder: Path,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Microseconds of one session: of each node in each profiled run, and of runs that were not profiled."""
    from deploykit.backends.onnxruntime import OnnxRuntimeSession
    from deploykit.bench.feeds import check_batch, synthetic

    session = OnnxRuntimeSession(engine, threads, profile=folder / "profile")
    try:
        check_batch(session.inputs, batch)
        feeds = synthetic(session.inputs, batch, seed=seed)
        session.sample(feeds, WARM_UP_RUNS)
        most = max(WARM_UP_RUNS, min(MAX_RUNS, MAX_EVENTS // max(1, len(names))))
        _sample_for(session, feeds, span_s, most)
        profile = session.end_profile()
        runs = read_profile(profile.read_text(), names)
        profile.unlink()
        session.sample(feeds, WARM_UP_RUNS)
        others = _sample_for(session, feeds, span_s)
    finally:
        session.close()
    # The first runs allocate; those that binding makes, one per set of inputs, are among them.
    return runs[WARM_UP_RUNS + len(feeds) :], others / 1e3


def _sample_for(
    session: Any, feeds: Any, span_s: float, most: int = 1_000_000
) -> NDArray[np.float64]:
    """Nanoseconds of runs that follow each other for `span_s`, at least five and at most `most`."""
    import numpy as np

    parts, count, start = [], 0, time.perf_counter()
    while count < most and (count < 5 or time.perf_counter() - start < span_s):
        parts.append(session.sample(feeds, 5))
        count += 5
    return np.concatenate(parts).astype(np.float64)


def read_profile(text: str, names: Sequence[str]) -> NDArray[np.float64]:
    """Microseconds by run and node of an ONNX Runtime profile.

    Args:
        text: the profile, JSON.
        names: of the engine's nodes, in the order of its graph; "" where one has none.

    Raises:
        InvalidModel: the profile is of another graph, or nodes ran in some of the runs only.
    """
    import numpy as np

    times: list[list[float]] = [[] for _ in names]
    for event in json.loads(text):
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        index, name = int(event["args"]["node_index"]), event["name"].removesuffix("_kernel_time")
        if index >= len(names) or (names[index] and names[index] != name):
            raise InvalidModel(
                f"the runtime's profile names node {index} {name!r}, which the engine does not; "
                "build it again"
            )
        times[index].append(float(event["dur"]))
    counts = {len(one) for one in times}
    if len(counts) != 1 or not counts.pop():
        raise InvalidModel(
            "the engine's nodes do not all run once per run, so their times can't be told apart; "
            "export it without control flow"
        )
    return np.array(times, dtype=np.float64).T


def _undisturbed(values: NDArray[np.float64], order: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of `values` that lie between `LOW` and `HIGH` in `order`, at least one."""
    import numpy as np

    ranked = np.argsort(order, kind="stable")
    first = int(LOW * len(ranked))
    chosen: NDArray[np.float64] = values[ranked[first : max(first + 1, int(HIGH * len(ranked)))]]
    return chosen


@dataclass(frozen=True)
class _Cost:
    """What the profile adds to a node, and what a run takes without nodes, in microseconds.

    An event lists the types of a node's inputs, so that it costs more the more there are.
    """

    node_us: float
    input_us: float
    call_us: float

    def of(self, inputs: Sequence[int]) -> NDArray[np.float64]:
        import numpy as np

        return self.node_us + self.input_us * np.array(inputs, dtype=np.float64)


def _cost(folder: Path, threads: int | None, span_s: float) -> _Cost:
    """Measured on chains of small sums of one input and of several."""
    costs, call_us = [], 0.0
    for inputs in INPUTS:
        found = []
        for count in CHAINS:
            path = folder / f"chain-{inputs}-{count}.onnx"
            names = _write_chain(path, count, inputs)
            profiled, whole = _round(path, names, 1, threads, span_s, 0, folder)
            node = _undisturbed(profiled, profiled.sum(axis=1)).mean()
            found.append((float(node), float(_undisturbed(whole, whole).mean())))
        (few_us, short_us), (many_us, long_us) = found
        node_us = max(0.0, (long_us - short_us) / (CHAINS[1] - CHAINS[0]))
        costs.append(max(0.0, (few_us + many_us) / 2 - node_us))
        call_us = call_us or max(0.0, short_us - CHAINS[0] * node_us)
    input_us = max(0.0, (costs[1] - costs[0]) / (INPUTS[1] - INPUTS[0]))
    return _Cost(max(0.0, costs[0] - input_us * INPUTS[0]), input_us, call_us)


def _write_chain(path: Path, count: int, inputs: int) -> list[str]:
    """A graph of `count` nodes that each add up eight values `inputs` times; returns their names."""
    import onnx
    from onnx import TensorProto, helper

    names = [f"n{i}" for i in range(count)]
    graph = helper.make_graph(
        [
            helper.make_node("Sum", [f"t{i}"] * inputs, [f"t{i + 1}"], name=name)
            for i, name in enumerate(names)
        ],
        "chain",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info(f"t{count}", TensorProto.FLOAT, [1, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return names


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(
        measure_layers(
            Path(request["engine"]),
            int(request["batch"]),
            request["threads"],
            int(request["rounds"]),
            float(request["span_s"]),
            int(request["seed"]),
        )
    )


if __name__ == "__main__":
    serve(_answer)
