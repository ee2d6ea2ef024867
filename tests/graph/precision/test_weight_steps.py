"""Weights in int8 whose scales come from the error that they leave, with neighbours that fit int16 together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from small_graphs import N, graph, quantised, random

from deploykit import env
from deploykit.graph.precision.qdq import along, channel_scales, quantise_s8, scales_of_pairs
from deploykit.graph.precision.weight_steps import (
    quantise_in_pairs,
    scales_by_error,
    within_pairs,
)


def error(weight: np.ndarray, scales: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Squared error of each channel."""
    off = weight - steps * along(scales, 0, weight.ndim)
    return np.square(off, dtype=np.float64).reshape(len(weight), -1).sum(axis=1)


def spiked() -> np.ndarray:
    """Normal weights of 2 channels with 32,768 values each, one of which stands far out."""
    weight = random(2, 32768, 1, 1) * np.float32(np.sqrt(32768))
    weight[:, 100] = 14.0
    return weight


def test_a_weight_that_stands_alone_is_cut_and_the_others_have_finer_steps() -> None:
    weight = spiked()
    whole = channel_scales(weight, 0, 127.0)
    scales = scales_by_error(weight, whole, 0, pairs=False)
    assert (scales < 0.98 * whole).all()
    before = error(weight, whole, quantise_s8(weight, whole, 0))
    after = error(weight, scales, quantise_in_pairs(weight, scales, 0, pairs=False))
    assert (after < before).all()


def test_a_channel_that_has_no_such_weight_or_nothing_at_all_keeps_its_scale() -> None:
    weight = np.linspace(-1, 1, 255, dtype=np.float32).reshape(1, 255, 1, 1)
    weight = np.concatenate([weight, np.zeros_like(weight)])
    whole = channel_scales(weight, 0, 127.0)
    assert scales_by_error(weight, whole, 0, pairs=False) == pytest.approx(whole)


@pytest.mark.parametrize("shape", [(5, 16, 3, 3), (4, 600)])
def test_pairs_are_cut_until_they_fit_and_no_further(shape: tuple[int, ...]) -> None:
    steps = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
    cut = within_pairs(steps, 0).astype(int)
    flat = [cut.reshape(len(cut), -1)]
    if len(shape) > 2:
        flat.append(np.moveaxis(cut, 1, -1).reshape(len(cut), -1))
    for rows in flat:
        assert np.abs(rows[:, 1:] + rows[:, :-1]).max() == 128
    assert (np.abs(cut) <= np.abs(steps.astype(int))).all()
    assert (cut * steps >= 0).all()
    assert within_pairs(cut.astype(np.int8), 0).tolist() == cut.tolist()


def test_where_products_are_added_in_pairs_the_error_is_below_that_of_scales_alone() -> None:
    weight = random(8, 64, 3, 3)
    weight[:, :2] = 0.3 * np.sign(weight[:, :2]).clip(0.0, 1.0)  # a few large neighbours
    raised = scales_of_pairs(channel_scales(weight, 0, 127.0), weight, 0)
    scales = scales_by_error(weight, raised, 0, pairs=True)
    steps = quantise_in_pairs(weight, scales, 0, pairs=True)
    assert (
        error(weight, scales, steps).sum()
        <= error(weight, raised, quantise_s8(weight, raised, 0)).sum()
    )
    rows = steps.reshape(8, -1).astype(int)
    assert np.abs(rows[:, 1:] + rows[:, :-1]).max() <= 128


@pytest.mark.parametrize("pairs", [False, True])
def test_the_recipe_writes_such_scales(
    pairs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "adds_pairs_in_int16", lambda: pairs)
    weight = spiked().reshape(2, 2048, 4, 4)
    model = graph([N("Conv", ["x", "w"], ["y"], name="p")], [1, 2048, 4, 4], {"w": weight})
    scales = {}
    for steps in ((), ("weight-mse",)):
        made = onnx.load(quantised(model, tmp_path, steps=steps).path)
        (stored,) = [t for t in made.graph.initializer if t.name == "w_scale"]
        scales[steps] = onnx.numpy_helper.to_array(stored)
    assert (scales["weight-mse",] < scales[()]).all()
