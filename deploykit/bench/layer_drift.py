"""How far each layer of a graph is from the same layer in fp32, on the same inputs.

Both graphs run on ONNX Runtime with its optimisations switched off, so that every layer's tensor exists
whether or not the runtime would fuse it. Inputs stream through in small batches: what is kept of a tensor
is five sums. It runs in a process of its own: `python -m deploykit.bench.layer_drift`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.child import run_child, serve
from deploykit.errors import DriftFailed, InvalidModel
from deploykit.graph.lineage import follow
from deploykit.graph.nodes import has_subgraphs
from deploykit.graph.precision.rounding import with_rounding
from deploykit.graph.read_write import read_model
from deploykit.ort_session import input_specs, open_session, session_options
from deploykit.spec import OnnxModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feeds = Mapping[str, NDArray[Any]]

#: Images that layers are compared on when nobody says how many.
IMAGES = 16
#: Bytes of activations that one batch may have in each graph.
BATCH_BYTES = 2**28
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class LayerDrift:
    """How far one layer's value is from fp32.

    Attributes:
        node: the layer.
        measured_at: the layer whose output was compared: itself, or the one it was folded into.
        snr_db: energy of the fp32 value over that of the difference; infinite where they are equal, None
            where the fp32 value is zero everywhere.
        cosine: of the angle between both values as one vector over all images; None if one has no length.
        max_abs: largest absolute difference.
    """

    node: str
    measured_at: str
    snr_db: float | None
    cosine: float | None
    max_abs: float


def layer_drift(
    reference: OnnxModel,
    model: OnnxModel,
    *,
    dataset: str | None = None,
    images: int = IMAGES,
    seed: int = 0,
    activation_bytes: int = 0,
    only: Sequence[str] | None = None,
    timeout_s: float | None = TIMEOUT_S,
) -> dict[str, LayerDrift]:
    """Compare every layer of `model` with the fp32 graph that it was converted from.

    Args:
        reference: the fp32 graph.
        model: the same in another precision.
        dataset: compare on the first images of its calibration part; None: on seeded standard normal values.
        images: how many.
        seed: of made-up inputs.
        activation_bytes: of all layers for one image; bounds how many images run at once.
        only: these layers alone; None is all.
        timeout_s: of the whole.

    Returns:
        By the layer's node, in the order of the graph; layers whose value is not found are left out.

    Raises:
        WorkerFailure: a graph does not run, or a value is not finite.
    """
    request = {
        "reference": str(reference.path.absolute()),
        "model": str(model.path.absolute()),
        "dataset": dataset,
        "images": images,
        "seed": seed,
        "batch": max(1, min(8, BATCH_BYTES // max(1, activation_bytes))),
        "only": None if only is None else list(only),
    }
    found = run_child("deploykit.bench.layer_drift", request, timeout_s)
    return {row["node"]: LayerDrift(**row) for row in found["layers"]}


class _Sums:
    """What is kept of one tensor over all images."""

    def __init__(self) -> None:
        self.energy = self.noise = self.other = self.dot = self.max_abs = 0.0

    def add(self, reference: NDArray[Any], values: NDArray[Any], node: str) -> None:
        import numpy as np

        a, b = reference.ravel().astype(np.float64), values.ravel().astype(np.float64)
        if a.shape != b.shape:
            raise DriftFailed(
                f"layer {node!r} has {b.size} values instead of {a.size}; convert it again"
            )
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise DriftFailed(
                f"layer {node!r} has values that are not finite; keep it in a wider type"
            )
        difference = a - b
        self.energy += float(a @ a)
        self.other += float(b @ b)
        self.dot += float(a @ b)
        self.noise += float(difference @ difference)
        self.max_abs = max(self.max_abs, float(np.abs(difference).max(initial=0.0)))

    def result(self, node: str, measured_at: str) -> LayerDrift:
        length = math.sqrt(self.energy) * math.sqrt(self.other)
        snr_db = None
        if self.energy > 0:
            snr_db = math.inf if self.noise == 0 else 10 * math.log10(self.energy / self.noise)
        cosine = max(-1.0, min(1.0, self.dot / length)) if length > 0 else None
        return LayerDrift(node, measured_at, snr_db, cosine, self.max_abs)


def compare_layers(
    reference: Path,
    model: Path,
    dataset: str | None,
    images: int,
    seed: int,
    batch: int,
    only: Sequence[str] | None = None,
) -> list[LayerDrift]:
    """Compare in this process; see `layer_drift`."""
    source, other = read_model(reference), read_model(model)
    followed = {
        name: place for name, place in follow(source, other).items() if only is None or name in only
    }
    if not has_subgraphs(other):
        with_rounding(other)  # or ONNX Runtime would round the weights alone
    pairs = {(f.reference, f.tensor): f.node for f in followed.values()}
    sides = []
    for proto, names in (
        (source, list(dict.fromkeys(first for first, _ in pairs))),
        (other, list(dict.fromkeys(second for _, second in pairs))),
    ):
        _expose(proto, names)
        sides.append((_session(proto), names))
        proto.Clear()
    sums = {pair: _Sums() for pair in pairs}
    (first, first_names), (second, second_names) = sides
    for feeds in _inputs(first, dataset, images, seed, batch):
        expected = dict(zip(first_names, first.run(first_names, feeds), strict=True))
        found = dict(zip(second_names, second.run(second_names, feeds), strict=True))
        for pair, node in pairs.items():
            sums[pair].add(expected[pair[0]], found[pair[1]], node)
    return [
        sums[place.reference, place.tensor].result(name, place.node)
        for name, place in followed.items()
    ]


def _expose(proto: Any, names: Sequence[str]) -> None:
    """Make tensors outputs of the graph; their types are left for the runtime to find."""
    import onnx

    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in present
    )


def _session(proto: Any) -> Any:
    options = session_options(optimise=False)
    # A plan of memory made for one batch would be kept beside the memory itself.
    options.enable_mem_pattern = False
    return open_session(
        proto.SerializeToString(),
        options,
        lambda reason: InvalidModel(
            f"ONNX Runtime does not run the graph layer by layer: {reason}; "
            "check the file with onnx.checker"
        ),
    )


def _inputs(
    session: Any, dataset: str | None, images: int, seed: int, batch: int
) -> Iterator[dict[str, NDArray[Any]]]:
    """The inputs, a batch at a time: never more of them in memory than one batch."""
    import numpy as np

    from deploykit.bench.feeds import fixed_batch, image_input, padded, random_tensor

    specs = input_specs(session)
    fixed = fixed_batch(specs)
    step = fixed or min(batch, images)
    if dataset is None:
        generator = np.random.default_rng(seed)
        for _ in range(max(1, math.ceil(images / step))):
            yield {spec.name: random_tensor(spec, step, generator) for spec in specs}
        return
    from deploykit.data import open_dataset

    spec, shape = image_input(specs)
    part = open_dataset(dataset).calibration
    for found, _ in part.batches(step, shape, min(images, len(part))):
        array = padded(found, fixed) if fixed else found
        yield {spec.name: np.ascontiguousarray(array, dtype=spec.dtype)}


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    rows = compare_layers(
        Path(request["reference"]),
        Path(request["model"]),
        request["dataset"],
        int(request["images"]),
        int(request["seed"]),
        int(request["batch"]),
        request["only"],
    )
    return {"layers": [asdict(row) for row in rows]}


if __name__ == "__main__":
    serve(_answer)
