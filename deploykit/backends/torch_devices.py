"""Where a PyTorch network runs, and the clock of that place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

#: One run: takes the inputs, returns what it computed.
Step = Callable[..., Tensor]


class Place(Protocol):
    """A device with its clock; `boundary` is what a sample spans there."""

    boundary: str

    def put(self, module: nn.Module) -> nn.Module:
        """The module, moved here."""

    def bind(self, arrays: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The inputs of a run, prepared as far as is not to be timed."""

    def time_ns(self, step: Step, inputs: tuple[Tensor, ...]) -> int:
        """Nanoseconds of one run."""

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

    def time_ns(self, step: Step, inputs: tuple[Tensor, ...]) -> int:
        """Nanoseconds of the call."""
        start_ns = time.perf_counter_ns()
        output = step(*inputs)
        taken_ns = time.perf_counter_ns() - start_ns
        del output  # here, so that freeing it is not timed
        return taken_ns

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

    def time_ns(self, step: Step, inputs: tuple[Tensor, ...]) -> int:
        """Nanoseconds by the host's clock, or by the device's events."""
        torch.cuda.synchronize(self._device)
        if self.boundary == "device":
            start, end = self._events
            start.record()
            step(*inputs)
            end.record()
            end.synchronize()
            return int(start.elapsed_time(end) * 1e6)
        start_ns = time.perf_counter_ns()
        self.fetch(step, inputs)
        torch.cuda.synchronize(self._device)
        return time.perf_counter_ns() - start_ns

    def fetch(self, step: Step, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output, copied to the host."""
        return step(*(tensor.to(self._device, non_blocking=True) for tensor in inputs)).cpu()


def place() -> Place:
    """The first NVIDIA device where PyTorch sees one, else the processor."""
    return Cuda() if torch.cuda.is_available() else Host()
