"""The seam to CUDA, on a double under the real cuda-bindings and on made-up PyCUDA."""

from __future__ import annotations

import sys
import threading
import types

import cuda_double
import numpy as np
import pytest
import source_tree as source

from deploykit import cuda as seam
from deploykit.cuda.bindings import CudaBindings, uuid_text
from deploykit.errors import BuildFailed, DeploykitError, MissingDependency, UsageError


def test_the_bindings_are_imported_in_the_seam_alone():
    found = set()
    for module, tree in source.modules().items():
        for node in source.ast.walk(tree):
            names = [name.split(".")[0] for name in source.imported(module, node)]
            if {"cuda", "pycuda", "pynvml"} & set(names):
                found.add(module)
    assert found
    assert {name for name in found if not name.startswith("deploykit.cuda")} == set()


def test_bytes_come_back_as_they_went(cuda):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with seam.open_device() as device:
        stream, memory, second = device.stream(), device.buffer(96), device.buffer(96)
        there, back = device.pinned((2, 3, 4), "float32"), device.pinned((2, 3, 4), "float32")
        there.array[...] = values
        stream.copy(memory, there)
        stream.copy(second, memory)
        stream.copy(back, second)
        assert not np.array_equal(back.array, values)  # nothing has run yet
        stream.synchronise()
        np.testing.assert_array_equal(back.array, values)


def test_a_device_says_what_it_is(cuda):
    with seam.open_device() as device:
        assert device.properties.name == cuda_double.DEVICE_NAME
        assert device.properties.compute_capability == "8.9"
        assert device.properties.uuid == cuda.settings.devices[0].uuid
        assert device.properties.memory_bytes == 1024 * 2**20
        assert device.binding.startswith("cuda-bindings 1")
        before = device.memory()
        with device.buffer(64 * 2**20):
            assert device.memory().used_mib - before.used_mib == 64
        assert device.memory() == before


def test_what_was_made_is_given_back_on_every_way_out(cuda):
    def use(device: seam.Device) -> None:
        stream, event = device.stream(), device.event()
        memory, host = device.buffer(8), device.pinned((8,), "uint8")
        device_graph = stream.capture(lambda: stream.copy(memory, host))
        stream.launch(device_graph)
        stream.record(event)

    with seam.open_device() as device:
        use(device)
        assert len(cuda.leaks()) == 5
    assert cuda.leaks() == []

    def fail() -> None:
        with seam.open_device() as device:
            use(device)
            raise KeyError("of the user's own")

    with pytest.raises(KeyError):
        fail()
    assert cuda.leaks() == []


def test_what_is_closed_early_is_closed_once(cuda):
    with seam.open_device() as device:
        with device.buffer(8) as memory, device.event(), device.stream():
            assert len(cuda.leaks()) == 3
        assert cuda.leaks() == []
        memory.close()


def test_a_graph_runs_what_was_captured_when_it_is_launched(cuda):
    with seam.open_device() as device:
        stream, memory = device.stream(), device.buffer(4)
        there, back = device.pinned((4,), "uint8"), device.pinned((4,), "uint8")

        def work() -> None:
            stream.copy(memory, there)
            stream.copy(back, memory)

        with stream.capture(work) as graph:
            back.array[...] = 0
            stream.synchronise()
            assert back.array.tolist() == [0] * 4
            for value in (3, 5):
                there.array[...] = value
                stream.launch(graph)
                stream.synchronise()
                assert back.array.tolist() == [value] * 4
        assert cuda.graphs == cuda.executables == {}


def test_a_capture_that_fails_leaves_the_stream_usable(cuda):
    with seam.open_device() as device:
        stream = device.stream()

        def work() -> None:
            stream.synchronise()  # which no capture allows

        with pytest.raises(BuildFailed, match="leave out --cuda-graph"):
            stream.capture(work)
        stream.synchronise()
        assert cuda.graphs == {}


def test_events_tell_the_time_between_them(cuda):
    with seam.open_device() as device:
        stream, start, end = device.stream(), device.event(), device.event()
        stream.record(start)
        stream.record(end)
        with pytest.raises(DeploykitError):
            end.ms_since(start)  # neither has happened
        end.synchronise()
        assert end.ms_since(start) > 0


def test_copies_of_different_sizes_or_on_the_host_are_refused(cuda):
    with seam.open_device() as device:
        stream, host = device.stream(), device.pinned((4,), "uint8")
        with pytest.raises(ValueError, match="4 bytes to 8"):
            stream.copy(device.buffer(8), host)
        with pytest.raises(ValueError, match="host to host"):
            stream.copy(device.pinned((4,), "uint8"), host)


