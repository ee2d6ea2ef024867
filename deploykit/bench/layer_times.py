"""Where the time of a run goes: by node of an ONNX Runtime engine, module of a PyTorch network, layer of TensorRT.

Nodes are timed by the runtime's own profile. It costs some microseconds per node, which small nodes themselves
don't take. What it adds to a run is measured in every other session, divided over the nodes (see
`runtime_profile`) and taken off the times of the rest. What is left is held against runs of these sessions that
were not profiled.

Modules are timed by hooks around those that have no modules of their own; what the network computes between them
(sums, joins, functions) is the rest of the run. On the processor hooks read its clock; what they cost themselves is
measured on a chain of modules that do nothing, and taken off that rest. On a GPU they put events into the stream,
which the device passes at its own pace.

Layers of TensorRT's engines are timed by its own profiler, in runs of their own. OpenVINO's counters tell what all
operators of a kind take.

All run in a process of their own: `python -m deploykit.bench.layer_times`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import backends
from deploykit.backends.base import TimedParts
from deploykit.bench.channel import run_child, serve
from deploykit.bench.feeds import check_batch, synthetic
from deploykit.bench.runtime_profile import (
    Profile,
    ProfileCost,
    profile_cost,
    profiled_and_plain,
)
from deploykit.bench.timing import WARM_UP_RUNS, quiet_mean, quiet_runs, runs_in
from deploykit.bench.worker import open_engine
from deploykit.lazy import np, onnx, torch
from deploykit.spec import DEVICE
from deploykit.writing import working_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: A session's profile, and microseconds of its runs without one.
    ProfiledSession = tuple[Profile, NDArray[np.float64]]

#: Pairs of sessions that are opened one after the other: where the buffers of one lie shifts all its times.
#: As many as this, as long as they fit the budget, but three at least.
NODE_ROUNDS, BUDGET_S, _LEAST_ROUNDS = 12, 6.0, 3
#: Time for the profiled and for the other runs of each session.
NODE_SPAN_S = 0.08
#: Of the chains that show what the profile costs, and where a first look is enough.
COST_SPAN_S, QUICK_COST_SPAN_S = 0.3, 0.1
#: Rounds of a first look, on every backend, and runs with the profiler of a device.
QUICK_ROUNDS, QUICK_DEVICE_RUNS = 3, 15
#: Rounds of runs with hooks and without, by turns, and the time for each.
MODULE_ROUNDS, MODULE_SPAN_S = 10, 0.2
#: Modules of the chain that shows what hooks cost.
CHAIN = 64
#: Runs with the profiler of a device.
DEVICE_RUNS = 60
#: Runs that OpenVINO counts the time of at the most, and seconds of them.
OPERATOR_RUNS, OPERATOR_SPAN_S = 500, 1.0
#: What the time between the modules is called.
BETWEEN = "(between the modules)"
TIMEOUT_S = 900.0
_MODULE = "deploykit.bench.layer_times"


@dataclass(frozen=True)
class LayerTimes:
    """Where the time of one run goes, in milliseconds.

    Attributes:
        names: names of the engine's nodes, in its order.
        nodes_ms: mean time of each over the quiet runs, without what the profile costs.
        call_ms: what a run costs that has no nodes.
        whole_ms: a run that is not profiled, mean over the quiet ones.
        profile_ms: what the profile adds to a node, on average; it has been taken off.
        runs: how many profiled runs the times rest on.
        cost: of the profile on this machine with these threads, which spares other engines to measure it again;
            None where what told the times costs nothing.
    """

    names: tuple[str, ...]
    nodes_ms: tuple[float, ...]
    call_ms: float
    whole_ms: float
    profile_ms: float
    runs: int
    cost: ProfileCost | None = None

    @property
    def sum_ms(self) -> float:
        """All nodes and the call."""
        return sum(self.nodes_ms) + self.call_ms

    @property
    def ratio(self) -> float:
        """The sum over the whole run; 1 where each part is accounted for."""
        return self.sum_ms / self.whole_ms


@dataclass(frozen=True)
class ModuleTimes:
    """Where the time of one run goes; the last name is `BETWEEN`.

    Attributes:
        times: by dotted module name, in the order in which modules first run.
        types: the modules' classes, in the same order.
    """

    times: LayerTimes
    types: tuple[str, ...]


@dataclass(frozen=True)
class TimesRequest:
    """What the process that times layers is asked; see `layer_times` and `module_times`.

    Attributes:
        engine: file of an ONNX Runtime engine, or folder of another backend's engine.
        parts: what is timed; see `BackendBase.timed_parts`.
        limit_s: seconds after which no further round begins.
        quantile: of nodes, see `layer_times`.
        cost: of the profile, see `layer_times`.
        cost_span_s: seconds that are spent on each chain where it is not given.
    """

    engine: Path
    parts: TimedParts
    batch: int
    threads: int | None
    rounds: int
    span_s: float
    seed: int
    limit_s: float | None = None
    quantile: float | None = None
    cost: ProfileCost | None = None
    cost_span_s: float = COST_SPAN_S


def layer_times(
    engine: Path,
    *,
    batch: int = 1,
    threads: int | None = None,
    rounds: int = NODE_ROUNDS,
    span_s: float = NODE_SPAN_S,
    seed: int = 0,
    timeout_s: float = TIMEOUT_S,
    limit_s: float | None = None,
    quantile: float | None = None,
    cost: ProfileCost | None = None,
    cost_span_s: float = COST_SPAN_S,
) -> LayerTimes:
    """Time an engine of ONNX Runtime node by node, in a fresh process.

    Args:
        engine: its file.
        batch: images per run.
        threads: threads of the runtime; None is one per usable core.
        rounds: pairs of sessions, at most.
        span_s: seconds of profiled runs, and again of others, in each.
        seed: seeds the inputs, which are standard normal.
        timeout_s: seconds, beyond `limit_s`, until the process is given up.
        limit_s: seconds after which no further pair begins; the first one is always made.
        quantile: of all runs' times that stands for each node, and for the whole; None takes the mean of quiet
            runs, whose nodes add up. A low quantile holds where every run is interrupted in some node.
        cost: of the profile, from times of another engine with the same threads just before; None measures it,
            which takes some seconds.
        cost_span_s: seconds that are spent on each of the chains that show it.

    Raises:
        WorkerFailure: it does not run.
    """
    request = TimesRequest(
        engine, "nodes", batch, threads, rounds, span_s, seed, limit_s, quantile, cost, cost_span_s
    )
    return run_child(_MODULE, request, LayerTimes, timeout_s + (limit_s or 0.0), threads)


def module_times(
    engine: Path,
    *,
    batch: int = 1,
    threads: int | None = None,
    rounds: int = MODULE_ROUNDS,
    span_s: float = MODULE_SPAN_S,
    seed: int = 0,
    timeout_s: float = TIMEOUT_S,
    limit_s: float | None = None,
) -> ModuleTimes:
    """Time an engine of a torch backend module by module, in a fresh process, where the backend runs.

    Args:
        engine: folder of the engine.
        batch: images per run.
        threads: None is one per usable core.
        rounds: how often runs with hooks and runs without take turns.
        span_s: seconds of each.
        seed: seeds the inputs, which are standard normal.
        timeout_s: seconds, beyond `limit_s`, until the process is given up.
        limit_s: seconds after which no further round begins; the first one is always made.

    Raises:
        WorkerFailure: it does not run.
    """
    request = TimesRequest(engine, "modules", batch, threads, rounds, span_s, seed, limit_s)
    return run_child(_MODULE, request, ModuleTimes, timeout_s + (limit_s or 0.0), threads)


def expected_s(run_s: float, load_s: float, *, modules: bool = False, quick: bool = False) -> float:
    """Seconds that `layer_times`, or `module_times`, will take at least, so long as runs and loads take these.

    Args:
        run_s: seconds of one run.
        load_s: seconds of opening the engine.
        modules: which of the two.
        quick: whether in `QUICK_ROUNDS`.
    """
    if modules:
        return load_s + 2 * (QUICK_ROUNDS if quick else MODULE_ROUNDS) * max(MODULE_SPAN_S, run_s)
    pair_s = 2 * (load_s + 2 * max(NODE_SPAN_S, run_s))
    rounds = QUICK_ROUNDS if quick else NODE_ROUNDS
    cost_s = 2 * (QUICK_COST_SPAN_S if quick else COST_SPAN_S)
    return cost_s + max(_LEAST_ROUNDS * pair_s, min(BUDGET_S, rounds * pair_s))


def device_layer_times(
    engine: Path,
    *,
    batch: int = 1,
    runs: int = DEVICE_RUNS,
    span_s: float = MODULE_SPAN_S,
    seed: int = 0,
    timeout_s: float = TIMEOUT_S,
    limit_s: float | None = None,
) -> LayerTimes:
    """Time an engine of TensorRT layer by layer, by its own profiler, in a fresh process on the device.

    The profiler waits for each layer, so that layers that would overlap don't, and add up to more than the whole.
    The whole is timed between events, without it.

    Args:
        engine: folder of the engine.
        batch: images per run.
        runs: with the profiler.
        span_s: seconds of runs without.
        seed: seeds the inputs, which are standard normal.
        timeout_s: seconds, beyond `limit_s`, until the process is given up.
        limit_s: seconds after which no further run begins; the first one is always made.

    Raises:
        WorkerFailure: it does not run, or there is no device.
    """
    request = TimesRequest(engine, "layers", batch, None, runs, span_s, seed, limit_s)
    return run_child(_MODULE, request, LayerTimes, timeout_s + (limit_s or 0.0))


@dataclass(frozen=True)
class OperatorTimes:
    """Milliseconds of one run by what the runtime calls its operators."""

    by_operator_ms: Mapping[str, float]


def operator_times(
    engine: Path,
    *,
    batch: int = 1,
    threads: int | None = None,
    runs: int = OPERATOR_RUNS,
    span_s: float = OPERATOR_SPAN_S,
    seed: int = 0,
    timeout_s: float = TIMEOUT_S,
) -> Mapping[str, float]:
    """Time an engine by its runtime's kinds of operators, in a fresh process: milliseconds of one run, by name.

    Args:
        engine: folder of the engine, of a backend whose `timed_parts` are "operators".
        batch: images per run.
        threads: None is one per usable core.
        runs: that are timed at the most; what is told is their mean, interruptions included.
        span_s: seconds of them, about.
        seed: seeds the inputs, which are standard normal.
        timeout_s: seconds until the process is given up.

    Raises:
        WorkerFailure: it does not run.
    """
    request = TimesRequest(engine, "operators", batch, threads, runs, span_s, seed)
    return run_child(_MODULE, request, OperatorTimes, timeout_s, threads).by_operator_ms


def measure_operators(request: TimesRequest) -> OperatorTimes:
    """Time operators in this process; see `operator_times`."""
    engine = open_engine(request.engine)
    backend = backends.get(str(engine.manifest["builder"]))
    with backend.load(engine, request.threads) as session:
        check_batch(session.inputs, request.batch, session.outputs)
        feeds = synthetic(session.inputs, request.batch, seed=request.seed)
        session.sample(feeds, WARM_UP_RUNS)
        runs = min(request.rounds, runs_in(request.span_s, session.sample(feeds, 1)[0]))
        return OperatorTimes(session.operator_times(feeds, runs) or {})


def measure_layers(request: TimesRequest) -> LayerTimes:
    """Time layers in this process; see `device_layer_times`."""
    engine = open_engine(request.engine)
    backend = backends.get(str(engine.manifest["builder"]))
    loaded: Any = backend.load(engine)
    with loaded as session:
        check_batch(session.inputs, request.batch, session.outputs)
        session.measure_as("device", cuda_graph=False)
        feeds = synthetic(session.inputs, request.batch, seed=request.seed)
        start_s = time.perf_counter()
        session.sample(feeds, WARM_UP_RUNS)
        whole_ns = session.sample(feeds, runs_in(request.span_s, session.sample(feeds, 1)[0]))
        left_s = None
        if request.limit_s is not None:
            left_s = request.limit_s - (time.perf_counter() - start_s)
        with session.share() as profiled:  # the profiler stays with its context
            taken_ms = profiled.layer_times(feeds, request.rounds, left_s)
    parts_ms = np.array([taken_ms[name] for name in taken_ms])
    means_ms = parts_ms[:, quiet_runs(parts_ms.sum(axis=0))].mean(axis=1)
    return LayerTimes(
        tuple(taken_ms),
        tuple(float(ms) for ms in means_ms),
        0.0,
        quiet_mean(whole_ns / 1e6),
        0.0,
        parts_ms.shape[1],
    )


def measure_nodes(request: TimesRequest) -> LayerTimes:
    """Time nodes in this process; see `layer_times`."""
    engine, threads = request.engine, request.threads
    graph = onnx.load(str(engine), load_external_data=False).graph
    names = [node.name for node in graph.node]
    shown = tuple(node.name or node.output[0] for node in graph.node)
    with working_folder() as folder:
        cost = request.cost or profile_cost(folder, threads, request.cost_span_s)
        # Every other session shows what the profile costs; the rest is free to disagree with it.
        of_cost: list[ProfiledSession] = []
        of_times: list[ProfiledSession] = []
        start = time.perf_counter()
        while goes_on(len(of_times), request, time.perf_counter() - start):
            for sessions in (of_cost, of_times):
                sessions.append(
                    profiled_and_plain(
                        engine,
                        names,
                        folder,
                        batch=request.batch,
                        threads=threads,
                        span_s=request.span_s,
                        seed=request.seed,
                    )
                )

    def typical(runs_us: NDArray[np.float64]) -> float:
        if request.quantile is None:
            return quiet_mean(runs_us)
        return float(np.quantile(runs_us, request.quantile))

    profiled_us, plain_us = _together(of_cost)
    added_us = typical(profiled_us.sum(axis=1)) + cost.call_us - typical(plain_us)
    costs_us = cost.of(of_cost[0][0], added_us)
    profiled_us, plain_us = _together(of_times)
    means_us = profiled_us[quiet_runs(profiled_us.sum(axis=1))].mean(axis=0)
    if request.quantile is not None:
        means_us = np.quantile(profiled_us, request.quantile, axis=0)
    return LayerTimes(
        shown,
        tuple(float(us) / 1e3 for us in np.maximum(means_us - costs_us, 0.0)),
        cost.call_us / 1e3,
        typical(plain_us) / 1e3,
        float(costs_us.mean()) / 1e3,
        len(profiled_us),
        cost,
    )


def goes_on(done: int, request: TimesRequest, elapsed_s: float) -> bool:
    """Whether another pair of sessions is opened: the first always, two more unless the limit is reached."""
    if done == 0:
        return True
    if request.limit_s is not None and elapsed_s >= request.limit_s:
        return False
    return done < request.rounds and (done < _LEAST_ROUNDS or elapsed_s < BUDGET_S)


def _together(
    sessions: Sequence[ProfiledSession],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Microseconds of all sessions' nodes, by run and node, and of their runs without a profile."""
    nodes_us = np.concatenate([profile.nodes_us for profile, _ in sessions])
    return nodes_us, np.concatenate([plain for _, plain in sessions])


