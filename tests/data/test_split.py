from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.data.split import default_split, stratified_split


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