def test_a_device_can_be_used_in_a_thread(cuda):
    done = []

    def work() -> None:
        with device.in_thread(), device.stream() as stream:
            stream.synchronise()
            done.append(True)

    with seam.open_device() as device:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert done == [True]


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        (
            {"driver_cuda": 12060},
            MissingDependency,
            r"needs 580 or later.*CUDA 12\.6, runtime of CUDA 13",
        ),
        ({"devices": [], "driver_cuda": 0}, MissingDependency, "no NVIDIA driver is here"),
        ({"devices": []}, MissingDependency, "CUDA_VISIBLE_DEVICES"),
        ({"fail": {"cudaSetDevice": 46}}, MissingDependency, "exclusive-process mode"),
        ({"fail": {"cudaGetDeviceCount": 803}}, MissingDependency, "different versions; reboot"),
        ({"fail": {"cudaFree": 2}}, BuildFailed, "smaller batch"),
        # a number that these bindings have no name for, of a newer driver
        ({"fail": {"cudaSetDevice": 998}}, MissingDependency, "998"),
    ],
    ids=["too old", "no driver", "none", "exclusive", "mismatch", "no memory", "unknown"],
)
def test_a_device_that_can_not_be_had_is_one_line_with_the_remedy(cuda, settings, kind, says):
    cuda.settings = cuda_double.Settings(**settings)
    with pytest.raises(kind, match=says) as error:
        seam.open_device()
    assert "\n" not in str(error.value)


def test_bindings_that_can_not_load_the_driver_are_one_line(cuda, monkeypatch):
    """As cuda-bindings 12.8 answers without a driver."""

    def count():
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    runtime = CudaBindings()
    runtime._api = types.SimpleNamespace(cudaGetDeviceCount=count)
    with pytest.raises(MissingDependency, match=r"no NVIDIA driver is here.*libcuda\.so\.1"):
        runtime.open(0)


def test_a_device_that_is_not_there_is_a_matter_of_usage(cuda):
    cuda.settings = cuda_double.Settings(devices=[cuda_double.DeviceFacts()] * 2)
    with seam.open_device(1):
        assert cuda.current == 1
    for index in (2, 7, -1):
        with pytest.raises(UsageError, match=rf"2 devices, --device {index}"):
            seam.open_device(index)


def test_memory_that_is_not_there_is_said_and_nothing_else_is_lost(cuda):
    with seam.open_device() as device:
        kept = device.buffer(2**20)
        with pytest.raises(seam.DeviceMemoryExhausted, match="smaller batch"):
            device.buffer(2**40)
        device.buffer(2**20).close()
        assert kept.address


def test_a_driver_that_is_gone_in_mid_run_is_said_and_hides_nothing(cuda):
    def lose() -> None:
        with seam.open_device() as device:
            stream = device.stream()
            cuda.settings.gone_after = len(cuda.calls)
            stream.synchronise()

    with pytest.raises(MissingDependency, match="GPU is gone"):
        lose()
    cuda.reset()  # with the driver all memory of the device is gone


@pytest.mark.parametrize("way", ["buffer", "stream", "device"])
def test_what_failed_first_is_told_not_what_fails_in_tidying_up(cuda, way):
    """As a session gives back its buffers and its device after a run that failed."""

    def lose() -> None:
        device = seam.open_device()
        stream, buffer = device.stream(), device.buffer(64)
        cuda.settings.gone_after = len(cuda.calls)
        try:
            stream.synchronise()
        finally:
            {"buffer": buffer, "stream": stream, "device": device}[way].close()
            device.close()

    with pytest.raises(MissingDependency, match="cudaStreamSynchronize answered"):
        lose()
    cuda.reset()


def test_what_alone_fails_in_tidying_up_is_told(cuda):
    device = seam.open_device()
    device.buffer(64)
    cuda.settings.gone_after = len(cuda.calls)
    with pytest.raises(MissingDependency, match="cudaDeviceSynchronize answered"):
        device.close()
    cuda.reset()


def test_the_double_sees_what_must_not_be_done(cuda):
    """What the tests rest on: each of these is noticed."""
    with seam.open_device() as device:
        api, stream = device._api, device.stream()
        memory, host = device.buffer(16), device.pinned((16,), "uint8")
        with pytest.raises(BuildFailed):
            api._call("cudaMemcpyAsync", host.address, memory.address, 16, api._to_device, 0)
        with pytest.raises(BuildFailed):
            api._call("cudaMemcpyAsync", memory.address, 4096, 16, api._to_device, 0)
        with pytest.raises(BuildFailed):
            api._call("cudaMemcpyAsync", memory.address, host.address, 17, api._to_device, 0)
        with pytest.raises(TypeError):  # the real bindings' own check
            api._call("cudaMalloc", "16")
        address = memory.address
        memory.close()
        with pytest.raises(BuildFailed):
            api._call("cudaFree", address)
        cuda.launch(stream.pointer, "kernel", lambda: None, [(address, 16)])
        with pytest.raises(BuildFailed, match="everything on the device is lost"):
            stream.synchronise()
        cuda.sticky = 0
        api._call("cudaMalloc", 8)
    assert [text.split(" at ")[0] for text in cuda.offences] == [
        "pinned memory taken for device memory",
        "16 bytes",
        "17 bytes",
        "device memory freed twice",
        "use of device memory after it was freed",
    ]
    assert cuda.leaks() == ["device memory of 8 bytes"]
    cuda.reset()


