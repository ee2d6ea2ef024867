"""A measure of the user's own on a network's outputs: `--metric module:function`.

The function is called with all outputs by name, of all test images, and the labels, and returns one number for
each image, or one for all of them:

    def function(outputs: dict[str, numpy.ndarray], labels: numpy.ndarray | None) -> numpy.ndarray | float: ...

Outputs are as the network gives them, joined along the axis of the batch. An output without such an axis (rows
behind a NonMaxSuppression) is a list with an array for each image. `labels` is the array of the data set, at the
test images; None where it has none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.bench.feeds import output_axis, run_in_batches
from deploykit.errors import UsageError, one_line
from deploykit.lazy import np
from deploykit.spec import told_batch
from deploykit.zoo.factories import load_factory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import SessionBase

    Outputs = dict[str, NDArray[Any] | list[NDArray[Any]]]

#: Resamplings of the images that an interval rests on; fewer where each calls the user's function.
RESAMPLES, RESAMPLES_OF_CALLS = 2000, 200
#: Of fewer images, or where the function took fewer of the resamplings, there is no interval.
LEAST_IMAGES, LEAST_RESAMPLES = 5, RESAMPLES_OF_CALLS // 2
SEED = 0


@dataclass(frozen=True)
class MetricValue:
    """What a metric came to.

    Attributes:
        value: the mean over the images, or the one number that the function returned.
        low, high: the 95% interval, by bootstrap over the images (percentiles, seeded); None where these are too
            few for one.
        images: how many.
    """

    value: float
    low: float | None
    high: float | None
    images: int


def load_metric(name: str) -> Callable[..., Any]:
    """The function that "module:function" stands for; the current folder counts too.

    Raises:
        UsageError: it can't be imported or called.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UsageError(f"--metric {name!r} is no function: write module:function")
    return load_factory(name, "a function that returns the metric")


def measure(
    name: str,
    session: SessionBase,
    batches: Iterable[tuple[Mapping[str, NDArray[Any]], NDArray[Any]]],
    batch: int,
    *,
    labelled: bool,
) -> MetricValue:
    """Run a session on a data set and compute the metric `name` of its outputs.

    Args:
        name: "module:function".
        session: what is judged.
        batches: tensors by input, and labels.
        batch: images per run, where the graph leaves it open.
        labelled: whether the labels are any.

    Raises:
        UsageError: the function raises, or returns something else than numbers; there are no images.
    """
    function = load_metric(name)
    axes = {spec.name: output_axis(spec, session.inputs) for spec in session.outputs}
    fixed = session.inputs and all(not spec.dynamic_batch for spec in session.inputs)
    if fixed and told_batch(session.inputs) is None:
        axes = {n: 0 if axis is None else axis for n, axis in axes.items()}
    elif None in axes.values():
        batch = 1  # so that what has no axis of the batch is of one image
    runs: list[Mapping[str, NDArray[Any]]] = []
    labels: list[NDArray[Any]] = []
    for feeds, some in batches:
        runs += run_in_batches(session, dict(feeds), batch)
        labels.append(some)
    if not labels:
        raise UsageError("there are no images to compute a metric on: give data with a test part")
    count = sum(len(some) for some in labels)
    outputs = {n: _joined([np.asarray(run[n]) for run in runs], axes[n], count) for n in axes}
    known = np.concatenate(labels) if labelled else None

    def call(chosen: NDArray[np.int64] | None) -> NDArray[np.float64]:
        if chosen is None:
            return _numbers(name, function, dict(outputs), known, count)
        taken = {n: _taken(values, axes[n], chosen) for n, values in outputs.items()}
        of = None if known is None else known[chosen]
        return _numbers(name, function, taken, of, count)

    values = call(None)
    generator = np.random.default_rng(SEED)
    if values.ndim:
        means = [values[generator.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    else:
        draws = (generator.integers(0, count, count) for _ in range(RESAMPLES_OF_CALLS))
        means = []
        for chosen in draws:
            with contextlib.suppress(UsageError):  # some can't be computed of images of one class
                means.append(float(call(chosen)))
    if count < LEAST_IMAGES or len(means) < LEAST_RESAMPLES:
        return MetricValue(float(values.mean()), None, None, count)
    low, high = np.quantile(means, (0.025, 0.975))
    return MetricValue(float(values.mean()), float(low), float(high), count)


def _joined(
    runs: list[NDArray[Any]], axis: int | None, count: int
) -> NDArray[Any] | list[NDArray[Any]]:
    """All runs of an output in one array; where it has no axis of the batch, one array for each image."""
    if axis is not None and all(one.ndim > axis for one in runs):
        shapes = {one.shape[:axis] + one.shape[axis + 1 :] for one in runs}
        if len(shapes) == 1 and sum(one.shape[axis] for one in runs) == count:
            return np.concatenate(runs, axis=axis)
    if len(runs) != count:
        raise UsageError(
            f"an output of shape {list(runs[0].shape)} has no entry for each of the {count} images: "
            "give a network with batch 1, or with the batch as a dimension of its outputs"
        )
    return runs


def _taken(
    values: NDArray[Any] | list[NDArray[Any]], axis: int | None, chosen: NDArray[np.int64]
) -> NDArray[Any] | list[NDArray[Any]]:
    if isinstance(values, list):
        return [values[i] for i in chosen]
    return np.take(values, chosen, axis=axis or 0)


def _numbers(
    name: str,
    function: Callable[..., Any],
    outputs: Outputs,
    labels: NDArray[Any] | None,
    count: int,
) -> NDArray[np.float64]:
    """What the user's function returns: one finite number, or one for each image."""
    try:
        returned = np.asarray(function(outputs, labels))
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        said = one_line(error, 160)
        raise UsageError(
            f"--metric {name} raised {type(error).__name__}{f': {said}' if said else ''}: it is called with "
            "the outputs by name and the labels"
        ) from error
    if returned.dtype.kind not in "fiub" or returned.shape not in ((), (count,)):
        raise UsageError(
            f"--metric {name} returned {returned.dtype} of shape {list(returned.shape)}: return one number, "
            f"or one for each of the {count} images"
        )
    values = returned.astype(np.float64)
    if not np.isfinite(values).all():
        raise UsageError(
            f"--metric {name} returned values that are not finite: return a number for every image"
        )
    return values
