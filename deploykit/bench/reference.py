"""The fp32 reference that drift is measured against: inputs and outputs of the unoptimised graph.

The graph runs on ONNX Runtime with its optimisations switched off, in a process of its own:
`python -m deploykit.bench.reference`, started by `make_reference`.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.channel import run_child, serve
from deploykit.bench.feeds import fixed_batch, from_dataset, synthetic
from deploykit.codec import from_json, to_json
from deploykit.errors import InvalidModel, OutputFailed, StoreChanged
from deploykit.graph.element_types import compute_types
from deploykit.graph.nodes import all_nodes
from deploykit.graph.operators import is_quantised
from deploykit.graph.values import values_text
from deploykit.lazy import np, onnx
from deploykit.ort_session import (
    input_specs,
    installed_version,
    open_session,
    session_options,
    tensor_spec,
)
from deploykit.reading import open_file
from deploykit.spec import OnnxModel, TensorSpec
from deploykit.writing import drafted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

#: Images in a reference, fewer where one image has many values.
IMAGES = 32
MIN_IMAGES = 4
VALUES = 1_250_000
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Reference:
    """Inputs and the outputs that the fp32 graph gives for them.

    Attributes:
        source: what made them, for the `drift_reference` column.
        inputs: for each run, tensors by name.
        outputs: for each run, tensors by name.
    """

    source: str
    inputs: tuple[Arrays, ...]
    outputs: tuple[Arrays, ...]


#: What reading an .npz raises that is damaged in one way or another.
UNSOUND = (
    *(OSError, ValueError, KeyError, TypeError, IndexError, EOFError, NotImplementedError),
    *(RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class ReferenceRequest:
    """What the process that makes a reference is asked; see `make_reference`."""

    model: Path
    path: Path
    dataset: str | None
    seed: int
    batch: int


@dataclass(frozen=True)
class _Meta:
    """What a file holds beside its arrays: which tensors of which runs they are."""

    source: str
    runs: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    digest: str


def image_count(inputs: tuple[TensorSpec, ...]) -> int:
    """How many images a reference of such a graph holds."""
    values = sum(math.prod(spec.with_batch(1)) for spec in inputs)
    return max(MIN_IMAGES, min(IMAGES, VALUES // max(values, 1)))


def make_reference(
    model: OnnxModel,
    path: Path,
    *,
    dataset: str | None = None,
    seed: int = 0,
    batch: int = 1,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Write the reference of an fp32 graph, in a process of its own, unless the file is there.

    Args:
        model: the fp32 graph.
        path: the .npz file to write; its folder exists.
        dataset: the inputs are its first test images; None: seeded values, as the inputs' `values` say.
        seed: seeds the generator of the values.
        batch: images per run, as the engine that is to be judged will take them: what a graph computes may depend
            on it, and only so have its outputs the same shapes whatever their axes mean.
        timeout_s: seconds until the process is given up.

    Returns:
        `path`.

    Raises:
        WorkerFailure: the graph does not run, or not in time.
        OutputFailed: `path` can't be written.
    """
    if not path.exists():
        request = ReferenceRequest(model.path, path, dataset, seed, batch)
        run_child("deploykit.bench.reference", request, str, timeout_s)
    return path


def read_reference(path: Path) -> Reference:
    """The reference that `make_reference` wrote.

    Raises:
        StoreChanged: the file is missing or damaged.
    """
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
            meta = from_json(str(stored["meta"]), _Meta)
            inputs, outputs = (
                tuple(
                    {name: stored[f"{side}_{run}_{i}"] for i, name in enumerate(names)}
                    for run in range(meta.runs)
                )
                for side, names in (("inputs", meta.inputs), ("outputs", meta.outputs))
            )
        if _digest(inputs, outputs) != meta.digest:
            raise ValueError("it holds other values than it was written with")
    except UNSOUND as error:
        raise StoreChanged(
            f"the drift reference {path} can't be read: {error}; delete it to have it made again"
        ) from error
    return Reference(meta.source, inputs, outputs)


