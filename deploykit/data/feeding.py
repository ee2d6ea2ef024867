"""What a network is fed from a data set: arrays by the names of its inputs, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from deploykit.errors import UsageError
from deploykit.graph.values import make_values, numpy_type
from deploykit.lazy import np
from deploykit.spec import TensorSpec, has_batch

if TYPE_CHECKING:
    import numpy.typing as npt
    from numpy.typing import NDArray

    from deploykit.data.dataset import Images, Indices, Labels, Part, Source

    Feeds = dict[str, NDArray[Any]]


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

    def as_pixels(self) -> ArraySource:
        """The same with images as pixels, as far as they are stored as such."""
        images: Any = self._images
        pixels = images.as_pixels() if hasattr(images, "as_pixels") else images
        return ArraySource(self.name, pixels, self.arrays)

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


def image_input(inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, tuple[int, int, int]]:
    """The one image input of a graph and its (C, H, W).

    Raises:
        UsageError: there are several inputs, or the one is not (batch, C, H, W) with known sizes.
    """
    if len(inputs) == 1 and (shape := image_shape(inputs[0])) is not None:
        return inputs[0], shape
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
    raise UsageError(
        f"a data set needs a graph with one image input (batch, C, H, W), this one has {shapes}: "
        "store one array for each input in an npz, or leave the data set out"
    )


def image_shape(spec: TensorSpec) -> tuple[int, int, int] | None:
    """Channels, height and width of an input that takes images, or None where it takes none."""
    rest = spec.shape[1:]
    if len(rest) != 3 or not all(isinstance(size, int) and size > 0 for size in rest):
        return None
    first, second, third = (int(size) for size in rest if size is not None)
    return (third, first, second) if spec.layout == "NHWC" else (first, second, third)


def as_input(spec: TensorSpec, images: NDArray[Any]) -> NDArray[Any]:
    """Images (N, C, H, W) as an input takes them: in its type and layout.

    Raises:
        UsageError: it takes whole numbers, and images hold others, or such as its type has not.
    """
    if _takes_whole_numbers(spec) and images.size:
        limits = np.iinfo(spec.dtype)
        low, high = images.min(), images.max()
        if low < limits.min or high > limits.max or (images != np.rint(images)).any():
            raise UsageError(
                f"input {spec.name!r} takes {spec.dtype}, which can't hold these images (from {low:g} to "
                f"{high:g}): store what it takes as an array of that name in an npz"
            )
    if spec.layout == "NHWC":
        images = np.moveaxis(images, 1, 3)
    return np.ascontiguousarray(images, dtype=spec.dtype)


def _takes_whole_numbers(spec: TensorSpec) -> bool:
    return spec.dtype.startswith(("int", "uint"))


def _of_pixels(part: Part) -> Part:
    """The same images as pixels, as far as they are stored as such."""
    source: Any = part.source
    return replace(part, source=source.as_pixels()) if hasattr(source, "as_pixels") else part


def feeds_of(
    part: Part, inputs: Sequence[TensorSpec], batch_size: int, limit: int | None = None
) -> Iterator[tuple[Feeds, Labels]]:
    """Tensors for all inputs and labels, batch by batch; the last batch is as large as what is left.

    An input gets the array of its name; the images go to the one input that takes images and has
    none. What is left is made up where `--input` says how.

    Args:
        part: the part of a data set that holds the images or arrays.
        inputs: of the network; a batch may stand on any axis, the rows of arrays stand on the first.
        batch_size: images at a time, at least 1.
        limit: stop after that many images; None is all.

    Raises:
        UsageError: an input has no data, or data of another shape or type; as `Part.batches`.
    """
    source = part.source
    arrays = source.arrays if isinstance(source, ArraySource) else {}
    left = [spec for spec in inputs if spec.name not in arrays]
    image = None
    if not isinstance(source, ArraySource) or source.has_images:
        image = _of_images(part, left)
    if image is not None and _takes_whole_numbers(image):
        part = _of_pixels(part)
    left = [spec for spec in left if spec is not image]
    named = [spec for spec in inputs if spec.name in arrays]
    made_up = [spec for spec in left if spec.values]
    if len(made_up) < len(left) or (image is None and not named):
        spec = next((s for s in left if not s.values), inputs[0])
        others = [name for name in arrays if name not in {one.name for one in inputs}]
        told = f"only {', '.join(map(repr, others))} and " if others else ""
        why = "" if others else ", which takes no images or is one of several"
        raise UsageError(
            f"{part.name} has {told}nothing for input {spec.name!r} {list(spec.shape)}{why}: store an array of "
            f"that name in an npz, or say with --input {spec.name}=... what it gets"
        )
    shared = {spec.name for spec in named if not has_batch(spec, inputs)}
    for spec in named:
        _check_array(part.name, spec, arrays[spec.name], spec.name in shared)
    # At a batch of one, what a graph takes once for a run may be another for each image.
    if (image is not None and image.single) or any(
        _is_of_one_image(spec, arrays[spec.name]) for spec in named if spec.name in shared
    ):
        batch_size = 1
    if image is not None and not named and not made_up:
        for images, labels in part.batches(batch_size, _image_of(image), limit):
            yield {image.name: _placed_images(image, images)}, labels
        return
    total = len(part) if limit is None else min(limit, len(part))
    generator = np.random.default_rng(0)
    failures: list[str] = []
    for start in range(0, total, max(1, batch_size)):
        positions = np.arange(start, min(start + batch_size, total))
        feeds = {}
        if image is not None:  # first: what can't be read of them is left out of all others
            images, positions = part.readable(positions, _image_of(image), failures, total)
            if not len(positions):
                continue
            feeds[image.name] = _placed_images(image, images)
        chosen = part.subset(positions)
        for spec in named:
            assert isinstance(source, ArraySource)
            rows = source.rows(spec.name, chosen.indices)
            placed = _shared if spec.name in shared else _placed
            feeds[spec.name] = placed(spec, rows)
        for spec in made_up:
            feeds[spec.name] = make_values(spec, len(chosen), generator)
        yield {spec.name: feeds[spec.name] for spec in inputs}, chosen.labels


def _image_of(spec: TensorSpec) -> Any:
    """The shape of one image for an input: channels, height and width, or whatever else it takes of one."""
    if spec.single:
        return spec.with_batch(1)
    return image_shape(spec) or tuple(size for size in spec.shape[1:] if isinstance(size, int))


def _placed_images(spec: TensorSpec, images: NDArray[Any]) -> NDArray[Any]:
    """Images as an input takes them: all, or the only one where it takes one whole."""
    placed = as_input(spec, images)
    return placed[0] if spec.single else placed


def _of_images(part: Part, left: Sequence[TensorSpec]) -> TensorSpec | None:
    """Of the inputs that no array is named after, the one that gets the images."""
    if len(left) == 1 and getattr(part.source, "any_rank", False):
        return left[0]
    images = [spec for spec in left if image_shape(spec) is not None]
    if len(images) > 1:
        raise UsageError(
            f"images could go to {' and '.join(repr(spec.name) for spec in images)}: "
            "store an array for each input under its name"
        )
    return images[0] if images else None


def _entry(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of what an input has of one image, without the axis of the batch."""
    axis, whole = spec.image_axis, spec.with_batch(1)
    return whole[:axis] + whole[axis + 1 :]


