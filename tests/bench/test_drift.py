from __future__ import annotations

import math

import numpy as np
import pytest

from deploykit.bench.columns import of_drift
from deploykit.bench.drift import compare, softmax_divergence
from deploykit.errors import DriftFailed


def scores(values):
    return {"logits": np.array(values, np.float32)}


def test_equal_outputs_do_not_drift():
    outputs = scores([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]])
    drift = compare([outputs], [outputs])
    assert drift.max_abs == 0
    assert drift.cosine == pytest.approx(1.0)
    assert drift.snr_db == math.inf
    assert drift.kl == 0
    assert drift.top1_agreement == 1.0
    assert drift.images == 2


def test_figures_equal_those_worked_out_by_hand():
    drift = compare([scores([[3.0, 4.0]])], [scores([[4.0, 3.0]])])
    assert drift.max_abs == 1.0
    assert drift.cosine == pytest.approx(24 / 25)
    assert drift.snr_db == pytest.approx(10 * math.log10(25 / 2))
    assert drift.top1_agreement == 0.0
    p = 1 / (1 + math.e)
    assert drift.kl == pytest.approx((1 - 2 * p) * 1.0)


def test_several_runs_are_one_comparison():
    first, second = scores([[1.0, 0.0]]), scores([[0.0, 2.0]])
    moved = scores([[0.0, 5.0]])
    drift = compare([first, second], [first, moved])
    assert drift.images == 2
    assert drift.max_abs == 3.0
    assert drift.cosine == pytest.approx(11 / math.sqrt(5 * 26))
    assert drift.top1_agreement == 1.0


def test_every_output_counts_but_only_scores_have_a_best():
    reference = {"map": np.zeros((1, 2, 3, 3), np.float32), "boxes": np.ones((1, 4), np.float32)}
    moved = {"map": reference["map"], "boxes": reference["boxes"] + 0.5}
    drift = compare([reference], [moved])
    assert drift.max_abs == 0.5
    assert drift.top1_agreement is None
    assert drift.kl is None
    columns, notes = of_drift(drift, "fp32")
    assert columns["top1_agreement"] is None
    assert columns["drift_kl"] is None
    assert [str(note) for note in notes] == [
        "top1_agreement and drift_kl are blank: the first output is not one row of class scores"
    ]


def test_large_scores_do_not_overflow_the_softmax():
    found = softmax_divergence(
        np.array([[1e4, 0.0]], np.float32), np.array([[0.0, 1e4]], np.float32)
    )
    assert found == pytest.approx([1e4])


def test_half_precision_outputs_are_compared_in_full():
    reference = scores([[60000.0, 60000.0]])
    half = {"logits": reference["logits"].astype(np.float16)}
    assert compare([reference], [half]).cosine == pytest.approx(1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_fail(value):
    with pytest.raises(DriftFailed, match="output 'logits' has 1 of 2 values that are not finite"):
        compare([scores([[1.0, 2.0]])], [scores([[1.0, value]])])


def test_a_reference_that_is_not_finite_is_named_as_such():
    with pytest.raises(DriftFailed, match="the fp32 reference's output 'logits'"):
        compare([scores([[1.0, np.nan]])], [scores([[1.0, 2.0]])])


@pytest.mark.parametrize("found", [{"other": np.ones((1, 2))}, {"logits": np.ones((1, 3))}])
def test_outputs_of_another_graph_fail(found):
    with pytest.raises(DriftFailed, match="build the engine from the graph"):
        compare([scores([[1.0, 2.0]])], [found])


def test_an_all_zero_reference_has_no_ratio():
    drift = compare([scores([[0.0, 0.0]])], [scores([[0.0, 1.0]])])
    assert drift.snr_db is None
    assert drift.cosine is None


def test_integer_outputs_are_compared_too():
    drift = compare([{"class": np.array([3, 4])}], [{"class": np.array([3, 6])}])
    assert drift.max_abs == 2
    assert drift.top1_agreement is None
