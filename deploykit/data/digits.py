"""Handwritten digits, embedded: 1,797 grey images of 8 x 8 px in 10 classes.

The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI
Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0; the same
images as scikit-learn's `load_digits`. `digits.npz` stores them repacked (pixels 0..16 as bytes),
otherwise unchanged.

The 13 writers of these images are not told apart in the data, so all parts hold images of the same
writers: accuracy on the test part is that for known hands.
"""

from __future__ import annotations

from pathlib import Path

from deploykit.data.dataset import Dataset, MemorySource, Part, stratified_split
from deploykit.data.preprocessing import Preprocessing
from deploykit.lazy import np

FILE = Path(__file__).with_name("digits.npz")

_CALIBRATION, _TEST = 200, 500
_SPLIT_SEED = 0

#: Of the training part; a test recomputes them.
PREPROCESSING = Preprocessing(scale=16, mean=(0.3052,), std=(0.3765,))


def open_digits() -> Dataset:
    """The digits: 1,097 images to train on, 200 to calibrate on, 500 to test on; stable."""
    with np.load(FILE) as stored:
        pixels, labels = stored["images"][..., None], stored["labels"].astype(np.int64)
    source = MemorySource("digits", lambda: pixels, PREPROCESSING)
    calibration, test, train = stratified_split(labels, (_CALIBRATION, _TEST), _SPLIT_SEED)
    parts = {
        name: Part(f"digits/{name}", source, chosen, labels[chosen])
        for name, chosen in (("train", train), ("calibration", calibration), ("test", test))
    }
    return Dataset(
        "digits", tuple("0123456789"), parts["train"], parts["calibration"], parts["test"]
    )
