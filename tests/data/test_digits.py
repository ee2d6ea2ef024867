from __future__ import annotations

import numpy as np
import pytest

from deploykit.data import by_name, open_dataset

NETWORK = (1, 32, 32)


def test_embedded_images_equal_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    original = datasets.load_digits()
    with np.load(by_name.DIGITS_FILE) as stored:
        np.testing.assert_array_equal(stored["images"], original.images)
        np.testing.assert_array_equal(stored["labels"], original.target)


def test_parts_cover_every_image_once() -> None:
    dataset = open_dataset("digits")
    assert [len(part) for part in dataset.parts.values()] == [1097, 200, 500]
    together = np.concatenate([part.indices for part in dataset.parts.values()])
    np.testing.assert_array_equal(np.sort(together), np.arange(1797))


def test_every_class_has_its_share_in_every_part() -> None:
    dataset = open_dataset("digits")
    whole = np.bincount(np.concatenate([part.labels for part in dataset.parts.values()])) / 1797
    for part in dataset.parts.values():
        share = np.bincount(part.labels) / len(part)
        assert np.abs(share - whole).max() < 2 / len(part)


def test_the_split_never_changes() -> None:
    # Published accuracies and the shipped checkpoint hold for this split only.
    assert open_dataset("digits").sha256.startswith("7db36cbb92967e2f")


def test_normalisation_is_that_of_the_train_part() -> None:
    dataset = open_dataset("digits")
    images = np.concatenate([images for images, _ in dataset.train.batches(500, (1, 8, 8))])
    assert abs(images.mean()) < 1e-3
    assert abs(images.std() - 1) < 1e-3


def test_images_come_as_a_network_takes_them() -> None:
    test = open_dataset("digits").test
    images, labels = next(test.batches(7, NETWORK))
    assert images.shape == (7, *NETWORK)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, test.labels[:7])


def test_grey_is_repeated_where_the_network_takes_colour() -> None:
    test = open_dataset("digits").test
    (grey, _), (colour, _) = next(test.batches(3, NETWORK)), next(test.batches(3, (3, 32, 32)))
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=1))
