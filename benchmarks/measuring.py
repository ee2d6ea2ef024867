"""What measuring itself costs: against a bare loop over the runtime, in the parent, and beside accuracy."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import deploykit
from benchmarks.result import Result
from deploykit.backends import get
from deploykit.bench.accuracy import evaluate
from deploykit.bench.feeds import synthetic
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.data.feeding import image_input
from deploykit.stats import paired_ratio
from deploykit.store import Store

BLOCK_S = 0.05
PAIRS = 40
THREADS = 1


def _bare(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the engine is optimised already
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _loop(
    session: onnxruntime.InferenceSession, feeds: list[dict[str, Any]]
) -> Callable[[int], Any]:
    """The loop that anybody would write: run, look at the clock, keep the difference."""
    bindings = []
    for one in feeds:
        binding = session.io_binding()
        for name, array in one.items():
            binding.bind_cpu_input(name, array)
        for output, value in zip(session.get_outputs(), session.run(None, one), strict=True):
            binding.bind_ortvalue_output(
                output.name, onnxruntime.OrtValue.ortvalue_from_numpy(value)
            )
        bindings.append(binding)

    def loop(n: int) -> Any:
        taken = np.zeros(n)
        for i in range(n):
            start = time.perf_counter_ns()
            session.run_with_iobinding(bindings[i % len(bindings)])
            taken[i] = time.perf_counter_ns() - start
        return taken

    return loop


def _in_turns(a: Callable[[], float], b: Callable[[], float]) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(PAIRS):
        order = [(a, times[0]), (b, times[1])]
        for side, values in order if index % 2 == 0 else order[::-1]:
            values.append(side())
    return times


def _overhead(store: Store) -> Iterator[Result]:
    for model in ("lenet5", "squeezenet1_0"):
        engine = deploykit.build(model, store=store)
        session = get("onnxruntime").load(engine, THREADS)
        feeds = synthetic(session.inputs, 1)
        loop = _loop(_bare(engine.path), feeds)
        n = max(3, int(BLOCK_S * 1e9 / float(np.median(session.sample(feeds, 20)))))
        ours, bare = _in_turns(
            lambda s=session, f=feeds, n=n: float(np.median(s.sample(f, n))),
            lambda run=loop, n=n: float(np.median(run(n))),
        )
        ratio = paired_ratio(bare, ours)
        note = f"interval {ratio.low:.4f} to {ratio.high:.4f}, {PAIRS} pairs of blocks, one process"
        metric = f"{model} p50 over a bare loop's"
        yield Result("measuring", metric, ratio.ratio, "ratio", 1.02, note=note)


def _parent(store: Store) -> Iterator[Result]:
    engine = deploykit.build("lenet5", store=store)
    policy = Policy()
    before, start = time.process_time(), time.perf_counter()
    run_worker(WorkerRequest(engine.path.parent, "onnxruntime", policy=policy), 60)
    share = (time.process_time() - before) / (time.perf_counter() - start)
    note = "processor time of the parent over one row's wall time, start of the child included"
    yield Result("measuring", "parent's share of a core", share, "ratio", 0.01, note=note)


def _accuracy(store: Store) -> Iterator[Result]:
    engine = deploykit.build("lenet5", store=store)
    session, bare = get("onnxruntime").load(engine, THREADS), _bare(engine.path)
    spec, shape = image_input(session.inputs)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((64, 32, *shape), dtype=np.float32)
    labels = generator.integers(0, 10, (64, 32))

    def loop() -> float:
        start = time.perf_counter()
        for batch in images:
            bare.run(None, {spec.name: batch})
        return time.perf_counter() - start

    def ours() -> float:
        start = time.perf_counter()
        evaluate(session, zip(images, labels, strict=True), 32)
        return time.perf_counter() - start

    took, bare_took = _in_turns(ours, loop)
    ratio = paired_ratio(took, bare_took)
    note = f"interval {ratio.low:.3f} to {ratio.high:.3f}; lenet5, batch 32, images in memory"
    yield Result(
        "measuring",
        "accuracy's throughput over a bare loop's",
        ratio.ratio,
        "ratio",
        0.9,
        True,
        note,
    )


def measure() -> Iterator[Result]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        for part in (_overhead, _parent, _accuracy):
            yield from part(Store(Path(folder)))
