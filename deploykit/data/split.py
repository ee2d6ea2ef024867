"""Seeded stratified splits: every class has its share in every piece."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt


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
