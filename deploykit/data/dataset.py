"""A data set and its parts: which images and labels, in which order, read batch by batch.

Beside them what several data sets are made with: a source in memory, and seeded stratified splits.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from deploykit.data.preprocessing import Preprocessing
from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

    Images = npt.NDArray[np.float32]
    #: int64 of shape (N,) where they are classes; anything else that has an entry for each image.
    Labels = npt.NDArray[Any]
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
        labels: of those images, as long as `indices`: int64 classes, or what a metric is to read
            (boxes, masks, text); zeros where there are none.
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
        integers = self.labels.dtype.kind in "iu" and self.labels.ndim == 1
        digest.update((self.labels.astype("<i8") if integers else self.labels).tobytes())
        return digest.hexdigest()

    def subset(self, positions: npt.ArrayLike) -> Part:
        """The images at these positions, in that order: a shuffle, a slice, a tenth."""
        chosen = np.asarray(positions, dtype=np.int64)
        return Part(self.name, self.source, self.indices[chosen], self.labels[chosen])

    def followed_by(self, other: Part) -> Part:
        """The images of this part, then those of another part of the same source.

        Raises:
            ValueError: the other's images lie elsewhere.
        """
        if other.source is not self.source:
            raise ValueError(f"{self.name} and {other.name} are of different sources")
        indices = np.concatenate([self.indices, other.indices])
        labels = np.concatenate([self.labels, other.labels])
        return Part(self.name, self.source, indices, labels)

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
        total = min(limit, len(self))
        failures: list[str] = []
        for start in range(0, total, batch_size):
            positions = np.arange(start, min(start + batch_size, total))
            images, kept = self.readable(positions, input_shape, failures, total)
            if len(kept):
                yield images, self.labels[kept]

    def readable(
        self,
        positions: npt.NDArray[np.int64],
        input_shape: tuple[int, int, int],
        failures: list[str],
        total: int,
    ) -> tuple[Images, npt.NDArray[np.int64]]:
        """The images at these positions that can be read, and which of the positions these are.

        Args:
            positions: in the part.
            input_shape: what the network takes, (C, H, W).
            failures: what could not be read on this pass; what can't be now is added.
            total: how many images the pass is over.

        Raises:
            UsageError: see `batches`.
        """
        images, problems = self.source.load(self.indices[positions], input_shape)
        if problems:
            positions = np.delete(positions, list(problems))
            failures.extend(problems.values())
            self._note(problems.values())
            self._refuse_unreadable(failures, total)
        return images, positions

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
        unjudged: why it can't be told how often a network names the right class: there are no
            labels, or only one, or they are no classes. Empty where it can be told.
        labelled: whether there are labels of any kind.
        divided: whether the data itself says which images are in which part.
        drawn: whether the test images are drawn from all, as the data doesn't say which they are; with one image
            more they are others.
        numbered_by_folder: whether classes are numbered by the order of their folders, as nothing says otherwise.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    calibration: Part
    test: Part
    unjudged: str = ""
    labelled: bool = True
    divided: bool = False
    drawn: bool = False
    numbered_by_folder: bool = False

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by their names: train, calibration and test."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 over the parts' own."""
        joined = "".join(f"{name} {part.sha256}\n" for name, part in self.parts.items())
        return hashlib.sha256(joined.encode()).hexdigest()

    def for_calibration(self, count: int | None, picked: int, *, judged: bool) -> Part:
        """The images to calibrate on.

        Images that the user gave for that are all used. Where the data does not say which those
        are, and nothing is judged on its test images, that is every image; otherwise as many as
        are `picked`, from the calibration part and, where that has fewer, the training part.

        Args:
            count: exactly that many; None is as described.
            picked: how many of images that the user gave for no purpose in particular.
            judged: whether something is judged on the test part.

        Raises:
            UsageError: there are fewer than `count`.
        """
        given = self.divided or not judged
        part = self.calibration
        if not self.divided and not judged:
            part = part.followed_by(self.train).followed_by(self.test)
        elif not self.divided and len(part) < (count or picked):
            part = part.followed_by(self.train)
        if not len(part):
            raise UsageError(f"{part.name} has no images: give a data set that has that part")
        if count is not None and count > len(part):
            raise UsageError(
                f"the calibration part of {self.name} has {len(part)} images, fewer than "
                f"the {count} asked for; ask for fewer"
            )
        return part.first(count or (len(part) if given else min(picked, len(part))))

    @property
    def for_drift(self) -> Part:
        """The images that outputs are compared on: the test part, or another where that is empty."""
        return next((p for p in (self.test, self.calibration, self.train) if len(p)), self.test)

    def require_classes(self, outputs: int) -> None:
        """Raise UsageError unless a network with that many outputs can name every class."""
        if self.unjudged:
            raise UsageError(self.unjudged)
        if len(self.classes) > outputs:
            from_one = len(self.classes) == outputs + 1 and not any(
                bool(np.any(part.labels == 0)) for part in self.parts.values()
            )
            remedy = "none has label 0: store labels - 1, or " if from_one else ""
            raise UsageError(
                f"{self.name} has {len(self.classes)} classes but the network has {outputs} "
                f"outputs: {remedy}use a network with at least {len(self.classes)}"
            )
        if self.numbered_by_folder and len(self.classes) != outputs:
            found = ", ".join(self.classes[:3]) + ", ..." * (len(self.classes) > 3)
            raise UsageError(
                f"{self.name} has folders of {len(self.classes)} classes ({found}) but the network has {outputs} "
                "outputs, and nothing says which is which: write classes.txt with a line FOLDER for each output"
            )


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
        """All images as uint8 of shape (N, H, W, C), read when they are first needed."""
        return self._read()

    def load(
        self, indices: Indices, input_shape: tuple[int, int, int]
    ) -> tuple[Images, Mapping[int, str]]:
        """See `Source.load`."""
        return self.preprocessing(self.pixels[indices], input_shape, self.name), {}

    def as_pixels(self) -> MemorySource:
        """The same for a network that takes whole numbers: pixels as they are."""
        return MemorySource(self.name, lambda: self.pixels, replace(self.preprocessing, whole=True))

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """See `Source.raw`."""
        yield self.pixels[indices].tobytes()


def stratified_split(
    labels: npt.NDArray[np.int64], sizes: Sequence[int], seed: int
) -> list[npt.NDArray[np.int64]]:
    """Positions of `labels` in disjoint pieces of exactly these sizes, then a piece with the rest.

    Classes are spread over the pieces in proportion, nearly as evenly as whole numbers allow; each
    piece is shuffled. The same labels, sizes and seed give the same pieces with every version of
    NumPy: its legacy generator is used, the stream of which is frozen.

    Raises:
        ValueError: the sizes add up to more than there are labels.
    """
    if sum(sizes) > len(labels):
        raise ValueError(f"pieces of {sum(sizes)} can't be cut from {len(labels)} labels")
    random = np.random.RandomState(seed)
    # Each image gets a place in 0..1 within its class; sorted by place, any run of the list holds
    # the classes in proportion, so the pieces are runs of it.
    order = random.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    mixed = order[np.argsort(place[order], kind="stable")]
    bounds = np.cumsum([0, *sizes, len(labels) - sum(sizes)])
    return [
        random.permutation(mixed[start:stop]).astype(np.int64) for start, stop in pairwise(bounds)
    ]


def default_split(labels: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    """Parts for data that comes without: 70% train, 10% calibration, 20% test, always the same."""
    count = len(labels)
    calibration, test, train = stratified_split(labels, (round(count * 0.1), round(count * 0.2)), 0)
    return {"train": train, "calibration": calibration, "test": test}
