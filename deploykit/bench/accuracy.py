"""Accuracy on labelled images: of a session, beside a reference's on the same images, and of a graph alone.

A graph that no engine was built of yet is judged in a process of its own, `python -m deploykit.bench.accuracy`.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.bench.channel import run_child, serve
from deploykit.bench.drift import require_finite
from deploykit.bench.feeds import as_rows, find_scores, is_scores, run_in_batches
from deploykit.bench.metric import measure
from deploykit.data import open_dataset
from deploykit.data.feeding import as_input, feeds_of, image_input
from deploykit.errors import UsageError
from deploykit.lazy import np
from deploykit.stats import DropTest, mcnemar, wilson_interval
from deploykit.stats.sequential import OPEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import SessionBase
    from deploykit.data.dataset import Part

    Batches = Iterable[tuple[NDArray[np.float32] | Mapping[str, NDArray[Any]], NDArray[Any]]]

#: Under this number of classes, being among the best five says nothing.
TOP5_CLASSES = 6
#: Scores that wait until they are judged; 4 MiB of them.
SCORES_AT_ONCE = 2**20

#: Batches that are read in turn with the work, to see which of them takes the time.
PROBED = 4
READING_SHARE = 0.1

#: Images between two looks at whether a drop is decided.
LOOK_IMAGES = 256

#: Images per run of a graph, where it leaves that open, and seconds that all of its runs may take.
GRAPH_BATCH = 32
GRAPH_TIMEOUT_S = 1800.0

T = TypeVar("T")


@dataclass(frozen=True)
class Accuracy:
    """How often a network was right.

    Attributes:
        images: how many were judged.
        top1: share whose label has the highest score.
        top1_low, top1_high: its 95% Wilson interval.
        top5: share whose label is among the five highest; None with fewer than 6 classes.
        predictions: int64, the class with the highest score per image, in order.
        labels: int64, in the same order.
    """

    images: int
    top1: float
    top1_low: float
    top1_high: float
    top5: float | None
    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Two sets of predictions of the same images.

    Attributes:
        share: fraction of images with the same prediction, right or wrong.
        only_reference: images that only the reference has right.
        only_this: images that only this one has right.
        p_value: McNemar's test (mid-p) that both are equally often right.
    """

    share: float
    only_reference: int
    only_this: int
    p_value: float


class NoScores(UsageError):
    """The network puts out no row of class scores for each image."""


def evaluate(
    session: SessionBase, batches: Batches, batch: int, output: str | None = None
) -> Accuracy:
    """Run labelled images through a session.

    The next images are read while the session works, where reading takes time worth saving.

    Args:
        session: what is judged.
        batches: images, float32 NCHW, or tensors by the names of the inputs; and labels, int64.
        batch: images per run, where the graph leaves it open.
        output: that holds the class scores, (batch, classes); None is the first one.

    Raises:
        NoScores: the output is no row of class scores.
        UsageError: there are no images.
        DriftFailed: scores are not finite.
    """
    first = output or session.outputs[0].name
    judge = _Judge(first)
    for images, labels in overlapped(batches):
        if isinstance(images, Mapping):
            feeds = dict(images)
        else:
            spec, _ = image_input(session.inputs)
            feeds = {spec.name: as_input(spec, images)}
        before = judge.taken
        for outputs in run_in_batches(session, feeds, batch):
            judge.take(outputs[first])
        if judge.taken - before != len(labels):
            raise NoScores(
                f"output {first!r} has {judge.taken - before} rows for {len(labels)} images, not one for each"
            )
        judge.labels.append(labels)
    judge.settle()
    if not judge.predictions:
        raise UsageError(
            "there are no images to judge accuracy on: give a data set with a test part"
        )
    predicted, labelled = np.concatenate(judge.predictions), np.concatenate(judge.labels)
    total, hits = len(labelled), int((predicted == labelled).sum())
    low, high = wilson_interval(hits, total)
    top5 = None
    if judge.best5:
        top5 = int((np.concatenate(judge.best5) == labelled[:, None]).any(axis=1).sum()) / total
    return Accuracy(total, hits / total, low, high, top5, predicted, labelled)


