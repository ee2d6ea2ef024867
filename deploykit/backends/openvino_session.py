"""Running graphs with OpenVINO: compiled once for each shape of the inputs, buffers bound once per set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.backends import openvino as backend
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deploykit.backends.protocol import Feeds


class OpenVinoSession:
    """One graph; inputs and outputs live in host memory.

    Args:
        path: of the graph.
        threads: to compute with; None is one per usable core.
    """

    boundary = "end_to_end"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.threads = threads or max(1, int(env.usable_cores()))
        self._model = backend.read(path)
        self.inputs = tuple(_spec(port) for port in self._model.inputs)
        self.outputs = tuple(_spec(port) for port in self._model.outputs)
        self._compiled: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._bound_for: Sequence[Feeds] | None = None
        self._requests: list[Any] = []
        self._turn = 0

    def _request(self, feeds: Feeds) -> Any:
        """A request whose inputs are the arrays of `feeds` themselves."""
        import numpy as np
        import openvino

        arrays = {spec.name: np.ascontiguousarray(feeds[spec.name]) for spec in self.inputs}
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        key = tuple(shapes.values())
        if key not in self._compiled:
            self._compiled[key] = backend.compile_for(self._model, shapes, self.threads)
        request = self._compiled[key].create_infer_request()
        for name, array in arrays.items():
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        return request

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        request = self._request(feeds)
        request.infer()
        return {spec.name: request.get_tensor(spec.name).data.copy() for spec in self.outputs}

    def sample(self, feeds: Sequence[Feeds], n: int) -> NDArray[np.int64]:
        """Nanoseconds of `n` runs over bound host buffers, the sets of `feeds` taking turns."""
        import numpy as np

        if feeds is not self._bound_for:
            self._requests = [self._request(one) for one in feeds]
            self._bound_for = feeds
        requests, sets = self._requests, len(self._requests)
        samples_ns = np.zeros(n, dtype=np.int64)
        clock, first = time.perf_counter_ns, self._turn
        for i in range(n):
            run = requests[(first + i) % sets].infer
            start_ns = clock()
            run(share_outputs=True)  # else outputs would be copied once more
            samples_ns[i] = clock() - start_ns
        self._turn = (first + n) % sets
        return samples_ns

    def close(self) -> None:
        """Drop what was compiled and its buffers."""
        self._requests, self._bound_for = [], None
        self._compiled.clear()
        del self._model


def _spec(port: Any) -> TensorSpec:
    """OpenVINO's description of an input or output in our words."""
    dims = list(port.get_partial_shape())
    shape = tuple(
        int(d.get_length()) if d.is_static else ("batch" if i == 0 else None)
        for i, d in enumerate(dims)
    )
    return TensorSpec(port.get_any_name(), shape, port.get_element_type().to_dtype().name)
