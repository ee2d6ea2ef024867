"""What int8 buys on ONNX Runtime's CPU: the same network in both precisions, block by block in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import deploykit
from benchmarks.result import Result
from deploykit import env
from deploykit.backends import get
from deploykit.bench.feeds import synthetic
from deploykit.stats import paired_ratio
from deploykit.store import Store

#: Networks, and how many times faster int8 is to be. EfficientNet-B0's swish and squeeze-and-excitation have no
#: int8 kernels, so that what is quantised around them gains less.
TARGETS: dict[str, float | None] = {"resnet50": 2.5, "mobilenet": None, "efficientnet_b0": 1.2}
PAIRS = 20
BLOCK_S = 0.2


def _speedup(model: str, store: Store) -> tuple[Any, float, float]:
    backend = get("onnxruntime")
    threads = max(1, int(env.usable_cores()))
    sides: list[tuple[Any, Any, int, list[float]]] = []
    for precision in ("fp32", "int8"):
        engine = deploykit.build(model, precision=precision, store=store)
        session = backend.load(engine, threads)
        feeds = synthetic(session.inputs, 1)
        session.sample(feeds, 5)
        runs = max(2, int(BLOCK_S * 1e9 / float(np.median(session.sample(feeds, 10)))))
        sides.append((session, feeds, runs, []))
    for index in range(PAIRS):
        for session, feeds, runs, taken in sides if index % 2 == 0 else sides[::-1]:
            # The other session's threads go on spinning for a moment after its last run.
            time.sleep(0.02)
            session.sample(feeds, 2)
            taken.append(float(np.quantile(session.sample(feeds, runs), 0.2)))
    fp32, int8 = sides[0][3], sides[1][3]
    return paired_ratio(int8, fp32), float(np.median(fp32)) / 1e6, float(np.median(int8)) / 1e6


def measure() -> Iterator[Result]:
    """Yield the figures."""
    vnni = sorted({"avx512_vnni", "avx_vnni"} & set(env.machine()["features"]))
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        for model, target in TARGETS.items():
            ratio, fp32_ms, int8_ms = _speedup(model, Store(Path(folder)))
            note = (
                f"batch 1, {fp32_ms:.1f} ms against {int8_ms:.1f} ms (20% quantiles of blocks), interval "
                f"{ratio.low:.2f} to {ratio.high:.2f}, {PAIRS} pairs; {', '.join(vnni) or 'no VNNI here'}"
            )
            yield Result(
                "int8_speed",
                f"{model}: int8's speed over fp32's",
                ratio.ratio,
                "ratio",
                target,
                at_least=True,
                note=note,
            )
