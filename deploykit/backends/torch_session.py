"""Running PyTorch networks: eager or compiled, forward or forward and backward, where and by which clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from deploykit import env
from deploykit.backends.base import FORWARD, FORWARD_BACKWARD, Bound, SessionBase
from deploykit.errors import BuildFailed, UsageError, one_line
from deploykit.row import Note
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds

_BACKWARD_NOTE = Note(
    "runtime",
    "forward_backward: train mode, cross entropy with seeded labels; gradients are dropped "
    "(set to none) outside the timed region, weights are not updated",
)
_CACHE_NOTE = Note(
    "runtime",
    "kernels came from PyTorch's own cache, so build_s is not that of a whole compilation",
)

#: One run: takes the inputs, returns what it computed.
Step = Callable[..., Tensor]


class Place(Protocol):
    """A device with its clock; `boundary` is what a sample spans there."""

    boundary: str

    def put(self, module: nn.Module) -> nn.Module:
        """The module, moved here."""

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The inputs of a run, prepared as far as is not to be timed."""

    def bound(self, step: Step, inputs: tuple[Tensor, ...]) -> Bound:
        """Runs of a step on inputs that are prepared."""

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """What one run computes, on the host; not for timing."""


class Host:
    """The processor: a sample spans the call, from tensor to tensor in host memory.

    PyTorch allocates the outputs of each run anew, which is within the sample; they are freed outside it.
    """

    boundary = "end_to_end"

    def put(self, module: nn.Module) -> nn.Module:
        """The module as it is."""
        return module

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """A copy of each array, as a tensor."""
        return tuple(torch.from_numpy(np.array(array)) for array in arrays.values())

    def bound(self, step: Step, inputs: tuple[Tensor, ...]) -> Bound:
        """The call; several inputs are spread out within it."""
        if len(inputs) == 1:
            return Bound(step, inputs[0])
        return Bound(lambda several: step(*several), inputs)

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output."""
        return step(*inputs)


class Cuda:
    """The first NVIDIA device.

    Args:
        boundary: "end_to_end" spans copying the inputs from page-locked memory, the compute and copying the
            output back; "device" is the time between two events around the compute.
    """

    def __init__(self, boundary: str = "end_to_end") -> None:
        self.boundary = boundary
        self._device = torch.device("cuda:0")
        self._events: list[Any] = [
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        ]

    def put(self, module: nn.Module) -> nn.Module:
        """The module on the device."""
        return module.to(self._device)

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Tensors in page-locked memory, or on the device where copying is not timed."""
        tensors = (torch.from_numpy(np.array(array)).pin_memory() for array in arrays.values())
        if self.boundary == "device":
            return tuple(tensor.to(self._device) for tensor in tensors)
        return tuple(tensors)

    def bound(self, step: Step, inputs: tuple[Tensor, ...]) -> Bound:
        """Runs that begin on an idle device, by the host's clock or by the device's events."""
        synchronise = partial(torch.cuda.synchronize, self._device)
        start, end = self._events

        def compute(_: object) -> None:
            start.record()
            step(*inputs)
            end.record()
            end.synchronize()

        def round_trip(_: object) -> Tensor:
            output = self.fetch(step, inputs)
            synchronise()
            return output

        if self.boundary == "device":
            return Bound(compute, None, synchronise, lambda: int(start.elapsed_time(end) * 1e6))
        return Bound(round_trip, None, synchronise)

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output, copied to the host."""
        return step(*(tensor.to(self._device, non_blocking=True) for tensor in inputs)).cpu()


def place() -> Place:
    """The first NVIDIA device where PyTorch sees one, else the processor."""
    return Cuda() if torch.cuda.is_available() else Host()


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
        where: device and clock; None takes the first NVIDIA device where PyTorch sees one, else the processor.

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
        where: Place | None = None,
    ) -> None:
        # FP32 means FP32: neither TF32 nor sums in bfloat16.
        torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
        self.threads = threads or max(1, int(env.usable_cores()))
        torch.set_num_threads(self.threads)
        self._place = where or place()
        self.boundary = self._place.boundary
        self.module = self._place.put(module)
        self.inputs, self.outputs, self.run_pass = inputs, outputs, run_pass
        self._call: Callable[..., Tensor] = _compile(self.module) if compiled else self.module
        self.compile_s = 0.0 if compiled else None
        self._from_cache = False
        self._compiled_for: set[tuple[torch.Size, ...]] = set()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a backward pass is, and whether compiling was spared."""
        notes = [_BACKWARD_NOTE] if self.run_pass == FORWARD_BACKWARD else []
        return (*notes, _CACHE_NOTE) if self._from_cache else tuple(notes)

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
            with torch.inference_mode(not backward):
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
        if self.run_pass == FORWARD:
            bound = self._place.bound(self._call, inputs)
        else:
            bound = self._place.bound(self._training_step(batch), inputs)
            bound = replace(bound, prepare=_after(self._drop_gradients, bound.prepare))
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._compiled_for:
            self._compile_by_running(bound, batch)
            self._compiled_for.add(shapes)
        return bound

    def _drop_gradients(self) -> None:
        self.module.zero_grad(set_to_none=True)

    def _compile_by_running(self, bound: Bound, batch: int) -> None:
        hits, start_s = self._cache_hits(), time.perf_counter()
        try:
            if bound.prepare is not None:
                bound.prepare()
            bound.run(bound.argument)
            if bound.elapsed_ns is not None:
                bound.elapsed_ns()
        except Exception as error:
            raise BuildFailed(
                f"PyTorch {torch.__version__} can't run {self.run_pass} at batch {batch}: "
                f"{one_line(error)}; try another batch or backend"
            ) from error
        if self.compile_s is not None:
            self.compile_s += time.perf_counter() - start_s
            self._from_cache |= self._cache_hits() > hits

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

        def step(*inputs: Tensor) -> Tensor:
            loss = nn.functional.cross_entropy(self._call(*inputs), labels)
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


def _compile(module: nn.Module) -> Callable[..., Tensor]:
    import torch._inductor.config as inductor

    # In this process: workers of its own would outlive it, and compete with what is measured.
    inductor.compile_threads = 1
    compiled: Callable[..., Tensor] = torch.compile(module)
    return compiled
