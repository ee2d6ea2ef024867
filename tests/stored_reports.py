"""Made-up reports for tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploykit.columns import NAMES
from deploykit.report.csv import to_csv

ROW: dict[str, Any] = {
    "schema": 1,
    "run_id": "run",
    "status": "ok",
    "model": "lenet5",
    "alpha": 1.0,
    "rho": "1",
    "weights": "trained",
    "precision": "fp32",
    "precision_actual": "fp32",
    "target": "cpu",
    "backend": "onnxruntime",
    "backend_version": "1.20",
    "env_id": "machine",
    "batch": 1,
    "threads": 2,
    "streams": 1,
    "boundary": "end_to_end",
    "macs": 416520,
    "stability": "stable",
    "pass": "forward",
    "repeat": 1,
    "iterations": 9000,
    "latency_p20_ms": 2.0,
    "latency_p50_ms": 2.2,
    "latency_p50_low_ms": 2.19,
    "latency_p50_high_ms": 2.21,
}
CALM = (0.99, 1.0, 1.01, 0.995, 1.005)


def row(**values: Any) -> dict[str, Any]:
    return {**ROW, **values}


def repeats(latency_ms: float = 2.0, spread=CALM, **values: Any) -> list[dict[str, Any]]:
    """As many processes as there are spreads."""
    return [
        row(
            repeat=index,
            latency_p20_ms=latency_ms * factor,
            latency_p50_ms=1.1 * latency_ms * factor,
            **values,
        )
        for index, factor in enumerate(spread, 1)
    ]


def save(path: Path, rows: list[dict[str, Any]], names: tuple[str, ...] = NAMES) -> str:
    path.write_text(to_csv(rows, names))
    return str(path)
