"""What comparing two large reports takes: 100,000 rows each, as a command in a process of its own.

The rows are made up, seeded; only how fast they are compared is measured.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.process import run
from benchmarks.result import Result
from deploykit.columns import COLUMNS
from deploykit.report.csv import to_csv

CONFIGURATIONS, REPEATS, RUNS = 20_000, 5, 3
TARGET_S, TARGET_MB = 5.0, 1000.0
#: A cell of each kind, for the columns that a comparison does not read but has to pass over.
_FILL: dict[str, Any] = {"text": "some text", "int": 1234567, "float": 12.3456}


def _rows(seed: int) -> Iterator[dict[str, Any]]:
    random_ = random.Random(seed)
    fill = {column.name: _FILL[column.kind] for column in COLUMNS}
    fixed = {"schema": 1, "run_id": f"run{seed}", "status": "ok", "env_id": "machine", "batch": 1}
    for index in range(CONFIGURATIONS):
        for repeat in range(1, REPEATS + 1):
            latency = {
                "latency_p20_ms": random_.lognormvariate(1, 0.03),
                "latency_p50_ms": random_.lognormvariate(1.1, 0.05),
            }
            accuracy = {"top1": 0.9 + random_.uniform(0, 0.001), "test_images": 10_000}
            named = {"model": f"network{index}", "repeat": repeat}
            yield fill | fixed | named | latency | accuracy


def measure() -> Iterator[Result]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as name:
        paths = [Path(name) / "base.csv", Path(name) / "head.csv"]
        for seed, path in enumerate(paths):
            path.write_text(to_csv(_rows(seed)))
        arguments = ["compare", *map(str, paths), "--csv", str(Path(name) / "verdicts.csv")]
        taken = [run(arguments) for _ in range(RUNS)]
        if any(usage.exit_code for usage in taken):
            raise RuntimeError(f"deploykit compare ended with {taken[0].exit_code}")
    note = (
        f"{CONFIGURATIONS * REPEATS} rows a report, {REPEATS} processes a configuration; of {RUNS}"
    )
    wall_s = statistics.median(usage.wall_s for usage in taken)
    yield Result(
        "compare_scale", "wall time, median", wall_s, "s", TARGET_S, note=f"{note}, the median"
    )
    cpu_s = statistics.median(usage.cpu_s for usage in taken)
    yield Result("compare_scale", "processor time, median", cpu_s, "s", note=f"{note}, the median")
    peak_mb = max(usage.peak_mb for usage in taken)
    yield Result("compare_scale", "peak memory", peak_mb, "MB", TARGET_MB, note=f"{note}, the most")
