"""A user's own arrays: `npz:PATH`, read row by row so that memory does not grow with the file.

The file holds

- `images`: float32 (N, C, H, W), taken as the network takes it; or uint8 (N, H, W, C) or (N, H, W),
  resized and scaled to 0..1, then normalised where the file says how;
- and, or instead, an array for each input of the network under the input's name, with a row for
  each of the N images (or one row for all of them);
- `labels`, optional: integers (N,) or (N, 1), 0 for the first class, for accuracy; for a metric of the user's
  own anything with N entries: boxes (N, B, 4), masks (N, H, W), text (N,);
- `split`, optional: integers (N,), 0 train, 1 calibration, 2 test; without it, 70% of each class
  are for training, 10% for calibration, 20% for testing (see `Dataset.for_calibration`);
- `mean` and `std`, optional, for uint8 images: one float a channel, of values in 0..1;
- `classes`, optional: their names.
"""

from __future__ import annotations

import lzma
import math
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deploykit.data.dataset import Dataset, Part, default_split
from deploykit.data.feeding import ArraySource
from deploykit.data.options import ImageOptions
from deploykit.data.preprocessing import WHOLE, Preprocessing
from deploykit.errors import UsageError
from deploykit.graph.values import read_array, read_header
from deploykit.lazy import np
from deploykit.reading import open_file
from deploykit.text import MOST_CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt

    from deploykit.data.dataset import Images, Indices, Labels, Source

_COPY_CHUNK_BYTES = 1 << 20

_PARTS = ("train", "calibration", "test")

#: What a file raises that is not sound, or packed or encrypted in a way that Python can't undo.
_UNSOUND = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)

#: Values that names of classes, means and deviations have at most.
_MOST_SMALL = 1 << 20

#: Arrays that are no input of a network.
_ABOUT = frozenset(("labels", "split", "mean", "std", "classes"))


class FloatSource:
    """float32 NCHW images, or rows of any shape, handed on as stored once they are known to be finite."""

    any_rank = True

    def __init__(self, name: str, rows: NpyRows) -> None:
        self.name, self._rows = name, rows

    def load(
        self, indices: Indices, input_shape: tuple[int, ...]
    ) -> tuple[Images, Mapping[int, str]]:
        """See `Source.load`. Raises UsageError for another size, NaN or infinity."""
        stored = self._rows.shape[1:]
        if stored != input_shape:
            turned = len(stored) == 3 and (stored[2], *stored[:2]) == tuple(input_shape)
            remedy = "images.transpose(0, 3, 1, 2)" if turned else "them in that size"
            raise UsageError(
                f"float32 images of {self.name} are {_by(stored)} but the network takes "
                f"{_by(input_shape)}: store {remedy}, or as uint8 to have them resized"
            )
        images = self._rows.take(indices)
        finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        if not finite.all():
            raise UsageError(
                f"image {indices[np.argmin(finite)]} of {self.name} holds NaN or infinite values: "
                f"repair or remove it"
            )
        return images, {}

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """See `Source.raw`."""
        yield self._rows.take(indices).tobytes()


class ByteSource:
    """uint8 NHWC images, resized and scaled."""

    def __init__(self, name: str, rows: NpyRows, preprocessing: Preprocessing) -> None:
        self.name, self._rows, self.preprocessing = name, rows, preprocessing

    def load(
        self, indices: Indices, input_shape: tuple[int, int, int]
    ) -> tuple[Images, Mapping[int, str]]:
        """See `Source.load`."""
        pixels = self._rows.take(indices)
        if pixels.ndim == 3:
            pixels = pixels[..., None]
        return self.preprocessing(pixels, input_shape, self.name), {}

    def as_pixels(self) -> ByteSource:
        """The same for a network that takes whole numbers: pixels as they are.

        Raises:
            UsageError: a mean or a deviation is stored beside them, or was given.
        """
        if any(self.preprocessing.mean) or set(self.preprocessing.std) != {1.0}:
            raise UsageError(WHOLE)
        return ByteSource(self.name, self._rows, replace(self.preprocessing, whole=True))

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """See `Source.raw`; first how they are prepared, where something is said of that."""
        count = len(self.preprocessing.mean)
        if self.preprocessing != Preprocessing(255.0, (0.0,) * count, (1.0,) * count):
            yield repr(self.preprocessing).encode()
        yield self._rows.take(indices).tobytes()


