"""Runs of an ONNX Runtime session node by node, from the runtime's own profile, and runs without it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.undisturbed import WARM_UP_RUNS
from deploykit.errors import InvalidModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Profiled runs of one session: a profile holds a million events, and is read as one text.
MAX_RUNS, MAX_EVENTS = 400, 40_000
#: The event that ends with a run's last node.
_EXECUTION = "SequentialExecutor::Execute"
#: A profile counts whole microseconds and cuts off the rest: half of one on average.
_CUT_OFF_US = 0.5


@dataclass(frozen=True)
class Profile:
    """What a profile tells of its runs.

    Attributes:
        nodes_us: time of each node, by run and node.
        spans_us: of each run, from the start of its first node to its end.
        shapes: of each node, how many tensors its event describes.
        dimensions: of each node, how many dimensions these have together.
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
        names: of the engine's nodes, in the order of its graph; "" where one has none.

    Raises:
        InvalidModel: the profile is of another graph, or nodes ran in some of the runs only.
    """
    import numpy as np

    once = InvalidModel(
        "the engine's nodes do not all run once per run, so their times can't be told apart; "
        "export it without control flow"
    )
    runs: list[list[float]] = []
    spans: list[float] = []
    run: dict[int, float] = {}
    shapes, dimensions = [0] * len(names), [0] * len(names)
    start = 0.0
    for event in json.loads(text):
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
        names: of its nodes, in their order.
        folder: for the profile, which is removed.
        batch: images per run.
        threads: of the runtime; None is one per usable core.
        span_s: of the profiled runs, and again of the others.
        seed: of the inputs.

    Returns:
        The profile without its first runs, and microseconds of the runs that were not profiled.

    Raises:
        InvalidModel: see `read_profile`.
    """
    from deploykit.backends.onnxruntime import OnnxRuntimeSession
    from deploykit.bench.feeds import check_batch, synthetic

    session = OnnxRuntimeSession(engine, threads, profile=folder / "profile")
    try:
        check_batch(session.inputs, batch)
        feeds = synthetic(session.inputs, batch, seed=seed)
        session.sample(feeds, WARM_UP_RUNS)
        most = max(WARM_UP_RUNS, min(MAX_RUNS, MAX_EVENTS // max(1, len(names))))
        _sample_for(session, feeds, span_s, most)
        path = session.end_profile()
        profile = read_profile(path.read_text(), names)
        path.unlink()
        session.sample(feeds, WARM_UP_RUNS)
        plain = _sample_for(session, feeds, span_s)
    finally:
        session.close()
    # The first runs allocate; those that binding makes, one per set of inputs, are among them.
    return profile.without(WARM_UP_RUNS + len(feeds)), plain / 1e3


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
