"""How often interleaved comparisons raise false alarms, and how small a slowdown they find.

A/A compares an engine with itself. The slowdowns are real: B's runs are followed, within what is timed, by
busy waiting for 5% or 2% of their time (see `benchmarks/slowed`). The three kinds are mixed over the whole
run, and every trial is kept, so that an interrupted run goes on (see `benchmarks/trials.py`).

DEPLOYKIT_BENCH_COMPARISONS sets the number of A/A comparisons (200; half as many of each slowdown),
DEPLOYKIT_BENCH_BUDGET_S the seconds for the blocks of one.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.result import Result
from benchmarks.slowdown import ALPHA, NETWORK, PLAIN, THREADS, build, slowed, slowed_backends
from benchmarks.trials import Trial, mixed, run_trials
from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.request import WorkerRequest
from deploykit.store import Store

COMPARISONS = int(os.environ.get("DEPLOYKIT_BENCH_COMPARISONS", "200"))
BUDGET_S = float(os.environ.get("DEPLOYKIT_BENCH_BUDGET_S", "8"))
THRESHOLD = 0.01
#: Slowdown in percent to the share that must be found.
TARGETS = {5: 0.95, 2: 0.80}
SAME = "A/A"


def _trials(folder: Path) -> list[Trial]:
    engine = build(Store(folder))
    kinds = {SAME: PLAIN, **{f"{percent}%": slowed(percent) for percent in TARGETS}}
    counts = {kind: COMPARISONS if kind == SAME else max(1, COMPARISONS // 2) for kind in kinds}

    def measure(kind: str, _: int) -> dict[str, Any]:
        base, head = (
            WorkerRequest(engine.path.parent, backend, threads=THREADS)
            for backend in (PLAIN, kinds[kind])
        )
        start = time.perf_counter()
        comparison = compare_interleaved(base, head, threshold=THRESHOLD, budget_s=BUDGET_S)
        ratio = comparison.ratio
        return {
            "verdict": comparison.verdict,
            "ratio": ratio.ratio,
            "low": ratio.low,
            "high": ratio.high,
            "elapsed_s": comparison.elapsed_s,
            "wall_s": time.perf_counter() - start,
        }

    settings = {"engine": engine.key, "budget_s": BUDGET_S, "threshold": THRESHOLD}
    with slowed_backends():
        return run_trials("interleaved", mixed(counts), settings, measure)


def measure() -> Iterator[Result]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        trials = _trials(Path(folder))
    of = {kind: [t for t in trials if t["kind"] == kind] for kind in {t["kind"] for t in trials}}
    what = f"{NETWORK} {ALPHA}, {THREADS} thread, threshold {THRESHOLD:.0%}, {BUDGET_S:g} s"
    alarms = [t["verdict"] in ("slower", "faster") for t in of[SAME]]
    note = f"{sum(alarms)} of {len(alarms)} comparisons with itself: {what}"
    yield Result("interleaved", "false alarms", statistics.mean(alarms), "share", 0.01, note=note)
    for percent, target in TARGETS.items():
        group = of[f"{percent}%"]
        caught = [t["verdict"] == "slower" for t in group]
        ratio = statistics.median(t["ratio"] for t in group)
        note = f"{sum(caught)} of {len(caught)}, real slowdowns, median ratio {ratio:.4f}: {what}"
        share = statistics.mean(caught)
        yield Result(
            "interleaved", f"slowdown of {percent}% found", share, "share", target, True, note
        )
    width = statistics.median(t["high"] / t["low"] - 1 for t in trials)
    yield Result("interleaved", "width of the interval", width, "share", note=what)
    longest = max(t["elapsed_s"] for t in trials)
    note = "the longest of all trials, blocks and loads"
    yield Result("interleaved", "longest comparison", longest, "s", 10.0, note=note)
    wall_s = statistics.median(t["wall_s"] for t in trials)
    note = "median of all trials, start and warm-up of both processes included"
    yield Result("interleaved", "wall time of a comparison", wall_s, "s", note=note)
