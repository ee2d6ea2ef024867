"""Lanes of a race whose latencies are planted, and a clock that is: the test knows who is the fastest, and when."""

from __future__ import annotations

import math
import random
import time

import pytest

from deploykit.bench import contain
from deploykit.bench.channel import WorkerFailure
from deploykit.workflow import races, tune


class Planted:
    """A lane of a known latency, with the noise of a busy machine."""

    def __init__(
        self, value: float, seed: int, noise: float = 0.03, fails_at: int | None = None
    ) -> None:
        self.value, self.noise, self.fails_at = value, noise, fails_at
        self.random = random.Random(seed)
        self.blocks, self.is_open = 0, False
        self.starting_s, self.first_blocks = 0.0, 3

    def start(self) -> None:
        self.is_open = True

    def block(self) -> float:
        self.blocks += 1
        if self.blocks == self.fails_at:
            raise WorkerFailure("the runtime crashed (SIGSEGV)", "crashed")
        disturbed = 1.3 if self.random.random() < 0.05 else 1.0
        return self.value * disturbed * math.exp(self.random.gauss(0, self.noise))

    def close(self) -> None:
        self.is_open = False


class Clock:
    """A clock of `time.perf_counter` that moves when it is told to; the budget of a tuning goes by it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = time.perf_counter()
        monkeypatch.setattr("time.perf_counter", lambda: self.now_s)
        limit = contain.TimeLimit
        for module in (tune, races):
            monkeypatch.setattr(
                module, "TimeLimit", lambda *told: limit(*told, time.perf_counter())
            )
