"""Backends of a third party, as worker processes load them by entry point; each fails in its own way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np

from deploykit.backends.onnxruntime import OnnxRuntimeCpu
from deploykit.spec import Reason, TensorSpec


class Session:
    """A run is a short sleep, timed by the clock."""

    inputs = (TensorSpec("image", ("batch", 1, 8, 8), "float32"),)
    outputs = (TensorSpec("logits", ("batch", 10), "float32"),)
    boundary = "device"
    sleep_s = 0.0005

    def run(self, feeds):
        return {"logits": np.zeros((len(feeds["image"]), 10), np.float32)}

    def sample(self, feeds, n):
        samples_ns = np.empty(n, np.int64)
        for i in range(n):
            start_ns = time.perf_counter_ns()
            time.sleep(self.sleep_s)
            samples_ns[i] = time.perf_counter_ns() - start_ns
        return samples_ns

    def close(self):
        pass


class Steady:
    name = "steady"
    target = "cpu"
    session = Session

    def device(self):
        return "a made-up device"

    def load(self, engine, threads=None):
        return self.session()


class Slower(Steady):
    class session(Session):  # noqa: N801
        sleep_s = 0.001


class Noting(Steady):
    """Notes beside the engine which process loads it and which is asked for samples."""

    def load(self, engine, threads=None):
        def note(what):
            with engine.path.with_name("turns").open("a") as file:
                file.write(f"{os.getpid()} {what}\n")

        class Noted(Session):
            def sample(self, feeds, n):
                note("sample")
                return super().sample(feeds, n)

        note("load")
        return Noted()


class Fading(Steady):
    """Loads and warms up, then dies in the middle of the blocks."""

    class session(Session):  # noqa: N801
        calls = 0

        def sample(self, feeds, n):
            type(self).calls += 1
            if self.calls > 15:
                os._exit(9)
            return super().sample(feeds, n)


class Chatty(Steady):
    def load(self, engine, threads=None):
        print("chatter on stdout")
        print('{"result": {}}', file=sys.stderr)
        return Session()


class Hung(Steady):
    def load(self, engine, threads=None):
        # A child of the child, which must not survive either; its number is left for the test.
        started = subprocess.Popen(["sleep", "600"])
        engine.path.with_name("grandchild").write_text(str(started.pid))
        time.sleep(600)


class Killed(Steady):
    def load(self, engine, threads=None):
        os.kill(os.getpid(), signal.SIGKILL)


class Crashing(Steady):
    def load(self, engine, threads=None):
        print("assertion failed in the runtime", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


class Raising(Steady):
    def load(self, engine, threads=None):
        raise RuntimeError("first line\nsecond line")


class Exhausted(Steady):
    def load(self, engine, threads=None):
        raise MemoryError


class Malformed(Steady):
    def load(self, engine, threads=None):
        os.write(int(sys.argv[1]), b"malformed")
        os._exit(0)


class Exiting(Steady):
    def load(self, engine, threads=None):
        print("licence expired", file=sys.stderr, flush=True)
        os._exit(7)


class Absent(Steady):
    def device(self):
        return Reason("no device is here", "plug one in", "device")


class Overflowing(Steady):
    class session(Session):  # noqa: N801
        def run(self, feeds):
            scores = super().run(feeds)["logits"]
            scores[0, :3] = np.inf
            return {"logits": scores}


class Doomed(OnnxRuntimeCpu):
    """Builds as usual; whoever loads the engine dies, or hangs."""

    name = "doomed"

    def load(self, engine, threads=None):
        os.kill(os.getpid(), signal.SIGKILL)


class Stuck(OnnxRuntimeCpu):
    name = "stuck"

    def load(self, engine, threads=None):
        time.sleep(600)


class Babbling(OnnxRuntimeCpu):
    name = "babbling"

    def load(self, engine, threads=None):
        os.write(int(sys.argv[1]), b"malformed")
        os._exit(0)