class Hooks:
    """Adds up the time within each module that has none of its own, while it is entered.

    Args:
        module: the network.
        mark: the present moment, on the clock of whatever computes.
        ns_between: nanoseconds from one mark to another, asked when the run is done.
    """

    def __init__(
        self,
        module: Any,
        mark: Callable[[], Any] = time.perf_counter_ns,
        ns_between: Callable[[Any, Any], int] = lambda start, end: end - start,
    ) -> None:
        self.module = module
        self._mark, self._ns_between = mark, ns_between
        self._entered: dict[str, Any] = {}
        self._spans: list[tuple[str, Any, Any]] = []
        self._handles: list[Any] = []

    def __enter__(self) -> Hooks:
        for name, child in self.module.named_modules():
            if next(child.children(), None) is None:
                self._hook(name, child)
        return self

    def _hook(self, name: str, child: Any) -> None:
        mark, entered, spans = self._mark, self._entered, self._spans

        def before(*_: Any) -> None:
            entered[name] = mark()

        def after(*_: Any) -> None:
            spans.append((name, entered[name], mark()))

        self._handles.append(child.register_forward_pre_hook(before))
        self._handles.append(child.register_forward_hook(after))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take(self) -> dict[str, int]:
        """Nanoseconds by module since the last call."""
        taken: dict[str, int] = {}
        for name, start, end in self._spans:
            taken[name] = taken.get(name, 0) + self._ns_between(start, end)
        self._spans.clear()
        return taken


