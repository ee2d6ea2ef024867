from __future__ import annotations

import pytest

from deploykit.data import Dataset, open_dataset


@pytest.fixture
def few_digits() -> Dataset:
    """A part of the digits that trains in a moment."""
    whole = open_dataset("digits")
    return Dataset(
        "digits",
        whole.classes,
        train=whole.train.first(96),
        calibration=whole.calibration,
        test=whole.test.first(50),
    )
