from __future__ import annotations

import numpy as np
import pytest

from deploykit.bench.metric import measure
from deploykit.errors import UsageError
from deploykit.spec import TensorSpec

COUNT = 30
VALUES = np.random.default_rng(3).standard_normal((COUNT, 4)).astype(np.float32)
LABELS = np.random.default_rng(4).standard_normal((COUNT, 2, 4)).astype(np.float32)

OWN = """
import numpy as np

def each(outputs, labels):
    return np.abs(outputs["y"][:, None] - labels).max(axis=(1, 2))

def whole(outputs, labels):
    return float(each(outputs, labels).mean())

def steps(outputs, labels):
    return outputs["y"].sum(axis=(0, 2))

def rows(outputs, labels):
    return [len(boxes) for boxes in outputs["y"]]

def unlabelled(outputs, labels):
    return float(labels is None)

def raises(outputs, labels):
    raise KeyError("boxes")

def leaves(outputs, labels):
    raise SystemExit(3)

def words(outputs, labels):
    return "good"

def few(outputs, labels):
    return outputs["y"][:3, 0]

def picky(outputs, labels):
    if len(np.unique(labels[:, 0, 0])) < 17:  # of 30; about one draw in ten has fewer
        raise ValueError("too much alike")
    return 0.5

def endless(outputs, labels):
    return outputs["y"][:, 0] / 0
"""


class Echo:
    """A session that gives its input as its output, changed by `change`."""

    def __init__(self, change=lambda x: x, shape=("N", 4)):
        self.inputs = (TensorSpec("x", ("N", 4), "float32"),)
        self.outputs = (TensorSpec("y", shape, "float32"),)
        self.change = change

    def run(self, feeds):
        return {"y": self.change(feeds["x"])}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own_metric.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def test_resamplings_that_the_function_does_not_take_are_left_out(monkeypatch):
    """An area under a curve is of no images of one class alone; the whole row was lost for one such draw."""
    found = measured("picky")
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)
    monkeypatch.setattr("deploykit.bench.metric.LEAST_RESAMPLES", 200)
    found = measured("picky")
    assert (found.low, found.value, found.high) == (None, 0.5, None)


def test_of_a_few_images_there_is_no_interval():
    batches = [({"x": VALUES[:3]}, LABELS[:3])]
    found = measure("own_metric:each", Echo(), batches, 8, labelled=True)
    assert (found.low, found.high, found.images) == (None, None, 3)


def measured(function, session=None, labelled=True):
    batches = [({"x": VALUES[i : i + 8]}, LABELS[i : i + 8]) for i in range(0, COUNT, 8)]
    return measure(f"own_metric:{function}", session or Echo(), batches, 8, labelled=labelled)


def test_numbers_of_each_image_are_averaged_with_a_bootstrap_interval():
    expected = np.abs(VALUES[:, None] - LABELS).max(axis=(1, 2))
    found = measured("each")
    assert found.value == pytest.approx(expected.mean(), rel=1e-6)
    assert found.images == COUNT
    normal = 1.96 * expected.std(ddof=1) / np.sqrt(COUNT)
    assert found.high - found.value == pytest.approx(normal, rel=0.2)
    assert found.value - found.low == pytest.approx(normal, rel=0.2)
    assert measured("each") == found


def test_one_number_is_computed_again_for_each_resampling():
    each, whole = measured("each"), measured("whole")
    assert whole.value == pytest.approx(each.value, rel=1e-6)
    assert (whole.low, whole.high) == pytest.approx((each.low, each.high), rel=0.05)


def test_a_batch_on_another_axis_is_joined_there():
    session = Echo(lambda x: np.stack([x, 2 * x]), (2, "N", 4))
    assert measured("steps", session).value == pytest.approx(3 * VALUES.sum(1).mean(), rel=1e-4)


def test_outputs_without_a_batch_are_one_array_for_each_image():
    session = Echo(lambda x: x[:, x[0] > 0].T, ("boxes", 1))
    assert measured("rows", session).value == pytest.approx((VALUES > 0).sum(1).mean())


def test_labels_that_there_are_not_are_none():
    assert measured("unlabelled", labelled=False).value == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "raised KeyError: 'boxes'"),
        ("leaves", "raised SystemExit: 3"),
        ("words", r"returned <U4 of shape \[\]: return one number"),
        ("few", r"returned float32 of shape \[3\]: return one number, or one for each of the 30"),
        ("endless", "returned values that are not finite"),
        ("missing", "has no 'missing': name a function that returns the metric"),
    ],
)
def test_errors_of_the_function_are_one_line(function, message):
    with np.errstate(all="ignore"), pytest.raises(UsageError, match=message) as caught:
        measured(function)
    assert "\n" not in str(caught.value)


def test_what_is_no_function_is_refused():
    with pytest.raises(UsageError, match="write module:function"):
        measure("own_metric", Echo(), [], 1, labelled=True)
