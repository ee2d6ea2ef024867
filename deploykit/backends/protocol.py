"""What a backend is: something that builds engines from ONNX graphs and, where a device is here, runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feeds = Mapping[str, NDArray[Any]]


class Session(Protocol):
    """A loaded engine, ready to run; owns the clock that its runs are timed with."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    #: What a sample spans: "end_to_end" (host buffer to host buffer) or "device" (events around the compute).
    boundary: str

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name; not for timing."""

    def sample(self, feeds: Sequence[Feeds], n: int) -> NDArray[np.int64]:
        """Run `n` times and return each run's nanoseconds.

        Inputs are bound at the first call with the same `feeds` object, and the sets in it take turns, so
        that binding is outside the timed region and one set can't live in a cache for ever.
        """

    def close(self) -> None:
        """Give back what the session holds; it can't be used afterwards."""


class Backend(Protocol):
    """A builder and runner of engines, found by `name`; graphs for it are made by the recipes of `target`.

    Attributes:
        name: "onnxruntime", "tensorrt-rtx", …: the value of the `backend` column.
        target: whose precision recipes it takes: "cpu", "tensorrt-rtx", "tensorrt".
        filename: the name of the engine's file in the store.
        emulated: precisions that it may accept but compute in another type by design, with that type;
            not a mismatch.

    A backend may have more, which is looked for by name: `precisions` (the recipes it takes, where these are
    not all of the target's), `passes` (see `deploykit.backends.passes`; `load` then takes `run_pass`), `host()`
    (what engines are specific to) and `prepare()` (imports the runtime ahead of the first engine). A session
    may have `threads`, `notes` (lines for the row) and `compile_s` (seconds of compiling at its first run).
    """

    name: str
    target: str
    filename: str
    emulated: Mapping[str, str]

    def available(self) -> Reason | None:
        """None where engines can be built here, else what is missing."""

    def device(self) -> str | Reason:
        """The device that engines would run on, or why they can't run here."""

    def version(self) -> str:
        """Version of the builder; part of every engine's key."""

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Build an engine at `path`.

        Returns:
            Facts for the manifest, among them `compute_types`: for each type that convolutions and matrix
            products compute in, the names of those nodes, as read back from what was built.

        Raises:
            BuildFailed: the graph is refused, or what was built can't be read back.
        """

    def load(self, engine: Engine, threads: int | None = None) -> Session:
        """A session on `engine`.

        Raises:
            MissingDependency: no device for it is here.
            BuildFailed: the engine does not load.
        """
