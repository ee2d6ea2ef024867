"""What goes into a session and comes out: inputs, images cut to the batch that it takes, and the class scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploykit.data import open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.errors import UsageError
from deploykit.graph.values import is_float, make_values, require_values_fit
from deploykit.lazy import np
from deploykit.spec import has_batch, told_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import SessionBase
    from deploykit.spec import TensorSpec

    Feeds = dict[str, NDArray[Any]]


def fixed_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec] = ()) -> int | None:
    """The only batch that a graph takes, or None where any will do.

    A graph has a batch where any of its inputs has a symbolic dimension, on whichever axis; inputs without one are
    the same for every batch. Without any, what all inputs of more than one dimension begin with counts, or have on
    the axis where a layer has its batch. Where they differ, or no output has it there, there is no batch to speak
    of (an image of height, width and channels, a sequence): the graph runs as it is, at a fixed batch of 1. Before
    all that counts a batch that the graph itself tells.
    """
    if any(spec.dynamic_batch for spec in inputs):
        return None
    if (told := told_batch(inputs)) is not None:
        return told
    several = [spec for spec in inputs if len(spec.shape) > 1 and not spec.single]
    heads = {spec.shape[spec.fixed_axis] for spec in several}
    rows = {s.shape[0] for s in inputs if len(s.shape) == 1 and s.dtype in ("int32", "int64")}
    if any(isinstance(size, int) and size > 4 for size in rows - heads):
        return 1  # edges of a graph: what they index is no batch
    head = heads.pop() if heads else 1
    if not isinstance(head, int) or heads:
        return 1
    axes = {0, *(spec.fixed_axis for spec in inputs)}
    given = [size for spec in outputs for axis, size in enumerate(spec.shape) if axis in axes]
    known = [size for size in given if isinstance(size, int)]
    return head if not given or head in known or len(known) < len(given) else 1


def batch_run(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], asked: int) -> int:
    """The batch at which a graph is run: that which its file insists on, where another than 1 is not asked for."""
    fixed = fixed_batch(inputs, outputs)
    return asked if fixed is None or asked != 1 else fixed


def check_batch(
    inputs: Sequence[TensorSpec], batch: int, outputs: Sequence[TensorSpec] = ()
) -> None:
    """Raise UsageError where the graph's batch is another one and fixed."""
    fixed = fixed_batch(inputs, outputs)
    if fixed is not None and fixed != batch:
        raise UsageError(
            f"the graph takes batch {fixed} only, not {batch}: "
            f"use --batch {fixed} or export it with a dynamic batch"
        )


def synthetic(
    inputs: Sequence[TensorSpec], batch: int, *, seed: int = 0, sets: int = 4
) -> list[Feeds]:
    """Several sets of inputs for a session, made up as their `values` say, the same for the same seed.

    Args:
        inputs: what the session takes.
        batch: for symbolic dimensions.
        seed: seeds the generator.
        sets: how many; runs take them in turn, so that no single one stays in a cache.
    """
    require_values_fit(inputs, batch, sets)
    generator = np.random.default_rng(seed)
    return [
        {spec.name: make_values(spec, batch, generator) for spec in inputs} for _ in range(sets)
    ]


def from_dataset(
    inputs: Sequence[TensorSpec], batch: int, dataset: str, *, sets: int = 4
) -> list[Feeds]:
    """Sets of inputs from the first test images of a data set, repeated where there are too few."""
    part = open_dataset(dataset).for_drift
    wanted = min(len(part), batch * sets)
    read = [feeds for feeds, _ in feeds_of(part, inputs, min(64, wanted), wanted)]
    axes = {spec.name: spec.image_axis for spec in inputs if has_batch(spec, inputs)}
    whole = {n: np.concatenate([feeds[n] for feeds in read], axis=axis) for n, axis in axes.items()}
    count = next((whole[name].shape[axis] for name, axis in axes.items()), 1)
    # What has no batch of its own is the same for all images of a run.
    once = {spec.name: _once(spec, read, batch) for spec in inputs if spec.name not in axes}
    return [
        {
            name: np.take(values, np.arange(i * batch, (i + 1) * batch) % count, axis=axes[name])
            for name, values in whole.items()
        }
        | {name: values[i % len(values)] for name, values in once.items()}
        for i in range(sets)
    ]


def _once(spec: TensorSpec, read: Sequence[Feeds], batch: int) -> list[NDArray[Any]]:
    """What runs are given in turn for an input without a batch: one value, or at a batch of one that of each image.

    Raises:
        UsageError: the data has another for each image, and several are to be run at once.
    """
    values = [feeds[spec.name] for feeds in read]
    if spec.values or not any((one != values[0]).any() for one in values[1:]):
        return values[:1]
    if batch > 1:
        raise UsageError(
            f"input {spec.name!r} {list(spec.shape)} has no axis for the batch, and the data has another for each "
            f"image: take batch 1 instead of {batch}, store one row for all, or export the network with that axis"
        )
    return values


def padded(array: NDArray[Any], count: int, axis: int = 0) -> NDArray[Any]:
    """`array` with its last entry repeated until there are `count`, for graphs with a fixed batch."""
    missing = count - array.shape[axis]
    if missing <= 0:
        return array
    last = np.take(array, [-1], axis=axis)
    return np.concatenate([array, np.repeat(last, missing, axis=axis)], axis=axis)


