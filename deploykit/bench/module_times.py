"""Time of each module of a PyTorch network, by hooks around it: `python -m deploykit.bench.module_times`.

Only modules without modules of their own are timed; what the network computes between them (sums, joins,
functions) is the rest of the run. What the hooks themselves cost is measured on a chain of modules that do
nothing, and taken off that rest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploykit.bench.child import run_child, serve
from deploykit.bench.layer_times import TIMEOUT_S, LayerTimes
from deploykit.bench.undisturbed import WARM_UP_RUNS, undisturbed, undisturbed_mean
from deploykit.errors import UsageError

#: Rounds of runs with hooks and without, by turns, and the time for each.
ROUNDS = 10
SPAN_S = 0.2
#: Modules of the chain that shows what hooks cost.
CHAIN = 64
#: What the time between the modules is called.
BETWEEN = "(between the modules)"


@dataclass(frozen=True)
class ModuleTimes:
    """Where the time of one run goes; the last name is `BETWEEN`.

    Attributes:
        times: by dotted module name, in the order in which modules first run.
        types: the modules' classes, in the same order.
    """

    times: LayerTimes
    types: tuple[str, ...]


def module_times(
    engine: Path,
    *,
    batch: int = 1,
    threads: int | None = None,
    rounds: int = ROUNDS,
    span_s: float = SPAN_S,
    seed: int = 0,
    timeout_s: float | None = TIMEOUT_S,
) -> ModuleTimes:
    """Time an engine of the torch backend module by module, in a fresh process, on the processor.

    Args:
        engine: folder of the engine.
        batch: images per run.
        threads: None is one per usable core.
        rounds: of runs with hooks and without.
        span_s: of each.
        seed: of the inputs, which are standard normal.
        timeout_s: of the whole.

    Raises:
        WorkerFailure: it does not run, or runs on another device.
    """
    request = {
        "engine": str(engine.absolute()),
        "batch": batch,
        "threads": threads,
        "rounds": rounds,
        "span_s": span_s,
        "seed": seed,
    }
    found = run_child("deploykit.bench.module_times", request, timeout_s, threads)
    times = found["times"]
    return ModuleTimes(
        LayerTimes(**times | {key: tuple(times[key]) for key in ("names", "nodes_ms")}),
        tuple(found["types"]),
    )


class Hooks:
    """Adds up the time within each module that has none of its own, while it is entered.

    Args:
        module: the network.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.spent_ns: dict[str, int] = {}
        self._started: dict[str, int] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Hooks:
        for name, child in self.module.named_modules():
            if next(child.children(), None) is None:
                self._hook(name, child)
        return self

    def _hook(self, name: str, child: Any) -> None:
        clock, started, spent = time.perf_counter_ns, self._started, self.spent_ns

        def before(*_: Any) -> None:
            started[name] = clock()

        def after(*_: Any) -> None:
            end = clock()
            spent[name] = spent.get(name, 0) + end - started[name]

        self._handles.append(child.register_forward_pre_hook(before))
        self._handles.append(child.register_forward_hook(after))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take(self) -> dict[str, int]:
        """Nanoseconds by module since the last call."""
        taken = dict(self.spent_ns)
        self.spent_ns.clear()
        return taken


def measure_modules(
    engine: Path, batch: int, threads: int | None, rounds: int, span_s: float, seed: int
) -> ModuleTimes:
    """Measure in this process; see `module_times`."""
    from deploykit import backends
    from deploykit.bench.feeds import check_batch, synthetic
    from deploykit.bench.worker import open_engine

    session: Any = backends.get("torch").load(open_engine(engine), threads)
    if next(iter(session.module.parameters())).device.type != "cpu":
        raise UsageError(
            "modules are timed on the processor only: hide the device with CUDA_VISIBLE_DEVICES="
        )
    check_batch(session.inputs, batch)
    feeds = synthetic(session.inputs, batch, seed=seed)
    session.sample(feeds, WARM_UP_RUNS)
    return _time(session, feeds, rounds, span_s, _hook_cost_us())


def _time(session: Any, feeds: Any, rounds: int, span_s: float, cost_us: float) -> ModuleTimes:
    import numpy as np

    hooked: list[tuple[int, dict[str, int]]] = []
    plain: list[int] = []
    for _ in range(rounds):
        with Hooks(session.module) as hooks:
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
    chosen = undisturbed(totals)
    nodes_ms = parts[chosen].mean(axis=0)
    between_ms = totals[chosen].mean() - nodes_ms.sum() - cost_us * len(names) / 1e3
    whole = np.array(plain, dtype=np.float64) / 1e6
    found = LayerTimes(
        (*names, BETWEEN),
        (*(float(ms) for ms in nodes_ms), max(0.0, float(between_ms))),
        0.0,
        undisturbed_mean(whole),
        cost_us / 1e3,
        len(hooked),
    )
    classes = {name: type(child).__name__ for name, child in session.module.named_modules()}
    return ModuleTimes(found, (*(classes[name] for name in names), "rest"))


def _hook_cost_us() -> float:
    """Microseconds that hooks add to a module, outside of what they measure."""
    import torch
    from torch import nn

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


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(measure_modules(**{**request, "engine": Path(request["engine"])}))


if __name__ == "__main__":
    serve(_answer)