# --- PyCUDA: written against its interface, which needs CUDA's toolkit to install ---


class FakePyCuda(types.ModuleType):
    """`pycuda.driver` over host memory, as far as the seam uses it; streams run at once."""

    class Error(Exception):
        pass

    class LogicError(Error):
        pass

    device_attribute = types.SimpleNamespace(MULTIPROCESSOR_COUNT=16, ECC_ENABLED=32)

    def __init__(self, count: int = 1) -> None:
        super().__init__("pycuda.driver")
        self.pushed, self.memory, self.count = 0, {}, count
        fake = self

        class Context:
            def push(self):
                fake.pushed += 1

            def detach(self):
                pass

            @staticmethod
            def pop():
                fake.pushed -= 1

            @staticmethod
            def synchronize():
                pass

        class Device:
            def __init__(self, index):
                pass

            @staticmethod
            def count():
                return fake.count

            def retain_primary_context(self):
                return Context()

            def name(self):
                return cuda_double.DEVICE_NAME

            def compute_capability(self):
                return 8, 6

            def total_memory(self):
                return 2**30

            def get_attribute(self, attribute):
                return attribute - 16

        class Allocation:
            def __init__(self, nbytes):
                if nbytes > 2**20:
                    raise fake.Error("cuMemAlloc failed: out of memory")
                self.data = np.zeros(nbytes, np.uint8)
                fake.memory[int(self)] = self.data

            def __int__(self):
                return self.data.ctypes.data

            def free(self):
                del fake.memory[int(self)]

        class Stream:
            handle = 77

            def __init__(self, flags=0):
                assert flags == 1

            def synchronize(self):
                pass

        class Event:
            def record(self, stream):
                return self

            def synchronize(self):
                return self

            def time_since(self, event):
                return 0.5

        self.Context, self.Device, self.mem_alloc = Context, Device, Allocation
        self.Stream, self.Event = Stream, Event

    def init(self):
        pass

    def mem_get_info(self):
        return 1, 2

    def pagelocked_empty(self, shape, dtype):
        class Base(np.ndarray):
            def free(self):
                pass

        return np.zeros(shape, dtype).view(Base)[:]

    def memcpy_htod_async(self, target, source, stream):
        self.memory[target][:] = source

    def memcpy_dtoh_async(self, target, source, stream):
        target[:] = self.memory[source]

    def memcpy_dtod_async(self, target, source, size, stream):
        self.memory[target][:size] = self.memory[source][:size]


@pytest.fixture
def pycuda(monkeypatch):
    fake, package = FakePyCuda(), types.ModuleType("pycuda")
    package.driver = fake
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    monkeypatch.setenv(seam.BINDING_VARIABLE, "pycuda")
    return fake


def test_pycuda_is_taken_where_it_is_asked_for(pycuda):
    with seam.open_device() as device:
        assert device.binding.startswith("pycuda")
        assert not device.graphs
        assert device.properties.compute_capability == "8.6"
        stream, memory, second = device.stream(), device.buffer(4), device.buffer(4)
        there, back = device.pinned((2,), "int16"), device.pinned((2,), "int16")
        there.array[...] = 7
        stream.copy(memory, there)
        stream.copy(second, memory)
        stream.copy(back, second)
        stream.synchronise()
        assert back.array.tolist() == [7, 7]
        start, end = device.event(), device.event()
        stream.record(start)
        stream.record(end)
        end.synchronise()
        assert end.ms_since(start) == 0.5
        with device.in_thread():
            assert pycuda.pushed == 2
        with pytest.raises(seam.GraphsUnsupported, match="no CUDA graphs"):
            stream.capture(lambda: None)
        with pytest.raises(seam.DeviceMemoryExhausted, match="smaller batch"):
            device.buffer(2**21)
    assert pycuda.memory == {}
    assert pycuda.pushed == 0


@pytest.mark.parametrize(("count", "kind"), [(0, MissingDependency), (1, UsageError)])
def test_pycuda_without_the_device_leaves_no_context(pycuda, count, kind):
    pycuda.count = count
    with pytest.raises(kind):
        seam.open_device(1)
    assert pycuda.pushed == 0


def test_a_binding_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(MissingDependency, match=r"pip install .*pycuda"):
        seam.open_device(binding="pycuda")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingDependency, match="cuda-bindings is not installed"):
        seam.open_device(binding="cuda-bindings")
    monkeypatch.setenv(seam.BINDING_VARIABLE, "numba")
    with pytest.raises(UsageError, match="numba"):
        seam.open_device()


def test_a_uuid_is_written_as_the_driver_s_tools_do():
    assert uuid_text(bytes(range(16))) == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert uuid_text(bytes(16)) == ""
