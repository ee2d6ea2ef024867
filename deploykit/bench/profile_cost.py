"""What ONNX Runtime's profile itself adds to the times of nodes.

An event describes the tensors of its node, so that it costs more the more there are and the more dimensions
they have. That is measured on chains of nodes that do next to nothing: what they take longer with the
profile than without it. An event costs up to two microseconds more in a network than in a chain (for the
caches that its kernels leave, the threads that they woke): that only the network itself shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deploykit.bench.profiled_runs import Profile, profiled_and_plain
from deploykit.bench.undisturbed import undisturbed_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Nodes of a short chain and of a long one: their difference is free of what a run costs once.
SHORT, LONG = 8, 72
#: Inputs and rank of the nodes of three kinds of chain.
KINDS = ((1, 2), (9, 2), (9, 6))
#: An event in a network costs so much less or more than in a chain, in microseconds, or was not measured well.
LESS_US, MORE_US = 0.5, 2.5
#: Sessions of each chain; where buffers lie shifts all times of a session.
ROUNDS = 3


@dataclass(frozen=True)
class ProfileCost:
    """What a profile adds, and what a run takes without nodes, in microseconds.

    Attributes:
        event_us: of a node of one input in a chain, of rank 2.
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
            profile: of the network.
            added_us: what the profile adds to all of its nodes together, as measured; long runs vary by
                more than that, so that it is held within `LESS_US` and `MORE_US` of the chain's.
        """
        import numpy as np

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
        threads: of the runtime, as for the engine that is to be profiled.
        span_s: of the profiled runs of all sessions of a chain together, and again of the others.
    """
    import numpy as np

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
    import numpy as np

    spans_us, events_us, plain_us = [], [], []
    for count in (SHORT, LONG):
        path = folder / f"chain-{inputs}-{rank}-{count}.onnx"
        names = _write_chain(path, count, inputs, rank)
        runs = [
            profiled_and_plain(path, names, folder, threads=threads, span_s=span_s / ROUNDS)
            for _ in range(ROUNDS)
        ]
        nodes_us = np.concatenate([profile.nodes_us.sum(axis=1) for profile, _ in runs])
        events_us.append(undisturbed_mean(nodes_us))
        spans_us.append(undisturbed_mean(np.concatenate([p.spans_us for p, _ in runs])))
        plain_us.append(undisturbed_mean(np.concatenate([plain for _, plain in runs])))
    span_us, event_us, node_us = (
        (long - short) / (LONG - SHORT) for short, long in (spans_us, events_us, plain_us)
    )
    return _Chains(span_us - node_us, event_us - node_us, plain_us[0] - SHORT * node_us)


def _write_chain(path: Path, count: int, inputs: int, rank: int) -> Sequence[str]:
    """A graph of `count` nodes that each add up eight values `inputs` times; returns their names."""
    import onnx
    from onnx import TensorProto, helper

    names = [f"n{i}" for i in range(count)]
    shape = [1] * (rank - 1) + [8]
    graph = helper.make_graph(
        [
            helper.make_node("Sum", [f"t{i}"] * inputs, [f"t{i + 1}"], name=name)
            for i, name in enumerate(names)
        ],
        "chain",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"t{count}", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return names
