"""How far each layer of a graph is from the same layer in fp32.

Both graphs run on ONNX Runtime with its optimisations switched off, so that every layer's tensor
exists whether or not the runtime would fuse it. Inputs stream through in small batches: of each tensor only
sums stay in memory. That runs in a process of its own: `python -m deploykit.bench.drift`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.channel import run_child, serve
from deploykit.bench.feeds import fixed_batch, padded, synthetic
from deploykit.data import open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.errors import DriftFailed, InvalidModel
from deploykit.graph.lineage import follow
from deploykit.graph.nodes import has_subgraphs
from deploykit.graph.precision.rounding import with_rounding
from deploykit.graph.read_write import open_proto, read_inlined
from deploykit.lazy import np, onnx
from deploykit.ort_session import input_specs, session_options
from deploykit.spec import OnnxModel, has_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Outputs = Mapping[str, NDArray[Any]]
    Feeds = Mapping[str, NDArray[Any]]

#: Images that layers are compared on when nobody says how many.
IMAGES = 16
#: Bytes of activations that one batch may have in each graph.
BATCH_BYTES = 2**28
#: Images that layers are compared on at once, at most.
MAX_BATCH = 8
TIMEOUT_S = 1800.0


@dataclass
class Distance:
    """Adds up how far values are from those of a reference, pair of tensors by pair of tensors.

    Attributes:
        energy: sum of the reference's squares.
        noise: sum of the squared differences.
        max_abs: largest absolute difference.
    """

    energy: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0
    _dot: float = field(default=0.0, repr=False)
    _other_energy: float = field(default=0.0, repr=False)

    def add(self, reference: NDArray[Any], values: NDArray[Any]) -> None:
        """Count a tensor and its reference, of equally many values, in float64."""
        a, b = reference.astype(np.float64).ravel(), values.astype(np.float64).ravel()
        difference = a - b
        self.max_abs = max(self.max_abs, float(np.abs(difference).max(initial=0.0)))
        self._dot += float(a @ b)
        self.energy += float(a @ a)
        self._other_energy += float(b @ b)
        self.noise += float(difference @ difference)

    def include(self, other: Distance) -> None:
        """Count all that another sum counted."""
        self.max_abs = max(self.max_abs, other.max_abs)
        self._dot += other._dot
        self.energy += other.energy
        self._other_energy += other._other_energy
        self.noise += other.noise

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between all values as one vector; None if either side is zero everywhere."""
        length = math.sqrt(self.energy) * math.sqrt(self._other_energy)
        return max(-1.0, min(1.0, self._dot / length)) if length > 0 else None

    @property
    def snr_db(self) -> float | None:
        """Energy of the reference over that of the difference; infinite when equal, None without energy."""
        if self.energy <= 0:
            return None
        return math.inf if self.noise == 0 else 10 * math.log10(self.energy / self.noise)


def require_finite(outputs: Outputs, where: str = "output", meant: Collection[float] = ()) -> None:
    """Raise DriftFailed if any value is not a number, or infinite and none of the infinities that are `meant`."""
    for name, values in outputs.items():
        if np.asarray(values).dtype.kind != "f":
            continue
        sound = np.asarray(np.isfinite(values))
        for infinity in meant:
            sound |= np.equal(values, infinity)
        bad = int(np.size(values) - sound.sum())
        if bad:
            raise DriftFailed(
                f"{where} {name!r} has {bad} of {np.size(values)} values that are not finite; "
                "keep the layers that overflow in a wider type, or use another precision"
            )