def shift_of_labels(accuracy: Accuracy) -> tuple[int, float] | None:
    """By how much labels seem to be off, 1 or -1, and the share of predictions that are right then; else None.

    Networks whose first class is the background take 1 for the first class of the data, and data may be numbered
    from 1. It is told where most are right with it and far fewer without, and not of one class alone.
    """
    if len(np.unique(accuracy.predictions)) < 3:
        return None
    for shift in (1, -1):
        hits = int((accuracy.predictions == accuracy.labels + shift).sum())
        share = hits / accuracy.images
        low, _ = wilson_interval(hits, accuracy.images)
        if share >= 0.5 and share > 2 * accuracy.top1 and low > accuracy.top1_high:
            return shift, share
    return None


class _Judge:
    """Collects scores and looks at many at a time: batch by batch would cost as much as a small network."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.waiting: list[NDArray[Any]] = []
        self.waiting_values = 0
        self.taken = 0
        self.predictions: list[NDArray[Any]] = []
        self.best5: list[NDArray[Any]] = []
        self.labels: list[NDArray[Any]] = []

    def take(self, scores: NDArray[Any]) -> None:
        """Take the scores of one run."""
        if not is_scores(scores):
            raise NoScores(
                f"output {self.output!r} is {list(scores.shape)}, not one row of class scores per image"
            )
        self.waiting.append(as_rows(scores))
        self.taken += len(self.waiting[-1])
        self.waiting_values += scores.size
        if self.waiting_values > SCORES_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Judge the scores that wait."""
        if not self.waiting:
            return
        scores = np.concatenate(self.waiting)
        self.waiting, self.waiting_values = [], 0
        # A class that is masked with -inf is never chosen; where all are, nothing is.
        all_masked = bool((scores == -math.inf).all(axis=1).any())
        require_finite({self.output: scores}, meant=() if all_masked else (-math.inf,))
        self.predictions.append(scores.argmax(axis=1))
        if scores.shape[1] >= TOP5_CLASSES:
            best = np.argpartition(scores, -5, axis=1)[:, -5:]
            least = np.take_along_axis(scores, best, axis=1).min(axis=1, keepdims=True)
            tied = (scores >= least).sum(axis=1) > 5
            # The first of equals counts, as it does for top-1.
            best[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :5]
            self.best5.append(best)


def agreement(
    reference: NDArray[np.int64], predictions: NDArray[np.int64], labels: NDArray[np.int64]
) -> Agreement:
    """Compare predictions with a reference's, image by image.

    Raises:
        UsageError: they are not of the same images.
    """
    if reference.shape != predictions.shape:
        raise UsageError(
            f"the reference has {len(reference)} predictions and this engine {len(predictions)}: "
            "make the reference again from the same data"
        )
    right_reference, right_this = reference == labels, predictions == labels
    only_reference = int((right_reference & ~right_this).sum())
    only_this = int((right_this & ~right_reference).sum())
    return Agreement(
        float((reference == predictions).mean()),
        only_reference,
        only_this,
        mcnemar(only_reference, only_this),
    )


