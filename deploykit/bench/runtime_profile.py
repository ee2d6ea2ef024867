"""Runs of an ONNX Runtime session node by node, from the runtime's own profile, and what that profile adds.

An event describes the tensors of its node, so that it costs more the more there are and the more dimensions
they have. That is measured on chains of nodes that do next to nothing: what they take longer with the
profile than without it. An event costs up to two microseconds more in a network than in a chain (for the
caches that its kernels leave, the threads that they woke): that only the network itself shows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.bench.feeds import check_batch, synthetic
from deploykit.bench.timing import WARM_UP_RUNS, quiet_mean
from deploykit.errors import InvalidModel, OutputFailed
from deploykit.lazy import np, onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Profiled runs of one session: a profile holds a million events, and is read as one text.
MAX_RUNS, MAX_EVENTS = 400, 40_000
#: The event that ends with a run's last node.
_EXECUTION = "SequentialExecutor::Execute"
#: A profile counts whole microseconds and cuts off the rest: half of one on average.
_CUT_OFF_US = 0.5
#: Nodes of a short chain and of a long one: their difference is free of what a run costs once.
SHORT, LONG = 8, 72
#: Inputs and rank of the nodes of three kinds of chain.
KINDS = ((1, 2), (9, 2), (9, 6))
#: An event in a network costs so much less or more than in a chain, in microseconds, or was not measured well.
LESS_US, MORE_US = 0.5, 2.5
#: Sessions of each chain; where buffers lie shifts all times of a session.
ROUNDS = 3


@dataclass(frozen=True)
class Profile:
    """What a profile tells of its runs.

    Attributes:
        nodes_us: time of each node, by run and node.
        spans_us: time of each run, from the start of its first node to its end.
        shapes: how many tensors the event of each node describes.
        dimensions: how many dimensions these tensors have together, by node.
    """

    nodes_us: NDArray[np.float64]
    spans_us: NDArray[np.float64]
    shapes: tuple[int, ...]
    dimensions: tuple[int, ...]

    def without(self, first: int) -> Profile:
        """The same without its first runs."""
        return replace(self, nodes_us=self.nodes_us[first:], spans_us=self.spans_us[first:])


def read_profile(text: str, names: Sequence[str]) -> Profile:
    """The times of an ONNX Runtime profile.

    Args:
        text: the profile, JSON.
        names: names of the engine's nodes, in the order of its graph; "" where one has none.

    Raises:
        InvalidModel: the profile is of another graph, or nodes ran in some of the runs only.
    """
    once = InvalidModel(
        "the engine's nodes do not all run once per run, so their times can't be told apart; "
        "measure it with `deploykit profile`"
    )
    runs: list[list[float]] = []
    spans: list[float] = []
    run: dict[int, float] = {}
    shapes, dimensions = [0] * len(names), [0] * len(names)
    start = 0.0
    for event in _of_main_graph(json.loads(text)):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            facts, name = event["args"], event["name"].removesuffix("_kernel_time")
            index = int(facts["node_index"])
            if index >= len(names) or (names[index] and names[index] != name):
                raise InvalidModel(
                    f"the runtime's profile names node {index} {name!r}, which the engine does not; "
                    "build it again"
                )
            if index in run:
                raise once
            start = start if run else float(event["ts"])
            run[index] = float(event["dur"]) + _CUT_OFF_US
            shapes[index], dimensions[index] = _described(facts)
        elif event.get("name") == _EXECUTION:
            if len(run) != len(names):
                raise once
            runs.append([run[index] for index in range(len(names))])
            spans.append(float(event["ts"] + event["dur"]) + _CUT_OFF_US - start)
            run = {}
    if not runs or run:
        raise once
    return Profile(np.array(runs), np.array(spans), tuple(shapes), tuple(dimensions))


#: Operators whose time holds that of the nodes in their bodies.
_WITH_BODIES = frozenset({"If", "Loop", "Scan"})


def _of_main_graph(events: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The events of a profile without those of bodies, which are within the time of their If, Loop or Scan.

    An event is written when what it tells of ends: those of a body stand before that of their node.
    """
    kept: list[Mapping[str, Any]] = []
    for event in events:
        facts = event.get("args", {})
        if event.get("cat") == "Node" and facts.get("op_name") in _WITH_BODIES:
            if not str(event["name"]).endswith("_kernel_time"):
                continue
            start = float(event["ts"])
            while kept and float(kept[-1]["ts"]) >= start and _may_be_inside(kept[-1]):
                kept.pop()
        kept.append(event)
    return iter(kept)