def output_axis(spec: TensorSpec, inputs: Sequence[TensorSpec]) -> int | None:
    """The axis on which an output has an entry for each image; None where it has none, or where nobody can tell.

    Outputs may have free dimensions of their own, such as the number of boxes found: the name tells the batch.
    """
    free = [axis for axis, dim in enumerate(spec.shape) if not isinstance(dim, int)]
    dynamic = any(one.dynamic_batch for one in inputs)
    if not dynamic and (told := told_batch(inputs)) is not None:
        # The last axis has what there is of each image, such as the four sides of a box.
        sizes = spec.shape[:-1] or spec.shape
        return next((axis for axis, size in enumerate(sizes) if size == told), None)
    turned = [one for one in inputs if not one.dynamic_batch and one.fixed_axis]
    if turned and not dynamic:
        size = turned[0].shape[turned[0].fixed_axis]
        return next(
            (a for a in (turned[0].fixed_axis, 0) if spec.shape[a : a + 1] == (size,)), None
        )
    names = {i.shape[axis] for i in inputs if (axis := i.batch_axis) is not None} - {None}
    named = [axis for axis in free if spec.shape[axis] in names]
    if named:
        return named[0]
    if not names or all(spec.shape[axis] is None for axis in free):
        return 0 if 0 in free else free[0] if len(free) == 1 else None
    return None


def run_in_batches(
    session: SessionBase, inputs: Mapping[str, NDArray[Any]], batch: int
) -> Iterator[Feeds]:
    """Run `inputs`, which hold many images, `batch` at a time or as many as the graph insists on.

    Yields:
        Outputs by name, in order, without the entries that only filled up a fixed batch.
    """
    fixed = fixed_batch(session.inputs)
    step = fixed or batch
    specs = {spec.name: spec for spec in session.inputs}
    axes = {
        name: specs[name].image_axis
        if values.ndim and has_batch(specs[name], session.inputs)
        else None
        for name, values in inputs.items()
    }
    # Without a batch of its own, an input is the same for every run.
    counts = [values.shape[a] for n, values in inputs.items() if (a := axes[n]) is not None]
    # One that holds just a run's worth may be the same for every run, too, as what is made up is.
    total = next((count for count in counts if count != fixed), fixed if counts and fixed else 1)
    if fixed:
        fits = {n: a is not None and inputs[n].shape[a] == total for n, a in axes.items()}
        axes = {n: a if fits[n] else None for n, a in axes.items()}
    behind = {spec.name: output_axis(spec, session.inputs) for spec in session.outputs}
    if told_batch(session.inputs) is None:  # as far as anyone knows they begin with it
        behind = {name: axis or 0 for name, axis in behind.items()}
    for start in range(0, total, step):
        count = min(step, total - start)
        part = {}
        for name, values in inputs.items():
            axis = axes[name]
            if axis is None:
                part[name] = values
                continue
            values = values[(slice(None),) * axis + (slice(start, start + step),)]
            part[name] = padded(values, fixed, axis) if fixed else values
        outputs = session.run(part)
        yield (
            {n: _first(values, count, behind.get(n, 0)) for n, values in outputs.items()}
            if fixed and count < step
            else outputs
        )


def _first(values: NDArray[Any], count: int, axis: int | None) -> NDArray[Any]:
    """The first entries of an output on an axis, or all that it has; all of one without such an axis."""
    if axis is None or values.ndim <= axis:
        return values
    return values[(slice(None),) * axis + (slice(count),)]


def _class_axis(shape: Sequence[int | str | None]) -> int | None:
    """The axis of the classes where an output has one row per image; None where it has none.

    It is (images, classes), (images, classes, 1, 1) as pools leave it, or (classes,) of the one image of a run.
    """
    if len(shape) == 1:
        return 0
    return 1 if len(shape) == 2 or (len(shape) == 4 and tuple(shape[2:]) == (1, 1)) else None


def classes_of(shape: Sequence[int | str | None]) -> int | None:
    """Of how many classes an output of that shape may be a row of scores; None where nothing tells."""
    axis = _class_axis(shape)
    size = None if axis is None else shape[axis]
    return size if isinstance(size, int) else None


def is_scores(values: NDArray[Any]) -> bool:
    """Whether an output is one row of class scores per image, of two or more classes."""
    return values.dtype.kind == "f" and (classes_of(values.shape) or 0) >= 2


def as_rows(values: NDArray[Any]) -> NDArray[Any]:
    """An output that is class scores as (images, classes)."""
    return values.reshape(len(values) if values.ndim > 1 else 1, classes_of(values.shape) or 0)


def may_be_scores(spec: TensorSpec) -> bool:
    """Whether an output is declared as one row of scores per image, or so that it may turn out to be one."""
    if not is_float(spec.dtype):
        return False
    if spec.shape and _class_axis(spec.shape) is None:
        return False
    classes = classes_of(spec.shape)
    if classes is None:  # a number for each image is no row
        return len(spec.shape) != 1
    return classes >= 2


def may_have_scores(outputs: Sequence[TensorSpec]) -> bool:
    """Whether any output may hold class scores."""
    return any(may_be_scores(spec) for spec in outputs)


def find_scores(
    outputs: Sequence[TensorSpec], classes: int, named: str | None = None
) -> str | None:
    """The name of the output that holds class scores; None where none does, or where it can't be told.

    Of several outputs it is the only one that is one row of as many values as there are classes: boxes, too, are
    rows.

    Args:
        outputs: of the network.
        classes: how many the data has.
        named: the user's choice.

    Raises:
        UsageError: there is no output of that name.
    """
    names = [spec.name for spec in outputs]
    if named is not None:
        if named not in names:
            raise UsageError(f"--scores {named}: there is no such output, but {', '.join(names)}")
        return named
    candidates = [spec for spec in outputs if may_be_scores(spec)]
    if len(outputs) > 1:
        candidates = [s for s in candidates if classes_of(s.shape) == classes]
    return candidates[0].name if len(candidates) == 1 else None
