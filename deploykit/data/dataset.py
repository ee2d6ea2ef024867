"""A data set and its parts: which images and labels, in which order, read batch by batch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from deploykit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Images = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]
    Indices = npt.NDArray[np.int64]

_log = logging.getLogger(__name__)

#: Share of a part's images that may be unreadable before the part is refused.
MAX_UNREADABLE_SHARE = 0.01

#: Images that go into a hash at a time.
_HASH_CHUNK = 64


class Source(Protocol):
    """Where images come from: random access by index, nothing kept between two calls."""

    def load(
        self, indices: Indices, input_shape: tuple[int, int, int]
    ) -> tuple[Images, Mapping[int, str]]:
        """The images at `indices`, ready for a network that takes `input_shape` (C, H, W).

        Returns float32 NCHW, and for each *position* in `indices` that could not be read, its name
        and why; those are left out of the array.
        """
        ...

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """The stored bytes of the images at `indices`, for hashing."""
        ...


@dataclass(frozen=True, eq=False)
class Part:
    """Some images of a data set, in a fixed order, with their labels.

    Attributes:
        name: data set and part, such as "digits/test".
        source: where the images come from.
        indices: of the images in the source, int64, in the order of this part.
        labels: of those images, int64, as long as `indices`.
        unreadable: images that a pass over this part had to leave out, each once, with the reason.
    """

    name: str
    source: Source
    indices: Indices
    labels: Labels
    unreadable: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the stored images and the labels, in order."""
        digest = hashlib.sha256()
        for start in range(0, len(self), _HASH_CHUNK):
            for stored in self.source.raw(self.indices[start : start + _HASH_CHUNK]):
                digest.update(stored)
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def subset(self, positions: npt.ArrayLike) -> Part:
        """The images at these positions, in that order: a shuffle, a slice, a tenth."""
        import numpy as np

        chosen = np.asarray(positions, dtype=np.int64)
        return Part(self.name, self.source, self.indices[chosen], self.labels[chosen])

    def first(self, count: int | None) -> Part:
        """The first `count` images; all of them when None. Fewer exist: UsageError."""
        if count is None:
            return self
        if count < 1:
            raise UsageError(f"{count} images were asked of {self.name}: ask for at least 1")
        if count > len(self):
            raise UsageError(
                f"{count} images were asked of {self.name}, which has {len(self)}: "
                f"ask for at most {len(self)} or give more data"
            )
        return Part(self.name, self.source, self.indices[:count], self.labels[:count])

    def batches(
        self, batch_size: int, input_shape: tuple[int, int, int], limit: int | None = None
    ) -> Iterator[tuple[Images, Labels]]:
        """Images and labels, batch by batch; the last batch is as large as what is left.

        Images that can't be decoded are left out, logged by name and collected in `unreadable`;
        more than 1% of them is an error.

        Args:
            batch_size: images at a time, at least 1.
            input_shape: what the network takes, (C, H, W).
            limit: stop after that many images; None is all. More than there are is all of them.

        Yields:
            float32 of shape (batch, C, H, W), and int64 of shape (batch,).

        Raises:
            UsageError: the part is empty, the shape can't be met, images are not finite or too
                many unreadable.
        """
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size} is not possible: give at least 1")
        if not len(self):
            raise UsageError(f"{self.name} has no images: give a data set that has that part")
        return self._batches(batch_size, input_shape, len(self) if limit is None else limit)

    def _batches(
        self, batch_size: int, input_shape: tuple[int, int, int], limit: int
    ) -> Iterator[tuple[Images, Labels]]:
        import numpy as np

        total = min(limit, len(self))
        failures: list[str] = []
        for start in range(0, total, batch_size):
            stop = min(start + batch_size, total)
            images, problems = self.source.load(self.indices[start:stop], input_shape)
            labels = self.labels[start:stop]
            if problems:
                labels = np.delete(labels, list(problems))
                failures.extend(problems.values())
                self._note(problems.values())
                self._refuse_unreadable(failures, total)
            if len(labels):
                yield images, labels

    def _note(self, problems: Iterable[str]) -> None:
        for problem in problems:
            if problem not in self.unreadable:
                self.unreadable.append(problem)
                _log.warning("%s: left out %s", self.name, problem)

    def _refuse_unreadable(self, failures: list[str], total: int) -> None:
        # Of the whole part: a pass may be over its first few images, of which one is a large share.
        if len(failures) > MAX_UNREADABLE_SHARE * len(self):
            raise UsageError(
                f"{len(failures)} of the {total} images of {self.name} can't be read, more than "
                f"{MAX_UNREADABLE_SHARE:.0%} (first: {failures[0]}): replace or remove them"
            )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three parts that never share an image: to train on, to calibrate on, to test on.

    Attributes:
        name: as it was asked for, such as "digits" or "npz:own.npz".
        classes: their names, at the position of their label.
        train, calibration, test: the parts; the first two may be empty where the data has none.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    calibration: Part
    test: Part

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by name."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 over the parts' own."""
        joined = "".join(f"{name} {part.sha256}\n" for name, part in self.parts.items())
        return hashlib.sha256(joined.encode()).hexdigest()

    def require_classes(self, outputs: int) -> None:
        """Raise UsageError unless a network with that many outputs can name every class."""
        if len(self.classes) > outputs:
            raise UsageError(
                f"{self.name} has {len(self.classes)} classes but the network has {outputs} "
                f"outputs: use a network with at least {len(self.classes)}"
            )