def open_npz(path: str, options: ImageOptions | None = None) -> Dataset:
    """The data set in an .npz file (see the module for what it holds).

    Raises:
        UsageError: the file is missing or is none; an array is missing or has the wrong shape, type
            or values; there are no images.
    """
    name = f"npz:{Path(path).name}"
    keys = _keys(path)
    rows = {key: _open_rows(path, key) for key in keys if key not in _ABOUT}
    count = _row_count(path, rows)
    about = {key: _read_small(path, key, count) for key in keys if key in _ABOUT}
    labels, unjudged = _labels(path, about, count)
    images: FloatSource | ByteSource | None = None
    if "images" in rows:
        images = _image_source(name, path, rows.pop("images"), about, options or ImageOptions())
    source: Source = ArraySource(name, images, rows) if rows or images is None else images
    parts = {
        part: Part(f"{name}/{part}", source, chosen, labels[chosen])
        for part, chosen in _split(path, about, labels).items()
    }
    return Dataset(
        name,
        () if unjudged else _classes(about, labels),
        parts["train"],
        parts["calibration"],
        parts["test"],
        unjudged=unjudged,
        labelled="labels" in about,
        divided="split" in about,
        drawn="split" not in about,
    )


def _keys(path: str) -> list[str]:
    """The names of the arrays in the file."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: give the path of an .npz file") from None
    except _UNSOUND as error:
        raise UsageError(
            f"{path} can't be read as .npz ({error}): save it with numpy.savez"
        ) from None
    keys = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if not set(keys) - _ABOUT:
        raise UsageError(
            f"{path} has no array 'images', nor one named as an input: add it and save again"
        )
    return list(dict.fromkeys(keys))


def _read_small(path: str, key: str, count: int) -> npt.NDArray[Any]:
    """An array of the file that is about the images, of which there are `count`."""
    try:
        with open_file(path) as stored, zipfile.ZipFile(stored) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as file:
                shape, _, dtype = read_header(file)
            # What is packed may be far larger than the file: what it says of itself comes first.
            if key == "labels" and shape[:1] != (count,):
                raise UsageError(
                    f"labels of {path} are {dtype} {shape}: store one integer for each of the {count} images, or "
                    "for a metric of your own one entry of any shape"
                )
            if key == "split" and shape != (count,):
                raise UsageError(
                    f"split of {path} are {dtype} {shape}: store one integer for each of the {count} images"
                )
            if key not in ("labels", "split") and math.prod(shape) > _MOST_SMALL:
                raise UsageError(f"{key} of {path} has {math.prod(shape)} values: store fewer")
            with archive.open(member) as file:
                return read_array(file, member.file_size, f"{key} of {path}")
    except _UNSOUND as error:
        if "allow_pickle" in str(error):
            raise UsageError(
                f"{path} holds Python objects, which are not read: store lists of different "
                "lengths as one array, padded to the longest"
            ) from None
        raise UsageError(
            f"{path} can't be read as .npz ({error}): save it with numpy.savez"
        ) from None


def _open_rows(path: str, key: str) -> NpyRows:
    try:
        rows = NpyRows(path, key)
    except _UNSOUND as error:
        raise UsageError(f"{key} of {path} can't be read ({error}): save it again") from None
    if rows.dtype.kind not in "fiub" or not rows.shape:
        raise UsageError(
            f"{key} of {path} is {rows.dtype} {_by(rows.shape) or 'without a dimension'}: "
            "store numbers, a row for each image"
        )
    if 0 in rows.shape:
        raise UsageError(f"{path} holds no images: give a file with some")
    return rows


def _row_count(path: str, rows: Mapping[str, NpyRows]) -> int:
    """How many images there are; arrays of one row are for all of them."""
    count = rows["images"].shape[0] if "images" in rows else max(r.shape[0] for r in rows.values())
    for key, array in rows.items():
        if array.shape[0] not in (1, count):
            raise UsageError(
                f"{key} of {path} has {array.shape[0]} rows for {count} images: "
                f"store {count}, or one for all of them"
            )
    return count


def _image_source(
    name: str,
    path: str,
    rows: NpyRows,
    about: Mapping[str, npt.NDArray[Any]],
    options: ImageOptions,
) -> FloatSource | ByteSource:
    shape = rows.shape
    is_float = rows.dtype == np.float32 and len(shape) >= 2
    is_byte = rows.dtype == np.uint8 and len(shape) in (3, 4)
    if not (is_float or is_byte):
        raise UsageError(
            f"images of {path} are {rows.dtype} {_by(shape)}: "
            f"store float32 (N, C, H, W) or uint8 (N, H, W, C)"
        )
    if is_byte and len(shape) == 4 and shape[3] not in (1, 3):
        raise UsageError(
            f"images of {path} are uint8 with {shape[3]} channels last: store (N, H, W, 1 or 3)"
        )
    if options.resize_px is not None or options.crop_px is not None:
        raise UsageError(
            f"images of {path} are resized as a whole to what the network takes: leave --resize and --crop out"
        )
    if is_float:
        if options:
            raise UsageError(
                f"float32 images of {path} are taken as they are: leave --mean, --std and --channel-order out, or "
                "store uint8"
            )
        _require_no_normalisation(path, about)
        return FloatSource(name, rows)
    channels = shape[3] if len(shape) == 4 else 1
    preprocessing = _normalisation(path, about, channels).told(options, channels)
    return ByteSource(name, rows, preprocessing)


def _labels(path: str, about: Mapping[str, npt.NDArray[Any]], count: int) -> tuple[Labels, str]:
    """Labels, zeros where there are none, and why they are no classes to judge by, else nothing."""
    labels = about.get("labels")
    if labels is None:
        return np.zeros(count, np.int64), f"{path} has no labels"
    if labels.shape[:1] != (count,):
        raise UsageError(
            f"labels of {path} are {labels.dtype} {labels.shape}: store one integer for each of "
            f"the {count} images, or for a metric of your own one entry of any shape"
        )
    if labels.dtype.kind in "iu" and labels.shape == (count, 1):
        labels = labels[:, 0]  # as Keras has them
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        return labels, (
            f"labels of {path} are {labels.dtype} {_by(labels.shape)}, not one integer for each of "
            f"the {count} images{_as_classes(labels)}"
        )
    labels = labels.astype(np.int64)
    highest = (np.size(about["classes"]) if "classes" in about else MOST_CLASSES) - 1
    wrong = (labels < 0) | (labels > highest)
    if wrong.any():
        at = int(np.argmax(wrong))
        limits = f"in 0..{highest}"
        raise UsageError(f"label {at} of {path} is {labels[at]}: labels must be {limits}")
    if len(np.unique(labels)) < 2:
        return labels, (
            f"all labels of {path} are {labels[0]}: accuracy needs images of two classes or more"
        )
    return labels, ""


def _as_classes(labels: Labels) -> str:
    """How labels that could be classes are made such; they are not taken for them, as they may be other things."""
    numbers = labels.dtype.kind in "fb"
    if numbers and labels.size == len(labels) and bool(np.all(labels == np.floor(labels))):
        return " (if they are classes, store labels.astype(int))"
    if labels.dtype.kind in "fbiu" and labels.ndim == 2 and labels.shape[1] > 1:
        one_hot = np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1)
        return " (if they are one-hot, store labels.argmax(1))" if one_hot else ""
    if labels.dtype.kind in "US" and labels.ndim == 1:
        return " (store numbers of classes, and their names under classes)"
    return ""


def _integers(
    path: str, arrays: Mapping[str, npt.NDArray[Any]], key: str, count: int
) -> npt.NDArray[np.int64]:
    values = arrays[key]
    if values.dtype.kind not in "iu" or values.shape != (count,):
        raise UsageError(
            f"{key} of {path} are {values.dtype} {values.shape}: store one integer for each of "
            f"the {count} images"
        )
    return values.astype(np.int64)


def _split(path: str, arrays: Mapping[str, npt.NDArray[Any]], labels: Labels) -> dict[str, Indices]:
    if "split" not in arrays:
        are_classes = labels.dtype.kind in "iu" and labels.ndim == 1
        return default_split(labels if are_classes else np.zeros(len(labels), np.int64))
    split = _integers(path, arrays, "split", len(labels))
    wrong = (split < 0) | (split > 2)
    if wrong.any():
        raise UsageError(
            f"split of {path} holds {split[np.argmax(wrong)]}: use 0 train, 1 calibration, 2 test"
        )
    return {part: np.flatnonzero(split == number) for number, part in enumerate(_PARTS)}


def _classes(about: Mapping[str, npt.NDArray[Any]], labels: Labels) -> tuple[str, ...]:
    if "classes" in about:
        return tuple(str(name) for name in np.atleast_1d(about["classes"]))
    return tuple(str(label) for label in range(int(labels.max()) + 1))


def _normalisation(
    path: str, arrays: Mapping[str, npt.NDArray[Any]], channels: int
) -> Preprocessing:
    values: dict[str, tuple[float, ...]] = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    for key in values.keys() & arrays.keys():
        given = np.atleast_1d(arrays[key])
        sound = given.dtype.kind in "fiu" and given.shape == (channels,)
        if not sound or not np.isfinite(given).all() or (key == "std" and (given <= 0).any()):
            raise UsageError(f"{key} of {path} is {given.tolist()}: store one number a channel")
        if key == "mean" and (given > 1).any():
            raise UsageError(
                f"mean of {path} is {given.tolist()}, and pixels are scaled to 0..1 first: store mean and std of "
                "such values, which are those of bytes divided by 255"
            )
        values[key] = tuple(float(value) for value in given)
    return Preprocessing(255.0, values["mean"], values["std"])


def _require_no_normalisation(path: str, about: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse a mean and a deviation that would not be used, as float32 images are taken as they are.

    Raises:
        UsageError: there is one that changes values.
    """
    for key, nothing in (("mean", 0), ("std", 1)):
        if key in about and not np.array_equal(about[key], np.full_like(about[key], nothing)):
            raise UsageError(
                f"float32 images of {path} are taken as they are, and its {key} would not be used: normalise them "
                f"and leave {key} out, or store uint8"
            )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


