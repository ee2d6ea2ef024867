"""Calibration: the images from which a recipe learns the ranges of activations, and how it takes them.

Images stream through the float graph batch by batch; what stays of an activation is its extremes, or a
histogram of fixed size, so that memory does not grow with the number of images.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploykit.errors import UnknownName, UsageError
from deploykit.lazy import np

#: How a range is chosen from what was seen.
METHODS = ("minmax", "percentile", "entropy", "mse")


class _Part(Protocol):
    """What `Calibration.from_part` needs of a data set's part."""

    @property
    def sha256(self) -> str: ...

    def __len__(self) -> int: ...

    def batches(self, batch_size: int, input_shape: tuple[int, int, int]) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Calibration:
    """Where ranges come from.

    Attributes:
        batches: called once per pass; gives float32 arrays (images, channels, height, width) as the
            network takes them, tensors by the names of its inputs, or pairs whose first element is
            one of these. Each call must give the same images in the same order.
        count: images to use; more than `batches` gives is an error.
        method: "minmax" (extremes), "percentile", "entropy" (least Kullback-Leibler divergence of the
            quantised histogram) or "mse" (least mean squared error).
        percentile: share of values, in percent, that the range holds, for the method of that name.
        data: name of the data.
        data_sha256: its hash, hexadecimal.
        synthetic: whether the images are made up, which a row about the result must say.
        steps: what the recipe is to do beyond ranges, by name; None leaves it to the recipe.
        remembered: ranges that were found before, by tensor, whether symmetric, and the digest of what was done to
            the float graph before, for who converts one network many times: what a tensor holds does not depend on
            what is quantised. None remembers none.
    """

    batches: Callable[[], Iterable[Any]]
    count: int
    method: str = "minmax"
    percentile: float = 99.99
    data: str = ""
    data_sha256: str = ""
    synthetic: bool = False
    steps: tuple[str, ...] | None = None
    remembered: dict[tuple[str, bool, str], tuple[float, float]] | None = field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName("calibration method", self.method, METHODS)
        if self.count < 1:
            raise UsageError(f"calibration needs at least one image, not {self.count}")
        if not 50.0 < self.percentile <= 100.0:
            raise UsageError(f"percentile {self.percentile} is not in (50, 100]; 99.99 is usual")

    @classmethod
    def from_part(
        cls,
        part: _Part,
        input_shape: tuple[int, int, int],
        *,
        count: int | None = None,
        batch_size: int = 8,
        data: str = "",
        method: str = "minmax",
        percentile: float = 99.99,
    ) -> Calibration:
        """Calibrate on a data set's part: its first `count` images (all of them when None)."""
        wanted = len(part) if count is None else count
        if wanted > len(part):
            raise UsageError(
                f"the calibration part of {data or 'the data'} has {len(part)} images, fewer than "
                f"the {wanted} asked for; ask for fewer"
            )
        return cls(
            batches=lambda: part.batches(batch_size, input_shape),
            count=wanted,
            method=method,
            percentile=percentile,
            data=data,
            data_sha256=part.sha256,
        )

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the calibration; ranges are added by the recipe."""
        facts: dict[str, Any] = {
            "method": self.method,
            "count": self.count,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "synthetic": self.synthetic,
        }
        if self.method == "percentile":
            facts["percentile"] = self.percentile
        return facts

    def feeds(self, inputs: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """One pass over the images, batch by batch, as tensors by input.

        Args:
            inputs: names of the network's inputs.

        Raises:
            UsageError: the data has plain images and the network several inputs; as `images`.
        """
        batches = iter(self.batches())
        first = next(batches, None)
        if isinstance(first[0] if isinstance(first, tuple) else first, Mapping):
            for batch in itertools.chain([first], batches):
                yield dict(batch[0] if isinstance(batch, tuple) else batch)
            return
        if len(inputs) != 1:
            raise UsageError(
                f"calibration has images for one input, this network has {len(inputs)}: give --data "
                "npz:PATH with an array named after each input, or use fp32 or fp16"
            )
        for images in self.images():
            yield {inputs[0]: images}

    def images(self) -> Iterator[np.ndarray]:
        """One pass over exactly `count` images, batch by batch, each checked.

        Raises:
            UsageError: fewer images than `count`, none that are float32, values that are not finite.
        """
        seen = 0
        for batch in self.batches():
            array = np.asarray(batch[0] if isinstance(batch, tuple) else batch)
            if array.dtype != np.float32 or array.ndim < 2:
                raise UsageError(
                    f"calibration images are {array.dtype} with {array.ndim} dimensions; "
                    "give float32 batches"
                )
            array = array[: self.count - seen]
            if not np.isfinite(array).all():
                bad = int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
                raise UsageError(
                    f"calibration image {seen + bad} has values that are not finite; remove it"
                )
            seen += len(array)
            if len(array):
                yield array
            if seen >= self.count:
                return
        raise UsageError(
            f"calibration data has {seen} images, fewer than the {self.count} asked for; "
            "ask for fewer or give more"
        )


def synthetic_calibration(
    input_shape: tuple[int, ...],
    *,
    seed: int = 0,
    count: int = 16,
    batch_size: int = 4,
    method: str = "minmax",
    percentile: float = 99.99,
) -> Calibration:
    """Made-up images (standard normal, seeded): enough to build and time an engine, not to trust its accuracy.

    Args:
        input_shape: of one image: channels, height, width in px.
        seed: the same seed gives the same images.
        count: how many images.
        batch_size: images per batch.
        method: how ranges are chosen, one of `METHODS`.
        percentile: share of values, in percent, that the range holds, for the method of that name.
    """

    def batches() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(seed)
        for start in range(0, count, batch_size):
            size = min(batch_size, count - start)
            yield generator.standard_normal((size, *input_shape), dtype=np.float32)

    identity = f"standard normal, seed {seed}, {count} of {tuple(input_shape)}"
    return Calibration(
        batches=batches,
        count=count,
        method=method,
        percentile=percentile,
        data=f"synthetic:{seed}",
        data_sha256=hashlib.sha256(identity.encode()).hexdigest(),
        synthetic=True,
    )
