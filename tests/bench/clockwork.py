"""A session for tests whose samples follow a script."""

from __future__ import annotations

import gc
import time

import numpy as np

from deploykit.bench.scenario import Policy
from deploykit.spec import TensorSpec

FEEDS = [{"x": np.zeros(1, np.float32)}]


class Clockwork:
    """A session whose runs really sleep and whose samples follow a script.

    `latency_ns(i)` is the sample of run i; each call sleeps as long as its samples sum to.
    """

    inputs = (TensorSpec("x", (1,), "float32"),)
    outputs = (TensorSpec("y", (1,), "float32"),)
    boundary = "device"

    def __init__(self, latency_ns, sleeps=True):
        self.latency_ns, self.sleeps = latency_ns, sleeps
        self.runs, self.calls, self.collecting, self.feeds = 0, [], [], []

    def sample(self, feeds, n):
        samples = np.array([self.latency_ns(self.runs + i) for i in range(n)], np.int64)
        self.runs += n
        self.calls.append(n)
        self.collecting.append(gc.isenabled())
        self.feeds.append(feeds)
        if self.sleeps:
            time.sleep(float(samples.sum()) / 1e9)
        return samples


def policy(**changes):
    values = {"warmup_s": 0.02, "warmup_max_s": 0.2, "window_s": 0.005, "min_s": 0.05, "max_s": 0.4}
    return Policy(**{**values, "block_s": 0.01, **changes})