def softmax_divergence(reference: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
    """Kullback-Leibler divergence of softmax(scores) from softmax(reference), per row, in nats."""

    def log_softmax(values: NDArray[Any]) -> NDArray[Any]:
        wide = values.astype(np.float64)
        shifted = wide - wide.max(axis=1, keepdims=True)
        logs: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return logs

    p, q = log_softmax(reference), log_softmax(scores)
    # Rounding can leave -1e-17 where both are the same.
    divergence: NDArray[Any] = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    return divergence


@dataclass(frozen=True)
class LayerDrift:
    """How far one layer's value is from fp32.

    Attributes:
        node: the layer.
        measured_at: the layer whose output was compared: itself, or the one it was folded into.
        snr_db: energy of the fp32 value over that of the difference; infinite where they are equal, None
            where the fp32 value is zero everywhere.
        cosine: cosine of the angle between both values as one vector over all images; None if either is
            zero everywhere.
        max_abs: largest absolute difference.
        images: that it was measured on.
    """

    node: str
    measured_at: str
    snr_db: float | None
    cosine: float | None
    max_abs: float
    images: int = 0


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
    limit_s: float | None = None,
) -> dict[str, LayerDrift]:
    """Compare every layer of `model` with the fp32 graph that it was converted from.

    Args:
        reference: the fp32 graph.
        model: the same in another precision.
        dataset: compare on the first images of its calibration part; None: on seeded standard normal values.
        images: how many.
        seed: seeds the generator of the normal values.
        activation_bytes: that all layers write for one image; bounds how many images run at once.
        only: names of the layers to compare; None is all.
        timeout_s: seconds until the comparison is given up.
        limit_s: seconds after which no further batch begins; the first one is always run.

    Returns:
        By the layer's node, in the order of the graph; layers that `model` has no value of are left out.

    Raises:
        WorkerFailure: a graph does not run, or a value is not finite.
    """
    batch = max(1, min(MAX_BATCH, BATCH_BYTES // max(1, activation_bytes)))
    layers = None if only is None else tuple(only)
    request = LayersRequest(
        reference.path, model.path, dataset, images, seed, batch, layers, limit_s
    )
    rows = run_child("deploykit.bench.drift", request, list[LayerDrift], timeout_s)
    return {row.node: row for row in rows}


@dataclass(frozen=True)
class LayersRequest:
    """What the process that compares layers is asked; see `layer_drift`.

    Attributes:
        reference: file of the fp32 graph.
        model: file of the same graph in another precision.
        batch: images that run at once, where the graphs leave that open.
        only: names of the layers to compare; None is all.
        limit_s: seconds after which no further batch begins.
    """

    reference: Path
    model: Path
    dataset: str | None
    images: int
    seed: int
    batch: int
    only: tuple[str, ...] | None = None
    limit_s: float | None = None


def compare_layers(request: LayersRequest) -> list[LayerDrift]:
    """Compare in this process; see `layer_drift`."""
    source, other = read_inlined(request.reference), read_inlined(request.model)
    followed = {
        name: place
        for name, place in follow(source, other).items()
        if request.only is None or name in request.only
    }
    if not has_subgraphs(other):
        with_rounding(other)  # or ONNX Runtime would round the weights alone
    pairs = {(place.reference, place.tensor): place.node for place in followed.values()}
    sides = []
    for proto, names in (
        (source, list(dict.fromkeys(first for first, _ in pairs))),
        (other, list(dict.fromkeys(second for _, second in pairs))),
    ):
        _expose(proto, names)
        sides.append((_session(proto), names))
        proto.Clear()
    distances = {pair: Distance() for pair in pairs}
    (first, first_names), (second, second_names) = sides
    specs = input_specs(first)
    images, start_s = 0, time.perf_counter()
    for feeds in _inputs(first, request):
        expected = dict(zip(first_names, first.run(first_names, feeds), strict=True))
        judged = dict(zip(second_names, second.run(second_names, feeds), strict=True))
        for pair, node in pairs.items():
            values, others = expected[pair[0]], judged[pair[1]]
            _require_comparable(node, values, others)
            finite = np.isfinite(values)
            if not finite.all():  # a mask's infinities, of which there is no distance
                values, others = values[finite], others.reshape(values.shape)[finite]
            distances[pair].add(values, others)
        counts = (feeds[one.name].shape[one.image_axis] for one in specs if has_batch(one, specs))
        images += max(counts, default=1)
        if request.limit_s is not None and time.perf_counter() - start_s >= request.limit_s:
            break
    rows = []
    for name, place in followed.items():
        total = distances[place.reference, place.tensor]
        rows.append(LayerDrift(name, place.node, total.snr_db, total.cosine, total.max_abs, images))
    return rows


def _require_comparable(node: str, reference: NDArray[Any], values: NDArray[Any]) -> None:
    if reference.size != values.size:
        raise DriftFailed(
            f"layer {node!r} has {values.size} values instead of {reference.size}; convert it again"
        )
    if (np.isfinite(reference).reshape(-1) & ~np.isfinite(values).reshape(-1)).any():
        raise DriftFailed(
            f"layer {node!r} has values that are not finite where the reference's are; keep it in a wider type"
        )


def _expose(proto: Any, names: Sequence[str]) -> None:
    """Make tensors outputs of the graph; their types are left for the runtime to find."""
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in present
    )


def _session(proto: Any) -> Any:
    options = session_options(optimise=False)
    # A plan of memory made for one batch would stay beside the memory itself.
    options.enable_mem_pattern = False
    return open_proto(
        proto,
        options,
        lambda reason: InvalidModel(
            f"ONNX Runtime does not run the graph layer by layer: {reason}; "
            "check the file with onnx.checker"
        ),
    )


def _inputs(session: Any, request: LayersRequest) -> Iterator[dict[str, NDArray[Any]]]:
    """The inputs, a batch at a time: never more of them in memory than one batch."""
    specs = input_specs(session)
    fixed = fixed_batch(specs)
    step = fixed or min(request.batch, request.images)
    if request.dataset is None:
        sets = max(1, math.ceil(request.images / step))
        yield from synthetic(specs, step, seed=request.seed, sets=sets)
        return
    dataset = open_dataset(request.dataset)
    part = dataset.calibration if len(dataset.calibration) else dataset.for_drift
    for feeds, _ in feeds_of(part, specs, step, request.images):
        axes = {spec.name: spec.fixed_axis for spec in specs if has_batch(spec, specs)}
        filled = {n: padded(feeds[n], fixed, axis) for n, axis in axes.items()} if fixed else {}
        yield feeds | filled


if __name__ == "__main__":
    serve(LayersRequest, compare_layers)
