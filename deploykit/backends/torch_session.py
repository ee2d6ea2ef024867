"""Running PyTorch networks: eager or compiled, forward or forward and backward, where and by which clock."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from deploykit import env
from deploykit.backends.base import FORWARD, FORWARD_BACKWARD, Bound, SessionBase
from deploykit.errors import BuildFailed, DeploykitError, UsageError, one_line
from deploykit.row import Note
from deploykit.spec import DEVICE, END_TO_END, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds

_CACHE_NOTE = Note(
    "runtime",
    "kernels came from PyTorch's own cache, so build_s is not that of a whole compilation",
)


def _backward_note(loss: str) -> Note:
    """What a training pass is."""
    of = {
        "cross-entropy": "cross entropy with seeded labels",
        "l2": "half the sum of the squared outputs",
    }
    return Note(
        "runtime",
        f"forward_backward: train mode, {of[loss]}; gradients are dropped (set to none) outside the timed region, "
        "weights are not updated",
    )


#: Where PyTorch keeps whether float32 products may be rounded to TF32 or bfloat16, below `torch.backends`. Of some
#: releases (2.9 to 2.12) what is set for all does not reach the parts of cuDNN, whose own value is TF32: on an H200
#: convolutions of batch 128 had 57 dB then.
_PRODUCTS = (
    "",
    "cudnn.conv",
    "cudnn.rnn",
    "cuda.matmul",
    "mkldnn.conv",
    "mkldnn.rnn",
    "mkldnn.matmul",
)
#: Modes of `torch.compile` that capture CUDA graphs themselves.
CAPTURING_MODES = ("reduce-overhead", "max-autotune")
#: One run: takes the inputs, returns what it computed.
Step = Callable[..., Tensor]


def compute_float32_exactly(settings: Any = torch.backends) -> None:
    """Let products of float32 be those of float32 in this process.

    Args:
        settings: PyTorch's module of them, or what stands for it in tests.
    """
    for part in _parts(settings):
        part.fp32_precision = "ieee"


def float32_is_exact(settings: Any = torch.backends) -> bool:
    """Whether all of PyTorch's parts say that they round no product of float32."""
    return all(part.fp32_precision == "ieee" for part in _parts(settings))


def _parts(settings: Any) -> list[Any]:
    return [attrgetter(name)(settings) if name else settings for name in _PRODUCTS]


class Place(Protocol):
    """A device with its clock; `boundary` is what a sample spans there."""

    boundary: str

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a reader of the row should know of it."""

    def put(self, module: nn.Module) -> nn.Module:
        """The module, moved here."""

    def measure_as(self, boundary: str, *, cuda_graph: bool) -> None:
        """See `SessionBase.measure_as`."""

    def current(self) -> AbstractContextManager[Any]:
        """What runs need around them."""

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The inputs of a run, prepared as far as is not to be timed."""

    def bound(self, step: Step, inputs: tuple[Tensor, ...]) -> Bound:
        """Runs of a step on inputs that are prepared."""

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """What one run computes, on the host; not for timing."""

    def mark(self) -> Any:
        """The present moment, on the device's clock."""

    def ns_between(self, start: Any, end: Any) -> int:
        """Nanoseconds from one mark to another, of a run that is done."""

    def close(self) -> None:
        """Give back what runs took here, once networks, inputs and outputs are dropped."""


