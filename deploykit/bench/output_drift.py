"""How far an engine's outputs are from the reference's: each output by itself, parts of one where that tells more.

What can't be compared is left out with the reason: whole numbers, shapes that depend on the values, values of the
reference that are not finite.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.bench.drift import Distance, softmax_divergence
from deploykit.bench.feeds import as_rows, is_scores
from deploykit.errors import DriftFailed
from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Outputs = Mapping[str, NDArray[Any]]
    Index = tuple[slice, ...]

#: Signal-to-noise ratio below which an output is called poor: its noise has a tenth of its energy.
POOR_SNR_DB = 10.0
#: Below this an engine in fp32 is coarse: sums of float32 in another order gave 73 to 140 dB on the networks that
#: were tried, products rounded to TF32 57 dB.
COARSE_SNR_DB = 65.0
#: Channels of one output are parts of their own where the larger have this many times the root mean square of the
#: others, and more than 1: boxes in pixels beside scores.
APART = 30.0
#: In an output that the reference has zero throughout, what is larger is no rounding: it is all error.
ZERO_ROUNDING = 1e-4
#: Parts that an output is taken apart into at most, and channels that are looked at.
MAX_PARTS, MAX_CHANNELS = 6, 4096


@dataclass(frozen=True)
class OutputDrift:
    """The distance of one output, or of a part of it.

    Attributes:
        name: of the output; with an index where it is a part, such as "boxes[:, 4:84]".
        snr_db: energy of the reference over that of the difference; infinite where they are equal, None where
            there is no telling.
        left_out: why some or all of its values are not compared; empty where all are.
    """

    name: str
    snr_db: float | None
    left_out: str = ""


@dataclass(frozen=True)
class Drift:
    """The distance between two sets of outputs.

    Attributes:
        max_abs: largest absolute difference; None where nothing could be compared.
        cosine: cosine of the angle between all outputs as one vector; None if either side is zero everywhere.
        snr_db: energy of the reference over that of the difference; infinite when they are equal, None
            if the reference has none.
        kl: mean Kullback-Leibler divergence of the softmax from the reference's, in nats; None where the
            first output is not one row of class scores per image.
        top1_agreement: share of images whose highest score is at the same place; None likewise.
        images: how many were compared.
        outputs: each of them, and their parts.
    """

    max_abs: float | None
    cosine: float | None
    snr_db: float | None
    kl: float | None
    top1_agreement: float | None
    images: int
    outputs: tuple[OutputDrift, ...] = ()

    @property
    def worst(self) -> OutputDrift | None:
        """The output or part that is furthest from its reference; None where none could be compared."""
        known = [one for one in self.outputs if one.snr_db is not None]
        return min(known, key=lambda one: one.snr_db or 0.0, default=None)

    @property
    def poor(self) -> tuple[OutputDrift, ...]:
        """Outputs and parts below `POOR_SNR_DB`."""
        return tuple(o for o in self.outputs if o.snr_db is not None and o.snr_db < POOR_SNR_DB)


@dataclass(frozen=True)
class _Pairs:
    """What can be compared of one output, run by run: float arrays, and a mask of finite values where needed."""

    reference: list[NDArray[Any]]
    judged: list[NDArray[Any]]
    left_out: str = ""

    def distance(self, index: Index = ()) -> Distance:
        """How far all values, or those at an index, are apart."""
        total = Distance()
        for expected, judged in zip(self.reference, self.judged, strict=True):
            add_finite(total, expected[index], judged[index])
        return total


def _snr_db(distance: Distance) -> float | None:
    """The signal-to-noise ratio of an output; where the reference is zero throughout, to the least that counts."""
    if distance.energy > 0 or distance.max_abs <= ZERO_ROUNDING:
        return distance.snr_db
    return 20 * math.log10(ZERO_ROUNDING / distance.max_abs)


def add_finite(total: Distance, expected: NDArray[Any], judged: NDArray[Any]) -> None:
    """Add what the reference has finite values of."""
    finite = np.isfinite(expected)
    if finite.all():
        total.add(expected, judged)
    else:
        total.add(expected[finite], judged[finite])


def compare(
    reference: Sequence[Outputs], outputs: Sequence[Outputs], images: int | None = None
) -> Drift:
    """Compare outputs, run by run, with those of the reference.

    Args:
        reference: for each run, its outputs by name.
        outputs: the same of what is judged.
        images: of each run, so many rows class scores have; None is as many as the first output has.

    Raises:
        DriftFailed: an output is missing, or has values that are not finite where the reference's are.
    """
    pairs = {name: _pairs(name, reference, outputs) for name in reference[0]}
    distances = {name: pair.distance() for name, pair in pairs.items()}
    constant = {name for name, pair in pairs.items() if _constant(pair, distances[name])}
    included = [name for name in pairs if pairs[name].reference and name not in constant]
    total = Distance()
    for name in included or constant:
        total.include(distances[name])
    results = []
    for name, pair in pairs.items():
        snr_db = _snr_db(distances[name]) if pair.reference else None
        results.append(OutputDrift(name, snr_db, pair.left_out))
        results += [
            OutputDrift(f"{name}{text}", _snr_db(pair.distance(index)))
            for text, index in _parts(pair.reference)
        ]
    compared = bool(included or constant)
    kl, agreement, count = _scores(reference, pairs[next(iter(pairs))], images)
    return Drift(
        total.max_abs if compared else None,
        total.cosine,
        total.snr_db,
        kl,
        agreement,
        count,
        tuple(results),
    )


def _scores(
    reference: Sequence[Outputs], first: _Pairs, each: int | None
) -> tuple[float | None, float | None, int]:
    """Divergence and agreement of class scores, where the first output holds such, and the number of images."""
    values = [np.asarray(next(iter(run.values()))) for run in reference]
    rows = sum(one.shape[0] if one.ndim else 1 for one in values)
    images = rows if each is None else each * len(values)
    if not first.reference or first.left_out or not all(is_scores(one) for one in values):
        return None, None, images
    if sum(len(as_rows(one)) for one in values) != images:  # such as a row for each box
        return None, None, images
    scores = (map(as_rows, first.reference), map(as_rows, first.judged))
    pairs = list(zip(*scores, strict=True))
    divergences = [softmax_divergence(expected, judged) for expected, judged in pairs]
    agreed = [expected.argmax(axis=1) == judged.argmax(axis=1) for expected, judged in pairs]
    if not sum(one.size for one in agreed):
        return None, None, images
    return (
        float(np.concatenate(divergences).mean()),
        float(np.concatenate(agreed).mean()),
        images,
    )


def _pairs(name: str, reference: Sequence[Outputs], outputs: Sequence[Outputs]) -> _Pairs:
    """What can be compared of one output, and why the rest can't."""
    expected, judged, reasons = [], [], {}
    bad = whole = values = 0
    for one, other in zip(reference, outputs, strict=True):
        if name not in other:
            raise DriftFailed(
                f"output {name!r} is missing; build the engine from the graph that the reference was made from"
            )
        a, b = np.asarray(one[name]), np.asarray(other[name])
        if a.shape != b.shape:
            reasons["shape"] = (
                f"its shape depends on the values or on the runtime: {list(b.shape)} where the reference has "
                f"{list(a.shape)}"
            )
            continue
        values += a.size
        if a.dtype.kind != "f" or b.dtype.kind != "f":
            whole += int(np.sum(a != b))
            reasons["type"] = f"it holds {a.dtype.name}, no real numbers"
            continue
        finite = np.isfinite(a)
        lost = int((finite & ~np.isfinite(b)).sum())
        if lost:
            raise DriftFailed(
                f"output {name!r} has {lost} of {b.size} values that are not finite where the reference's are; "
                "keep the layers that overflow in a wider type, or use another precision"
            )
        bad += int(a.size - finite.sum())
        expected.append(a)
        judged.append(b)
    if bad:
        reasons["finite"] = f"{bad} of {values} values of the reference are not finite"
    if "type" in reasons:
        reasons["type"] += f"; {whole} of {values} values differ"
    left_out = ", and ".join(reasons.values())
    kept = bool(expected) and bad < values
    return _Pairs(expected if kept else [], judged if kept else [], left_out)


