"""Memory, streams, events, copies and graphs of an NVIDIA device, the same over either Python binding of CUDA.

A `Device` owns all that is made by it: what was not closed before is closed with it, in reverse order, so that
nothing leaks on any way out. Asynchronous work is put into a `Stream` and is done only when the stream, or an event
behind it, has been synchronised.

::

    with open_device() as device:
        stream = device.stream()
        source, target = device.pinned((8, 3, 32, 32), "float32"), device.buffer(8 * 3 * 32 * 32 * 4)
        stream.copy(target, source)
        stream.synchronise()
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit.cuda.bindings import (
    BINDING_VARIABLE,
    BINDINGS,
    Binding,
    DeviceMemoryExhausted,
    GraphsUnsupported,
    Properties,
    take_binding,
)
from deploykit.errors import DeploykitError
from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BINDINGS",
    "BINDING_VARIABLE",
    "Device",
    "DeviceBuffer",
    "DeviceMemory",
    "DeviceMemoryExhausted",
    "Event",
    "Graph",
    "GraphsUnsupported",
    "PinnedArray",
    "Properties",
    "Stream",
    "open_device",
]


def open_device(index: int = 0, binding: str | None = None) -> Device:
    """Take a device into use in this process.

    Args:
        index: among the devices that CUDA sees here, which CUDA_VISIBLE_DEVICES decides.
        binding: "cuda-bindings" or "pycuda"; None is what the environment variable `DEPLOYKIT_CUDA_BINDING` names,
            else "cuda-bindings".

    Raises:
        MissingDependency: no device, no driver, one that is too old, or a device that another process holds.
        UsageError: no device of that number, or no binding of that name.
    """
    return Device(take_binding(binding), index)


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a device at one moment, of all processes on it."""

    free_bytes: int
    total_bytes: int

    @property
    def used_mib(self) -> float:
        """What is in use, in MiB."""
        return (self.total_bytes - self.free_bytes) / 2**20


