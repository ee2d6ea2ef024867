"""Weights in whole steps of their scales: ranges by mean squared error, and pairs that kernels can add in 16 bits.

The largest weight of a channel decides its scale by default. Where it stands alone, a smaller scale, at which it is
cut, leaves less noise in the channel as a whole; so does one at which a few pairs are cut that would not fit int16,
where a processor adds products two by two, as all other weights then have finer steps.
"""

from __future__ import annotations

from collections.abc import Iterator

from deploykit.graph.precision.qdq import EMPTY_SCALE, PAIR_STEPS, along, quantise_s8
from deploykit.lazy import np

#: Scales that are tried, as shares of that which cuts nothing; fewer for weights of more values.
_FINE, _COARSE = 26, 6
_LEAST_SHARE = 0.5
_MANY_VALUES = 1 << 22
#: Values that are tried at once.
_PIECE_VALUES = 1 << 20


def quantise_in_pairs(
    weight: np.ndarray, scales: np.ndarray, axis: int | None, *, pairs: bool
) -> np.ndarray:
    """A weight in int8 steps of its scales; with `pairs`, cut until no two neighbours overflow int16 together."""
    steps = quantise_s8(weight, scales, axis)
    return within_pairs(steps, axis) if pairs else steps


def within_pairs(steps: np.ndarray, axis: int | None) -> np.ndarray:
    """Steps, int8, of which the larger of two neighbours of one sign is cut where both exceed what 255 times fits.

    Neighbours are those of `qdq.scales_of_pairs`.
    """
    values = steps.astype(np.int16)
    rows = (
        np.moveaxis(values, -2, -1)[..., None, :, :]
        if axis is None
        else np.moveaxis(values, axis, 0)
    )
    orders = [rows]  # views: what is cut in one is cut in all
    if axis is not None and rows.ndim > 2:
        orders.append(np.moveaxis(rows, 1, -1))
    changed = True
    while changed:
        changed = False
        for order in orders:
            flat = (
                order.reshape(len(order), -1)
                if axis is not None
                else order.reshape(-1, order.shape[-1])
            )
            cut = _cut(flat)
            if cut is not None:
                changed = True
                order[...] = cut.reshape(order.shape)
    return np.asarray(values.astype(np.int8))


def _cut(flat: np.ndarray) -> np.ndarray | None:
    """Rows with the larger of each pair that is too large cut; None where there is no such pair."""
    left, right = flat[:, :-1], flat[:, 1:]
    excess = np.abs(left + right) - PAIR_STEPS
    excess[(left > 0) != (right > 0)] = 0
    if not (excess > 0).any():
        return None
    excess = np.maximum(excess, 0)
    first = np.abs(left) >= np.abs(right)
    off = np.zeros_like(flat)
    off[:, :-1] = np.where(first, excess, 0)
    off[:, 1:] = np.maximum(off[:, 1:], np.where(first, 0, excess))
    return np.asarray(flat - np.sign(flat) * off)


def scales_by_error(
    weight: np.ndarray, scales: np.ndarray, axis: int | None, *, pairs: bool
) -> np.ndarray:
    """The scales, one per channel, that leave the least mean squared error.

    Args:
        weight: float32.
        scales: at which nothing is cut, one per channel.
        axis: of the channels; None leaves the scales as they are.
        pairs: whether neighbours have to fit int16 together.
    """
    if axis is None:
        return scales
    count = _FINE if weight.size <= _MANY_VALUES else _COARSE
    best = scales.copy()
    for part in _pieces(weight, axis):
        rows = np.moveaxis(weight, axis, 0)[part]
        whole = scales[part]
        least = np.full(len(rows), np.inf)
        for share in np.linspace(1.0, _LEAST_SHARE, count):
            tried = (whole * np.float32(share)).astype(np.float32)
            steps = quantise_in_pairs(rows, tried, 0, pairs=pairs)
            off = rows - steps * along(tried, 0, rows.ndim)
            errors = np.square(off, dtype=np.float64).reshape(len(rows), -1).sum(axis=1)
            better = (errors < least * (1.0 - 1e-9)) & (whole > EMPTY_SCALE)
            least = np.where(better, errors, least)
            best[part] = np.where(better, tried, best[part])
    return best


def _pieces(weight: np.ndarray, axis: int) -> Iterator[slice]:
    channels = weight.shape[axis]
    size = max(1, _PIECE_VALUES // max(1, weight.size // max(1, channels)))
    return (slice(start, start + size) for start in range(0, channels, size))
