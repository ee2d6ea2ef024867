"""A source whose images fit in memory as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deploykit.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from deploykit.data.dataset import Images, Indices


class MemorySource:
    """Small images held as uint8, read when first needed.

    Args:
        name: of the data set, for messages.
        read: returns all pixels, uint8 of shape (N, H, W, C).
        preprocessing: what makes network inputs of them.
    """

    def __init__(
        self, name: str, read: Callable[[], npt.NDArray[np.uint8]], preprocessing: Preprocessing
    ) -> None:
        self.name, self.preprocessing, self._read = name, preprocessing, read

    @cached_property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """All images, uint8 NHWC."""
        return self._read()

    def load(
        self, indices: Indices, input_shape: tuple[int, int, int]
    ) -> tuple[Images, Mapping[int, str]]:
        """See `Source.load`."""
        return self.preprocessing(self.pixels[indices], input_shape, self.name), {}

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """See `Source.raw`."""
        yield self.pixels[indices].tobytes()
