"""Engines that are run on arrays: `deploykit.load(engine).run(arrays)`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deploykit import backends
from deploykit.api.arguments import integer, spoken
from deploykit.bench.worker import open_engine
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    InvalidModel,
    MissingDependency,
    UsageError,
    one_line,
)
from deploykit.lazy import np
from deploykit.spec import Engine, Reason, TensorSpec
from deploykit.store import MANIFEST
from deploykit.workflow import ranges
from deploykit.workflow.engine_file import engine_at

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    #: One array for a network of one input, arrays in the order of the inputs, or arrays by name.
    Arrays = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]


class Loaded:
    """An engine that is ready to run; leaving it as a context manager closes it.

    Attributes:
        engine: that was loaded.
        inputs, outputs: names, shapes and element types; a dimension that is a name or None is free.
        backend: the name of what runs it.
        precision: what it computes in, read back when it was built.
    """

    def __init__(self, engine: Engine, session: backends.SessionBase) -> None:
        self.engine, self._session = engine, session
        self.inputs: tuple[TensorSpec, ...] = session.inputs
        self.outputs: tuple[TensorSpec, ...] = session.outputs
        self.backend = str(engine.manifest["builder"])
        self.precision = engine.precision_actual

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run once, and return every output by name; outputs are arrays of their own.

        Args:
            arrays: images, (N, C, H, W) or what `inputs` says, as one array for a network of one input, several in
                the order of `inputs`, or a mapping by name. Numbers are cast to the input's type within their kind:
                float64 to float32, int64 to int32, but no float to an integer.

        Raises:
            UsageError: a name, a shape or a type does not fit; the line says which and what would.
            BuildFailed: the runtime refuses to run.
        """
        feeds = {spec.name: _fitting(spec, array) for spec, array in self._named(arrays)}
        try:
            return self._session.run(feeds)
        except DeploykitError:
            raise
        except Exception as error:  # whatever a runtime raises
            raise BuildFailed(
                f"{self.backend} can't run the engine on these arrays: {one_line(error, 200)}"
            ) from error

    def close(self) -> None:
        """Give back what the session holds; it can't be used afterwards."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{one.name} {_shape(one.shape)} {one.dtype}" for one in self.inputs)
        return f"<{self.backend} engine in {self.precision}: {shapes}>"

    def _named(self, arrays: Arrays) -> list[tuple[TensorSpec, Any]]:
        names = [spec.name for spec in self.inputs]
        if isinstance(arrays, Mapping):
            missing = [name for name in names if name not in arrays]
            others = [str(name) for name in arrays if name not in names]
            if missing or others:
                said = [f"no array for {', '.join(missing)}"] * bool(missing)
                said += [f"no input {', '.join(others)}"] * bool(others)
                raise UsageError(f"{' and '.join(said)}: the inputs are {', '.join(names)}")
            return [(spec, arrays[spec.name]) for spec in self.inputs]
        if len(names) == 1:
            is_wrapped = isinstance(arrays, tuple | list) and len(arrays) == 1
            only: Any = arrays[0] if is_wrapped and np.ndim(arrays[0]) > 1 else arrays  # type: ignore[index]
            return [(self.inputs[0], only)]
        if not isinstance(arrays, tuple | list) or len(arrays) != len(names):
            raise UsageError(
                f"the network has {len(names)} inputs: give arrays by name, for {', '.join(names)}"
            )
        return list(zip(self.inputs, arrays, strict=True))


@spoken
def load(
    engine: Engine | str | os.PathLike[str],
    *,
    threads: int | None = None,
    options: Mapping[str, str] | None = None,
) -> Loaded:
    """Load an engine to run it on arrays.

    Args:
        engine: what `build` returned, or the path of an engine's folder or of its file.
        threads: to compute with; None is the backend's default, on processors one per usable core.
        options: what the runtime is told, such as {"ort.allow_spinning": "0"}.

    Raises:
        InvalidModel: there is no whole engine.
        MissingDependency: its runtime or its device is not here.
        UnknownName, UsageError: the runtime has no such option.
        BuildFailed: the engine does not load.

    Example:
        >>> import numpy as np
        >>> engine = deploykit.build("lenet5", weights="trained")
        >>> with deploykit.load(engine) as lenet5:
        ...     lenet5.run(np.zeros((2, 1, 32, 32), np.float32))["logits"].shape
        (2, 10)
    """
    if not isinstance(engine, Engine):
        engine = _at(engine)
    cores = integer(threads, ranges.THREADS, "--threads")
    backend = backends.get(str(engine.manifest["builder"]))
    reason = backend.available()
    device = backend.device()
    foreign = backend.foreign(engine) if not isinstance(device, Reason) and reason is None else None
    for why in (reason, device, foreign):
        if isinstance(why, Reason):
            raise MissingDependency(str(why))
    told = tuple((name, str(value)) for name, value in (options or {}).items())
    return Loaded(engine, backend.load(engine, cores, options=told))


def _at(place: str | os.PathLike[str]) -> Engine:
    """The engine in a folder, or whose file is named.

    Raises:
        InvalidModel: there is none.
        UsageError: it is no path.
    """
    if not isinstance(place, str | os.PathLike):
        raise UsageError(f"engine takes an Engine or the path of its folder, not {place!r:.40}")
    path = Path(place)
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise InvalidModel(f"no such engine: {path}; give the folder that `build` made")
    placed = engine_at(path) if path.is_file() else None
    if placed is not None:
        return placed
    if not (folder / MANIFEST).is_file():
        raise InvalidModel(
            f"{path} has no {MANIFEST} beside it: give the folder or the file that `build` made"
        )
    return open_engine(folder)


def _fitting(spec: TensorSpec, given: Any) -> NDArray[Any]:
    """An array as an input takes it.

    Raises:
        UsageError: its shape or type does not fit.
    """
    array = np.asarray(given)
    wanted = f"input {spec.name!r} takes {_shape(spec.shape)} {spec.dtype}"
    dtype = np.dtype(spec.dtype) if spec.dtype != "bfloat16" else array.dtype
    if array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise UsageError(
            f"{wanted}, not {array.dtype}: convert it, or scale it to what was trained on"
        )
    fits = len(array.shape) == len(spec.shape) and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        hint = "give arrays of that shape"
        if array.shape == spec.with_batch(1)[1:]:
            hint = "the batch is missing: give array[None]"
        raise UsageError(f"{wanted}, not {_shape(array.shape)}: {hint}")
    return np.asarray(array, dtype, order="C")


def _shape(sizes: Sequence[Any]) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes) or "one number"