def _constant(pair: _Pairs, distance: Distance) -> bool:
    """Whether an output is the same in all runs, and the engine's too: its energy would hide others' noise."""
    others = pair.reference[1:]
    return (
        bool(others)
        and distance.noise == 0
        and all(np.array_equal(pair.reference[0], other, equal_nan=True) for other in others)
    )


def _parts(values: Sequence[NDArray[Any]]) -> list[tuple[str, Index]]:
    """Ranges of channels of very different size, as text and index; none where an output is of one kind."""
    if not values or values[0].ndim < 3 or len({one.ndim for one in values}) > 1:
        return []
    for axis in sorted({1, values[0].ndim - 1}):
        sizes = {one.shape[axis] for one in values}
        if len(sizes) != 1 or not 2 <= values[0].shape[axis] <= MAX_CHANNELS:
            continue
        size = _channel_sizes(values, axis)
        large = size > size.max() / APART
        parts = list(_runs(large))
        if size.max() > 1 and 2 <= len(parts) <= MAX_PARTS:
            behind = values[0].ndim - axis - 1
            return [
                (
                    "[" + ":, " * axis + f"{start}:{end}" + ", :" * behind + "]",
                    (*[slice(None)] * axis, slice(start, end)),
                )
                for start, end in parts
            ]
    return []


def _channel_sizes(values: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
    """Root mean square of each channel over all runs; values that are not finite count as 0."""
    sums = np.zeros(values[0].shape[axis])
    count = 0
    for one in values:
        wide = np.where(np.isfinite(one), one, 0).astype(np.float64)
        others = tuple(i for i in range(one.ndim) if i != axis)
        sums += (wide * wide).sum(axis=others)
        count += one.size // one.shape[axis]
    sizes: NDArray[Any] = np.sqrt(sums / max(count, 1))
    return sizes


def _runs(flags: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch of equal flags."""
    edges = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(flags))), len(flags)]
    yield from itertools.pairwise(edges)
