"""Made-up calibration of networks with several inputs, or with others than float32 images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from deploykit.graph.calibrate import Calibration
from deploykit.graph.values import make_values, values_text
from deploykit.lazy import np
from deploykit.spec import TensorSpec


def synthetic_feeds(
    inputs: Sequence[TensorSpec],
    *,
    seed: int = 0,
    count: int = 8,
    batch_size: int = 4,
    method: str = "minmax",
) -> Calibration:
    """Made-up tensors for every input, each as its `values` say: an engine to time, not to trust its accuracy.

    Args:
        inputs: of the network.
        seed: the same seed gives the same tensors.
        count: how many images.
        batch_size: images at a time; a network without a free dimension gets one whole set for each.
        method: how ranges are chosen.
    """
    free = any(spec.dynamic_batch for spec in inputs)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        generator = np.random.default_rng(seed)
        step = batch_size if free else 1
        for start in range(0, count, step):
            size = min(step, count - start)
            yield {spec.name: make_values(spec, size, generator) for spec in inputs}

    said = [
        f"{spec.name} {spec.with_batch(1)} {values_text(spec)} {spec.values}" for spec in inputs
    ]
    identity = f"made up, seed {seed}, {count} of {', '.join(said)}"
    return Calibration(
        batches=batches,
        count=count,
        method=method,
        data=f"synthetic:{seed}",
        data_sha256=hashlib.sha256(identity.encode()).hexdigest(),
        synthetic=True,
    )
