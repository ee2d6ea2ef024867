"""Runs in a stream of an NVIDIA device: buffers, copies and marks, whatever library computes between them.

Host buffers are page-locked, and all buffers are allocated once for a set of inputs. A sample spans copying the
inputs to the device, the compute and copying the outputs back (`boundary` "end_to_end"), or only the compute
between two events ("device"). A run is enqueued when the last one is done.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploykit.backends.base import Bound, SessionBase
from deploykit.cuda import Device, DeviceBuffer, PinnedArray
from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds
    from deploykit.spec import TensorSpec

#: Columns of the parts of a run, in the order of the marks between them.
_PARTS = ("h2d_ms", "compute_ms", "d2h_ms")


@dataclass
class Buffers:
    """Device and host buffers of one set of inputs, by the name of the tensor.

    `bound` is what the library that computes keeps for them.
    """

    inputs: dict[str, tuple[DeviceBuffer, PinnedArray]] = field(default_factory=dict)
    outputs: dict[str, tuple[DeviceBuffer, PinnedArray]] = field(default_factory=dict)
    bound: Any = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the inputs."""
        return {name: tuple(host.array.shape) for name, (_, host) in self.inputs.items()}

    def release(self) -> None:
        """Give all of them back."""
        self.bound = None
        for device, host in (*self.inputs.values(), *self.outputs.values()):
            device.close()
            host.close()