class _Owned(ABC):
    """What a device made and gives back once, by `close` or at the end of its `with`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._api = device._api
        self._open = True
        device._owned[id(self)] = self

    def close(self) -> None:
        """Give it back; a second call does nothing.

        Raises:
            DeploykitError: that failed, and nothing on the device had failed before.
        """
        if self._open:
            self._open = False
            self._device._owned.pop(id(self), None)
            self._device._give_back(self._release)

    @abstractmethod
    def _release(self) -> None:
        """Give it back to CUDA; called once."""

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _closing(self.close, error)


_T = TypeVar("_T", bound=_Owned)


def _closing(close: Callable[[], None], error: BaseException | None) -> None:
    """Close on the way out; after an error that one is what counts, not those of giving things back."""
    if error is None:
        close()
    else:
        with contextlib.suppress(DeploykitError):
            close()


class DeviceBuffer(_Owned):
    """Memory on the device: `address` for other libraries, `nbytes` long."""

    def __init__(self, device: Device, nbytes: int) -> None:
        self.nbytes = nbytes
        self.address, self._handle = device._api.allocate(max(1, nbytes))
        super().__init__(device)

    def _release(self) -> None:
        self._api.free(self._handle)
        del self._handle


class PinnedArray(_Owned):
    """An array in page-locked host memory, which copies can go to and from while the host goes on.

    `array` must not be used once this is closed.
    """

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: Any) -> None:
        kind = np.dtype(dtype)
        self.nbytes = math.prod(shape) * kind.itemsize
        memory, self._handle = device._api.allocate_host(max(1, self.nbytes))
        self.flat: NDArray[Any] = memory[: self.nbytes]
        self.address = int(memory.ctypes.data)
        self.array: NDArray[Any] = self.flat.view(kind).reshape(shape)
        super().__init__(device)

    def _release(self) -> None:
        del self.array, self.flat
        self._api.free_host(self._handle)


class Event(_Owned):
    """A mark in a stream; two of them tell the time between them as the device counts it."""

    def __init__(self, device: Device) -> None:
        self._handle = device._api.create_event()
        super().__init__(device)

    def synchronise(self) -> None:
        """Wait until the device has come to it."""
        self._api.synchronise_event(self._handle)

    def ms_since(self, start: Event) -> float:
        """Milliseconds since `start`; both must have been synchronised."""
        return self._api.elapsed_ms(start._handle, self._handle)

    def _release(self) -> None:
        self._api.destroy_event(self._handle)
        del self._handle  # with which PyCUDA's event ends


class Stream(_Owned):
    """A queue of work on the device that does not wait for the default stream.

    Attributes:
        pointer: the `cudaStream_t` as an integer, as other libraries take it.
    """

    def __init__(self, device: Device) -> None:
        self.pointer, self._handle = device._api.create_stream()
        super().__init__(device)

    def copy(self, target: DeviceBuffer | PinnedArray, source: DeviceBuffer | PinnedArray) -> None:
        """Enqueue a copy of all of `source`; the types say in which direction.

        Raises:
            ValueError: the two are of different sizes, or both on the host.
        """
        if target.nbytes != source.nbytes:
            raise ValueError(f"copy of {source.nbytes} bytes to {target.nbytes}")
        if target.nbytes == 0:
            return
        if isinstance(target, DeviceBuffer):
            if isinstance(source, DeviceBuffer):
                self._api.copy_on_device(
                    target.address, source.address, source.nbytes, self._handle
                )
            else:
                self._api.copy_to_device(target.address, source.flat, source.address, self._handle)
        elif isinstance(source, DeviceBuffer):
            self._api.copy_to_host(target.flat, target.address, source.address, self._handle)
        else:
            raise ValueError("copy from host to host")

    def record(self, event: Event) -> None:
        """Enqueue an event."""
        self._api.record(event._handle, self._handle)

    def synchronise(self) -> None:
        """Wait for all work in this stream."""
        self._api.synchronise_stream(self._handle)

    def capture(self, work: Callable[[], object]) -> Graph:
        """Make a graph of what `work` puts into this stream; nothing of it runs yet.

        Raises:
            GraphsUnsupported: the binding has none.
            BuildFailed: what `work` does can't be captured.
        """
        self._api.begin_capture(self._handle)
        try:
            work()
        except BaseException:
            self._api.abandon_capture(self._handle)
            raise
        return Graph(self._device, self._api.end_capture(self._handle))

    def launch(self, graph: Graph) -> None:
        """Enqueue a graph."""
        self._api.launch(graph._handle, self._handle)

    def _release(self) -> None:
        self._api.destroy_stream(self._handle)
        del self._handle  # with which PyCUDA's stream ends


class Graph(_Owned):
    """Work that was captured from a stream and is launched as one, by `Stream.launch`."""

    def __init__(self, device: Device, handle: Any) -> None:
        self._handle = handle
        super().__init__(device)

    def _release(self) -> None:
        self._api.destroy_graph(self._handle)


class Device:
    """A device in use, and the owner of what is made by it; made by `open_device`.

    Attributes:
        index: among the devices that CUDA sees.
        properties: what it says of itself.
        binding: name and version of the Python binding, such as "cuda-bindings 13.5.0".
        graphs: whether the binding has CUDA graphs.
    """

    def __init__(self, binding: Binding, index: int) -> None:
        self._api = binding
        self._owned: dict[int, _Owned] = {}
        self.index = index
        self.binding = f"{binding.name} {binding.version}"
        self.graphs = binding.graphs
        self._open = False
        try:
            self.properties = binding.open(index)
        except BaseException:
            with contextlib.suppress(DeploykitError):
                binding.close()
            raise
        self._open = True

    def buffer(self, nbytes: int) -> DeviceBuffer:
        """Memory on the device.

        Raises:
            DeviceMemoryExhausted: there is not that much.
        """
        return DeviceBuffer(self, nbytes)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> PinnedArray:
        """An array in page-locked host memory; its values are not set."""
        return PinnedArray(self, shape, dtype)

    def stream(self) -> Stream:
        """A stream of its own."""
        return Stream(self)

    def event(self) -> Event:
        """An event that takes the time."""
        return Event(self)

    def memory(self) -> DeviceMemory:
        """Free and total memory now, as CUDA counts it for all processes."""
        return DeviceMemory(*self._api.memory())

    def synchronise(self) -> None:
        """Wait for all work on the device."""
        self._api.synchronise()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[None]:
        """Use the device in the calling thread, where that is not the one that opened it."""
        self._api.enter_thread(self.index)
        try:
            yield
        finally:
            self._api.leave_thread()

    def close(self) -> None:
        """Wait for the device and give back all that it made; a second call does nothing.

        Raises:
            DeploykitError: something went wrong, and nothing before; all of it is given back all the same.
        """
        if not self._open:
            return
        self._open = False
        with contextlib.ExitStack() as stack:
            stack.callback(self._give_back, self._api.close)
            for owned in list(self._owned.values()):
                stack.callback(owned.close)
            self._give_back(self._api.synchronise)

    def _give_back(self, call: Callable[[], None]) -> None:
        """Make a call of tidying up; its errors are left out after a call that failed, whose own was raised."""
        failed_before = self._api.failed
        try:
            call()
        except DeploykitError:
            if not failed_before:
                raise

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _closing(self.close, error)