def _digest(*sides: tuple[Arrays, ...]) -> str:
    """Of all arrays, their names, types and shapes, in their order."""
    found = hashlib.sha256()
    for name, values in ((n, v) for side in sides for run in side for n, v in run.items()):
        found.update(f"{name} {values.dtype} {values.shape}".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference, whole or not at all."""
    meta = _Meta(
        reference.source,
        len(reference.inputs),
        tuple(reference.inputs[0]),
        tuple(reference.outputs[0]),
        _digest(reference.inputs, reference.outputs),
    )
    arrays: Arrays = {}
    for side, runs in (("inputs", reference.inputs), ("outputs", reference.outputs)):
        for run, tensors in enumerate(runs):
            arrays |= {f"{side}_{run}_{i}": values for i, values in enumerate(tensors.values())}
    write_npz(path, {"meta": to_json(meta).decode(), **arrays}, compressed=False)


def write_npz(path: Path, arrays: Mapping[str, Any], *, compressed: bool) -> None:
    """Write arrays by name as .npz, whole or not at all.

    Raises:
        OutputFailed: the folder is missing, full or read-only.
    """
    save = np.savez_compressed if compressed else np.savez
    try:
        with drafted(path) as draft, draft.open("wb") as file:
            save(file, **arrays)
    except OSError as error:
        raise OutputFailed(
            f"can't write {path}: {(error.strerror or str(error)).lower()}; "
            "choose a folder that exists, can be written and has room"
        ) from error


def compute_reference(model: Path, dataset: str | None, seed: int, batch: int = 1) -> Reference:
    """Run the graph in this process; see `make_reference`."""
    session = open_session(
        model,
        session_options(optimise=False),
        lambda reason: InvalidModel(
            f"ONNX Runtime does not load {model.name} for the drift reference: {reason}; "
            "check the file with onnx.checker"
        ),
    )
    inputs = input_specs(session)
    images = image_count(inputs)
    batch = fixed_batch(inputs, list(map(tensor_spec, session.get_outputs()))) or batch
    sets = max(1, math.ceil(images / batch))
    if dataset is None:
        feeds = synthetic(inputs, batch, seed=seed, sets=sets)
        what = f"{made_up_text(inputs)} (seed {seed})"
    else:
        feeds = from_dataset(inputs, batch, dataset, sets=sets)
        what = f"images of {dataset}"
    names = [output.name for output in session.get_outputs()]
    outputs = tuple(
        {n: np.asarray(v) for n, v in zip(names, session.run(names, f), strict=True)} for f in feeds
    )
    source = f"{graph_text(model)} on onnxruntime {installed_version()}, not optimised, {batch * sets} {what}"
    return Reference(source, tuple(feeds), outputs)


def graph_text(path: Path) -> str:
    """What the graph of a reference is: "fp32", or the file itself where it is not written in that."""
    graph = onnx.load(str(path), load_external_data=False)
    types = compute_types(graph)
    quantised = any(map(is_quantised, all_nodes(graph)))
    if not quantised and set(types) <= {"fp32", "unknown"}:
        return "fp32"
    written = "+".join(kind for kind, _ in types.most_common() if kind != "unknown")
    kind = written or ("quantised" if quantised else "no products")
    if quantised and written == "fp32":
        kind = "quantised weights"
    return f"the file itself ({kind}, there is no fp32 model)"


def made_up_text(inputs: tuple[TensorSpec, ...]) -> str:
    """What made-up inputs are, in words."""
    kinds = {values_text(spec) for spec in inputs}
    return "standard normal inputs" if kinds == {"normal"} else "made-up inputs"


def _make(request: ReferenceRequest) -> str:
    reference = compute_reference(request.model, request.dataset, request.seed, request.batch)
    write_reference(request.path, reference)
    return reference.source


if __name__ == "__main__":
    serve(ReferenceRequest, _make)
