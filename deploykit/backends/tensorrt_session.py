"""Running TensorRT engines on an NVIDIA device, through `deploykit.cuda`.

Host buffers are page-locked and buffers allocated once; a sample spans copying the input to the device, the compute
and copying the outputs back (`boundary` "end_to_end"), or only the compute between two events ("device").
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.backends.base import Bound, SessionBase
from deploykit.cuda import DeviceBuffer, PinnedArray, open_device
from deploykit.errors import BuildFailed
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds


@dataclass
class _Buffers:
    """Device and host buffers of one set of inputs, by the name of the tensor."""

    inputs: dict[str, tuple[DeviceBuffer, PinnedArray]] = field(default_factory=dict)
    outputs: dict[str, tuple[DeviceBuffer, PinnedArray]] = field(default_factory=dict)

    def release(self) -> None:
        """Give all of them back."""
        for device, host in (*self.inputs.values(), *self.outputs.values()):
            device.close()
            host.close()


class TensorRTSession(SessionBase):
    """One engine on the first device that CUDA sees.

    Args:
        trt: the imported TensorRT module.
        path: the serialised engine.
        boundary: "end_to_end" or "device".
    """

    def __init__(self, trt: Any, path: Path, boundary: str = "end_to_end") -> None:
        self._trt, self.boundary = trt, boundary
        with contextlib.ExitStack() as opened:
            self._device = opened.enter_context(open_device())
            self._load(path)
            opened.pop_all()

    def _load(self, path: Path) -> None:
        trt = self._trt
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise BuildFailed(
                f"{path} does not load with {trt.__name__} {trt.__version__} on this device: build it again here"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise BuildFailed(
                f"{path} has no room to run on this device; take a smaller batch or fewer streams"
            )
        self._stream = self._device.stream()
        self._start, self._end = self._device.event(), self._device.event()
        specs = [self._spec(i) for i in range(self._engine.num_io_tensors)]
        is_input = trt.TensorIOMode.INPUT
        mode = self._engine.get_tensor_mode
        self.inputs = tuple(s for s in specs if mode(s.name) == is_input)
        self.outputs = tuple(s for s in specs if mode(s.name) != is_input)

    def _spec(self, index: int) -> TensorSpec:
        name = self._engine.get_tensor_name(index)
        shape = tuple("batch" if d == -1 else int(d) for d in self._engine.get_tensor_shape(name))
        dtype = self._trt.nptype(self._engine.get_tensor_dtype(name))
        return TensorSpec(name, shape, dtype.__name__)

    def _pair(self, shape: tuple[int, ...], dtype: Any) -> tuple[DeviceBuffer, PinnedArray]:
        """A device buffer and a page-locked host array of the same size."""
        host = self._device.pinned(shape, dtype)
        try:
            return self._device.buffer(host.nbytes), host
        except BaseException:
            host.close()
            raise

    def _allocated(self, feeds: Feeds) -> _Buffers:
        buffers = _Buffers()
        try:
            for name, array in feeds.items():
                buffers.inputs[name] = self._pair(tuple(array.shape), array.dtype)
                buffers.inputs[name][1].array[...] = array
                self._set_shape(name, tuple(array.shape))
            for spec in self.outputs:
                shape = tuple(self._context.get_tensor_shape(spec.name))
                buffers.outputs[spec.name] = self._pair(shape, spec.dtype)
        except BaseException:
            buffers.release()
            raise
        return buffers

    def _set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._context.set_input_shape(name, shape):
            raise BuildFailed(
                f"the engine does not take input {name} as {list(shape)}: build it for that batch"
            )

    def _point_to(self, buffers: _Buffers) -> None:
        for name, (_, host) in buffers.inputs.items():
            self._set_shape(name, tuple(host.array.shape))
        for name, (device, _) in (*buffers.inputs.items(), *buffers.outputs.items()):
            if not self._context.set_tensor_address(name, device.address):
                raise BuildFailed(f"the engine does not take an address for tensor {name}")

    def _copy_in(self, buffers: _Buffers) -> None:
        for device, host in buffers.inputs.values():
            self._stream.copy(device, host)

    def _copy_out(self, buffers: _Buffers) -> None:
        for device, host in buffers.outputs.values():
            self._stream.copy(host, device)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.pointer):
            raise BuildFailed("TensorRT could not start the engine; run it once more with its log")

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        buffers = self._allocated(feeds)
        try:
            self._point_to(buffers)
            self._round_trip(buffers)
            return {name: host.array.copy() for name, (_, host) in buffers.outputs.items()}
        finally:
            buffers.release()

    def bind(self, feeds: Feeds) -> Bound:
        """Buffers of its own on the host and on the device, where the inputs are already."""
        buffers = self._allocated(feeds)
        self._copy_in(buffers)
        self._stream.synchronise()
        on_device = self.boundary == "device"
        return Bound(
            self._compute if on_device else self._round_trip,
            buffers,
            prepare=partial(self._point_to, buffers),
            elapsed_ns=self._event_ns if on_device else None,
            release=buffers.release,
        )

    def _round_trip(self, buffers: _Buffers) -> None:
        self._copy_in(buffers)
        self._enqueue()
        self._copy_out(buffers)
        self._stream.synchronise()

    def _compute(self, buffers: _Buffers) -> None:
        self._stream.record(self._start)
        self._enqueue()
        self._stream.record(self._end)
        self._end.synchronise()

    def _event_ns(self) -> int:
        return int(self._end.ms_since(self._start) * 1e6)

    def close(self) -> None:
        """Give back the device's memory, streams and events."""
        super().close()
        self._context = self._engine = None
        self._device.close()
