from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.data import Dataset, Part, open_dataset
from deploykit.data.dataset import default_split, stratified_split
from deploykit.errors import UnknownName, UsageError

SHAPE = (1, 2, 2)


class Numbered:
    """Image i is filled with i; those in `broken` can't be read."""

    def __init__(self, broken: Iterable[int] = ()) -> None:
        self.broken = set(broken)

    def load(
        self, indices: npt.NDArray[np.int64], input_shape: tuple[int, int, int]
    ) -> tuple[npt.NDArray[np.float32], Mapping[int, str]]:
        sound = [i for i in indices if i not in self.broken]
        images = np.ones((len(sound), *input_shape), np.float32)
        images *= np.array(sound, np.float32)[:, None, None, None]
        problems = {p: f"image {i}: broken" for p, i in enumerate(indices) if i in self.broken}
        return images, problems

    def raw(self, indices: npt.NDArray[np.int64]) -> Iterable[bytes]:
        return (bytes([i % 256]) for i in indices)


def part(count: int, broken: Iterable[int] = ()) -> Part:
    numbers = np.arange(count, dtype=np.int64)
    return Part("numbered/test", Numbered(broken), numbers, numbers % 10)


def test_batches_hold_every_image_in_order_and_the_last_what_is_left() -> None:
    batches = list(part(10).batches(4, SHAPE))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    values = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    np.testing.assert_array_equal(values, np.arange(10))


@pytest.mark.parametrize(("limit", "seen"), [(None, 10), (3, 3), (7, 7), (99, 10)])
def test_limit_bounds_the_images_of_a_pass(limit: int | None, seen: int) -> None:
    assert sum(len(labels) for _, labels in part(10).batches(4, SHAPE, limit)) == seen


def test_first_refuses_more_images_than_there_are() -> None:
    assert len(part(10).first(4)) == 4
    with pytest.raises(UsageError, match="11 images were asked of numbered/test, which has 10"):
        part(10).first(11)


def test_subset_keeps_image_and_label_together() -> None:
    images, labels = next(part(30).subset([25, 3]).batches(2, SHAPE))
    assert images[:, 0, 0, 0].tolist() == [25, 3]
    assert labels.tolist() == [5, 3]


def test_hash_tells_images_labels_and_order() -> None:
    whole = part(100)
    relabelled = Part(whole.name, whole.source, whole.indices, whole.labels + 1)
    hashes = {p.sha256 for p in (whole, relabelled, whole.subset(range(99, -1, -1)), part(99))}
    assert len(hashes) == 4
    assert part(100).sha256 == whole.sha256


def test_few_unreadable_images_are_left_out_and_named() -> None:
    mostly_sound = part(300, broken=[5, 150])
    batches = list(mostly_sound.batches(64, SHAPE))
    values = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    assert len(values) == 298
    np.testing.assert_array_equal(values.astype(int) % 10, labels)
    assert mostly_sound.unreadable == ["image 5: broken", "image 150: broken"]
    list(mostly_sound.batches(64, SHAPE))
    assert len(mostly_sound.unreadable) == 2


def test_many_unreadable_images_are_refused() -> None:
    with pytest.raises(UsageError, match=r"3 of the 200 images.*first: image 5: broken"):
        list(part(200, broken=[5, 6, 7]).batches(50, SHAPE))


def test_an_empty_part_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(UsageError, match="numbered/test has no images"):
        part(0).batches(4, SHAPE)


def test_a_network_with_too_few_outputs_is_refused() -> None:
    dataset = Dataset("numbered", tuple("0123456789"), part(1), part(1), part(1))
    dataset.require_classes(10)
    with pytest.raises(UsageError, match="10 classes but the network has 9 outputs"):
        dataset.require_classes(9)


def test_an_unknown_data_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean digits"):
        open_dataset("digit")


@pytest.mark.parametrize("text", ["imagefolder", "npz:", "imagefolder:"])
def test_a_data_set_without_its_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no path"):
        open_dataset(text)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, deploykit.data; print([m for m in ('numpy', 'PIL') if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=200),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_pieces_are_disjoint_and_of_the_sizes_asked_for(
    labels: list[int], shares: list[float], seed: int
) -> None:
    sizes = [int(share * len(labels) / len(shares)) for share in shares]
    pieces = stratified_split(np.array(labels), sizes, seed)
    assert [len(piece) for piece in pieces] == [*sizes, len(labels) - sum(sizes)]
    np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), np.arange(len(labels)))


def test_classes_keep_their_share_even_when_the_labels_are_sorted() -> None:
    labels = np.repeat(np.arange(4), [400, 200, 100, 20])
    piece, _ = stratified_split(labels, (72,), seed=3)
    np.testing.assert_allclose(np.bincount(labels[piece]), [40, 20, 10, 2], atol=1)


def test_seed_and_labels_decide_alone() -> None:
    labels = np.arange(100) % 3
    first, again, other = (stratified_split(labels, (30,), seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


def test_the_default_is_seven_one_two() -> None:
    sizes = {name: len(piece) for name, piece in default_split(np.arange(50) % 5).items()}
    assert sizes == {"train": 35, "calibration": 5, "test": 10}


def test_more_than_there_is_can_not_be_cut() -> None:
    with pytest.raises(ValueError, match="can't be cut"):
        stratified_split(np.zeros(5, np.int64), (3, 3), 0)
