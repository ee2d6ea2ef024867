"""Running TensorRT engines on an NVIDIA device, through CUDA's own Python bindings.

Host buffers are page-locked and bound once; a sample spans copying the input to the device, the compute and
copying the outputs back (`boundary` "end_to_end"), or only the compute between two events ("device").
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.errors import BuildFailed, MissingDependency, one_line
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deploykit.backends.protocol import Feeds


def _import_cudart() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingDependency(
            'running TensorRT engines needs CUDA\'s Python bindings: pip install "deploykit[gpu]"'
        ) from error
    return runtime


@dataclass
class _Bound:
    """Device and host buffers of one set of inputs: (name, device address, host array, bytes)."""

    inputs: list[tuple[str, int, Any, int]] = field(default_factory=list)
    outputs: list[tuple[str, int, Any, int]] = field(default_factory=list)


class TensorRTSession:
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
        self._bound_for: Sequence[Feeds] | None = None
        self._bound: list[_Bound] = []

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
        import ctypes

        import numpy as np

        device = self._call("cudaMalloc", array.nbytes)
        address = self._call("cudaMallocHost", array.nbytes)
        buffer = (ctypes.c_uint8 * array.nbytes).from_address(int(address))
        host = np.frombuffer(buffer, dtype=array.dtype).reshape(array.shape)
        return int(device), host, array.nbytes

    def _bind(self, feeds: Feeds) -> _Bound:
        import numpy as np

        bound = _Bound()
        for name, array in feeds.items():
            device, host, size = self._allocate(array)
            host[...] = array
            bound.inputs.append((name, device, host, size))
            self._context.set_input_shape(name, tuple(array.shape))
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            device, host, size = self._allocate(np.empty(shape, dtype=spec.dtype))
            bound.outputs.append((spec.name, device, host, size))
        return bound

    def _point_to(self, bound: _Bound) -> None:
        for name, device, host, _ in bound.inputs:
            self._context.set_input_shape(name, tuple(host.shape))
            self._context.set_tensor_address(name, device)
        for name, device, _, _ in bound.outputs:
            self._context.set_tensor_address(name, device)

    def _copy(self, bound: _Bound, *, to_device: bool) -> None:
        kinds = self._cuda.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        for _, device, host, size in bound.inputs if to_device else bound.outputs:
            address = host.ctypes.data
            target, source = (device, address) if to_device else (address, device)
            self._call("cudaMemcpyAsync", target, source, size, kind, self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise BuildFailed("TensorRT could not start the engine; run it once more with its log")

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        bound = self._bind(feeds)
        try:
            self._point_to(bound)
            self._copy(bound, to_device=True)
            self._enqueue()
            self._copy(bound, to_device=False)
            self._call("cudaStreamSynchronize", self._stream)
            return {name: host.copy() for name, _, host, _ in bound.outputs}
        finally:
            self._free(bound)

    def sample(self, feeds: Sequence[Feeds], n: int) -> NDArray[np.int64]:
        """Nanoseconds of `n` runs, the sets of `feeds` taking turns."""
        import numpy as np

        if feeds is not self._bound_for:
            self._unbind()
            self._bound = [self._bind(one) for one in feeds]
            for bound in self._bound:
                self._copy(bound, to_device=True)
            self._call("cudaStreamSynchronize", self._stream)
            self._bound_for = feeds
        samples_ns = np.zeros(n, dtype=np.int64)
        one = self._sample_device if self.boundary == "device" else self._sample_end_to_end
        for i in range(n):
            bound = self._bound[i % len(self._bound)]
            self._point_to(bound)
            samples_ns[i] = one(bound)
        return samples_ns

    def _sample_end_to_end(self, bound: _Bound) -> int:
        start_ns = time.perf_counter_ns()
        self._copy(bound, to_device=True)
        self._enqueue()
        self._copy(bound, to_device=False)
        self._call("cudaStreamSynchronize", self._stream)
        return time.perf_counter_ns() - start_ns

    def _sample_device(self, bound: _Bound) -> int:
        start, end = self._events
        self._call("cudaEventRecord", start, self._stream)
        self._enqueue()
        self._call("cudaEventRecord", end, self._stream)
        self._call("cudaEventSynchronize", end)
        return int(self._call("cudaEventElapsedTime", start, end) * 1e6)

    def _free(self, bound: _Bound) -> None:
        for _, device, host, _ in [*bound.inputs, *bound.outputs]:
            self._call("cudaFree", device)
            self._call("cudaFreeHost", host.ctypes.data)

    def _unbind(self) -> None:
        for bound in self._bound:
            self._free(bound)
        self._bound, self._bound_for = [], None

    def close(self) -> None:
        """Free the device's memory."""
        self._unbind()
        del self._context, self._engine
        self._call("cudaStreamDestroy", self._stream)
