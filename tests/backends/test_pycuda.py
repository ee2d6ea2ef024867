"""The real PyCUDA on a driver that is a double: a C library whose functions act on the simulated device.

PyCUDA is compiled when it is installed, so it is no part of the environment of tests. `make pycuda` makes one that
has it and runs these tests there; where it is missing they are skipped.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import cuda_double
import numpy as np
import onnx
import pytest
from cuda_double import driver
from test_tensorrt_session import product

from deploykit import cuda as seam
from deploykit.bench.scenario import Policy, Scenario
from deploykit.cuda import bindings
from deploykit.errors import BuildFailed, MissingDependency, UsageError
from deploykit.spec import ModelFile
from deploykit.store import Store
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.profile import Profiler

SPEC = importlib.util.find_spec("pycuda")
pytestmark = pytest.mark.skipif(
    SPEC is None or bool(driver.missing_tools()),
    reason="pycuda and a C compiler are needed: make pycuda",
)


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    names = driver.functions_taken(Path(str(SPEC.origin)).parent)
    assert {"cuInit", "cuStreamCreate", "cuEventRecord"} <= set(names)
    return driver.build(names, tmp_path_factory.mktemp("driver"))


@pytest.fixture
def pycuda(cuda, library, monkeypatch):
    """The driver under the real PyCUDA, here and in child processes; no context may stay current in a thread."""
    made = driver.install(library, cuda)
    monkeypatch.setenv(driver.LIBRARY, str(library))
    monkeypatch.setenv(seam.BINDING_VARIABLE, "pycuda")
    yield made
    left, made.depth = made.leaks(), 0
    assert left == []


def test_bytes_go_through_pycuda_and_come_back(pycuda, cuda):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with seam.open_device() as device:
        assert device.binding.startswith("pycuda 2")
        assert not device.graphs
        assert device.properties.name == cuda_double.DEVICE_NAME
        assert device.properties.compute_capability == "8.9"
        assert device.properties.memory_bytes == 1024 * 2**20
        assert device.properties.multiprocessors == 10
        stream, memory, second = device.stream(), device.buffer(96), device.buffer(96)
        there, back = device.pinned((2, 3, 4), "float32"), device.pinned((2, 3, 4), "float32")
        there.array[...] = values
        stream.copy(memory, there)
        stream.copy(second, memory)
        stream.copy(back, second)
        assert not np.array_equal(back.array, values)  # nothing has run yet
        stream.synchronise()
        np.testing.assert_array_equal(back.array, values)
    assert cuda.calls.count("cuMemcpyHtoDAsync") == 1
    assert "cudaMemcpyAsync" not in cuda.calls


def test_events_tell_the_time_and_are_given_back_when_closed(pycuda, cuda):
    with seam.open_device() as device:
        stream, start, end = device.stream(), device.event(), device.event()
        stream.record(start)
        stream.record(end)
        end.synchronise()
        assert end.ms_since(start) >= 0
        start.close()
        end.close()
        assert cuda.leaks() == ["a stream"]
        stream.close()
        assert cuda.leaks() == []


def test_memory_is_counted_and_given_back_on_every_way_out(pycuda, cuda):
    def use(device: seam.Device) -> None:
        before = device.memory()
        with device.buffer(64 * 2**20):
            assert device.memory().used_mib - before.used_mib == 64
        device.buffer(8), device.pinned((8,), "uint8"), device.stream(), device.event()
        raise KeyError("of the user's own")

    with pytest.raises(KeyError), seam.open_device() as device:
        use(device)
    assert cuda.leaks() == []


def test_a_device_can_be_used_in_a_thread_that_has_its_context(pycuda, cuda):
    problems = []

    def work(device: seam.Device) -> None:
        try:
            with (
                device.in_thread(),
                device.stream() as stream,
                device.buffer(4) as memory,
                device.pinned((4,), "uint8") as host,
            ):
                stream.copy(memory, host)
                stream.synchronise()
        except Exception as error:
            problems.append(error)

    with seam.open_device() as device:
        thread = threading.Thread(target=work, args=[device])
        thread.start()
        thread.join()
    assert problems == []


def test_graphs_are_refused_in_one_line(pycuda):
    with (
        seam.open_device() as device,
        pytest.raises(seam.GraphsUnsupported, match="pycuda has no CUDA graphs"),
    ):
        device.stream().capture(lambda: None)


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"devices": []}, MissingDependency, "CUDA_VISIBLE_DEVICES"),
        ({"fail": {"cuDevicePrimaryCtxRetain": 46}}, MissingDependency, "exclusive-process mode"),
        ({"fail": {"cuInit": 999}}, MissingDependency, "see nvidia-smi and dmesg"),
        ({"fail": {"cuDevicePrimaryCtxRetain": 2}}, BuildFailed, "smaller batch"),
    ],
    ids=["none", "exclusive", "gone", "no memory"],
)
def test_a_device_that_can_not_be_had_is_one_line_with_the_remedy(
    pycuda, cuda, monkeypatch, settings, kind, says
):
    monkeypatch.setattr(bindings, "_RETAINED", {})  # as in a process that has not used it yet
    cuda.settings = cuda_double.Settings(**settings)
    with pytest.raises(kind, match=says) as error:
        seam.open_device()
    assert "\n" not in str(error.value)


ENDS = """
import sys
sys.path.append({tests!r})
import cuda_double
from deploykit.cuda import open_device
for _ in range(2):
    with open_device() as device, device.buffer(8):
        pass