def _may_be_inside(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" or event.get("name") == _EXECUTION


def _described(facts: Mapping[str, Any]) -> tuple[int, int]:
    """How many tensors the arguments of an event describe, and how many dimensions."""
    tensors = [*facts.get("input_type_shape", ()), *facts.get("output_type_shape", ())]
    return len(tensors), sum(len(shape) for tensor in tensors for shape in tensor.values())


def profiled_and_plain(
    engine: Path,
    names: Sequence[str],
    folder: Path,
    *,
    batch: int = 1,
    threads: int | None = None,
    span_s: float,
    seed: int = 0,
) -> tuple[Profile, NDArray[np.float64]]:
    """Run one session with its profile, then without.

    Args:
        engine: its file.
        names: names of its nodes, in their order.
        folder: for the profile, which is removed.
        batch: images per run.
        threads: threads of the runtime; None is one per usable core.
        span_s: seconds of profiled runs, and again of others.
        seed: seeds the inputs.

    Returns:
        The profile without its first runs, and microseconds of the runs that were not profiled.

    Raises:
        InvalidModel: see `read_profile`.
        OutputFailed: the profile is not whole.
    """
    with OnnxRuntimeSession(engine, threads, profile=folder / "profile") as session:
        check_batch(session.inputs, batch, session.outputs)
        feeds = synthetic(session.inputs, batch, seed=seed)
        session.sample(feeds, WARM_UP_RUNS)
        most = max(WARM_UP_RUNS, min(MAX_RUNS, MAX_EVENTS // max(1, len(names))))
        _sample_for(session, feeds, span_s, most)
        path = session.end_profile()
        try:
            profile = read_profile(path.read_text(encoding="utf-8"), names)
        except json.JSONDecodeError as error:  # the runtime does not look at what its writes return
            raise OutputFailed(
                f"can't write the profile of a run to {folder}: ONNX Runtime tells no reason, most likely the "
                "disk is full; free some space there, or set TMPDIR to another folder"
            ) from error
        path.unlink()
        session.sample(feeds, WARM_UP_RUNS)
        plain = _sample_for(session, feeds, span_s)
    # The first runs allocate; those that binding makes, one per set of inputs, are among them.
    return profile.without(WARM_UP_RUNS + len(feeds)), plain / 1e3


def _sample_for(
    session: Any, feeds: Any, span_s: float, most: int = 1_000_000
) -> NDArray[np.float64]:
    """Nanoseconds of runs that follow each other for `span_s`, at least five and at most `most`."""
    parts, count, start = [], 0, time.perf_counter()
    while count < most and (count < 5 or time.perf_counter() - start < span_s):
        parts.append(session.sample(feeds, 5))
        count += 5
    return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class ProfileCost:
    """What a profile adds, and what a run takes without nodes, in microseconds.

    Attributes:
        event_us: cost of the event of a node in a chain, with one input of rank 2.
        shape_us: for each tensor that a node reads or writes.
        dimension_us: for each dimension of these.
        call_us: what a run takes, not profiled, beside its nodes.
    """

    event_us: float
    shape_us: float
    dimension_us: float
    call_us: float

    def of(self, profile: Profile, added_us: float) -> NDArray[np.float64]:
        """Microseconds for each node of a network.

        Args:
            profile: the network's profile.
            added_us: what the profile adds to all of its nodes together, as measured; long runs vary by
                more than that, so that it is held within `LESS_US` and `MORE_US` of the chain's.
        """
        if not len(profile.shapes):  # an input handed on as an output takes no node
            return np.zeros(0)
        described = self.shape_us * np.array(profile.shapes, dtype=np.float64)
        described += self.dimension_us * np.array(profile.dimensions, dtype=np.float64)
        of_chain_us = self.event_us - 2 * self.shape_us - 4 * self.dimension_us
        rest_us = added_us / described.size - float(described.mean())
        result: NDArray[np.float64] = described + min(
            max(rest_us, of_chain_us - LESS_US), of_chain_us + MORE_US
        )
        return result


def profile_cost(folder: Path, threads: int | None, span_s: float) -> ProfileCost:
    """Measure it on chains, in this process.

    Args:
        folder: for the chains.
        threads: threads of the runtime, as for the engine that is to be profiled.
        span_s: seconds of profiled runs of all sessions of a chain together, and again of others.
    """
    chains = [_measure_chains(folder, *kind, threads, span_s) for kind in KINDS]
    # What an event costs by itself, by tensor and by dimension; a node writes one tensor, too.
    described = [(1.0, inputs + 1.0, (inputs + 1.0) * rank) for inputs, rank in KINDS]
    extras_us = [chain.extra_us for chain in chains]
    _, shape_us, dimension_us = np.linalg.solve(np.array(described), np.array(extras_us))
    simplest = chains[0]
    return ProfileCost(
        simplest.event_us, float(shape_us), float(dimension_us), max(0.0, simplest.call_us)
    )


class _Chains(NamedTuple):
    """Microseconds: what the profile adds to a node, all in all and within its event; a run without nodes."""

    extra_us: float
    event_us: float
    call_us: float


def _measure_chains(
    folder: Path, inputs: int, rank: int, threads: int | None, span_s: float
) -> _Chains:
    """A short chain and a long one of the same nodes."""
    spans_us, events_us, plain_us = [], [], []
    for count in (SHORT, LONG):
        path = folder / f"chain-{inputs}-{rank}-{count}.onnx"
        names = _write_chain(path, count, inputs, rank)
        runs = [
            profiled_and_plain(path, names, folder, threads=threads, span_s=span_s / ROUNDS)
            for _ in range(ROUNDS)
        ]
        nodes_us = np.concatenate([profile.nodes_us.sum(axis=1) for profile, _ in runs])
        events_us.append(quiet_mean(nodes_us))
        spans_us.append(quiet_mean(np.concatenate([p.spans_us for p, _ in runs])))
        plain_us.append(quiet_mean(np.concatenate([plain for _, plain in runs])))
    span_us, event_us, node_us = (
        (long - short) / (LONG - SHORT) for short, long in (spans_us, events_us, plain_us)
    )
    return _Chains(span_us - node_us, event_us - node_us, plain_us[0] - SHORT * node_us)


def _write_chain(path: Path, count: int, inputs: int, rank: int) -> Sequence[str]:
    """A graph of `count` nodes that each add up eight values `inputs` times; returns their names."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    names = [f"n{i}" for i in range(count)]
    shape = [1] * (rank - 1) + [8]
    graph = helper.make_graph(
        [
            helper.make_node("Sum", [f"t{i}"] * inputs, [f"t{i + 1}"], name=name)
            for i, name in enumerate(names)
        ],
        "chain",
        [helper.make_tensor_value_info("t0", float32, shape)],
        [helper.make_tensor_value_info(f"t{count}", float32, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return names
