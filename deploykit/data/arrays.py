"""Images with further inputs beside them, and inputs without any images: one array for each input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

    from deploykit.data.dataset import Images, Indices, Source


class Rows(Protocol):
    """A stored array whose first axis is read piece by piece."""

    shape: tuple[int, ...]
    dtype: Any

    def take(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The rows at `indices`, in that order."""
        ...


class ArraySource:
    """Arrays by the names of a network's inputs, and images where there are some.

    Args:
        name: of the data set, for messages.
        images: what `load` reads; None where there are only arrays.
        arrays: by name; one with a single row holds for all images.
    """

    def __init__(self, name: str, images: Source | None, arrays: Mapping[str, Rows]) -> None:
        self.name, self._images, self.arrays = name, images, arrays

    @property
    def has_images(self) -> bool:
        """Whether there are images beside the arrays."""
        return self._images is not None

    @property
    def any_rank(self) -> bool:
        """Whether the images may be other than three-dimensional."""
        return bool(getattr(self._images, "any_rank", False))

    def load(
        self, indices: Indices, input_shape: tuple[int, int, int]
    ) -> tuple[Images, Mapping[int, str]]:
        """See `Source.load`. Raises UsageError where there are no images."""
        if self._images is None:
            raise UsageError(
                f"{self.name} has no array 'images', but {', '.join(self.arrays)}: "
                "name the array as the network's input"
            )
        return self._images.load(indices, input_shape)

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """See `Source.raw`: the images', then those of the arrays by name."""
        if self._images is not None:
            yield from self._images.raw(indices)
        for name in sorted(self.arrays):
            yield name.encode()
            yield self.rows(name, indices).tobytes()

    def rows(self, name: str, indices: Indices) -> npt.NDArray[Any]:
        """The rows of an array; its only one as often as it is asked for.

        Raises:
            UsageError: values are not finite.
        """
        array = self.arrays[name]
        taken = array.take(np.zeros_like(indices) if array.shape[0] == 1 else indices)
        if taken.dtype.kind == "f" and not np.isfinite(taken).all():
            finite = np.isfinite(taken).reshape(len(taken), -1).all(axis=1)
            raise UsageError(
                f"row {indices[np.argmin(finite)]} of {name} in {self.name} holds NaN or infinite "
                "values: repair or remove it"
            )
        return taken
