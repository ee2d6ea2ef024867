"""Running PyTorch networks: eager or compiled, forward or forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deploykit import env
from deploykit.backends.passes import FORWARD, FORWARD_BACKWARD
from deploykit.backends.torch_devices import Place, Step, place
from deploykit.errors import BuildFailed, UsageError, one_line
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deploykit.backends.protocol import Feeds

_BACKWARD_NOTE = (
    "forward_backward: train mode, cross entropy with seeded labels; gradients are dropped "
    "(set to none) outside the timed region, weights are not updated"
)


class TorchSession:
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
        where: device and clock; found when None.

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
        self.compile_s: float | None = 0.0 if compiled else None
        self._from_cache = False
        self._bound_for: Sequence[Feeds] | None = None
        self._bound: list[tuple[Step, tuple[Tensor, ...]]] = []
        self._turn = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the row should know."""
        notes = [_BACKWARD_NOTE] if self.run_pass == FORWARD_BACKWARD else []
        if self._from_cache:
            notes.append(
                "kernels came from PyTorch's own cache, so build_s is not that of a whole compilation"
            )
        return tuple(notes)

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name, of a forward pass."""
        inputs = self._place.bind(self._in_order(feeds))
        with torch.inference_mode():
            output = self._place.fetch(self._call, inputs)
        return {self.outputs[0].name: output.numpy()}

    def sample(self, feeds: Sequence[Feeds], n: int) -> NDArray[np.int64]:
        """Nanoseconds of `n` runs, the sets of `feeds` taking turns."""
        import numpy as np

        samples_ns = np.zeros(n, dtype=np.int64)
        backward = self.run_pass == FORWARD_BACKWARD
        kept = {n: v.clone() for n, v in self.module.named_buffers()} if backward else {}
        self.module.train(backward)
        try:
            with torch.inference_mode(not backward):
                if feeds is not self._bound_for:
                    self._bind(feeds)
                first, sets = self._turn, len(self._bound)
                for i in range(n):
                    step, inputs = self._bound[(first + i) % sets]
                    if backward:
                        self.module.zero_grad(set_to_none=True)
                    samples_ns[i] = self._place.time_ns(step, inputs)
                self._turn = (first + n) % sets
        finally:
            self.module.eval()
            if backward:
                self._put_back(kept)
        return samples_ns

    def _in_order(self, feeds: Feeds) -> Mapping[str, Any]:
        return {spec.name: feeds[spec.name] for spec in self.inputs}

    def _bind(self, feeds: Sequence[Feeds]) -> None:
        """Prepare the inputs of each set; the first run of a shape compiles, which is not to be timed."""
        self._bound = []
        for one in feeds:
            inputs = self._place.bind(self._in_order(one))
            batch = inputs[0].shape[0] if inputs[0].ndim else 1
            step = self._call if self.run_pass == FORWARD else self._training_step(batch)
            self._bound.append((step, inputs))
        step, inputs = self._bound[0]
        hits, start_s = self._cache_hits(), time.perf_counter()
        try:
            self._place.time_ns(step, inputs)
        except Exception as error:
            raise BuildFailed(
                f"PyTorch {torch.__version__} can't run {self.run_pass} at batch {inputs[0].shape[0]}: "
                f"{one_line(error)}; try another batch or backend"
            ) from error
        if self.compile_s is not None:
            self.compile_s += time.perf_counter() - start_s
            self._from_cache |= self._cache_hits() > hits
        self._bound_for = feeds

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

    def _put_back(self, kept: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.module.named_buffers():
                value.copy_(kept[name])

    def close(self) -> None:
        """Drop the network and its inputs."""
        self._bound, self._bound_for = [], None
        self.module.zero_grad(set_to_none=True)
        del self._call, self.module


def _compile(module: nn.Module) -> Callable[..., Tensor]:
    import torch._inductor.config as inductor

    # In this process: workers of its own would outlive it, and compete with what is measured.
    inductor.compile_threads = 1
    compiled: Callable[..., Tensor] = torch.compile(module)
    return compiled
