"""Drift of outputs: each by itself, the worst of them, and what can't be compared with the reason."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploykit.bench.columns import of_drift
from deploykit.bench.output_drift import compare
from deploykit.errors import DriftFailed

RNG = np.random.default_rng(0)


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
    moved = {"map": reference["map"], "boxes": reference["boxes"] + 0.25}
    drift = compare([reference], [moved])
    assert drift.max_abs == 0.25
    assert drift.top1_agreement is None
    assert drift.kl is None
    columns, notes = of_drift(drift, "fp32")
    assert columns["top1_agreement"] is None
    assert columns["drift_kl"] is None
    assert [str(note) for note in notes] == [
        "top1_agreement and drift_kl are blank: the first output is not one row of class scores"
    ]


def test_rows_of_boxes_are_no_class_scores_of_images():
    """A row for each box was taken for one for each image, and the share of the boxes for one of the images."""
    boxes = {"boxes": np.arange(40, dtype=np.float32).reshape(8, 5)}
    drift = compare([boxes, boxes], [boxes, boxes], images=2)
    assert (drift.top1_agreement, drift.kl, drift.images) == (None, None, 4)
    assert compare([boxes], [boxes], images=8).top1_agreement == 1.0


def test_half_precision_outputs_are_compared_in_full():
    reference = scores([[60000.0, 60000.0]])
    half = {"logits": reference["logits"].astype(np.float16)}
    assert compare([reference], [half]).cosine == pytest.approx(1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_fail(value):
    with pytest.raises(DriftFailed, match="output 'logits' has 1 of 2 values that are not finite"):
        compare([scores([[1.0, 2.0]])], [scores([[1.0, value]])])


def test_what_the_reference_has_no_finite_value_of_is_left_out():
    reference = scores([[1.0, np.nan], [2.0, -np.inf]])
    drift = compare([reference], [scores([[1.0, 5.0], [3.0, 7.0]])])
    assert drift.snr_db == pytest.approx(10 * math.log10(5))
    (output,) = drift.outputs
    assert output.left_out == "2 of 4 values of the reference are not finite"
    assert "output logits is compared in part" in of_drift(drift, "fp32")[1][1].text
    assert drift.top1_agreement is None


def test_outputs_of_another_graph_fail():
    with pytest.raises(DriftFailed, match="build the engine from the graph"):
        compare([scores([[1.0, 2.0]])], [{"other": np.ones((1, 2))}])


def test_an_all_zero_reference_has_no_ratio():
    drift = compare([scores([[0.0, 0.0]])], [scores([[0.0, 1.0]])])
    assert drift.snr_db is None
    assert drift.cosine is None


def test_what_stands_where_the_reference_has_zeros_alone_is_error_and_rounding_is_none():
    boxes = np.arange(8.0, dtype=np.float32)[None]
    reference = {"boxes": boxes, "scores": np.zeros((1, 4), np.float32)}
    wrong = compare([reference], [{**reference, "scores": np.full((1, 4), 5.0, np.float32)}])
    assert wrong.worst is not None
    assert (wrong.worst.name, wrong.worst.snr_db) == ("scores", pytest.approx(-94, abs=0.1))
    rounded = compare([reference], [{**reference, "scores": np.full((1, 4), 1e-6, np.float32)}])
    assert rounded.worst is None or rounded.worst.name == "boxes"


def f32(array):
    return np.asarray(array, np.float32)


def test_whole_numbers_are_not_compared_and_say_how_many_differ():
    drift = compare([{"class": np.array([3, 4])}], [{"class": np.array([3, 6])}])
    assert (drift.max_abs, drift.snr_db, drift.top1_agreement) == (None, None, None)
    columns, notes = of_drift(drift, "fp32")
    assert columns["drift_state"] is None
    texts = [note.text for note in notes]
    assert (
        "output class is not compared: it holds int64, no real numbers; 1 of 2 values differ"
        in texts
    )
    assert "drift is blank: no output can be compared" in texts


def test_rows_whose_number_depends_on_the_values_are_left_out_and_others_compared():
    reference = {"boxes": f32(RNG.random((7, 4))), "map": f32(RNG.random((1, 8)))}
    found = {"boxes": f32(RNG.random((9, 4))), "map": reference["map"]}
    drift = compare([reference], [found])
    assert drift.snr_db == math.inf
    boxes, _ = drift.outputs
    assert boxes.snr_db is None
    assert "[9, 4] where the reference has [7, 4]" in boxes.left_out
    assert drift.top1_agreement is None


def test_no_rows_at_all_and_scalars_are_compared():
    empty, scalar = f32(np.zeros((0, 6))), f32(2.0)
    drift = compare([{"rows": empty, "loss": scalar}], [{"rows": empty, "loss": f32(2.5)}])
    assert drift.max_abs == 0.5
    assert drift.worst is not None
    assert (drift.worst.name, drift.worst.snr_db) == ("loss", pytest.approx(10 * math.log10(16)))


def test_the_worst_output_is_named_and_poor_whatever_the_others_weigh():
    boxes = [f32(RNG.random((1, 4)) * 640) for _ in range(3)]
    small = [f32(RNG.random((1, 4))) for _ in range(3)]
    reference = [{"boxes": b, "scores": s} for b, s in zip(boxes, small, strict=True)]
    found = [{"boxes": b + 1, "scores": s * 0} for b, s in zip(boxes, small, strict=True)]
    drift = compare(reference, found)
    assert drift.snr_db is not None
    assert drift.snr_db > 40
    columns, notes = of_drift(drift, "fp32")
    assert columns["drift_worst_output"] == "scores"
    assert columns["drift_worst_snr_db"] == pytest.approx(0.0)
    assert columns["drift_state"] == "poor"
    assert [n.text for n in notes if n.kind == "drift"] == [
        "drift is poor: scores 0 dB, below 10 dB"
    ]
    assert "--calibration-method" in notes[0].remedy


@pytest.mark.parametrize(
    ("converted", "named", "unnamed"),
    [(True, "--keep", "--calibration-method"), (False, "--input", "--keep")],
)
def test_the_remedy_of_a_poor_row_is_one_that_its_precision_has(converted, named, unnamed):
    drift = compare([{"y": f32(np.ones(4))}], [{"y": f32(np.zeros(4))}])
    (note,) = [
        n
        for n in of_drift(drift, "fp32", converted=converted, calibrated=False)[1]
        if n.kind == "drift"
    ]
    assert named in note.remedy
    assert unnamed not in note.remedy


@pytest.mark.parametrize(
    ("noise", "exact", "state"),
    [(1e-3, True, "coarse"), (1e-3, False, "ok"), (1e-5, True, "ok"), (1.0, True, "poor")],
)
def test_fp32_that_is_rounded_more_than_float32_is_coarse(noise, exact, state):
    """On an H200 convolutions were rounded to TF32 in a row that said fp32, and 57 dB was all that told of it."""
    whole = f32(RNG.standard_normal((4, 100)))
    found = f32(whole + noise * RNG.standard_normal((4, 100)))
    columns, notes = of_drift(compare([{"y": whole}], [{"y": found}]), "fp32", exact=exact)
    assert columns["drift_state"] == state
    assert any("rounding of float32" in n.text for n in notes) is (state == "coarse")


@pytest.mark.parametrize("steps", [True, False])
def test_the_remedy_names_steps_of_int8_where_the_recipe_has_them(steps):
    drift = compare([{"y": f32(np.ones(4))}], [{"y": f32(np.zeros(4))}])
    notes = [n for n in of_drift(drift, "fp32", steps=steps)[1] if n.kind == "drift"]
    assert ["--int8 default,rounding" in n.remedy for n in notes] == [steps]


@pytest.mark.parametrize(("axis", "text"), [(1, "y[:, 4:14, :]"), (2, "y[:, :, 4:14]")])
def test_scores_beside_boxes_in_one_output_are_judged_by_themselves(axis, text):
    whole = np.concatenate([RNG.random((2, 4, 225)) * 640, RNG.random((2, 10, 225))], axis=1)
    wiped = whole.copy()
    wiped[:, 4:] = 0
    reference, found = (f32(np.swapaxes(v, 1, axis)) for v in (whole, wiped))
    drift = compare([{"y": reference}], [{"y": found}])
    assert drift.worst is not None
    assert (drift.worst.name, drift.worst.snr_db) == (text, pytest.approx(0.0))
    assert of_drift(drift, "fp32")[0]["drift_state"] == "poor"


def test_an_output_of_one_kind_has_no_parts():
    features = f32(RNG.standard_normal((2, 16, 9)) * 100)
    probabilities = f32(np.full((2, 2, 9), [[[0.999]], [[0.001]]][0]))
    for values in (features, probabilities):
        assert len(compare([{"y": values}], [{"y": values}]).outputs) == 1


def test_constants_do_not_hide_the_noise_of_other_outputs():
    anchors = f32(RNG.random((1, 100)) * 1000)
    runs = [f32(RNG.random((1, 3))) for _ in range(2)]
    reference = [{"anchors": anchors, "scores": run} for run in runs]
    found = [{"anchors": anchors, "scores": run * 2} for run in runs]
    assert compare(reference, found).snr_db == pytest.approx(0.0)
    alone = [{"anchors": anchors}] * 2
    assert compare(alone, alone).snr_db == math.inf
