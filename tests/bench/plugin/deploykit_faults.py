"""Backends of a third party, as worker processes load them by entry point; each fails in its own way."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np

from deploykit.backends.base import BackendBase, Bound, SessionBase
from deploykit.backends.onnxruntime import OnnxRuntimeCpu
from deploykit.graph.precision import find_recipe
from deploykit.graph.recipes import PrecisionRecipe
from deploykit.spec import Reason, TensorSpec


class Session(SessionBase):
    """A run is a short sleep, timed by the clock."""

    inputs = (TensorSpec("image", ("batch", 1, 8, 8), "float32"),)
    outputs = (TensorSpec("logits", ("batch", 10), "float32"),)
    boundary = "device"
    sleep_s = 0.0005

    def run(self, feeds):
        return {"logits": np.zeros((len(feeds["image"]), 10), np.float32)}

    def bind(self, feeds):
        return Bound(time.sleep, self.sleep_s)


class Steady(BackendBase):
    name = "steady"
    target = "cpu"
    filename = "engine.bin"
    session = Session

    def __init_subclass__(cls):
        cls.name = cls.__name__.lower()  # that of its entry point

    def available(self):
        return Reason("engines are another backend's", "build them with it")

    def device(self):
        return "a made-up device"

    def version(self):
        return "1"

    def build(self, model, options, path):
        raise NotImplementedError

    def open(self, engine, threads, run_pass):
        return self.session()


class Slower(Steady):
    class session(Session):  # noqa: N801
        sleep_s = 0.001


class Noting(Steady):
    """Notes beside the engine which process loads it and which is asked for samples."""

    def open(self, engine, threads, run_pass):
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
    def open(self, engine, threads, run_pass):
        print("chatter on stdout")
        print('{"result": {}}', file=sys.stderr)
        return Session()


class Hung(Steady):
    def open(self, engine, threads, run_pass):
        # A child of the child, which must not survive either; its number is left for the test.
        started = subprocess.Popen(["sleep", "600"])
        engine.path.with_name("grandchild").write_text(str(started.pid))
        time.sleep(600)


class Killed(Steady):
    def open(self, engine, threads, run_pass):
        os.kill(os.getpid(), signal.SIGKILL)


class Leaving(Steady):
    """Dies and leaves a process behind, in a session of its own, that holds the pipe of the answers open."""

    def load(self, engine, threads=None, run_pass="forward", options=()):
        left = os.fork()
        if left == 0:
            os.setsid()
            time.sleep(600)
        engine.path.with_name("left").write_text(str(left))
        os.kill(os.getpid(), signal.SIGKILL)


class Crashing(Steady):
    def open(self, engine, threads, run_pass):
        print("assertion failed in the runtime", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


class Raising(Steady):
    def open(self, engine, threads, run_pass):
        raise RuntimeError("first line\nsecond line")


class Unwritable(Steady):
    def open(self, engine, threads, run_pass):
        raise OSError(28, "No space left on device", "/tmp/cache")


class Exhausted(Steady):
    def open(self, engine, threads, run_pass):
        raise MemoryError


class Malformed(Steady):
    def open(self, engine, threads, run_pass):
        os.write(int(sys.argv[1]), b"malformed")
        os._exit(0)


class Exiting(Steady):
    def open(self, engine, threads, run_pass):
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

    def open(self, engine, threads, run_pass):
        os.kill(os.getpid(), signal.SIGKILL)


class Stuck(OnnxRuntimeCpu):
    name = "stuck"

    def open(self, engine, threads, run_pass):
        time.sleep(600)


class Babbling(OnnxRuntimeCpu):
    name = "babbling"

    def open(self, engine, threads, run_pass):
        os.write(int(sys.argv[1]), b"malformed")
        os._exit(0)


class CrashingBuilder(OnnxRuntimeCpu):
    name = "crashing-builder"

    def build(self, model, options, path):
        path.write_bytes(b"half an engine")
        os.kill(os.getpid(), signal.SIGSEGV)


class HangingBuilder(OnnxRuntimeCpu):
    name = "hanging-builder"

    def build(self, model, options, path):
        path.write_bytes(b"half an engine")
        subprocess.run(["sleep", "600"], check=True)


class GreedyBuilder(OnnxRuntimeCpu):
    name = "greedy-builder"

    def build(self, model, options, path):
        np.zeros(2**50)


def crash(model, rules, calibration):
    os.kill(os.getpid(), signal.SIGBUS)


class CrashingRecipe(OnnxRuntimeCpu):
    """Brings a recipe that crashes, for a target of its own."""

    name = "crashing-recipe"
    target = "crashing-npu"

    def recipes(self):
        return (
            dataclasses.replace(find_recipe("fp32", "cpu"), targets=(self.target,)),
            PrecisionRecipe("fp16", (self.target,), "no weights at all", False, crash),
        )
