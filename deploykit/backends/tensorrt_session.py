"""Running TensorRT engines on an NVIDIA device, through CUDA's own Python bindings.

Host buffers are page-locked and buffers once; a sample spans copying the input to the device, the compute and
copying the outputs back (`boundary` "end_to_end"), or only the compute between two events ("device").
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.backends.base import Bound, SessionBase
from deploykit.errors import BuildFailed, MissingDependency, one_line
from deploykit.lazy import install_line, np
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds


def _import_cudart() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingDependency(
            f"running TensorRT engines needs CUDA's Python bindings: {install_line('gpu')}"
        ) from error
    return runtime


@dataclass
class _Buffers:
    """Device and host buffers of one set of inputs: (name, device address, host array, bytes)."""

    inputs: list[tuple[str, int, Any, int]] = field(default_factory=list)
    outputs: list[tuple[str, int, Any, int]] = field(default_factory=list)


class TensorRTSession(SessionBase):
    """One engine on the first device.

    Args:
        trt: the imported TensorRT module.
        path: the serialised engine.
        boundary: "end_to_end" or "device".
    """

    def __init__(self, trt: Any, path: Path, boundary: str = "end_to_end") -> None:
        self._trt, self._cuda, self.boundary = trt, _import_cudart(), boundary
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise BuildFailed(
                f"{path} does not load with {trt.__name__} {trt.__version__} on this device: build it again here"
            )
        self._context = self._engine.create_execution_context()
        self._stream = self._call("cudaStreamCreate")
        self._events = [self._call("cudaEventCreate") for _ in range(2)]
        specs = [self._spec(i) for i in range(self._engine.num_io_tensors)]
        is_input = trt.TensorIOMode.INPUT
        mode = self._engine.get_tensor_mode
        self.inputs = tuple(s for s in specs if mode(s.name) == is_input)
        self.outputs = tuple(s for s in specs if mode(s.name) != is_input)

    def _call(self, function: str, *arguments: Any) -> Any:
        error, *values = getattr(self._cuda, function)(*arguments)
        if int(error) != 0:
            raise BuildFailed(f"{function} failed on the device: {one_line(error)}")
        return values[0] if values else None

    def _spec(self, index: int) -> TensorSpec:
        name = self._engine.get_tensor_name(index)
        shape = tuple("batch" if d == -1 else int(d) for d in self._engine.get_tensor_shape(name))
        dtype = self._trt.nptype(self._engine.get_tensor_dtype(name))
        return TensorSpec(name, shape, dtype.__name__)

    def _allocate(self, array: Any) -> tuple[int, Any, int]:
        """A device buffer and a page-locked host array as large as `array`."""
        device = self._call("cudaMalloc", array.nbytes)
        address = self._call("cudaMallocHost", array.nbytes)
        buffer = (ctypes.c_uint8 * array.nbytes).from_address(int(address))
        host = np.frombuffer(buffer, dtype=array.dtype).reshape(array.shape)
        return int(device), host, array.nbytes

    def _allocated(self, feeds: Feeds) -> _Buffers:
        buffers = _Buffers()
        for name, array in feeds.items():
            device, host, size = self._allocate(array)
            host[...] = array
            buffers.inputs.append((name, device, host, size))
            self._context.set_input_shape(name, tuple(array.shape))
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            device, host, size = self._allocate(np.empty(shape, dtype=spec.dtype))
            buffers.outputs.append((spec.name, device, host, size))
        return buffers

    def _point_to(self, buffers: _Buffers) -> None:
        for name, device, host, _ in buffers.inputs:
            self._context.set_input_shape(name, tuple(host.shape))
            self._context.set_tensor_address(name, device)
        for name, device, _, _ in buffers.outputs:
            self._context.set_tensor_address(name, device)

    def _copy(self, buffers: _Buffers, *, to_device: bool) -> None:
        kinds = self._cuda.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        for _, device, host, size in buffers.inputs if to_device else buffers.outputs:
            address = host.ctypes.data
            target, source = (device, address) if to_device else (address, device)
            self._call("cudaMemcpyAsync", target, source, size, kind, self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise BuildFailed("TensorRT could not start the engine; run it once more with its log")

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        buffers = self._allocated(feeds)
        try:
            self._point_to(buffers)
            self._copy(buffers, to_device=True)
            self._enqueue()
            self._copy(buffers, to_device=False)
            self._call("cudaStreamSynchronize", self._stream)
            return {name: host.copy() for name, _, host, _ in buffers.outputs}
        finally:
            self._free(buffers)

    def bind(self, feeds: Feeds) -> Bound:
        """Buffers of its own on the host and on the device, where the inputs are already."""
        buffers = self._allocated(feeds)
        self._copy(buffers, to_device=True)
        self._call("cudaStreamSynchronize", self._stream)
        on_device = self.boundary == "device"
        return Bound(
            self._compute if on_device else self._round_trip,
            buffers,
            prepare=partial(self._point_to, buffers),
            elapsed_ns=self._event_ns if on_device else None,
            release=partial(self._free, buffers),
        )

    def _round_trip(self, buffers: _Buffers) -> None:
        self._copy(buffers, to_device=True)
        self._enqueue()
        self._copy(buffers, to_device=False)
        self._call("cudaStreamSynchronize", self._stream)

    def _compute(self, buffers: _Buffers) -> None:
        start, end = self._events
        self._call("cudaEventRecord", start, self._stream)
        self._enqueue()
        self._call("cudaEventRecord", end, self._stream)
        self._call("cudaEventSynchronize", end)

    def _event_ns(self) -> int:
        return int(self._call("cudaEventElapsedTime", *self._events) * 1e6)

    def _free(self, buffers: _Buffers) -> None:
        for _, device, host, _ in [*buffers.inputs, *buffers.outputs]:
            self._call("cudaFree", device)
            self._call("cudaFreeHost", host.ctypes.data)

    def close(self) -> None:
        """Free the device's memory."""
        super().close()
        del self._context, self._engine
        self._call("cudaStreamDestroy", self._stream)
