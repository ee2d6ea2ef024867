"""Whether our latencies are those of the runtimes' own tools, for the same engine in the same run.

ONNX Runtime's profile times the very runs that we time. OpenVINO's `benchmark_app` takes turns with our measuring
process, a second each, so that what the machine does meanwhile meets both.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import deploykit
from benchmarks.result import Result
from deploykit.backends import get
from deploykit.backends.building import build_engine
from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.bench.feeds import synthetic
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.spec import BuildOptions, Engine, ModelSpec
from deploykit.stats import paired_ratio
from deploykit.store import Store
from deploykit.workflow.network import obtain_network

TOLERANCE = 1.03
THREADS = 1
WARM_UP, RUNS = 20, 200
ROUNDS = 20
ROUND_S = 1


def _result(metric: str, theirs: list[float], ours: list[float], how: str) -> Result:
    """The larger of the two latencies over the smaller: 1.03 is 3% apart, whoever is slower."""
    ratio = paired_ratio(theirs, ours)
    note = (
        f"ours over theirs {ratio.ratio:.4f}, interval {ratio.low:.4f} to {ratio.high:.4f}; medians of "
        f"{np.median(ours):.4g} and {np.median(theirs):.4g} ms; {how}"
    )
    apart = max(ratio.ratio, 1 / ratio.ratio)
    return Result("agreement", metric, apart, "ratio", TOLERANCE, note=note)


def _onnxruntime(folder: Path, store: Store) -> Iterator[Result]:
    for model in ("squeezenet1_0", "mobilenet"):
        engine = deploykit.build(model, store=store)
        session = OnnxRuntimeSession(engine.path, THREADS, profile=folder / model)
        feeds = synthetic(session.inputs, 1)
        session.sample(feeds, WARM_UP)
        ours = [float(ns) / 1e6 for ns in session.sample(feeds, RUNS)]
        events = json.loads(session.end_profile().read_text())
        runs_us = [event["dur"] for event in events if event.get("name") == "model_run"]
        theirs = [us / 1e3 for us in runs_us[-RUNS:]]
        how = f"{RUNS} runs, each timed by both clocks"
        yield _result(f"{model}: p50 and ONNX Runtime's profile", theirs, ours, how)


def _benchmark_app(engine: Engine, shape: list[int]) -> float:
    """The median latency that OpenVINO's own tool finds for an engine, in ms."""
    command = [
        *(str(Path(sys.executable).with_name("benchmark_app")), "-m", str(engine.path)),
        *("-d", "CPU", "-api", "sync", "-shape", str(shape).replace(" ", "")),
        *("-hint", "none", "-nstreams", "1", "-nthreads", str(THREADS), "-pin", "NO"),
        *("-infer_precision", "f32", "-t", str(ROUND_S)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    median = re.search(r"Median:\s+([\d.]+) (\w+)", done.stdout)
    if median is None:
        raise RuntimeError(f"benchmark_app printed no median: {done.stdout[-500:]}")
    return float(median[1]) * {"ms": 1.0, "us": 1e-3}[median[2]]


def _openvino(folder: Path, store: Store) -> Iterator[Result]:
    policy = Policy(min_s=ROUND_S, max_s=2 * ROUND_S)
    for model in ("squeezenet1_0", "mobilenet"):
        network = obtain_network(ModelSpec(model), store).model
        engine, _ = build_engine(network, get("openvino"), BuildOptions(), store)
        request = WorkerRequest(engine.path.parent, "openvino", threads=THREADS, policy=policy)
        shape = list(network.inputs[0].with_batch(1))
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(ROUNDS):
            if turn % 2:
                theirs.append(_benchmark_app(engine, shape))
            ours.append(float(run_worker(request, 60).columns["latency_p50_ms"]))
            if not turn % 2:
                theirs.append(_benchmark_app(engine, shape))
        how = f"{ROUNDS} pairs of processes of {ROUND_S} s, benchmark_app -api sync"
        yield _result(f"{model}: p50 and OpenVINO's benchmark_app", theirs, ours, how)


def measure() -> Iterator[Result]:
    """Yield how far our figures and theirs are apart."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as name:
        folder = Path(name)
        for part in (_onnxruntime, _openvino):
            yield from part(folder, Store(folder / "engines"))
