from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from deploykit.bench.accuracy import agreement, ahead, evaluate, judge_drop, overlapped
from deploykit.bench.columns import of_accuracy
from deploykit.bench.feeds import find_scores
from deploykit.bench.output_drift import compare
from deploykit.bench.worker import _no_classifier
from deploykit.data.dataset import Part
from deploykit.errors import DriftFailed, UsageError
from deploykit.spec import TensorSpec
from deploykit.stats import wilson_interval
from deploykit.stats.sequential import ACCEPTED, REJECTED


class Table:
    """A session that reads the scores of an image off its own pixels."""

    boundary = "end_to_end"

    def __init__(self, classes, batch="batch"):
        self.inputs = (TensorSpec("image", (batch, 1, 1, classes), "float32"),)
        self.outputs = (TensorSpec("logits", (batch, classes), "float32"),)
        self.batches = []

    def run(self, feeds):
        images = feeds["image"]
        self.batches.append(len(images))
        return {"logits": images.reshape(len(images), -1)}


def batches(scores, labels, size):
    scores, labels = np.asarray(scores, np.float32), np.asarray(labels, np.int64)
    for start in range(0, len(labels), size):
        part = scores[start : start + size]
        yield part.reshape(len(part), 1, 1, -1), labels[start : start + size]


def test_top1_and_top5_are_shares_of_all_images():
    scores = np.tile(np.arange(8.0), (5, 1))  # class 7 wins, 3 to 7 are the best five
    found = evaluate(Table(8), batches(scores, [7, 7, 3, 2, 0], 2), 2)
    assert found.images == 5
    assert found.top1 == 0.4
    assert (found.top1_low, found.top1_high) == wilson_interval(2, 5)
    assert found.top5 == 0.6
    assert found.predictions.tolist() == [7] * 5
    assert found.labels.tolist() == [7, 7, 3, 2, 0]


def test_of_equal_scores_the_first_are_the_best_five_as_they_are_the_best():
    for scores in ([0.0] * 10, [3.0] * 6 + [0.0] * 4):
        found = evaluate(Table(10), batches([scores] * 5, range(5), 5), 5)
        assert (found.top1, found.top5) == (0.2, 1.0)


@pytest.mark.parametrize("classes", [2, 5])
def test_top5_of_fewer_than_6_classes_is_blank(classes):
    scores = np.eye(classes)
    assert evaluate(Table(classes), batches(scores, range(classes), 5), 5).top5 is None


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_fixed_batch_is_filled_up_and_the_filling_is_not_judged(fixed):
    session = Table(6, fixed)
    found = evaluate(session, batches(np.eye(6), range(6), 5), 5)
    assert set(session.batches) == {fixed}
    assert found.images == 6
    assert found.top1 == 1.0


def test_scores_that_are_not_finite_fail():
    with pytest.raises(DriftFailed, match="not finite"):
        evaluate(Table(6), batches(np.full((2, 6), np.nan), [0, 1], 2), 2)


def test_classes_that_the_network_masks_are_not_chosen():
    scores = np.where(np.eye(6) > 0, 1.0, -np.inf)
    assert evaluate(Table(6), batches(scores, range(6), 5), 5).top1 == 1.0
    with pytest.raises(DriftFailed, match="12 of 12 values that are not finite"):
        evaluate(Table(6), batches(np.full((2, 6), -np.inf), [0, 1], 2), 2)


def test_no_images_are_no_accuracy():
    with pytest.raises(UsageError, match="no images"):
        evaluate(Table(6), iter(()), 2)


def test_an_output_that_is_no_row_of_scores_is_refused():
    class Map(Table):
        def run(self, feeds):
            return {"logits": feeds["image"]}

    with pytest.raises(UsageError, match="not one row of class scores"):
        evaluate(Map(6), batches(np.eye(6), range(6), 6), 6)


def test_rows_that_are_not_one_for_each_image_are_refused():
    class Boxes(Table):
        def run(self, feeds):
            return {"logits": np.zeros((7, 6), np.float32)}

    with pytest.raises(UsageError, match="has 7 rows for 6 images, not one for each"):
        evaluate(Boxes(6), batches(np.eye(6), range(6), 6), 6)


BOXES, SCORES = TensorSpec("boxes", ("n", 4), "float32"), TensorSpec("scores", ("n", 3), "float32")