class Host:
    """The processor: a sample spans the call, from tensor to tensor in host memory.

    PyTorch allocates the outputs of each run anew, which is within the sample; they are freed outside it. In
    another type than float32, inputs are cast to it and the output back within the sample.

    Args:
        dtype: of the weights and of what is computed.
    """

    boundary = END_TO_END
    notes: tuple[Note, ...] = ()

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype

    def put(self, module: nn.Module) -> nn.Module:
        """The module in the type to compute in."""
        return module if self._dtype == torch.float32 else module.to(dtype=self._dtype)

    def measure_as(self, boundary: str, *, cuda_graph: bool) -> None:
        """Refuse all but host buffer to host buffer."""
        if boundary != END_TO_END or cuda_graph:
            raise UsageError(
                "PyTorch on the processor has neither --boundary device nor --cuda-graph: use --backend torch-cuda"
            )

    def current(self) -> AbstractContextManager[Any]:
        """Nothing."""
        return contextlib.nullcontext()

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """A copy of each array, as a tensor."""
        return tuple(torch.from_numpy(np.array(array)) for array in arrays.values())

    def _in_type(self, step: Step) -> Step:
        """The step on inputs of float32, with an output of float32."""
        if self._dtype == torch.float32:
            return step
        dtype = self._dtype

        def cast(*inputs: Tensor) -> Tensor:
            return step(*(i.to(dtype) if i.is_floating_point() else i for i in inputs)).float()

        return cast

    def bound(self, step: Step, inputs: tuple[Tensor, ...]) -> Bound:
        """The call; several inputs are spread out within it."""
        run = self._in_type(step)
        if len(inputs) == 1:
            return Bound(run, inputs[0])
        return Bound(lambda several: run(*several), inputs)

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output."""
        return self._in_type(step)(*inputs)

    def mark(self) -> int:
        """The performance counter."""
        return time.perf_counter_ns()

    def ns_between(self, start: int, end: int) -> int:
        """Their difference."""
        return end - start

    def close(self) -> None:
        """Nothing is kept."""


@dataclass
class _OnDevice:
    """One set of inputs: page-locked on the host, and on the device; the output in both, once it is known."""

    host: tuple[Tensor, ...]
    device: tuple[Tensor, ...]
    run: Callable[[], Tensor]
    fetched: Tensor


class Cuda:
    """The first NVIDIA device that CUDA shows, in a stream of its own.

    A sample spans copying the inputs from page-locked memory, the compute and copying the output back, or, as
    "device", the time between two events around the compute. Where runs are captured, each set of inputs has a CUDA
    graph of its own.

    Args:
        dtype: of the weights and of what is computed; inputs and outputs are float32, and cast on the device.
        channels_last: whether images lie in memory with their channels last.
        api: PyTorch's module of CUDA, or what stands for it in tests.
        device: its name.
    """

    boundary = END_TO_END
    _open: ClassVar[WeakSet[Cuda]] = WeakSet()

    def __init__(
        self,
        dtype: torch.dtype = torch.float32,
        *,
        channels_last: bool = False,
        api: Any = torch.cuda,
        device: str = "cuda:0",
    ) -> None:
        self._dtype, self._channels_last, self._api = dtype, channels_last, api
        self._device = torch.device(device)
        self._pins = self._device.type == "cuda"
        self._captures = False
        self._stream = api.Stream(device=self._device)
        self._marks = [api.Event(enable_timing=True) for _ in range(4)]
        Cuda._open.add(self)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What FP32 means here, how images lie in memory, and what PyTorch took of the device's memory."""
        used_mib = self._api.max_memory_allocated(self._device) / 2**20
        kept_mib = self._api.max_memory_reserved(self._device) / 2**20
        texts = [
            "TF32 is off: float32 products are those of float32"
            if float32_is_exact()
            else "float32 products may be rounded to TF32: this PyTorch did not take the setting",
            "images lie with their channels last" if self._channels_last else "",
            f"PyTorch used {used_mib:.0f} MiB of the device at most, of {kept_mib:.0f} MiB that it kept",
        ]
        return tuple(Note("runtime", text) for text in texts if text)

    def put(self, module: nn.Module) -> nn.Module:
        """The module on the device, in the type and layout to compute in."""
        moved = module.to(device=self._device, dtype=self._dtype)
        if not self._channels_last:
            return moved
        return moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def measure_as(self, boundary: str, *, cuda_graph: bool) -> None:
        """See `SessionBase.measure_as`."""
        self.boundary, self._captures = boundary, cuda_graph

    def another(self) -> Cuda:
        """The same device with another stream."""
        other = Cuda(
            self._dtype, channels_last=self._channels_last, api=self._api, device=str(self._device)
        )
        other.measure_as(self.boundary, cuda_graph=self._captures)
        return other

    def current(self) -> AbstractContextManager[Any]:
        """The stream, which is current in the thread that runs."""
        stream: AbstractContextManager[Any] = self._api.stream(self._stream)
        return stream

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Tensors in page-locked memory."""
        tensors = (torch.from_numpy(np.array(array)) for array in arrays.values())
        return tuple(tensor.pin_memory() if self._pins else tensor for tensor in tensors)

    def _cast(self, tensor: Tensor) -> Tensor:
        """An input as the network takes it."""
        if not tensor.is_floating_point():
            return tensor
        if self._channels_last and tensor.ndim == 4:
            return tensor.to(self._dtype, memory_format=torch.channels_last)
        return tensor.to(self._dtype)

    def _compute(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        return step(*map(self._cast, inputs)).float()

    def bound(self, step: Step, inputs: tuple[Tensor, ...]) -> Bound:
        """Runs in the stream, by the host's clock or by the device's events."""
        with self.current():
            device = tuple(tensor.to(self._device, copy=True) for tensor in inputs)
            run = partial(self._compute, step, device)
            output = run()  # compiles, allocates, and tells the output's shape
            self._stream.synchronize()
            fetched = torch.empty(output.shape, dtype=output.dtype, pin_memory=self._pins)
            one = _OnDevice(inputs, device, self._captured(run) if self._captures else run, fetched)
        start, end = self._marks[:2]

        def compute(one: _OnDevice) -> None:
            start.record(self._stream)
            one.run()
            end.record(self._stream)
            end.synchronize()

        if self.boundary == DEVICE:
            return Bound(compute, one, elapsed_ns=lambda: self.ns_between(start, end))
        return Bound(self._round_trip, one)

    def _captured(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """The same as a CUDA graph over the very tensors on the device.

        Raises:
            BuildFailed: the network can't be captured.
        """
        graph = self._api.CUDAGraph()
        try:
            for _ in range(3):  # libraries choose their kernels before
                run()
            self._stream.synchronize()
            with self._api.graph(graph, stream=self._stream):
                output = run()
        except RuntimeError as error:
            raise BuildFailed(
                f"PyTorch can't capture the network as a CUDA graph: {one_line(error)}; leave --cuda-graph out"
            ) from error

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def _copy_in(self, one: _OnDevice) -> None:
        for target, source in zip(one.device, one.host, strict=True):
            target.copy_(source, non_blocking=True)

    def _round_trip(self, one: _OnDevice) -> None:
        self._copy_in(one)
        one.fetched.copy_(one.run(), non_blocking=True)
        self._stream.synchronize()

    def phases_ms(self, bound: Bound) -> tuple[float, float, float, float]:
        """Of one run: copying in, compute, copying out, and enqueueing the compute."""
        one, marks = bound.argument, self._marks
        marks[0].record(self._stream)
        self._copy_in(one)
        marks[1].record(self._stream)
        start_ns = time.perf_counter_ns()
        output = one.run()
        enqueue_ms = (time.perf_counter_ns() - start_ns) / 1e6
        marks[2].record(self._stream)
        one.fetched.copy_(output, non_blocking=True)
        marks[3].record(self._stream)
        self._stream.synchronize()
        spans = [float(start.elapsed_time(end)) for start, end in itertools.pairwise(marks)]
        return spans[0], spans[1], spans[2], enqueue_ms

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output, copied to the host."""
        with self.current():
            on_device = (tensor.to(self._device, non_blocking=True) for tensor in inputs)
            return self._compute(step, tuple(on_device)).cpu()

    def mark(self) -> Any:
        """An event in the stream."""
        event = self._api.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def ns_between(self, start: Any, end: Any) -> int:
        """What the device counts between two events."""
        return int(start.elapsed_time(end) * 1e6)

    def close(self) -> None:
        """Give back the workspaces of cuBLAS, one for each stream: 34 MiB of each session on an H200.

        Graphs that were captured hold addresses of them, so they are kept while another session is open.
        """
        Cuda._open.discard(self)
        if not Cuda._open:
            getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()
            self._api.empty_cache()


