"""ONNX Runtime with a real slowdown: each run is followed, within what is timed, by busy waiting.

The wait is a share of the run's own time, so latencies are those of the same kernels made slower by just
that. Found as a third party's backend is, by its entry point, when this folder is on PYTHONPATH.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from deploykit.backends.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeSession
from deploykit.spec import Engine, RunOptions


class _SlowedRuntime:
    """A runtime's session, slowed; all but its timed call passes through."""

    def __init__(self, session: Any, share: float) -> None:
        self._session, self._share = session, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any) -> None:
        """Run, then wait without sleeping: the processor is as busy as with slower kernels."""
        clock = time.perf_counter_ns
        start_ns = clock()
        self._session.run_with_iobinding(binding)
        now_ns = clock()
        until_ns = now_ns + self._share * (now_ns - start_ns)
        while clock() < until_ns:
            pass


class _SlowedSession(OnnxRuntimeSession):
    def __init__(self, path: Path, threads: int | None, share: float) -> None:
        super().__init__(path, threads)
        self._session = _SlowedRuntime(self._session, share)


class Slowed2(OnnxRuntimeCpu):
    """Slower by 2%; builds nothing of its own, engines are ONNX Runtime's."""

    share = 0.02

    run_options = ()

    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> OnnxRuntimeSession:
        """A slowed session on the saved graph."""
        return _SlowedSession(engine.path, threads, self.share)


class Slowed5(Slowed2):
    """Slower by 5%."""

    share = 0.05


class Slowed10(Slowed2):
    """Slower by 10%."""

    share = 0.10
