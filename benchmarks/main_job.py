"""The main job from an installed environment to the reports, first with nothing built, then again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.process import run
from benchmarks.result import Result

TARGET_S, TARGET_MB = 240.0, 3000.0


def measure() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        arguments = [
            "run",
            "--reports",
            str(Path(folder) / "reports"),
            "--store",
            str(Path(folder) / "engines"),
        ]
        first, second = run(arguments), run(arguments)
        if first.exit_code or second.exit_code:
            raise RuntimeError(f"deploykit run ended with {first.exit_code} and {second.exit_code}")
        yield Result(
            "main_job", "first run", first.wall_s, "s", TARGET_S, note="deploykit run, empty store"
        )
        yield Result(
            "main_job", "second run", second.wall_s, "s", TARGET_S / 2, note="everything built"
        )
        yield Result(
            "main_job",
            "second over first",
            second.wall_s / first.wall_s,
            "ratio",
            note="same two runs",
        )
        peak_mb = max(first.peak_mb, second.peak_mb)
        yield Result("main_job", "peak memory of any process", peak_mb, "MB", TARGET_MB)
