"""Weights that are rounded for what their product makes: less error there, though each is further off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from small_graphs import N, data, graph, quantised, random, run, snr_db

SHAPE = ["N", 3, 8, 8]
#: Channels of the image are mixed into more, so that inputs of the second product go together.
MIXED = N("Conv", ["x", "mix"], ["m"], name="mix")


def coarse(*shape: int) -> np.ndarray:
    """Weights most of which are a few steps of int8."""
    values = 0.02 * random(*shape, seed=2)
    values.reshape(shape[0], -1)[:, 0] = 1.27
    return values


KINDS = {
    "convolution": ([N("Conv", ["m", "w"], ["y"], name="p", pads=[1, 0, 1, 0])], coarse(4, 12, 3, 3)),
    "stride and dilation": (
        [N("Conv", ["m", "w"], ["y"], name="p", strides=[2, 1], dilations=[1, 2])], coarse(4, 12, 2, 3)
    ),
    "groups": ([N("Conv", ["m", "w"], ["y"], name="p", group=3)], coarse(6, 4, 3, 3)),
    "dense": (
        [N("Flatten", ["m"], ["f"]), N("Gemm", ["f", "w"], ["y"], name="p", transB=1)], coarse(5, 768)
    ),
    "turned": ([N("Flatten", ["m"], ["f"]), N("Gemm", ["f", "w"], ["y"], name="p")], coarse(5, 768).T),
}  # fmt: skip


def stored(path: Path) -> np.ndarray:
    values = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    return values["w_quantized"]


@pytest.mark.parametrize("name", KINDS)
def test_an_output_moves_less(name: str, tmp_path: Path) -> None:
    nodes, weight = KINDS[name]
    model = graph([MIXED, *nodes], SHAPE, {"mix": random(12, 3, 1, 1), "w": weight.copy()})
    x = data((3, 8, 8), seed=11) if name in ("convolution", "groups") else data((3, 8, 8))

    def made(steps: tuple[str, ...]) -> tuple[float, np.ndarray, dict[str, int]]:
        result = quantised(model, tmp_path, steps=steps)
        found = snr_db(run(model, x), run(result.path, x))
        return found, stored(result.path), result.recipe.get("outputs_rounded", {})

    plain, nearest, _ = made(())
    better, moved, changed = made(("rounding",))
    assert changed["p"] > 0
    assert (moved != nearest).any()
    assert better > plain + 0.5
    assert made(("rounding",))[1].tobytes() == moved.tobytes()


def test_weights_that_two_products_share_stay(tmp_path: Path) -> None:
    nodes = [
        MIXED, N("Conv", ["m", "w"], ["a"], name="p"), N("Tanh", ["m"], ["t"]),
        N("Conv", ["t", "w"], ["b"], name="q"), N("Add", ["a", "b"], ["y"]),
    ]  # fmt: skip
    model = graph(nodes, SHAPE, {"mix": random(12, 3, 1, 1), "w": coarse(4, 12, 3, 3)})
    made = quantised(model, tmp_path, steps=("rounding",))
    assert {"p", "q"}.isdisjoint(made.recipe["outputs_rounded"])
