"""TensorRT's session on a simulated device; TensorRT itself is played by an object that notes each call."""

from __future__ import annotations

import types

import cuda_double
import numpy as np
import pytest

from deploykit.backends.tensorrt_session import TensorRTSession
from deploykit.errors import BuildFailed


class Engine:
    """Adds one to what it is given, when the device comes to it; its execution context as well."""

    num_io_tensors = 2
    names = ("x", "y")

    def __init__(self, device: cuda_double.Cuda) -> None:
        self.device, self.addresses, self.shape, self.seen = device, {}, None, []
        self.refuses: set[str] = set()

    def create_execution_context(self):
        return None if "context" in self.refuses else self

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
        return "shape" not in self.refuses

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return "address" not in self.refuses

    def execute_async_v3(self, stream):
        size = int(np.prod(self.shape)) * 4
        uses = [(self.addresses[name], size) for name in self.names]

        def compute() -> None:
            x, y = (self.device.view(*one).view(np.float32) for one in uses)
            self.seen.append(float(x[0]))
            y[:] = x + 1

        self.device.launch(stream, "engine", compute, uses)
        self.device.calls.append("execute_async_v3")
        return "execute" not in self.refuses


@pytest.fixture
def opened(tmp_path, cuda):
    """A session on the simulated device, by boundary, with the engine and the device; closed at the end."""
    made = []

    def make(boundary="end_to_end", refuses=()):
        engine = Engine(cuda)
        engine.refuses = set(refuses)

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
        made.append(TensorRTSession(trt, tmp_path / "engine.plan", boundary))
        return made[-1], engine, cuda

    yield make
    for session in made:
        session.close()


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
    device.calls.clear()
    samples = session.sample(sets, 2)
    once = ["cudaMemcpyAsync", "execute_async_v3", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    assert device.calls == once * 2
    assert (samples > 0).all()


def test_on_the_device_a_sample_is_the_time_between_its_events(opened):
    session, _, device = opened("device")
    sets = feeds(1)
    session.sample(sets, 1)
    device.calls.clear()
    assert (session.sample(sets, 2) > 0).all()
    recorded = ["cudaEventRecord", "execute_async_v3", "cudaEventRecord"]
    assert device.calls == [*recorded, "cudaEventSynchronize", "cudaEventElapsedTime"] * 2


def test_outputs_are_those_of_the_inputs_and_nothing_stays_allocated(opened):
    session, _, device = opened()
    (one,) = feeds(4)
    idle = device.leaks()
    np.testing.assert_array_equal(session.run(one)["y"], np.full((3, 2), 5, np.float32))
    assert device.leaks() == idle
    session.sample(feeds(1, 2), 1)
    assert len(device.leaks()) == len(idle) + 8
    session.sample(feeds(3), 1)
    assert len(device.leaks()) == len(idle) + 4
    session.close()
    assert device.leaks() == []


@pytest.mark.parametrize(
    ("refused", "says"),
    [("shape", "build it for that batch"), ("address", "address"), ("execute", "could not start")],
)
def test_what_tensorrt_answers_with_false_is_an_error(opened, refused, says):
    session, *_ = opened(refuses=[refused])
    with pytest.raises(BuildFailed, match=says):
        session.run(feeds(1)[0])


def test_an_engine_that_has_no_room_leaves_nothing_behind(opened, cuda):
    with pytest.raises(BuildFailed, match="no room"):
        opened(refuses=["context"])
    assert cuda.leaks() == []