@pytest.mark.parametrize(
    ("outputs", "classes", "found"),
    [
        ([SCORES], 3, "scores"),
        ([SCORES], 2, "scores"),  # a network's only output may know more classes than the data has
        ([BOXES, SCORES], 3, "scores"),
        ([BOXES, SCORES], 2, None),
        ([TensorSpec("rows", ("n", None), "float32"), BOXES], 3, None),
        ([SCORES, TensorSpec("other", ("n", 3), "float32")], 3, None),
        ([TensorSpec("mask", ("n", 3, 8, 8), "float32")], 3, None),
        ([TensorSpec("pooled", ("n", 3, 1, 1), "float32"), BOXES], 3, "pooled"),
        ([TensorSpec("gate", ("n", 1, 1, 1), "float32")], 3, None),
        ([TensorSpec("squeezed", (3,), "float32"), BOXES], 3, "squeezed"),
        ([TensorSpec("number", ("n",), "float32")], 3, None),
    ],
)
def test_class_scores_are_not_guessed_among_several_outputs(outputs, classes, found):
    assert find_scores(outputs, classes) == found
    for spec in outputs:
        assert find_scores(outputs, classes, spec.name) == spec.name


def test_scores_of_the_one_image_of_a_run_need_no_axis_for_it():
    """Networks that squeeze their scores to (classes,) had no accuracy."""

    class Squeezed(Table):
        def run(self, feeds):
            return {n: v[0] for n, v in super().run(feeds).items()}

    session = Squeezed(6, batch=1)
    found = evaluate(session, batches(np.eye(6), range(6), 4), 4)
    assert (found.top1, found.top5, found.images) == (1.0, 1.0, 6)
    with pytest.raises(UsageError, match="has 1 rows for 4 images, not one for each"):
        evaluate(Squeezed(6), batches(np.eye(6), range(6), 4), 4)
    scores = [{"y": row} for row in np.eye(6, dtype=np.float32)]
    drift = compare(scores, scores, images=1)
    assert (drift.top1_agreement, drift.images) == (1.0, 6)
    # Each of six images has a number.
    assert compare(scores, scores, images=6).top1_agreement is None


def test_a_number_for_each_of_the_images_of_a_run_is_no_row_of_scores():
    """Of four images at a time the four numbers were the scores of four classes, and the row failed for it."""
    data = SimpleNamespace(classes=("a",) * 10)
    session = Table(6, batch=4)
    session.outputs = (TensorSpec("y", (4,), "float32"),)
    assert "'y' [4] is no row of class scores" in _no_classifier(session, "y", data)


def test_scores_behind_a_pool_over_the_whole_image_are_rows():
    """Old files of SqueezeNet put out (1, 1000, 1, 1)."""

    class Pooled(Table):
        def run(self, feeds):
            return {n: v[:, :, None, None] for n, v in super().run(feeds).items()}

    found = evaluate(Pooled(6), batches(np.eye(6), range(6), 4), 4)
    assert (found.top1, found.top5, found.images) == (1.0, 1.0, 6)
    scores = np.eye(6, dtype=np.float32)[:, :, None, None]
    drift = compare([{"y": scores}], [{"y": scores[::-1]}])
    assert (drift.top1_agreement, drift.images) == (0.0, 6)
    # What a detector pools of boxes may be of none.
    assert compare([{"y": scores[:0]}], [{"y": scores[:0]}]).top1_agreement is None


def test_agreement_counts_the_images_on_which_only_one_is_right():
    labels = np.array([0, 1, 2, 3, 4])
    reference = np.array([0, 1, 2, 0, 0])
    other = np.array([0, 1, 0, 3, 1])
    found = agreement(reference, other, labels)
    assert found.share == 0.4
    assert (found.only_reference, found.only_this) == (1, 1)
    assert found.p_value > 0.5


def test_predictions_of_other_images_are_refused():
    with pytest.raises(UsageError, match="make the reference again"):
        agreement(np.zeros(3, np.int64), np.zeros(4, np.int64), np.zeros(4, np.int64))


def readers(pause_s, work_s):
    """The threads that read ten items, each after `pause_s`, while each takes `work_s` of work."""
    names = []

    def items():
        for i in range(10):
            if pause_s:  # even a sleep of nothing gives the processor away
                time.sleep(pause_s)
            names.append(threading.current_thread() is threading.main_thread())
            yield i

    seen = []
    for item in overlapped(items()):
        if work_s:
            time.sleep(work_s)
        seen.append(item)
    assert seen == list(range(10))
    return names


