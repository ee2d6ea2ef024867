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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploykit.backends.base import Bound, SessionBase
from deploykit.cuda import Device, DeviceBuffer, Graph, PinnedArray
from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds
    from deploykit.spec import TensorSpec

#: Columns of the parts of a run, in the order of the marks between them.
_PARTS = ("h2d_ms", "compute_ms", "d2h_ms")


@dataclass
class Pair:
    """A tensor's page-locked host array and its buffer on the device; None where the library reads the host's."""

    host: PinnedArray
    device: DeviceBuffer | None

    @property
    def address(self) -> int:
        """What the library is told."""
        return self.host.address if self.device is None else self.device.address

    def release(self) -> None:
        """Give both back."""
        if self.device is not None:
            self.device.close()
        self.host.close()


@dataclass
class Buffers:
    """Those of one set of inputs, by the name of the tensor.

    `bound` is what the library that computes keeps for them, `graph` a run of them that was captured.
    """

    inputs: dict[str, Pair] = field(default_factory=dict)
    outputs: dict[str, Pair] = field(default_factory=dict)
    bound: Any = None
    graph: Graph | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the inputs."""
        return {name: tuple(pair.host.array.shape) for name, pair in self.inputs.items()}

    def release(self) -> None:
        """Give all of them back."""
        self.bound = None
        if self.graph is not None:
            self.graph.close()
        for pair in (*self.inputs.values(), *self.outputs.values()):
            pair.release()


class DeviceSession(SessionBase):
    """One engine on one device, with a stream of its own; a subclass says what computes.

    Args:
        device: whose the buffers are.
        at_end: called after the session gave back all that it made, to close what it owns: the device, say.
    """

    enqueue: str | None = "when the last run is done"

    def __init__(self, device: Device, at_end: Callable[[], object] | None) -> None:
        self._device = device
        self._thread = threading.get_ident()
        self._scratch: Buffers | None = None
        self._owned: contextlib.ExitStack = contextlib.ExitStack()
        if at_end is not None:
            self._owned.callback(at_end)
        try:
            self._stream = self._owned.enter_context(device.stream())
            self._marks = [self._owned.enter_context(device.event()) for _ in range(4)]
        except BaseException:
            self._owned.close()
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

    def _check_shapes(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Refuse feeds of shapes that the engine does not take, before anything is allocated for them."""

    def _is_read_on_host(self, name: str) -> bool:
        """Whether the library takes a tensor from the host's memory."""
        return False

    def _preparation(self, buffers: Buffers) -> Callable[[], object] | None:
        """What is to be done before each run of buffers, outside of what is timed; None where there is nothing."""
        return None

    def _ready(self, buffers: Buffers) -> None:
        """Prepare buffers for runs that are timed, before the first of them."""

    def _least_batch(self, spec: TensorSpec) -> int:
        """The least batch of an input that the engine takes; smaller ones are filled up for untimed runs."""
        return 1

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """The device is current in the thread that samples."""
        if threading.get_ident() == self._thread:
            yield
            return
        with self._device.in_thread():
            yield

    def _pair(self, name: str, shape: tuple[int, ...], dtype: Any) -> Pair:
        """Buffers for a tensor."""
        host = self._device.pinned(shape, dtype)
        try:
            return Pair(
                host, None if self._is_read_on_host(name) else self._device.buffer(host.nbytes)
            )
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
        self._check_shapes(feeds)
        buffers = Buffers()
        try:
            for name, array in feeds.items():
                pair = buffers.inputs[name] = self._pair(name, tuple(array.shape), array.dtype)
                pair.host.array[...] = array
            for name, (shape, dtype) in self._attach(buffers).items():
                buffers.outputs[name] = self._pair(name, shape, dtype)
            self._attach_outputs(buffers)
        except BaseException:
            buffers.release()
            raise
        return buffers

    def _copy_in(self, buffers: Buffers) -> None:
        for pair in buffers.inputs.values():
            if pair.device is not None:
                self._stream.copy(pair.device, pair.host)

    def _copy_out(self, buffers: Buffers) -> None:
        for pair in buffers.outputs.values():
            if pair.device is not None:
                self._stream.copy(pair.host, pair.device)

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
            buffers.inputs[name].host.array[...] = array
        prepare = self._preparation(buffers)
        if prepare is not None:
            prepare()
        self._round_trip(buffers)
        outputs = {name: pair.host.array.copy() for name, pair in buffers.outputs.items()}
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
            missing = self._least_batch(spec) - array.shape[axis]
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
            prepare=self._preparation(buffers),
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
                bound = self._bound[i % len(self._bound)]
                if bound.prepare is not None:
                    bound.prepare()
                buffers = bound.argument
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
        """Give back buffers and stream, and what the session owns."""
        try:
            super().close()
            self._drop_scratch()
        finally:
            self._owned.close()


def _axis_of_batch(output: TensorSpec, inputs: Sequence[TensorSpec]) -> int | None:
    """The axis of an output that has an entry for each of the batch; None where none has the batch's name."""
    batches = {spec.shape[axis] for spec in inputs if (axis := spec.batch_axis) is not None}
    return next((axis for axis, dim in enumerate(output.shape) if dim in batches and dim), None)