def _is_of_one_image(spec: TensorSpec, array: Rows) -> bool:
    """Whether an array has a row for each image, of which an input without a free batch takes one at a time."""
    if spec.single:
        return array.shape[0] > 1 and array.shape[1:] == spec.with_batch(1)
    takes_one = spec.shape[spec.image_axis : spec.image_axis + 1] == (1,)
    return takes_one and array.shape[0] > 1 and array.shape[1:] == _entry(spec)


def _check_array(name: str, spec: TensorSpec, array: Rows, shared: bool) -> None:
    """Refuse an array whose rows are no entries of an input, or not all of one that is the same for all images."""
    row, entry, whole = array.shape[1:], _entry(spec), spec.with_batch(1)
    takes_one = spec.shape[spec.image_axis : spec.image_axis + 1] == (1,)
    if spec.single:
        entry = whole
    elif shared and row != whole and not (takes_one and row == entry):
        raise UsageError(
            f"a row of {spec.name} in {name} is {list(row)} but the network takes {list(whole)} once for all "
            f"images of a run: store it as one row, with a leading axis of 1, {[1, *whole]}"
        )
    if (spec.single or not shared) and row != entry:
        raise UsageError(
            f"a row of {spec.name} in {name} is {list(row)} but the network takes {list(entry)} for "
            "each image: store it in that shape"
        )
    taken = numpy_type(spec.dtype)
    if taken is None:
        raise UsageError(
            f"input {spec.name} is of type {spec.dtype}, which numpy has not: export the model with float32 inputs"
        )
    if taken.kind in "iub" and array.dtype.kind == "f":
        raise UsageError(
            f"{spec.name} in {name} is {array.dtype} but the network takes {spec.dtype}: store that type"
        )


def _placed(spec: TensorSpec, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows as an input takes them: in its type, on the axis of its batch."""
    return np.ascontiguousarray(np.moveaxis(rows, 0, spec.image_axis), dtype=spec.dtype)


def _shared(spec: TensorSpec, rows: NDArray[Any]) -> NDArray[Any]:
    """The one row of an input that is the same for all images that are run at once, in its type."""
    if (rows != rows[:1]).any():
        raise UsageError(
            f"input {spec.name!r} {list(spec.shape)} has no axis for the batch, so that it is the same for all "
            "images of a run, and its rows differ: store one row, or export the network with that axis"
        )
    return np.ascontiguousarray(rows[0], dtype=spec.dtype).reshape(spec.with_batch(1))
