"""What `deploykit profile` of an .onnx file takes per row beside the measuring itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.process import run
from benchmarks.result import Result
from deploykit.report.csv import read_rows

TARGET_S = 2.0
BATCHES = (1, 2, 4, 8)


def _measured_s(folder: Path) -> float:
    """Seconds that the rows' own timed parts took: warm-up and runs, from their counts and means."""
    rows = read_rows(str(folder / "rows.csv"))
    if [row["status"] for row in rows] != ["ok"] * len(BATCHES):
        raise RuntimeError(json.dumps([row["reason"] for row in rows]))
    return sum(
        (row["iterations"] + row["warmup_iterations"]) * row["latency_mean_ms"] / 1e3
        for row in rows
    )


def measure() -> Iterator[Result]:
    for model in ("squeezenet1_0", "mobilenet"):
        with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as name:
            folder = Path(name)
            store = ["--store", str(folder / "engines")]
            run(["export", model, "-o", str(folder / "network.onnx"), *store])
            arguments = [
                "profile",
                str(folder / "network.onnx"),
                *store,
                "--csv",
                str(folder / "rows.csv"),
            ]
            arguments += ["--batch", ",".join(map(str, BATCHES))]
            for state in ("first", "again"):
                usage = run(arguments)
                outside_s = (usage.wall_s - _measured_s(folder)) / len(BATCHES)
                note = f"{len(BATCHES)} rows, whole command less timed runs; {state}"
                metric = f"{model}.onnx outside measuring, per row, {state}"
                yield Result("row_overhead", metric, outside_s, "s", TARGET_S, note=note)