def _l2(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the sum of the squared outputs, as TensorFlow's `l2_loss` is: the benchmarks of its day took it."""
    del labels
    return outputs.square().sum() / 2


#: What a training pass goes back from, by the values of `--option torch.loss`: (outputs, labels) to a scalar.
LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": nn.functional.cross_entropy,
    "l2": _l2,
}


class TorchSession(SessionBase):
    """One network, its inputs prepared once per set of feeds.

    Forward runs in eval mode under `torch.inference_mode`. Forward and backward runs in train mode, as a
    training step does: dropout drops, BatchNorm normalises by the batch; its running statistics are put back
    after each block, so that outputs stay those of the engine. `run` is always a forward pass.

    Args:
        module: the network, in eval mode.
        inputs, outputs: of the graph it belongs to.
        threads: to compute with; None is one per usable core.
        run_pass: "forward" or "forward_backward".
        compiled: whether to run what `torch.compile` makes of it, compiled at the first run of a shape.
        compile_mode: of `torch.compile`; None is its default.
        freeze: whether weights are constants to the compiler.
        loss: of `LOSSES`, what forward and backward goes back from.
        where: device and clock; None is the processor.

    Attributes:
        module: the network itself, not compiled, for hooks.
        compile_s: seconds of compilation up to now; None where nothing is compiled.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        threads: int | None = None,
        run_pass: str = FORWARD,
        compiled: bool = False,
        compile_mode: str | None = None,
        freeze: bool = False,
        loss: str = "cross-entropy",
        where: Place | None = None,
    ) -> None:
        # FP32 means FP32: neither TF32 nor sums in bfloat16.
        compute_float32_exactly()
        self.threads = threads or max(1, int(env.usable_cores()))
        torch.set_num_threads(self.threads)
        self._place: Place = where or Host()
        self.boundary = self._place.boundary
        self.enqueue = "when the last run is done" if isinstance(self._place, Cuda) else None
        self.module = self._place.put(module)
        self.inputs, self.outputs, self.run_pass = inputs, outputs, run_pass
        self._compile_mode, self._loss = compile_mode, loss
        self._call: Callable[..., Tensor] = (
            _compile(self.module, compile_mode, freeze=freeze) if compiled else self.module
        )
        self.compile_s = 0.0 if compiled else None
        self._from_cache = False
        self._compiled_for: set[tuple[torch.Size, ...]] = set()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a backward pass is, and whether compiling was spared."""
        notes = [_backward_note(self._loss)] if self.run_pass == FORWARD_BACKWARD else []
        if self._compile_mode is not None:
            notes.append(Note("runtime", f"torch.compile in mode {self._compile_mode}"))
        if self._from_cache:
            notes.append(_CACHE_NOTE)
        return (*notes, *self._place.notes)

    def share(self) -> TorchSession | None:
        """A session with a stream of its own on the same weights; what is compiled is compiled for each."""
        if self.compile_s is not None or not isinstance(self._place, Cuda):
            return None
        other = self._place.another()
        return TorchSession(
            self.module,
            self.inputs,
            self.outputs,
            threads=self.threads,
            run_pass=self.run_pass,
            where=other,
        )

    def measure_as(self, boundary: str | None, *, cuda_graph: bool) -> None:
        """See `SessionBase.measure_as`."""
        boundary = boundary or END_TO_END
        if cuda_graph and self.run_pass != FORWARD:
            raise UsageError(f"{self.run_pass} has no CUDA graph: leave --cuda-graph out")
        if cuda_graph and self._compile_mode in CAPTURING_MODES:
            raise UsageError(
                f"--compile-mode {self._compile_mode} captures CUDA graphs itself: leave --cuda-graph out"
            )
        self._place.measure_as(boundary, cuda_graph=cuda_graph)
        self.boundary = boundary

    def phases(self, feeds: Sequence[Feeds], runs: int) -> Mapping[str, NDArray[np.float64]] | None:
        """See `SessionBase.phases`; None on the processor and with a backward pass."""
        if not isinstance(self._place, Cuda) or self.run_pass != FORWARD:
            return None
        taken = np.zeros((runs, 4))
        with self.sampling():
            if feeds is not self._bound_for:
                self._bind_all(feeds)
            for i in range(runs):
                taken[i] = self._place.phases_ms(self._bound[i % len(self._bound)])
        return dict(zip(("h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms"), taken.T, strict=True))

    def mark(self) -> Any:
        """The present moment on the clock of the device that computes."""
        return self._place.mark()

    def ns_between(self, start: Any, end: Any) -> int:
        """Nanoseconds from one mark to another, of a run that is done."""
        return int(self._place.ns_between(start, end))

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name, of a forward pass."""
        inputs = self._place.bind(self._in_order(feeds))
        with torch.inference_mode():
            output = self._place.fetch(self._call, inputs)
        return {self.outputs[0].name: output.numpy()}

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """Train mode where there is a backward pass, with what it changes put back; else no autograd."""
        backward = self.run_pass == FORWARD_BACKWARD
        before = {n: v.clone() for n, v in self.module.named_buffers()} if backward else {}
        self.module.train(backward)
        try:
            with torch.inference_mode(not backward), self._place.current():
                yield
        finally:
            self.module.eval()
            if backward:
                self._put_back(before)

    def _in_order(self, feeds: Feeds) -> Mapping[str, Any]:
        return {spec.name: feeds[spec.name] for spec in self.inputs}

    def bind(self, feeds: Feeds) -> Bound:
        """Runs on inputs of its own; the first run of a shape compiles, which is not to be timed."""
        inputs = self._place.bind(self._in_order(feeds))
        batch = inputs[0].shape[0] if inputs[0].ndim else 1
        shapes = tuple(tensor.shape for tensor in inputs)
        hits, start_s = self._cache_hits(), time.perf_counter()
        try:
            if self.run_pass == FORWARD:
                bound = self._place.bound(self._call, inputs)
            else:
                bound = self._place.bound(self._training_step(batch), inputs)
                bound = replace(bound, prepare=_after(self._drop_gradients, bound.prepare))
            if shapes not in self._compiled_for:
                self._run_once(bound)
        except DeploykitError:
            raise
        except Exception as error:
            raise BuildFailed(
                f"PyTorch {torch.__version__} can't run {self.run_pass} at batch {batch}: "
                f"{one_line(error)}; try another batch or backend"
            ) from error
        if shapes not in self._compiled_for and self.compile_s is not None:
            self.compile_s += time.perf_counter() - start_s
            self._from_cache |= self._cache_hits() > hits
        self._compiled_for.add(shapes)
        return bound

    def _drop_gradients(self) -> None:
        self.module.zero_grad(set_to_none=True)

    def _run_once(self, bound: Bound) -> None:
        if bound.prepare is not None:
            bound.prepare()
        bound.run(bound.argument)
        if bound.elapsed_ns is not None:
            bound.elapsed_ns()

    def _cache_hits(self) -> int:
        """How often this process found a compiled graph in PyTorch's cache."""
        if self.compile_s is None:
            return 0
        from torch._dynamo.utils import counters

        return int(counters["inductor"]["fxgraph_cache_hit"])

    def _training_step(self, batch: int) -> Step:
        """Forward, loss and backward on one batch, with labels that are the same each time."""
        shape = self.outputs[0].shape
        classes = shape[-1] if len(shape) == 2 else None
        if not isinstance(classes, int):
            raise UsageError(
                f"forward_backward needs one row of class scores per image, the output is {list(shape)}: "
                "use --pass forward"
            )
        labels = torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(0))
        labels = labels.to(next(self.module.parameters()).device)
        loss_of = LOSSES[self._loss]

        def step(*inputs: Tensor) -> Tensor:
            loss = loss_of(self._call(*inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        return step

    def _put_back(self, before: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.module.named_buffers():
                value.copy_(before[name])

    def close(self) -> None:
        """Drop the network and its inputs."""
        super().close()
        self.module.zero_grad(set_to_none=True)
        del self._call, self.module
        self._place.close()


def _after(
    first: Callable[[], object], second: Callable[[], object] | None
) -> Callable[[], object]:
    """One call that does both, in their order."""
    if second is None:
        return first

    def both() -> None:
        first()
        second()

    return both


def _compile(
    module: nn.Module, mode: str | None = None, *, freeze: bool = False
) -> Callable[..., Tensor]:
    import torch._inductor.config as inductor

    # In this process: workers of its own would outlive it, and compete with what is measured.
    inductor.compile_threads = 1
    if freeze:  # a mode is a set of options, and PyTorch takes one or the other
        of_mode = torch._inductor.list_mode_options(mode) if mode not in (None, "default") else {}
        options = {**of_mode, "freezing": True}
        frozen: Callable[..., Tensor] = torch.compile(module, options=options)
        return frozen
    compiled: Callable[..., Tensor] = torch.compile(module, mode=mode)
    return compiled
