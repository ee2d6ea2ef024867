"""The data sets that are asked for by name alone: the handwritten digits of this package, and Fashion-MNIST.

Digits: 1,797 grey images of 8 x 8 px in 10 classes, embedded. The test part of "Optical Recognition of Handwritten
Digits" by E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49,
licensed CC BY 4.0; the same images as scikit-learn's `load_digits`. `digits.npz` stores them repacked (pixels 0..16
as bytes), otherwise unchanged. The 13 writers of these images are not told apart in the data, so all parts hold
images of the same writers: accuracy on the test part is that for known hands.

Fashion-MNIST: 70,000 grey images of clothing, 28 x 28 px, in 10 classes, by Han Xiao, Kashif Rasul and Roland
Vollgraf (Zalando Research), arXiv:1708.07747, MIT licence, https://github.com/zalandoresearch/fashion-mnist. Its
four files, gzipped or not, are looked for in the folder given, in the user's cache, and where Debian's package
dataset-fashion-mnist puts them; then a download into the cache is tried. Their content is always checked.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit.data.dataset import Dataset, MemorySource, Part, stratified_split
from deploykit.data.preprocessing import Preprocessing
from deploykit.errors import MissingDependency, UsageError
from deploykit.lazy import np
from deploykit.reading import read_file
from deploykit.writing import drafted

if TYPE_CHECKING:
    import numpy.typing as npt

DIGITS_FILE = Path(__file__).with_name("digits.npz")

#: One of Fashion-MNIST's files has 45 MiB unpacked.
MAX_FILE_BYTES = 64 * 2**20

_DIGITS_CALIBRATION, _DIGITS_TEST = 200, 500
_DIGITS_SPLIT_SEED = 0

#: Of the training part; a test recomputes them.
DIGITS_PREPROCESSING = Preprocessing(scale=16, mean=(0.3052,), std=(0.3765,))


def open_digits() -> Dataset:
    """The digits: 1,097 images to train on, 200 to calibrate on, 500 to test on; stable."""
    with np.load(DIGITS_FILE) as stored:
        pixels, labels = stored["images"][..., None], stored["labels"].astype(np.int64)
    source = MemorySource("digits", lambda: pixels, DIGITS_PREPROCESSING)
    calibration, test, train = stratified_split(
        labels, (_DIGITS_CALIBRATION, _DIGITS_TEST), _DIGITS_SPLIT_SEED
    )
    parts = {
        name: Part(f"digits/{name}", source, chosen, labels[chosen])
        for name, chosen in (("train", train), ("calibration", calibration), ("test", test))
    }
    return Dataset(
        "digits", tuple("0123456789"), parts["train"], parts["calibration"], parts["test"]
    )


FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

#: SHA-256 of the four files' content, unpacked.
CONTENT_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DOWNLOAD_FROM = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_DOWNLOAD_TIMEOUT_S = 20

#: Of the 60,000 training images, as is usual for this data set.
FASHION_PREPROCESSING = Preprocessing(scale=255, mean=(0.2860,), std=(0.3530,))

_FASHION_CALIBRATION = 5_000
_FASHION_SPLIT_SEED = 0


def open_fashion_mnist(folder: str | None = None) -> Dataset:
    """Fashion-MNIST: 55,000 images to train on, 5,000 to calibrate on, its own 10,000 to test on.

    Args:
        folder: where its four IDX files are; None searches, then downloads.

    Raises:
        UsageError: the folder given lacks a file, or a file is damaged.
        MissingDependency: no folder was given and the data is not to be had.
    """
    if folder is not None:
        place = Path(folder)
        if not _complete(place):
            raise UsageError(
                f"{folder} does not hold the four files of Fashion-MNIST: give the folder "
                f"that has {', '.join(CONTENT_SHA256)} (.gz or not)"
            )
    else:
        place = next(filter(_complete, (_cache_folder(), DEBIAN_FOLDER)), None) or _download()
    name = "fashion-mnist"
    labels = _read_labels(place, "train")
    test_labels = _read_labels(place, "t10k")
    pixels = MemorySource(
        name, partial(_read_images, place, "train", len(labels)), FASHION_PREPROCESSING
    )
    test_pixels = MemorySource(
        name, partial(_read_images, place, "t10k", len(test_labels)), FASHION_PREPROCESSING
    )
    calibration, train = stratified_split(labels, (_FASHION_CALIBRATION,), _FASHION_SPLIT_SEED)
    everything = np.arange(len(test_labels), dtype=np.int64)
    return Dataset(
        name,
        FASHION_CLASSES,
        train=Part(f"{name}/train", pixels, train, labels[train]),
        calibration=Part(f"{name}/calibration", pixels, calibration, labels[calibration]),
        test=Part(f"{name}/test", test_pixels, everything, test_labels),
    )


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "deploykit" / "fashion-mnist"


def _file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _complete(folder: Path) -> bool:
    return all(_file(folder, name) for name in CONTENT_SHA256)


def _read(folder: Path, name: str) -> bytes:
    """The unpacked, checked content of one file."""
    path = _file(folder, name)
    if path is None:
        raise UsageError(f"{folder / name} is gone: put Fashion-MNIST's files back")
    try:
        stored = read_file(path, MAX_FILE_BYTES)
        content = _unpacked(stored) if path.suffix == ".gz" else stored
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} can't be read ({error}): replace it by a sound copy") from None
    if hashlib.sha256(content).hexdigest() != CONTENT_SHA256[name]:
        raise UsageError(f"{path} is not Fashion-MNIST's file: replace it by a sound copy")
    return content


def _unpacked(stored: bytes) -> bytes:
    """The content of a gzip file, which may be packed a thousandfold, as far as one of the four files goes."""
    with gzip.open(io.BytesIO(stored)) as file:
        return file.read(MAX_FILE_BYTES)


def _read_labels(folder: Path, part: str) -> npt.NDArray[np.int64]:
    content = _read(folder, f"{part}-labels-idx1-ubyte")
    return np.frombuffer(content, np.uint8, offset=8).astype(np.int64)


def _read_images(folder: Path, part: str, count: int) -> npt.NDArray[np.uint8]:
    content = _read(folder, f"{part}-images-idx3-ubyte")
    return np.frombuffer(content, np.uint8, offset=16).reshape(count, 28, 28, 1)


def _download() -> Path:
    """Fetch the four files into the user's cache; nothing is kept of a download that fails."""
    from urllib.request import urlopen

    folder = _cache_folder()
    remedy = (
        "install Debian's package dataset-fashion-mnist, or give fashion-mnist:FOLDER "
        "with its four IDX files"
    )
    for name, expected in CONTENT_SHA256.items():
        target = folder / f"{name}.gz"
        if target.is_file():
            continue
        try:
            with urlopen(f"{DOWNLOAD_FROM}/{target.name}", timeout=_DOWNLOAD_TIMEOUT_S) as response:
                packed = response.read()
            if hashlib.sha256(gzip.decompress(packed)).hexdigest() != expected:
                raise OSError("wrong checksum")
            folder.mkdir(parents=True, exist_ok=True)
            with drafted(target) as draft:
                draft.write_bytes(packed)
        except (OSError, EOFError, zlib.error) as error:
            raise MissingDependency(
                f"Fashion-MNIST is not here and its download failed ({error}): {remedy}"
            ) from None
    return folder
