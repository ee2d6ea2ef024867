"""How often interleaved comparisons raise false alarms, and how small a slowdown they find.

Each comparison is of an engine with itself. A slowdown of B multiplies B's latencies, which shifts the
ratio and its interval by just that factor: the same runs therefore also show what would have been found.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import deploykit
from benchmarks.result import Result
from deploykit.bench.interleaved import Comparison, compare_interleaved, verdict_of
from deploykit.bench.request import WorkerRequest
from deploykit.store import Store

#: The target is stated for 200; that many take half an hour.
COMPARISONS = int(os.environ.get("DEPLOYKIT_BENCH_COMPARISONS", "20"))
THRESHOLD = 0.01


def _found(comparison: Comparison, slowdown: float) -> bool:
    ratio, factor = comparison.ratio, 1 + slowdown
    moved = replace(
        ratio, ratio=ratio.ratio * factor, low=ratio.low * factor, high=ratio.high * factor
    )
    return verdict_of(moved, THRESHOLD) == "slower"


def measure() -> Iterator[Result]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        engine = deploykit.build("mobilenet", store=Store(Path(folder)))
        request = WorkerRequest(engine.path.parent, "onnxruntime")
        found = [
            compare_interleaved(request, request, threshold=THRESHOLD) for _ in range(COMPARISONS)
        ]
    note = f"{COMPARISONS} comparisons of mobilenet with itself, threshold {THRESHOLD:.0%}"
    alarms = sum(c.verdict in ("slower", "faster") for c in found) / len(found)
    yield Result("interleaved", "false alarms", alarms, "share", 0.01, note=note)
    for slowdown, target in ((0.05, 0.95), (0.02, 0.80)):
        share = sum(_found(c, slowdown) for c in found) / len(found)
        metric = f"slowdown of {slowdown:.0%} found"
        yield Result("interleaved", metric, share, "share", target, True, note)
    width = statistics.median(c.ratio.high / c.ratio.low - 1 for c in found)
    yield Result("interleaved", "width of the interval", width, "share", note=note)
    longest = max(c.elapsed_s for c in found)
    yield Result("interleaved", "longest comparison", longest, "s", 10.0, note="blocks and loads")