class DeviceSession(SessionBase):
    """One engine on one device, with a stream of its own; a subclass says what computes.

    Args:
        device: that the session opened, and closes at its end.
    """

    enqueue: str | None = "when the last run is done"

    def __init__(self, device: Device) -> None:
        self._device = device
        self._thread = threading.get_ident()
        self._scratch: Buffers | None = None
        try:
            self._stream = device.stream()
            self._marks = [device.event() for _ in range(4)]
        except BaseException:
            device.close()
            raise

    @abstractmethod
    def _attach(self, buffers: Buffers) -> Mapping[str, tuple[tuple[int, ...], Any]]:
        """Tell the library of the inputs' buffers; the shape and type of each output that follow."""

    @abstractmethod
    def _attach_outputs(self, buffers: Buffers) -> None:
        """Tell the library of the outputs' buffers."""

    @abstractmethod
    def _launch(self, buffers: Buffers) -> None:
        """Enqueue one run into the session's stream."""

    def _ready(self, buffers: Buffers) -> None:
        """Prepare buffers for runs that are timed, before the first of them."""

    def _least_batch(self) -> int:
        """The least batch that the engine takes; smaller ones are filled up for runs that are not timed."""
        return 1

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """The device is current in the thread that samples."""
        if threading.get_ident() == self._thread:
            yield
            return
        with self._device.in_thread():
            yield

    def _pair(self, shape: tuple[int, ...], dtype: Any) -> tuple[DeviceBuffer, PinnedArray]:
        """A device buffer and a page-locked host array of its size."""
        host = self._device.pinned(shape, dtype)
        try:
            return self._device.buffer(host.nbytes), host
        except BaseException:
            host.close()
            raise

    def _checked(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """The feeds by input.

        Raises:
            UsageError: one is missing or of another type.
        """
        checked = {}
        for spec in self.inputs:
            if spec.name not in feeds:
                raise UsageError(f"the engine's input {spec.name} is not fed")
            array = np.asarray(feeds[spec.name])
            if array.dtype.name != spec.dtype:
                raise UsageError(f"input {spec.name} takes {spec.dtype}, not {array.dtype.name}")
            checked[spec.name] = array
        return checked

    def _allocated(self, feeds: Mapping[str, NDArray[Any]]) -> Buffers:
        """Buffers for feeds of these shapes, with the feeds in those of the host."""
        buffers = Buffers()
        try:
            for name, array in feeds.items():
                buffers.inputs[name] = self._pair(tuple(array.shape), array.dtype)
                buffers.inputs[name][1].array[...] = array
            self._copy_in(buffers)
            self._stream.synchronise()
            for name, (shape, dtype) in self._attach(buffers).items():
                buffers.outputs[name] = self._pair(shape, dtype)
            self._attach_outputs(buffers)
        except BaseException:
            buffers.release()
            raise
        return buffers

    def _copy_in(self, buffers: Buffers) -> None:
        for device, host in buffers.inputs.values():
            self._stream.copy(device, host)

    def _copy_out(self, buffers: Buffers) -> None:
        for device, host in buffers.outputs.values():
            self._stream.copy(host, device)

    def _round_trip(self, buffers: Buffers) -> None:
        self._copy_in(buffers)
        self._launch(buffers)
        self._copy_out(buffers)
        self._stream.synchronise()

    def _compute(self, buffers: Buffers) -> None:
        start, end = self._marks[:2]
        self._stream.record(start)
        self._launch(buffers)
        self._stream.record(end)
        end.synchronise()

    def _event_ns(self) -> int:
        return int(self._marks[1].ms_since(self._marks[0]) * 1e6)

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name; a batch below the least that the engine takes is filled up, and cut off again."""
        count, filled = self._filled(self._checked(feeds))
        buffers = self._scratch
        if buffers is None or buffers.shapes != {n: tuple(a.shape) for n, a in filled.items()}:
            self._drop_scratch()
            buffers = self._scratch = self._allocated(filled)
        for name, array in filled.items():
            buffers.inputs[name][1].array[...] = array
        self._round_trip(buffers)
        outputs = {name: host.array.copy() for name, (_, host) in buffers.outputs.items()}
        if count is None:
            return outputs
        axes = {spec.name: _axis_of_batch(spec, self.inputs) for spec in self.outputs}
        return {
            name: values
            if (axis := axes.get(name)) is None
            else np.take(values, range(count), axis)
            for name, values in outputs.items()
        }

    def _filled(
        self, feeds: Mapping[str, NDArray[Any]]
    ) -> tuple[int | None, Mapping[str, NDArray[Any]]]:
        """Feeds with as many entries as the engine takes at least, and how many there were; None where enough."""
        count: int | None = None
        filled = dict(feeds)
        for spec in self.inputs:
            axis, array = spec.batch_axis, feeds[spec.name]
            if axis is None or array.ndim <= axis:
                continue
            missing = self._least_batch() - array.shape[axis]
            if missing > 0 and array.shape[axis]:
                count = int(array.shape[axis])
                last = np.take(array, [-1], axis)
                filled[spec.name] = np.concatenate([array, np.repeat(last, missing, axis)], axis)
        return count, filled

    def _drop_scratch(self) -> None:
        if self._scratch is not None:
            self._scratch.release()
            self._scratch = None

    def bind(self, feeds: Feeds) -> Bound:
        """Buffers of its own on the host and on the device, where the inputs are already; it runs once."""
        buffers = self._allocated(self._checked(feeds))
        try:
            self._ready(buffers)
            self._round_trip(buffers)
        except BaseException:
            buffers.release()
            raise
        on_device = self.boundary == "device"
        return Bound(
            self._compute if on_device else self._round_trip,
            buffers,
            elapsed_ns=self._event_ns if on_device else None,
            release=buffers.release,
        )

    def phases(self, feeds: Sequence[Feeds], runs: int) -> dict[str, NDArray[np.float64]]:
        """Milliseconds of the parts of `runs` runs, and of enqueueing the compute, by the column of each."""
        taken = {name: np.zeros(runs) for name in (*_PARTS, "enqueue_ms")}
        marks, stream = self._marks, self._stream
        with self.sampling():
            if feeds is not self._bound_for:
                self._bind_all(feeds)
            for i in range(runs):
                buffers = self._bound[i % len(self._bound)].argument
                stream.record(marks[0])
                self._copy_in(buffers)
                stream.record(marks[1])
                start_ns = time.perf_counter_ns()
                self._launch(buffers)
                taken["enqueue_ms"][i] = (time.perf_counter_ns() - start_ns) / 1e6
                stream.record(marks[2])
                self._copy_out(buffers)
                stream.record(marks[3])
                stream.synchronise()
                for name, (start, end) in zip(_PARTS, itertools.pairwise(marks), strict=True):
                    taken[name][i] = end.ms_since(start)
        return taken

    def close(self) -> None:
        """Give back buffers, stream and device."""
        try:
            super().close()
            self._drop_scratch()
        finally:
            self._device.close()


def _axis_of_batch(output: TensorSpec, inputs: Sequence[TensorSpec]) -> int | None:
    """The axis of an output that has an entry for each of the batch; None where none has the batch's name."""
    batches = {spec.shape[axis] for spec in inputs if (axis := spec.batch_axis) is not None}
    return next((axis for axis, dim in enumerate(output.shape) if dim in batches and dim), None)