from cuda_double import driver
print(driver.current.retained, driver.current.depth)
"""


def test_the_primary_context_is_taken_once_and_given_back_at_the_end(pycuda, tmp_path):
    code = ENDS.format(tests=str(Path(cuda_double.__file__).parents[1]))
    # Registered first, it runs last: after what gives the context back.
    code = f"import atexit\natexit.register(lambda: print(driver.current.retained))\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["{0: 1} 0", "{0: 0}"]
    assert "PyCUDA WARNING" not in done.stderr


def test_what_is_not_there_is_said_and_nothing_else_is_lost(pycuda, cuda):
    with pytest.raises(UsageError, match="1 devices, --device 1"):
        seam.open_device(1)
    with seam.open_device() as device:
        kept = device.buffer(2**20)
        with pytest.raises(seam.DeviceMemoryExhausted, match="smaller batch"):
            device.buffer(2**40)
        assert kept.address


def test_work_on_memory_that_was_freed_is_an_error_that_tells_to_run_again(pycuda, cuda):
    with seam.open_device() as device:
        stream, memory = device.stream(), device.buffer(16)
        cuda.launch(stream.pointer, "kernel", lambda: None, [(memory.address, 16)])
        cuda.blocks[memory.address].alive = False
        with pytest.raises(BuildFailed, match="everything on the device is lost"):
            stream.synchronise()
        cuda.blocks[memory.address].alive, cuda.sticky = True, 0
    assert [text.split(" at ")[0] for text in cuda.offences] == [
        "use of device memory after it was freed"
    ]
    cuda.offences.clear()


@pytest.mark.parametrize("surface", ["tensorrt-11.4", "tensorrt-rtx-1.7"])
def test_whole_rows_are_measured_through_pycuda(pycuda, cuda, tensorrt, tmp_path, surface):
    backend = tensorrt(surface).__name__.replace("_", "-")
    # Of cuda-bindings nothing works: it is not what the rows are measured through.
    cuda.show(cuda_double.Settings(fail={"cudaSetDevice": 999, "cudaGetDeviceCount": 999}))
    onnx.save(product(), tmp_path / "net.onnx")
    options = ProfileOptions(
        backends=(backend,),
        batches=(1, 4),
        scenarios=(Scenario(), Scenario(boundary="device"), Scenario(streams=2)),
        policy=Policy(min_s=0.02, max_s=0.05, warmup_s=0.01, warmup_max_s=0.02),
        roofline=False,
    )
    wanted = enumerate_configurations([ModelFile(tmp_path / "net.onnx")], options)
    rows = list(Profiler(Store(tmp_path / "engines"), options).rows(wanted))
    assert [row["status"] for row in rows] == ["ok"] * 6, [row.notes for row in rows]
    assert {row["drift_max_abs"] for row in rows} == {0}