def test_what_is_slow_to_read_is_read_by_another_thread():
    assert readers(0.02, 0.0) == [True] * 4 + [False] * 6


def test_what_lies_in_memory_is_not_handed_from_thread_to_thread():
    assert readers(0.0, 0.02) == [True] * 10


def test_fewer_items_than_are_probed_are_all_there():
    assert list(overlapped(iter("ab"))) == ["a", "b"]


def test_reading_ahead_keeps_the_order_and_raises_what_the_reader_raised():
    def items():
        yield from range(5)
        raise UsageError("a corrupt image")

    seen = []
    with pytest.raises(UsageError, match="a corrupt image"):
        seen.extend(ahead(items()))
    stream = ahead(iter(range(100)))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    stream.close()


def test_reading_ahead_holds_only_a_few_items():
    read = []

    def items():
        for i in range(50):
            read.append(i)
            yield i

    stream = ahead(items(), depth=2)
    assert next(stream) == 0
    threading.Event().wait(0.2)
    assert len(read) <= 4
    stream.close()


class Pixels:
    """Images of one row whose brightest pixel is the class that a network would name."""

    def __init__(self, named, classes):
        self.scores = np.eye(classes, dtype=np.float32)[np.asarray(named)]

    def load(self, indices, input_shape):
        return self.scores[indices].reshape(len(indices), *input_shape), {}

    def raw(self, indices):
        yield self.scores[indices].tobytes()


def drop_of(wrong, images=4000, allowed=0.01):
    """The test of a network that names a wrong class for the first `wrong` images, which fp32 has right."""
    labels = np.sort(np.arange(images) % 6)
    named = labels.copy()
    named[:wrong] = (named[:wrong] + 1) % 6
    source = Pixels(named, 6)
    part = Part("made/test", source, np.arange(images), labels)
    session = Table(6)
    found = judge_drop(session, part, labels, allowed, 64)
    return found, sum(session.batches)


def test_a_drop_is_judged_on_no_more_images_than_it_takes():
    found, run = drop_of(0)
    assert found.verdict == ACCEPTED
    assert found.images == run < 1100


def test_wrong_images_that_stand_together_are_met_early():
    # In the part's own order they would all come first, and make up a third of the first look.
    found, run = drop_of(80, allowed=0.1)
    assert found.verdict == ACCEPTED
    assert found.drop < 0.1
    found, run = drop_of(800)
    assert found.verdict == REJECTED
    assert run < 1000


def test_a_reference_of_fewer_images_is_held_against_them_all_at_once():
    labels = np.arange(600) % 6
    part = Part("made/test", Unreadable(labels, 6), np.arange(600), labels)
    expected = np.delete(labels, 3)
    found = judge_drop(Table(6), part, expected, 0.05, 64)
    assert found.images == 599
    assert (found.only_reference, found.only_this) == (0, 0)


class Unreadable(Pixels):
    """The same, but the image at place 3 can't be read."""

    def load(self, indices, input_shape):
        images, _ = super().load(indices, input_shape)
        lost = {int(p): "3.png: broken" for p in np.flatnonzero(indices == 3)}
        return np.delete(images, list(lost), axis=0), lost


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (
            1,
            "0% of the predictions are the label and 100% the label plus one, as where the first output is",
        ),
        (
            -1,
            "0% of the predictions are the label and 100% the label minus one, as where labels are numbered",
        ),
        (0, None),
        (2, None),
    ],
)
def test_labels_that_are_off_by_one_are_told_in_the_row(shift, said):
    labels = np.arange(60) % 6 + 2
    found = evaluate(Table(12), batches(np.eye(12)[labels + shift], labels, 20), 20)
    _, notes = of_accuracy(found, "own/test", None)
    assert [note.text.startswith(said or "?") for note in notes] == ([True] if said else [])


def test_a_network_that_names_one_class_alone_is_not_off_by_one():
    labels = np.repeat([3, 4], [50, 10])
    found = evaluate(Table(12), batches(np.eye(12)[np.full(60, 4)], labels, 20), 20)
    assert of_accuracy(found, "own/test", None)[1] == []