class NpyRows:
    """Random access to the first axis of a stored array, by plain reads.

    Reads, not a memory map: touched pages of a map count as the process's memory, which would grow
    with the number of rows. A compressed member is unpacked once into a nameless temporary file.

    Args:
        path: the path of the .npz file.
        key: the name of the array in it.

    Raises:
        OSError, ValueError, zipfile.BadZipFile, zlib.error and others: the file is not sound.
    """

    def __init__(self, path: str, key: str) -> None:
        with open_file(path) as stored, zipfile.ZipFile(stored) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as packed:
                self.shape, fortran, self.dtype = read_header(packed)
                header_bytes = packed.tell()
            if fortran or self.dtype.hasobject:
                raise ValueError("the array is not stored row by row")
            self._row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
            self._check_length(member.file_size - header_bytes)
            if member.compress_type == zipfile.ZIP_STORED:
                self._file: IO[bytes] = open_file(path)  # lives as long as the rows
                begin = _data_offset(self._file, member)
            else:
                free = shutil.disk_usage(tempfile.gettempdir()).free
                if member.file_size > free:
                    raise ValueError(
                        f"unpacked it has {member.file_size / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are free "
                        f"in {tempfile.gettempdir()}"
                    )
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
                with archive.open(member) as packed:
                    shutil.copyfileobj(packed, self._file, _COPY_CHUNK_BYTES)
                self._file.flush()
                begin = 0
        self._begin = begin + header_bytes

    def _check_length(self, stored_bytes: int) -> None:
        if stored_bytes != self._row_bytes * len(self):
            raise ValueError("the array is cut short")

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def take(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The rows at `indices`, in that order, in an array of their own."""
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        flat = out.reshape(len(indices), -1).view(np.uint8)
        start = 0
        for stop in [*(np.flatnonzero(np.diff(indices) != 1) + 1), len(indices)]:
            if stop > start:  # rows that lie one after the other are one read
                self._read_into(flat[start:stop], int(indices[start]))
            start = stop
        return out

    def _read_into(self, rows: npt.NDArray[np.uint8], first: int) -> None:
        view = rows.reshape(-1).data
        at = self._begin + first * self._row_bytes
        while len(view):
            count = os.preadv(self._file.fileno(), [view], at)
            if not count:
                raise OSError("the file was cut short while it was read")
            view, at = view[count:], at + count

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: behind its local header, whose lengths can differ."""
    file.seek(member.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("a local header is damaged")
    name_bytes, extra_bytes = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return member.header_offset + 30 + name_bytes + extra_bytes
