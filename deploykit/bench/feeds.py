"""What a session is fed with while it is timed, and how images are cut to the batch that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploykit.data import open_dataset
from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends import SessionBase
    from deploykit.spec import TensorSpec

    Feeds = dict[str, NDArray[Any]]


def fixed_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """The only batch that a graph takes, or None where any will do.

    A graph with an input that has no dimension, or whose inputs differ in their first one, has no batch
    to speak of: it runs as it is, which counts as a fixed batch of 1.
    """
    if all(spec.dynamic_batch for spec in inputs):
        return None
    heads = {spec.shape[0] if spec.shape else 1 for spec in inputs}
    head = heads.pop()
    return head if isinstance(head, int) and not heads else 1


def check_batch(inputs: Sequence[TensorSpec], batch: int) -> None:
    """Raise UsageError where the graph's batch is another one and fixed."""
    fixed = fixed_batch(inputs)
    if fixed is not None and fixed != batch:
        raise UsageError(
            f"the graph takes batch {fixed} only, not {batch}: "
            f"use --batch {fixed} or export it with a dynamic batch"
        )


def random_tensor(spec: TensorSpec, batch: int, generator: np.random.Generator) -> NDArray[Any]:
    """A tensor for `spec`: standard normal for floats, zeros and ones for integers and booleans.

    Zeros and ones are valid as indices, lengths and masks, which arbitrary integers are not.
    """
    shape = spec.with_batch(batch) if spec.shape else ()
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        values = generator.standard_normal(shape, dtype=np.float32)
        return np.ascontiguousarray(values, dtype=dtype)
    if dtype.kind in "iub":
        return np.ascontiguousarray(generator.integers(0, 2, size=shape), dtype=dtype)
    raise UsageError(
        f"input {spec.name!r} is of type {spec.dtype}: only numeric inputs can be made up"
    )


def synthetic(
    inputs: Sequence[TensorSpec], batch: int, *, seed: int = 0, sets: int = 4
) -> list[Feeds]:
    """Several sets of random inputs for a session, the same for the same seed.

    Args:
        inputs: what the session takes.
        batch: for symbolic first dimensions.
        seed: seeds the generator.
        sets: how many; runs take them in turn, so that no single one stays in a cache.
    """
    generator = np.random.default_rng(seed)
    return [
        {spec.name: random_tensor(spec, batch, generator) for spec in inputs} for _ in range(sets)
    ]


def image_input(inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, tuple[int, int, int]]:
    """The one image input of a graph and its (C, H, W).

    Raises:
        UsageError: there are several inputs, or the one is not (batch, C, H, W) with known sizes.
    """
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
    if len(inputs) == 1 and len(inputs[0].shape) == 4:
        _, *rest = inputs[0].shape
        if all(isinstance(size, int) and size > 0 for size in rest):
            channels, height, width = (int(size) for size in rest if size is not None)
            return inputs[0], (channels, height, width)
    raise UsageError(
        f"a data set needs a graph with one image input (batch, C, H, W), this one has {shapes}: "
        "leave the data set out"
    )


def from_dataset(
    inputs: Sequence[TensorSpec], batch: int, dataset: str, *, sets: int = 4
) -> list[Feeds]:
    """Sets of inputs from the first test images of a data set, repeated where there are too few."""
    spec, shape = image_input(inputs)
    part = open_dataset(dataset).test
    wanted = min(len(part), batch * sets)
    images = np.concatenate([read for read, _ in part.batches(min(64, wanted), shape, wanted)])
    feeds: list[Feeds] = []
    for index in range(sets):
        chosen = np.arange(index * batch, (index + 1) * batch) % len(images)
        feeds.append({spec.name: np.ascontiguousarray(images[chosen], dtype=spec.dtype)})
    return feeds


def padded(array: NDArray[Any], count: int) -> NDArray[Any]:
    """`array` with its last entry repeated until there are `count`, for graphs with a fixed batch."""
    missing = count - len(array)
    return (
        array if missing <= 0 else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    )


def run_in_batches(
    session: SessionBase, inputs: Mapping[str, NDArray[Any]], batch: int
) -> Iterator[Feeds]:
    """Run `inputs`, which hold many images, `batch` at a time or as many as the graph insists on.

    Yields:
        Outputs by name, in order, without the entries that only filled up a fixed batch.
    """
    fixed = fixed_batch(session.inputs)
    step = fixed or batch
    total = len(next(iter(inputs.values())))
    for start in range(0, total, step):
        part = {name: values[start : start + step] for name, values in inputs.items()}
        count = len(next(iter(part.values())))
        if fixed:
            part = {name: padded(values, fixed) for name, values in part.items()}
        outputs = session.run(part)
        yield (
            {name: values[:count] for name, values in outputs.items()} if count < step else outputs
        )
