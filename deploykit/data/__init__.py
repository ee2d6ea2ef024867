"""Data sets with real labels: what calibration, accuracy and training read.

    >>> from deploykit.data import open_dataset
    >>> digits = open_dataset("digits")
    >>> len(digits.train), len(digits.calibration), len(digits.test)
    (1097, 200, 500)

Every data set has three parts that never share an image. Images are read batch by batch: memory
does not grow with their number.
"""

from __future__ import annotations

from deploykit.data.by_name import open_digits, open_fashion_mnist
from deploykit.data.dataset import Dataset, Part
from deploykit.data.imagefolder import open_imagefolder
from deploykit.data.npz import open_npz
from deploykit.data.options import split_options
from deploykit.errors import UnknownName, UsageError

__all__ = ["FORMS", "Dataset", "Part", "open_dataset"]

#: What `--data` accepts, as shown to the user.
FORMS = ("digits", "fashion-mnist", "fashion-mnist:FOLDER", "imagefolder:PATH", "npz:PATH")


def open_dataset(text: str) -> Dataset:
    """The data set that `text` names.

    Args:
        text: `digits`; `fashion-mnist` or `fashion-mnist:FOLDER`; `imagefolder:PATH`; `npz:PATH`.

    Raises:
        UnknownName: no such data set.
        UsageError: the path is missing or what lies there can't be used.
        MissingDependency: Fashion-MNIST can't be had here; Pillow is missing.
    """
    text, options = split_options(text)
    name, colon, location = text.partition(":")
    if options and name not in ("imagefolder", "npz"):
        raise UsageError(
            f"images of {name} are prepared as it says itself: leave what is behind ? out"
        )
    if name == "digits" and not colon:
        return open_digits()
    if name == "fashion-mnist" and (location or not colon):
        return open_fashion_mnist(location or None)
    if name in ("imagefolder", "npz") and not location:
        raise UsageError(f"data set {text!r} names no path: write {name}:PATH")
    if name == "imagefolder":
        return open_imagefolder(location, options)
    if name == "npz":
        return open_npz(location, options)
    raise UnknownName("data set", text, FORMS)
