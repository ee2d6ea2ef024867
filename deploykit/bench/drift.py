"""How far outputs are from the fp32 reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.errors import DriftFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Drift:
    """The distance between two sets of outputs.

    Attributes:
        max_abs: largest absolute difference.
        cosine: of the angle between all outputs as one vector; None if either has no length.
        snr_db: energy of the reference over that of the difference; infinite when they are equal, None
            if the reference has none.
        kl: mean Kullback-Leibler divergence of the softmax from the reference's, in nats; None where the
            first output is not one row of class scores per image.
        top1_agreement: share of images whose highest score is at the same place; None likewise.
        images: how many were compared.
    """

    max_abs: float
    cosine: float | None
    snr_db: float | None
    kl: float | None
    top1_agreement: float | None
    images: int


def require_finite(outputs: Outputs, where: str = "output") -> None:
    """Raise DriftFailed if any value is infinite or not a number."""
    import numpy as np

    for name, values in outputs.items():
        if np.asarray(values).dtype.kind != "f":
            continue
        bad = int(np.size(values) - np.isfinite(values).sum())
        if bad:
            raise DriftFailed(
                f"{where} {name!r} has {bad} of {np.size(values)} values that are not finite; "
                "keep the layers that overflow in a wider type, or use another precision"
            )


def is_scores(values: NDArray[Any]) -> bool:
    """Whether an output is one row of class scores per image: (images, classes), two or more classes."""
    return values.ndim == 2 and values.shape[1] >= 2 and values.dtype.kind == "f"


def compare(reference: Sequence[Outputs], outputs: Sequence[Outputs]) -> Drift:
    """Compare outputs, run by run, with those of the reference.

    Args:
        reference: for each run, its outputs by name.
        outputs: the same of what is judged; names and shapes equal the reference's.

    Raises:
        DriftFailed: values are not finite, an output is missing or of another shape.
    """
    import numpy as np

    max_abs, dot, noise, energy, other = 0.0, 0.0, 0.0, 0.0, 0.0
    divergences: list[NDArray[Any]] = []
    agreed: list[NDArray[Any]] = []
    images = 0
    for expected, found in zip(reference, outputs, strict=True):
        require_finite(expected, "the fp32 reference's output")
        require_finite(found)
        for position, (name, values) in enumerate(expected.items()):
            if name not in found or found[name].shape != values.shape:
                shape = found[name].shape if name in found else "missing"
                raise DriftFailed(
                    f"output {name!r} is {shape}, the reference's {values.shape}; "
                    "build the engine from the graph that the reference was made from"
                )
            a, b = values.astype(np.float64).ravel(), found[name].astype(np.float64).ravel()
            difference = a - b
            max_abs = max(max_abs, float(np.abs(difference).max(initial=0.0)))
            dot += float(a @ b)
            energy += float(a @ a)
            other += float(b @ b)
            noise += float(difference @ difference)
            if position == 0:
                images += values.shape[0] if values.ndim else 1
                if is_scores(values):
                    divergences.append(softmax_divergence(values, found[name]))
                    agreed.append(values.argmax(axis=1) == found[name].argmax(axis=1))
    length = math.sqrt(energy) * math.sqrt(other)
    return Drift(
        max_abs,
        min(1.0, dot / length) if length > 0 else None,
        _decibels(energy, noise),
        float(np.concatenate(divergences).mean()) if divergences else None,
        float(np.concatenate(agreed).mean()) if agreed else None,
        images,
    )


def softmax_divergence(reference: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
    """Kullback-Leibler divergence of softmax(scores) from softmax(reference), per row, in nats."""
    import numpy as np

    def log_softmax(values: NDArray[Any]) -> NDArray[Any]:
        wide = values.astype(np.float64)
        shifted = wide - wide.max(axis=1, keepdims=True)
        logs: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return logs

    p, q = log_softmax(reference), log_softmax(scores)
    # Rounding can leave -1e-17 where both are the same.
    divergence: NDArray[Any] = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    return divergence


def _decibels(energy: float, noise: float) -> float | None:
    if energy <= 0:
        return None
    return math.inf if noise == 0 else 10 * math.log10(energy / noise)