def judge_drop(
    session: SessionBase,
    part: Part,
    expected: NDArray[np.int64],
    allowed_drop: float,
    batch: int,
    output: str | None = None,
) -> DropTest:
    """Whether a session names the right class less often than a reference, by more than is allowed.

    Images come in a seeded random order, and no more of them than it takes to tell. Where some can't be read, the
    reference's predictions can't be told apart by their places, and all are judged in the part's own order.

    Args:
        session: what is judged.
        part: labelled images.
        expected: the reference's predicted class of each image, in the part's order.
        allowed_drop: share of the images.
        batch: images per run, where the graph leaves it open.
        output: that holds the class scores; None is the first one.

    Raises:
        NoScores, UsageError, DriftFailed: as `evaluate`.
    """
    test = DropTest(allowed_drop)
    whole = len(expected) == len(part)
    order = np.random.RandomState(0).permutation(len(part)) if whole else np.arange(len(part))
    for start in range(0, len(part), LOOK_IMAGES if whole else max(1, len(part))):
        places = order[start : start + LOOK_IMAGES] if whole else order
        feeds = feeds_of(part.subset(places), session.inputs, batch)
        found = evaluate(session, feeds, batch, output)
        both = agreement(expected[places] if whole else expected, found.predictions, found.labels)
        test = test.plus(found.images, both.only_reference, both.only_this)
        if test.verdict != OPEN:
            break
    return test


def overlapped(items: Iterable[T]) -> Iterator[T]:
    """The items, read ahead by a thread if reading takes more than a tenth of the time.

    Handing an item from thread to thread costs about as much as a tiny network's run, and more on a busy
    machine; images that lie in memory are better taken as they come.
    """
    source = iter(items)
    reading_s = working_s = 0.0
    for _ in range(PROBED):
        start = time.perf_counter()
        try:
            item = next(source)
        except StopIteration:
            return
        read = time.perf_counter()
        yield item
        reading_s += read - start
        working_s += time.perf_counter() - read
    yield from ahead(source) if reading_s > READING_SHARE * (reading_s + working_s) else source


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items, read by a thread that holds up to `depth` of them ready.

    An error of the iterator is raised here. Whoever stops early stops the thread too.
    """
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: tuple[T] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:  # raised again by the reader of the queue
            put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()


@dataclass(frozen=True)
class GraphRequest:
    """A graph, a data set and the part of it whose images are judged.

    Attributes:
        scores: the output that holds class scores; None is the one that can.
        metric: "module:function" of the user's own, instead of top-1 accuracy.
    """

    path: Path
    dataset: str
    part: str
    scores: str | None = None
    metric: str | None = None


def graph_value(
    path: Path,
    dataset: str,
    part: str = "calibration",
    *,
    scores: str | None = None,
    metric: str | None = None,
    timeout_s: float | None = GRAPH_TIMEOUT_S,
) -> float:
    """The share of a part's images that a graph classifies right, or the user's metric of them.

    It runs on ONNX Runtime, in a fresh process.

    Args:
        path: the graph's file; it runs optimised, as an engine built from it would.
        dataset: as for `deploykit.data.open_dataset`.
        part: name of the part; all of its images are judged.
        scores: the output that holds class scores; None is the one that can.
        metric: "module:function" whose value is returned instead, see `deploykit.bench.metric`.
        timeout_s: for starting, loading and all images.

    Raises:
        WorkerFailure: it does not run, or its output is no row of class scores.
        UsageError: there is no such output or function, or the data can't judge.
    """
    request = GraphRequest(path, dataset, part, scores, metric)
    return run_child("deploykit.bench.accuracy", request, float, timeout_s)


def _graph_value(request: GraphRequest) -> float:
    with OnnxRuntimeSession(request.path, optimise=True) as session:
        dataset = open_dataset(request.dataset)
        batches = feeds_of(dataset.parts[request.part], session.inputs, GRAPH_BATCH)
        if request.metric is not None:
            return measure(
                request.metric, session, batches, GRAPH_BATCH, labelled=dataset.labelled
            ).value
        dataset.require_classes(len(dataset.classes))
        output = find_scores(session.outputs, len(dataset.classes), request.scores)
        if output is None:
            raise NoScores(
                "which output holds the class scores can't be told: name it with --scores OUTPUT, or judge "
                "layers by --min-snr-db"
            )
        return evaluate(session, batches, GRAPH_BATCH, output).top1


if __name__ == "__main__":
    serve(GraphRequest, _graph_value)
