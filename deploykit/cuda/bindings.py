"""The two Python bindings of CUDA, told apart here and nowhere else.

`cuda-bindings`, NVIDIA's own, is the default: a wheel that imports without a driver. `pycuda` is taken where it is
installed and asked for by `DEPLOYKIT_CUDA_BINDING=pycuda`; it has no CUDA graphs. Whatever either of them answers
but success becomes one line that says what to do.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from deploykit.errors import BuildFailed, DeploykitError, MissingDependency, UsageError, one_line
from deploykit.lazy import install_line, metadata, np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Environment variable that names the binding to take, of `BINDINGS`.
BINDING_VARIABLE = "DEPLOYKIT_CUDA_BINDING"
#: Names of the bindings, the default first.
BINDINGS = ("cuda-bindings", "pycuda")


class DeviceMemoryExhausted(BuildFailed):
    """The device has no memory left for what was asked of it."""


class GraphsUnsupported(UsageError):
    """A CUDA graph was asked of a binding that has none."""


_TOO_OLD = 35
#: What CUDA's error numbers mean to a user: the type of error, what is wrong, what to do.
_REMEDIES: dict[int, tuple[type[DeploykitError], str]] = {
    2: (
        DeviceMemoryExhausted,
        "the device is out of memory; take a smaller batch or fewer streams, or end what else runs on it",
    ),
    3: (
        MissingDependency,
        "the CUDA driver could not be initialised; run nvidia-smi, and reload the driver or reboot if it fails too",
    ),
    34: (
        MissingDependency,
        "the CUDA driver found is a stub of the toolkit; take its folder out of LD_LIBRARY_PATH",
    ),
    _TOO_OLD: (
        MissingDependency,
        "the NVIDIA driver is too old for this CUDA runtime; update it (CUDA 13 needs 580 or later), or install "
        "packages made for the driver's CUDA version, which nvidia-smi shows",
    ),
    46: (
        MissingDependency,
        "the GPU is busy or can't be had: another process holds it in exclusive-process mode, or the mode is "
        "prohibited; end that process, or set nvidia-smi --compute-mode=DEFAULT",
    ),
    100: (
        MissingDependency,
        "no NVIDIA GPU is visible to CUDA; check nvidia-smi and CUDA_VISIBLE_DEVICES",
    ),
    101: (
        UsageError,
        "there is no GPU of that number; deploykit doctor lists those that CUDA sees",
    ),
    209: (
        BuildFailed,
        "what was built has no code for this GPU's compute capability; build it for this device",
    ),
    214: (
        BuildFailed,
        "the GPU's memory has an uncorrectable ECC error; reset the GPU or reboot, and measure again",
    ),
    802: (
        MissingDependency,
        "the GPU's system is not ready; start nvidia-fabricmanager, or wait until it runs",
    ),
    803: (
        MissingDependency,
        "the driver's library and its kernel module are of different versions; reboot, or install one again",
    ),
    804: (
        MissingDependency,
        "CUDA's compatibility libraries don't fit this GPU; take them out of LD_LIBRARY_PATH or update the driver",
    ),
    999: (
        MissingDependency,
        "the driver failed for a reason it does not tell, as when the GPU is gone; see nvidia-smi and dmesg",
    ),
}
_NO_DRIVER = "no NVIDIA driver is here; run this on a machine with an NVIDIA GPU and its driver"
_RUN_AGAIN = "everything on the device is lost; run it again, in a process of its own"
#: Errors after which a process can't use the device any more.
_FATAL = frozenset((700, 702, 709, 710, 714, 715, 716, 717, 718, 719))
#: Errors of stream capture.
_CAPTURE = range(900, 908)


def raise_failure(code: int, call: str, text: str) -> NoReturn:
    """Raise what an error number of CUDA means to a user.

    Args:
        code: as the runtime's `cudaError_t` counts; 999 where it is not known.
        call: the function that answered with it.
        text: what CUDA calls it.

    Raises:
        MissingDependency: no device, driver or right to use it.
        UsageError: there is no such device.
        DeviceMemoryExhausted, BuildFailed: everything else.
    """
    kind = _REMEDIES[code][0] if code in _REMEDIES else BuildFailed
    said = f"{call} answered error {code}, {one_line(text, 120)}"
    known = advice(code)
    raise kind(f"{known} ({said})" if known else f"CUDA failed: {said}; see nvidia-smi and dmesg")


def advice(code: int) -> str:
    """What an error number means to a user and what to do about it."""
    if code in _FATAL:
        return _RUN_AGAIN
    if code in _CAPTURE:
        return "this engine can't be captured as a CUDA graph; leave out --cuda-graph"
    return _REMEDIES[code][1] if code in _REMEDIES else ""


@dataclass(frozen=True)
class Properties:
    """What a device says of itself.

    Attributes:
        name: as the driver gives it.
        compute_capability: such as "8.9".
        memory_bytes: in all.
        multiprocessors: streaming multiprocessors.
        uuid: such as "GPU-5d5ba0d6-…"; empty where the binding does not tell.
        ecc: whether its memory is checked; None where the binding does not tell.
    """

    name: str
    compute_capability: str
    memory_bytes: int
    multiprocessors: int
    uuid: str = ""
    ecc: bool | None = None


class Binding(Protocol):
    """Calls of CUDA as one of the bindings makes them; every one raises what `raise_failure` does.

    Handles are the binding's own objects; addresses are integers. `deploykit.cuda` owns what they stand for.
    """

    name: str
    version: str
    #: Whether it can capture and launch CUDA graphs.
    graphs: bool
    #: Whether a call has failed: what fails later, in tidying up, is of no interest.
    failed: bool

    def open(self, index: int) -> Properties:
        """Take the device into use in this process: its primary context is current in this thread."""

    def enter_thread(self, index: int) -> None:
        """Make the device's context current in the calling thread, which is not the one that opened it."""

    def leave_thread(self) -> None:
        """Undo `enter_thread`."""

    def close(self) -> None:
        """Undo `open`, in the thread that called it."""

    def memory(self) -> tuple[int, int]:
        """Free bytes and all bytes of the device."""

    def versions(self) -> tuple[int, int]:
        """CUDA versions of the driver and of the runtime, such as 13020; 0 where there is none."""

    def synchronise(self) -> None:
        """Wait for all work on the device."""

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        """Address and handle of device memory."""

    def free(self, handle: Any) -> None:
        """Give device memory back."""

    def allocate_host(self, nbytes: int) -> tuple[NDArray[np.uint8], Any]:
        """Page-locked host memory as an array of bytes, and its handle."""

    def free_host(self, handle: Any) -> None:
        """Give page-locked memory back."""

    def create_stream(self) -> tuple[int, Any]:
        """Pointer, for other libraries, and handle of a stream that does not wait for the default stream."""

    def destroy_stream(self, handle: Any) -> None:
        """Drop a stream."""

    def synchronise_stream(self, handle: Any) -> None:
        """Wait for all work in a stream."""

    def create_event(self) -> Any:
        """An event that takes the time."""

    def destroy_event(self, handle: Any) -> None:
        """Drop an event."""

    def record(self, event: Any, stream: Any) -> None:
        """Put an event into a stream."""

    def synchronise_event(self, event: Any) -> None:
        """Wait until an event has happened."""

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """Milliseconds between two events that have happened."""

    def copy_to_device(
        self, target: int, source: NDArray[np.uint8], source_address: int, stream: Any
    ) -> None:
        """Enqueue a copy from page-locked memory."""

    def copy_to_host(
        self, target: NDArray[np.uint8], target_address: int, source: int, stream: Any
    ) -> None:
        """Enqueue a copy to page-locked memory."""

    def copy_on_device(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        """Enqueue a copy from device memory to device memory."""

    def begin_capture(self, stream: Any) -> None:
        """From here on work in the stream becomes a graph and does not run."""

    def end_capture(self, stream: Any) -> Any:
        """The graph that was captured, ready to be launched.

        Returns:
            Its handle; the template it was made from is destroyed.
        """

    def abandon_capture(self, stream: Any) -> None:
        """End a capture whose graph is not wanted; never raises."""

    def launch(self, graph: Any, stream: Any) -> None:
        """Enqueue a graph."""

    def destroy_graph(self, handle: Any) -> None:
        """Drop a graph."""


class CudaBindings:
    """NVIDIA's `cuda-bindings`: the runtime API, whose functions answer an error number and values."""

    name = "cuda-bindings"
    graphs = True
    failed = False

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise MissingDependency(
                f"cuda-bindings is not installed ({one_line(error, 80)}): {install_line('cuda')}"
            ) from error
        self._api: Any = runtime
        self.version = _version("cuda-bindings")
        self._to_device = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._to_host = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._on_device = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._success = runtime.cudaError_t.cudaSuccess

    def _call(self, function: str, *arguments: Any) -> Any:
        """The value that a function answers; None where it has none."""
        try:
            answer = getattr(self._api, function)(*arguments)
        except (ValueError, KeyError) as error:
            # A newer driver's error, which these bindings have no name for; releases raise the one or the other.
            self.failed = True
            raise_failure(999, function, f"{error}, which {self.name} {self.version} does not know")
        except RuntimeError as error:  # before 12.9, where the driver can't be loaded
            raise MissingDependency(f"{_NO_DRIVER} ({one_line(error, 80)})") from error
        if answer[0] != self._success:
            # Some errors are also kept, and would be answered by the next call that asks for the last one.
            self._api.cudaGetLastError()
            self._fail(answer[0], function)
        return answer[1] if len(answer) > 1 else None

    def _fail(self, error: Any, function: str) -> NoReturn:
        self.failed = True
        _, text = self._api.cudaGetErrorString(error)
        said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        if int(error) == _TOO_OLD:
            _, driver = self._api.cudaDriverGetVersion()
            _, runtime = self._api.cudaRuntimeGetVersion()
            if not driver:  # what the runtime answers where there is no driver at all, too
                raise MissingDependency(_NO_DRIVER)
            said = (
                f"driver for CUDA {version_text(driver)}, runtime of CUDA {version_text(runtime)}"
            )
        raise_failure(int(error), function, said)

    def open(self, index: int) -> Properties:
        """See `Binding.open`."""
        count = self._call("cudaGetDeviceCount")
        if not 0 <= index < count:
            raise_failure(101, "cudaGetDeviceCount", f"{count} devices, --device {index} asked for")
        self._call("cudaSetDevice", index)
        self._call("cudaFree", 0)  # makes the primary context, where cudaSetDevice did not yet
        found = self._call("cudaGetDeviceProperties", index)
        return Properties(
            found.name.partition(b"\0")[0].decode(errors="replace"),
            f"{found.major}.{found.minor}",
            int(found.totalGlobalMem),
            int(found.multiProcessorCount),
            uuid_text(bytes(found.uuid.bytes)),
            bool(found.ECCEnabled),
        )

    def enter_thread(self, index: int) -> None:
        """See `Binding.enter_thread`."""
        self._call("cudaSetDevice", index)

    def leave_thread(self) -> None:
        """Nothing: the runtime keeps a device per thread and no stack of them."""

    def close(self) -> None:
        """Nothing: the primary context stays, as other libraries in this process may use it."""

    def memory(self) -> tuple[int, int]:
        """See `Binding.memory`."""
        error, *values = self._api.cudaMemGetInfo()
        if error != self._success:
            self._fail(error, "cudaMemGetInfo")
        return int(values[0]), int(values[1])

    def versions(self) -> tuple[int, int]:
        """See `Binding.versions`."""
        return int(self._call("cudaDriverGetVersion")), int(self._call("cudaRuntimeGetVersion"))

    def synchronise(self) -> None:
        """See `Binding.synchronise`."""
        self._call("cudaDeviceSynchronize")

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        """See `Binding.allocate`."""
        address = int(self._call("cudaMalloc", nbytes))
        return address, address

    def free(self, handle: Any) -> None:
        """See `Binding.free`."""
        self._call("cudaFree", handle)

    def allocate_host(self, nbytes: int) -> tuple[NDArray[np.uint8], Any]:
        """See `Binding.allocate_host`."""
        import ctypes

        address = int(self._call("cudaMallocHost", nbytes))
        memory = (ctypes.c_uint8 * nbytes).from_address(address)
        return np.frombuffer(memoryview(memory), dtype=np.uint8), address

    def free_host(self, handle: Any) -> None:
        """See `Binding.free_host`."""
        self._call("cudaFreeHost", handle)

    def create_stream(self) -> tuple[int, Any]:
        """See `Binding.create_stream`."""
        stream = self._call("cudaStreamCreateWithFlags", self._api.cudaStreamNonBlocking)
        return int(stream), stream

    def destroy_stream(self, handle: Any) -> None:
        """See `Binding.destroy_stream`."""
        self._call("cudaStreamDestroy", handle)

    def synchronise_stream(self, handle: Any) -> None:
        """See `Binding.synchronise_stream`."""
        self._call("cudaStreamSynchronize", handle)

    def create_event(self) -> Any:
        """See `Binding.create_event`."""
        return self._call("cudaEventCreate")

    def destroy_event(self, handle: Any) -> None:
        """See `Binding.destroy_event`."""
        self._call("cudaEventDestroy", handle)

    def record(self, event: Any, stream: Any) -> None:
        """See `Binding.record`."""
        self._call("cudaEventRecord", event, stream)

    def synchronise_event(self, event: Any) -> None:
        """See `Binding.synchronise_event`."""
        self._call("cudaEventSynchronize", event)

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """See `Binding.elapsed_ms`."""
        return float(self._call("cudaEventElapsedTime", start, end))

    def copy_to_device(
        self, target: int, source: NDArray[np.uint8], source_address: int, stream: Any
    ) -> None:
        """See `Binding.copy_to_device`."""
        size = source.nbytes
        self._call("cudaMemcpyAsync", target, source_address, size, self._to_device, stream)

    def copy_to_host(
        self, target: NDArray[np.uint8], target_address: int, source: int, stream: Any
    ) -> None:
        """See `Binding.copy_to_host`."""
        size = target.nbytes
        self._call("cudaMemcpyAsync", target_address, source, size, self._to_host, stream)

    def copy_on_device(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        """See `Binding.copy_on_device`."""
        self._call("cudaMemcpyAsync", target, source, nbytes, self._on_device, stream)

    def begin_capture(self, stream: Any) -> None:
        """See `Binding.begin_capture`; other threads may allocate meanwhile."""
        mode = self._api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """See `Binding.end_capture`."""
        template = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", template, 0)
        finally:
            self._call("cudaGraphDestroy", template)

    def abandon_capture(self, stream: Any) -> None:
        """See `Binding.abandon_capture`."""
        with contextlib.suppress(DeploykitError):
            template = self._call("cudaStreamEndCapture", stream)
            if int(template):
                self._call("cudaGraphDestroy", template)

    def launch(self, graph: Any, stream: Any) -> None:
        """See `Binding.launch`."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, handle: Any) -> None:
        """See `Binding.destroy_graph`."""
        self._call("cudaGraphExecDestroy", handle)


#: PyCUDA's errors carry CUDA's text and no number.
_PYCUDA_TEXTS = {
    "out of memory": 2,
    "not initialized": 3,
    "initialization error": 3,
    "driver version is insufficient": 35,
    "busy or unavailable": 46,
    "no CUDA-capable device": 100,
    "no device": 100,
    "invalid device ordinal": 101,
    "no kernel image": 209,
    "uncorrectable ECC": 214,
    "illegal memory access": 700,
    "launch failure": 719,
    "launch failed": 719,
}
#: Primary contexts that this process holds, by PyCUDA's module and device. One that is dropped PyCUDA takes for a
#: context of its own making and detaches wrongly, so they are kept, and given back when the process ends.
_RETAINED: dict[tuple[Any, int], Any] = {}
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which PyCUDA has no name for


class PyCuda:
    """`pycuda`: the driver API; objects free what they stand for, and errors are exceptions."""

    name = "pycuda"
    graphs = False
    failed = False

    def __init__(self) -> None:
        try:
            import pycuda.driver as driver
        except ImportError as error:
            raise MissingDependency(
                f"pycuda can't be imported ({one_line(error, 80)}); it is built from source where CUDA's toolkit "
                f"is: {install_line('pycuda')}, or leave out {BINDING_VARIABLE} to use cuda-bindings"
            ) from error
        self._driver: Any = driver
        self.version = _version("pycuda")
        self._context: Any = None

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._driver.Error as error:
            text = str(error)
            call, _, said = text.partition(" failed: ")
            codes = (code for known, code in _PYCUDA_TEXTS.items() if known in text)
            self.failed = True
            raise_failure(next(codes, 999), call, said or text)

    def open(self, index: int) -> Properties:
        """See `Binding.open`."""
        driver = self._driver
        self._call(driver.init)
        count = self._call(driver.Device.count)
        if count == 0:
            raise_failure(100, "cuDeviceGetCount", "no devices")
        if not 0 <= index < count:
            raise_failure(101, "cuDeviceGetCount", f"{count} devices, --device {index} asked for")
        device = self._call(driver.Device, index)
        context = self._retained(device, index)
        self._call(context.push)
        self._context = context
        major, minor = self._call(device.compute_capability)
        attribute = driver.device_attribute
        return Properties(
            self._call(device.name),
            f"{major}.{minor}",
            int(self._call(device.total_memory)),
            int(self._call(device.get_attribute, attribute.MULTIPROCESSOR_COUNT)),
            ecc=bool(self._call(device.get_attribute, attribute.ECC_ENABLED)),
        )

    def _retained(self, device: Any, index: int) -> Any:
        """The device's primary context, which other libraries in this process use too."""
        key = (self._driver, index)
        if key not in _RETAINED:
            _RETAINED[key] = context = self._call(device.retain_primary_context)
            atexit.register(context.detach)
        return _RETAINED[key]

    def enter_thread(self, index: int) -> None:
        """See `Binding.enter_thread`."""
        self._call(self._context.push)

    def leave_thread(self) -> None:
        """See `Binding.leave_thread`."""
        self._call(self._driver.Context.pop)

    def close(self) -> None:
        """Take the context from this thread; a process that ends with one on the stack is aborted.

        The primary context stays, as with `CudaBindings`.
        """
        if self._context is not None:
            self._call(self._driver.Context.pop)
            self._context = None

    def memory(self) -> tuple[int, int]:
        """See `Binding.memory`."""
        free, total = self._call(self._driver.mem_get_info)
        return int(free), int(total)

    def versions(self) -> tuple[int, int]:
        """The driver's CUDA version; there is no runtime here."""
        return int(self._call(self._driver.get_driver_version)), 0

    def synchronise(self) -> None:
        """See `Binding.synchronise`."""
        self._call(self._driver.Context.synchronize)

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        """See `Binding.allocate`."""
        allocation = self._call(self._driver.mem_alloc, nbytes)
        return int(allocation), allocation

    def free(self, handle: Any) -> None:
        """See `Binding.free`."""
        self._call(handle.free)

    def allocate_host(self, nbytes: int) -> tuple[NDArray[np.uint8], Any]:
        """See `Binding.allocate_host`."""
        array = self._call(self._driver.pagelocked_empty, nbytes, np.uint8)
        return array, array.base

    def free_host(self, handle: Any) -> None:
        """See `Binding.free_host`."""
        self._call(handle.free)

    def create_stream(self) -> tuple[int, Any]:
        """See `Binding.create_stream`."""
        stream = self._call(self._driver.Stream, _NON_BLOCKING)
        return int(stream.handle), stream

    def destroy_stream(self, handle: Any) -> None:
        """Nothing: the stream ends with its last reference."""

    def synchronise_stream(self, handle: Any) -> None:
        """See `Binding.synchronise_stream`."""
        self._call(handle.synchronize)

    def create_event(self) -> Any:
        """See `Binding.create_event`."""
        return self._call(self._driver.Event)

    def destroy_event(self, handle: Any) -> None:
        """Nothing: the event ends with its last reference."""

    def record(self, event: Any, stream: Any) -> None:
        """See `Binding.record`."""
        self._call(event.record, stream)

    def synchronise_event(self, event: Any) -> None:
        """See `Binding.synchronise_event`."""
        self._call(event.synchronize)

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """See `Binding.elapsed_ms`."""
        return float(self._call(end.time_since, start))

    def copy_to_device(
        self, target: int, source: NDArray[np.uint8], source_address: int, stream: Any
    ) -> None:
        """See `Binding.copy_to_device`."""
        self._call(self._driver.memcpy_htod_async, target, source, stream)

    def copy_to_host(
        self, target: NDArray[np.uint8], target_address: int, source: int, stream: Any
    ) -> None:
        """See `Binding.copy_to_host`."""
        self._call(self._driver.memcpy_dtoh_async, target, source, stream)

    def copy_on_device(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        """See `Binding.copy_on_device`."""
        self._call(self._driver.memcpy_dtod_async, target, source, nbytes, stream)

    def begin_capture(self, stream: Any) -> None:
        """Refused: PyCUDA has no graphs."""
        raise GraphsUnsupported(
            f"pycuda has no CUDA graphs; leave out --cuda-graph, or {BINDING_VARIABLE} to use cuda-bindings"
        )

    def end_capture(self, stream: Any) -> Any:
        """Refused: see `begin_capture`."""
        self.begin_capture(stream)

    def abandon_capture(self, stream: Any) -> None:
        """Nothing: no capture was begun."""

    def launch(self, graph: Any, stream: Any) -> None:
        """Refused: see `begin_capture`."""
        self.begin_capture(stream)

    def destroy_graph(self, handle: Any) -> None:
        """Nothing: there are none."""


def take_binding(name: str | None = None) -> Binding:
    """The binding to use.

    Args:
        name: of `BINDINGS`; None is what the environment variable names, else the default.

    Raises:
        UsageError: there is none of that name.
        MissingDependency: it is not installed, or does not import.
    """
    wanted = name or os.environ.get(BINDING_VARIABLE) or BINDINGS[0]
    if wanted not in BINDINGS:
        known = " or ".join(BINDINGS)
        raise UsageError(f"unknown CUDA binding {wanted!r} in {BINDING_VARIABLE}: give {known}")
    return CudaBindings() if wanted == "cuda-bindings" else PyCuda()


def version_text(version: int) -> str:
    """A CUDA version as people write it: 13020 is 13.2."""
    return f"{version // 1000}.{version % 1000 // 10}"


def uuid_text(value: bytes) -> str:
    """A device's UUID in the form that nvidia-smi and CUDA_VISIBLE_DEVICES have; empty where it has none."""
    if len(value) != 16 or not any(value):
        return ""
    digits = value.hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return f"GPU-{'-'.join(parts)}"


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
