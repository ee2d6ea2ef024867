"""Time of each node of an ONNX Runtime engine, from the runtime's own profile.

The profile costs some microseconds per node, which small nodes themselves don't take. What it adds to a run
is measured in every other session, divided over the nodes (see `profile_cost`) and taken off the times of
the rest. What is left is held against runs of these sessions that were not profiled. It runs in a process
of its own: `python -m deploykit.bench.layer_times`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.child import run_child, serve
from deploykit.bench.profile_cost import profile_cost
from deploykit.bench.profiled_runs import Profile, profiled_and_plain
from deploykit.bench.undisturbed import undisturbed, undisturbed_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: A session's profile, and microseconds of its runs without one.
    Session = tuple[Profile, NDArray[np.float64]]

#: Pairs of sessions that are opened one after the other: where the buffers of one lie shifts all its times.
#: As many as this, or at least three as long as they fit the budget.
ROUNDS, BUDGET_S = 12, 6.0
#: Time for the profiled and for the other runs of each session.
SPAN_S = 0.08
#: Of the chains that show what the profile costs.
COST_SPAN_S = 0.3
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class LayerTimes:
    """Where the time of one run goes, in milliseconds.

    Attributes:
        names: of the engine's nodes, in its order.
        nodes_ms: mean time of each over the undisturbed runs, without what the profile costs.
        call_ms: what a run costs that has no nodes.
        whole_ms: a run that is not profiled, mean over the undisturbed ones.
        profile_ms: what the profile adds to a node, on average; it has been taken off.
        runs: profiled runs that were counted.
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
        rounds: pairs of sessions, at most.
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
    with tempfile.TemporaryDirectory(prefix="deploykit-") as name:
        folder = Path(name)
        cost = profile_cost(folder, threads, COST_SPAN_S)
        told: list[Session] = []
        counted: list[Session] = []
        start = time.perf_counter()
        # Every other session tells what the profile costs; the rest is free to disagree with it.
        while len(counted) < rounds and (
            len(counted) < 3 or time.perf_counter() - start < BUDGET_S
        ):
            for sessions in (told, counted):
                sessions.append(
                    profiled_and_plain(
                        engine,
                        names,
                        folder,
                        batch=batch,
                        threads=threads,
                        span_s=span_s,
                        seed=seed,
                    )
                )
    profiled_us, plain_us = _together(told)
    added_us = undisturbed_mean(profiled_us.sum(axis=1)) + cost.call_us - undisturbed_mean(plain_us)
    costs_us = cost.of(told[0][0], added_us)
    profiled_us, plain_us = _together(counted)
    means_us = profiled_us[undisturbed(profiled_us.sum(axis=1))].mean(axis=0)
    return LayerTimes(
        shown,
        tuple(float(us) / 1e3 for us in np.maximum(means_us - costs_us, 0.0)),
        cost.call_us / 1e3,
        undisturbed_mean(plain_us) / 1e3,
        float(costs_us.mean()) / 1e3,
        len(profiled_us),
    )


def _together(
    sessions: Sequence[Session],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Microseconds of all sessions' nodes, by run and node, and of their runs without a profile."""
    import numpy as np

    nodes_us = np.concatenate([profile.nodes_us for profile, _ in sessions])
    return nodes_us, np.concatenate([plain for _, plain in sessions])


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(measure_layers(**{**request, "engine": Path(request["engine"])}))


if __name__ == "__main__":
    serve(_answer)
