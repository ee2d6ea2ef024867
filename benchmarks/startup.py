"""What a user waits for before anything happens: `--help` and `list`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.process import run
from benchmarks.result import Result

RUNS = 15
TARGET_S, TARGET_MB = 0.25, 60.0


def measure() -> Iterator[Result]:
    for name in ("--help", "list"):
        run([name])  # the first one reads files that the others find in memory
        taken = [run([name]) for _ in range(RUNS)]
        if any(usage.exit_code for usage in taken):
            raise RuntimeError(f"deploykit {name} failed")
        note = f"median of {RUNS} runs of `deploykit {name}`"
        wall_s = statistics.median(usage.wall_s for usage in taken)
        yield Result("startup", f"{name} wall time", wall_s, "s", TARGET_S, note=note)
        peak_mb = max(usage.peak_mb for usage in taken)
        yield Result(
            "startup", f"{name} peak memory", peak_mb, "MB", TARGET_MB, note="the most of all runs"
        )