def measure_modules(request: TimesRequest) -> ModuleTimes:
    """Time modules in this process; see `module_times`."""
    engine = open_engine(request.engine)
    session: Any = backends.get(str(engine.manifest["builder"])).load(engine, request.threads)
    on_device = DEVICE in backends.get(str(engine.manifest["builder"])).boundaries
    if on_device:
        session.measure_as(DEVICE, cuda_graph=False)
    check_batch(session.inputs, request.batch, session.outputs)
    feeds = synthetic(session.inputs, request.batch, seed=request.seed)
    session.sample(feeds, WARM_UP_RUNS)
    # Events cost the device no time that the host could measure.
    cost_us = 0.0 if on_device else _hook_cost_us()
    return _time_modules(session, feeds, request, cost_us)


def _time_modules(session: Any, feeds: Any, request: TimesRequest, cost_us: float) -> ModuleTimes:
    hooked: list[tuple[int, dict[str, int]]] = []
    plain: list[int] = []
    span_s, begin = request.span_s, time.perf_counter()
    for done in range(request.rounds):
        limit_s = request.limit_s
        if done and limit_s is not None and time.perf_counter() - begin >= limit_s:
            break
        with Hooks(session.module, session.mark, session.ns_between) as hooks:
            start = time.perf_counter()
            while not hooked or time.perf_counter() - start < span_s:
                total_ns = int(session.sample(feeds, 1)[0])
                hooked.append((total_ns, hooks.take()))
        start = time.perf_counter()
        while not plain or time.perf_counter() - start < span_s:
            plain.append(int(session.sample(feeds, 1)[0]))
    names = list(hooked[0][1])
    parts = np.array([[spent[n] for n in names] for _, spent in hooked], dtype=np.float64) / 1e6
    totals = np.array([total for total, _ in hooked], dtype=np.float64) / 1e6
    chosen = quiet_runs(totals)
    nodes_ms = parts[chosen].mean(axis=0)
    between_ms = totals[chosen].mean() - nodes_ms.sum() - cost_us * len(names) / 1e3
    whole = np.array(plain, dtype=np.float64) / 1e6
    times = LayerTimes(
        (*names, BETWEEN),
        (*(float(ms) for ms in nodes_ms), max(0.0, float(between_ms))),
        0.0,
        quiet_mean(whole),
        cost_us / 1e3,
        len(hooked),
    )
    classes = {name: type(child).__name__ for name, child in session.module.named_modules()}
    return ModuleTimes(times, (*(classes[name] for name in names), "rest"))


def _hook_cost_us() -> float:
    """Microseconds that hooks add to a module, outside of what they measure."""
    nn = torch.nn
    chain, value = nn.Sequential(*(nn.Identity() for _ in range(CHAIN))).eval(), torch.zeros(1)

    def best_us() -> float:
        best = float("inf")
        for _ in range(200):
            start = time.perf_counter_ns()
            chain(value)
            best = min(best, time.perf_counter_ns() - start)
        return best / 1e3

    with torch.inference_mode():
        plain_us = best_us()
        with Hooks(chain):
            hooked_us = best_us()
    return max(0.0, (hooked_us - plain_us) / CHAIN)


def _measure(request: TimesRequest) -> LayerTimes | ModuleTimes | OperatorTimes:
    if request.parts == "modules":
        return measure_modules(request)
    if request.parts == "operators":
        return measure_operators(request)
    return measure_nodes(request) if request.parts == "nodes" else measure_layers(request)


if __name__ == "__main__":
    serve(TimesRequest, _measure)
