"""What the benchmarks of comparisons share: one engine, and backends that run it slower for real."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import deploykit
from deploykit.spec import Engine
from deploykit.store import Store

NETWORK, ALPHA, THREADS = "mobilenet", 0.25, 1
PLAIN = "onnxruntime"
_PLUGIN = Path(__file__).with_name("slowed")


def build(store: Store) -> Engine:
    """The engine that all comparisons are of."""
    return deploykit.build(NETWORK, alpha=ALPHA, store=store)


def slowed(percent: int) -> str:
    """The backend that is slower by that much."""
    return f"slowed-{percent}"


@contextlib.contextmanager
def slowed_backends() -> Iterator[None]:
    """Let worker processes find the slowed backends."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_PLUGIN), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
