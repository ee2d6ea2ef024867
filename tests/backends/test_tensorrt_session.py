"""TensorRT's session without TensorRT and without a device: both are played by objects that note each call."""

# ruff: noqa: N802, N815 (CUDA calls its functions so)
from __future__ import annotations

import ctypes
import sys
import types

import numpy as np
import pytest

from deploykit.backends.tensorrt_session import TensorRTSession


class Device:
    """CUDA's runtime, with host memory for the device's; copies are made, streams and events are numbers."""

    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(self):
        self.log, self.memory = [], {}

    def cudaStreamCreate(self):
        return 0, 7

    def cudaStreamDestroy(self, stream):
        return (0,)

    def cudaEventCreate(self):
        return 0, len(self.log)

    def cudaEventRecord(self, event, stream):
        self.log.append("event")
        return (0,)

    def cudaEventSynchronize(self, event):
        return (0,)

    def cudaEventElapsedTime(self, start, end):
        return 0, 0.25

    def cudaStreamSynchronize(self, stream):
        self.log.append("synchronise")
        return (0,)

    def _allocate(self, size):
        buffer = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(buffer)] = buffer
        return 0, ctypes.addressof(buffer)

    cudaMalloc = cudaMallocHost = _allocate

    def _free(self, address):
        del self.memory[int(address)]
        return (0,)

    cudaFree = cudaFreeHost = _free

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        self.log.append("in" if kind == 1 else "out")
        ctypes.memmove(target, source, size)
        return (0,)


class Engine:
    """Adds one to what it is given; its execution context as well."""

    num_io_tensors = 2
    names = ("x", "y")

    def __init__(self, device):
        self.device, self.addresses, self.shape, self.seen = device, {}, None, []

    def create_execution_context(self):
        return self

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_shape(self, name):
        return self.shape or (-1, 2)

    def get_tensor_dtype(self, name):
        return "float"

    def get_tensor_mode(self, name):
        return "in" if name == "x" else "out"

    def set_input_shape(self, name, shape):
        self.shape = shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        size = int(np.prod(self.shape)) * 4
        x = np.frombuffer(self.device.memory[self.addresses["x"]], np.float32, size // 4)
        y = np.frombuffer(self.device.memory[self.addresses["y"]], np.float32, size // 4)
        self.device.log.append("compute")
        self.seen.append(float(x[0]))
        y[:] = x + 1
        return True


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A session on the made-up device, by boundary, with the engine and the device."""

    def make(boundary="end_to_end"):
        device = Device()
        engine = Engine(device)
        bindings = types.ModuleType("cuda.bindings")
        bindings.runtime = device
        monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)

        class Logger:
            ERROR = 1

            def __init__(self, level):
                pass

        trt = types.SimpleNamespace(
            Logger=Logger,
            Runtime=lambda log: types.SimpleNamespace(deserialize_cuda_engine=lambda text: engine),
            TensorIOMode=types.SimpleNamespace(INPUT="in"),
            nptype=lambda dtype: np.float32,
        )
        (tmp_path / "engine.plan").write_bytes(b"plan")
        return TensorRTSession(trt, tmp_path / "engine.plan", boundary), engine, device

    return make


def feeds(*values):
    return [{"x": np.full((3, 2), value, np.float32)} for value in values]


@pytest.mark.parametrize("boundary", ["end_to_end", "device"])
def test_sets_of_inputs_take_turns_from_call_to_call(opened, boundary):
    session, engine, _ = opened(boundary)
    sets = feeds(1, 2, 3)
    session.sample(sets, 4)
    session.sample(sets, 1)
    session.sample(sets, 2)
    assert engine.seen == [1, 2, 3, 1, 2, 3, 1]


def test_a_sample_spans_both_copies_and_the_compute(opened):
    session, _, device = opened()
    sets = feeds(1, 2)
    session.sample(sets, 1)
    device.log.clear()
    samples = session.sample(sets, 2)
    assert device.log == ["in", "compute", "out", "synchronise"] * 2
    assert (samples > 0).all()


def test_on_the_device_a_sample_is_the_time_between_its_events(opened):
    session, _, device = opened("device")
    sets = feeds(1)
    session.sample(sets, 1)
    device.log.clear()
    assert session.sample(sets, 2).tolist() == [250_000, 250_000]
    assert device.log == ["event", "compute", "event"] * 2


def test_outputs_are_those_of_the_inputs_and_nothing_stays_allocated(opened):
    session, _, device = opened()
    (one,) = feeds(4)
    np.testing.assert_array_equal(session.run(one)["y"], np.full((3, 2), 5, np.float32))
    assert device.memory == {}
    session.sample(feeds(1, 2), 1)
    assert len(device.memory) == 8
    session.sample(feeds(3), 1)
    assert len(device.memory) == 4
    session.close()
    assert device.memory == {}
