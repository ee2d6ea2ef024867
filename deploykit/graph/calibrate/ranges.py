"""Running calibration images through the float graph and taking the range of every wanted activation.

Reductions are nodes of the graph itself: what leaves the session per batch is a few numbers per tensor
(and, for methods that need a histogram, a fixed share of its values), never the activations.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deploykit.errors import DriftFailed, UsageError, one_line
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.histogram import WideningHistogram, choose_range
from deploykit.graph.element_types import ElementType
from deploykit.graph.inputs import input_specs_of
from deploykit.graph.nodes import graph_inputs, is_standard
from deploykit.graph.operators import Trait, has
from deploykit.graph.read_write import open_proto
from deploykit.graph.shapes import tensor_shapes
from deploykit.graph.values import doubtful_inputs
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx, ort
from deploykit.ort_session import session_options
from deploykit.spec import has_batch

#: Values per image and tensor that go into a histogram; larger tensors are sampled evenly.
SAMPLE_VALUES = 8192

Range = tuple[float, float]


def collect_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    calibration: Calibration,
    *,
    symmetric: bool,
    infinite: Collection[str] = (),
    state: str = "",
) -> dict[str, Range]:
    """Run the calibration images through a float32 model and choose a range for each tensor.

    The model is not changed. Ranges contain zero.

    Args:
        model: the float graph.
        tensors: names of float32 tensors of its main graph.
        calibration: images and method.
        symmetric: whether the quantised type will be symmetric, for methods that weigh errors.
        infinite: those of `tensors` that may hold infinities (a mask of attention); their range is infinite.
        state: tells states of the model apart in which a tensor of one name holds other values.

    Raises:
        UsageError: images that don't fit the network, see also `Calibration.images`.
        DriftFailed: an activation is not finite.
        MissingDependency: ONNX Runtime is not installed.
    """
    known = calibration.remembered
    if known is not None:
        missing = [name for name in tensors if (name, symmetric, state) not in known]
        if missing:
            fresh = replace(calibration, remembered=None)
            ranges = collect_ranges(model, missing, fresh, symmetric=symmetric, infinite=infinite)
            known.update(((name, symmetric, state), bounds) for name, bounds in ranges.items())
        for name in tensors:  # it was remembered where it might be infinite
            if name not in infinite and not np.isfinite(known[name, symmetric, state]).all():
                raise _not_finite(name, model, calibration)
        return {name: known[name, symmetric, state] for name in tensors}
    histograms = calibration.method != "minmax"
    plan = Probes(model, tensors, histograms)
    session = _session(plan.model)
    plan.model.Clear()
    inputs = graph_inputs(model.graph)
    axes, whole = _image_axes(model), _without_batch(model)
    fixed = _fixed_batch(inputs, axes, whole)
    extremes = dict.fromkeys(tensors, (0.0, 0.0))
    histogram_of = {name: WideningHistogram() for name in tensors} if histograms else {}
    for feeds in calibration.feeds([value.name for value in inputs]):
        for part in _fitting(feeds, fixed, axes, whole):
            outputs = run_images(session, inputs, part, plan.names)
            for name in plan.ends:
                if np.isnan(outputs[name]).any():  # infinite ones may be meant, as a mask's are
                    raise _not_finite(name, model, calibration)
            for name in tensors:
                low, high = plan.extremes(name, outputs)
                if math.isnan(low + high) or (math.isinf(low + high) and name not in infinite):
                    raise _not_finite(name, model, calibration)
                extremes[name] = (min(extremes[name][0], low), max(extremes[name][1], high))
                if histograms:
                    values = outputs[plan.samples[name]]
                    histogram_of[name].add(values[np.isfinite(values)])
    if not histograms:
        return extremes
    return {
        name: choose_range(histogram_of[name], extremes[name], calibration, symmetric=symmetric)
        if np.isfinite(extremes[name]).all()
        else extremes[name]
        for name in tensors
    }


def input_sets(
    model: onnx.ModelProto, calibration: Calibration, images: int
) -> list[dict[str, np.ndarray]]:
    """The first calibration images as tensors by input, in sets that the model takes at once.

    Args:
        model: tells the inputs.
        calibration: the images.
        images: stop after that many, at the end of a batch.

    Raises:
        UsageError: see `Calibration.images`.
    """
    inputs = graph_inputs(model.graph)
    axes, whole = _image_axes(model), _without_batch(model)
    fixed = _fixed_batch(inputs, axes, whole)
    seen = 0
    sets: list[dict[str, np.ndarray]] = []
    for feeds in calibration.feeds([value.name for value in inputs]):
        sets += _fitting(feeds, fixed, axes, whole)
        counts = (
            v.shape[axes.get(name, 0)]
            for name, v in feeds.items()
            if v.ndim > 1 and name not in whole
        )
        seen += max(counts, default=1)
        if seen >= images:
            break
    return sets


def _not_finite(name: str, model: onnx.ModelProto, calibration: Calibration) -> DriftFailed:
    doubts = doubtful_inputs(input_specs_of(model)) if calibration.synthetic else ""
    return DriftFailed(
        f"activation {name!r} is not finite on the calibration images"
        + (doubts or "; check the network's weights and the images' scaling")
    )


#: Nodes, probes among them, of a graph that is still rewritten before it is run. For each probe ONNX Runtime goes
#: through the whole graph: with 10,000 nodes and as many tensors to look at it took minutes.
_MOST_REWRITTEN = 10_000


def _session(model: onnx.ModelProto) -> Any:
    options = session_options(optimise=len(model.graph.node) <= _MOST_REWRITTEN)
    # In the default order reductions wait until the end and every activation is held for them; and a plan of
    # memory made for one batch would be held beside the memory itself.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.enable_mem_pattern = False
    return open_proto(
        model,
        options,
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )


def run_images(
    session: Any,
    inputs: Sequence[onnx.ValueInfoProto],
    feeds: Mapping[str, np.ndarray],
    names: Sequence[str],
) -> dict[str, np.ndarray]:
    """What a session makes of calibration images, by the names of outputs.

    Raises:
        UsageError: they don't run through it.
    """
    try:
        return dict(zip(names, session.run(list(names), dict(feeds)), strict=True))
    except Exception as error:
        given = ", ".join("x".join(map(str, values.shape)) for values in feeds.values())
        wanted = ", ".join(
            f"{feed.name!r} ("
            + "x".join(
                str(d.dim_value or d.dim_param or "?") for d in feed.type.tensor_type.shape.dim
            )
            + ")"
            for feed in inputs
        )
        raise UsageError(
            f"calibration images of shape {given} do not run through input {wanted}: "
            f"{one_line(error, 120)}"
        ) from error


def _image_axes(model: onnx.ModelProto) -> dict[str, int]:
    """By input the axis on which a fixed batch stands, where that is not the first."""
    return {spec.name: spec.fixed_axis for spec in input_specs_of(model) if spec.fixed_axis}


def _without_batch(model: onnx.ModelProto) -> set[str]:
    """The inputs that are the same for all images that are run at once."""
    specs = input_specs_of(model)
    return {spec.name for spec in specs if not has_batch(spec, specs)}


def _fixed_batch(
    inputs: Sequence[onnx.ValueInfoProto], axes: Mapping[str, int], whole: Container[str]
) -> int | None:
    """The only batch that the graph takes: what all inputs have on its axis, where none has a free dimension."""
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inputs}
    if any(
        not d.HasField("dim_value") or d.dim_value <= 0 for dims in shapes.values() for d in dims
    ):
        return None
    heads = {
        int(dims[axes.get(n, 0)].dim_value)
        for n, dims in shapes.items()
        if len(dims) > 1 and n not in whole
    }
    return heads.pop() if len(heads) == 1 else None


def _fitting(
    feeds: dict[str, np.ndarray],
    fixed: int | None,
    axes: Mapping[str, int],
    whole: Container[str],
) -> Iterator[dict[str, np.ndarray]]:
    """The batch in pieces that a network with a fixed batch takes; the last one repeats its images."""
    if fixed is None:
        yield feeds
        return
    counts = {
        n: values.shape[axes.get(n, 0)]
        for n, values in feeds.items()
        if values.ndim and n not in whole
    }
    # What holds just a run's worth may be made up, and then it is the same for every run.
    count = next((c for n, c in counts.items() if feeds[n].ndim > 1 and c != fixed), fixed)
    if count == fixed:
        yield feeds
        return
    for start in range(0, count, fixed):
        chosen = np.minimum(np.arange(start, start + fixed), count - 1)
        yield {
            name: np.take(values, chosen, axis=axes.get(name, 0))
            if counts.get(name) == count
            else values
            for name, values in feeds.items()
        }


# ---- reductions as nodes of the graph


class Probes:
    """The model with nodes that reduce each wanted tensor, and only their results as outputs.

    They are chosen so that ONNX Runtime can keep convolutions in its blocked layout: reordering every
    activation for a reduction would cost more than the reduction.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Sequence[str],
        histograms: bool,
    ) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        shapes = tensor_shapes(model)
        self.names: list[str] = []
        self.samples: dict[str, str] = {}
        self._low: dict[str, str] = {}
        self._high: dict[str, str] = {}
        self._floor = _never_negative(GraphView(model))
        graph = self.model.graph
        # The network's own results stay: they show a NaN that a maximum may have passed over.
        self.ends = [
            v.name for v in graph.output if v.type.tensor_type.elem_type == ElementType.FLOAT
        ]
        self.names.extend(self.ends)
        outputs = [v for v in graph.output if v.name in self.ends]
        del graph.output[:]
        graph.output.extend(outputs)
        for index, name in enumerate(tensors):
            self._probe(graph, f"deploykit_probe_{index}", name, shapes.get(name))
            if histograms:
                self._sample(graph, f"deploykit_sample_{index}", name, shapes.get(name))

    def extremes(self, name: str, outputs: Mapping[str, np.ndarray]) -> Range:
        """The least and largest value of a tensor in the batch that gave `outputs`."""
        high = float(np.max(outputs[self._high[name]], initial=-math.inf))
        low = (
            float(np.min(outputs[self._low[name]], initial=math.inf)) if name in self._low else 0.0
        )
        if low > high:  # it had no values
            return 0.0, 0.0
        # A reduction may skip NaN where another does not: their sum shows it either way.
        return (low, high) if not math.isnan(low + high) else (math.nan, math.nan)

    def _probe(self, graph: onnx.GraphProto, base: str, name: str, shape: list[int] | None) -> None:
        if shape is not None and len(shape) == 4:
            # Unlike ReduceMax, this one runs in ONNX Runtime's blocked layout, with no reordering.
            graph.node.append(onnx.helper.make_node("GlobalMaxPool", [name], [f"{base}_high"]))
            self._output(graph, f"{base}_high")
        else:
            self._reduce(graph, "ReduceMax", name, f"{base}_high")
        self._high[name] = f"{base}_high"
        if name not in self._floor:
            self._reduce(graph, "ReduceMin", name, f"{base}_low")
            self._low[name] = f"{base}_low"

    def _reduce(self, graph: onnx.GraphProto, op_type: str, name: str, output: str) -> None:
        graph.node.append(onnx.helper.make_node(op_type, [name], [output], keepdims=0))
        self._output(graph, output)

    def _sample(
        self, graph: onnx.GraphProto, base: str, name: str, shape: list[int] | None
    ) -> None:
        output = f"{base}_values"
        if shape is not None and len(shape) == 4:
            # A pooling window of one value with a stride samples in the blocked layout, too.
            strides = _spatial_strides(shape)
            pool = onnx.helper.make_node(
                "MaxPool", [name], [output], kernel_shape=[1, 1], strides=strides
            )
            graph.node.append(pool)
        else:
            step = 1 if shape is None else _stride(math.prod(shape), shape[-1] if shape else 1)
            self._slice(graph, base, name, output, step)
        self._output(graph, output)
        self.samples[name] = output

    def _slice(self, graph: onnx.GraphProto, base: str, name: str, output: str, step: int) -> None:
        for suffix, value in (
            ("shape", -1), ("start", 0), ("end", 2**62), ("axis", 0), ("step", step)
        ):  # fmt: skip
            graph.initializer.append(
                onnx.numpy_helper.from_array(np.asarray([value], np.int64), f"{base}_{suffix}")
            )
        flat = f"{base}_flat"
        graph.node.append(onnx.helper.make_node("Reshape", [name, f"{base}_shape"], [flat]))
        slots = [flat, *(f"{base}_{suffix}" for suffix in ("start", "end", "axis", "step"))]
        graph.node.append(onnx.helper.make_node("Slice", slots, [output]))

    def _output(self, graph: onnx.GraphProto, name: str) -> None:
        graph.output.append(onnx.helper.make_tensor_value_info(name, ElementType.FLOAT, None))
        self.names.append(name)


def _never_negative(view: GraphView) -> set[str]:
    """Tensors that can't be negative, whose least value needs no reduction: behind a ReLU, a ReLU6."""
    names: set[str] = set()
    for node in view.nodes:
        if not is_standard(node):
            continue
        if has(node, Trait.NEVER_NEGATIVE) or (
            has(node, Trait.KEEPS_SIGN) and all(name in names for name in node.input if name)
        ):
            names.update(node.output)
        elif node.op_type == "Clip" and len(node.input) > 1 and node.input[1]:
            least = view.constant(node.input[1])
            if least is not None and float(least.reshape(-1)[0]) >= 0.0 and _ordered(view, node):
                names.update(node.output)
    return names


def _ordered(view: GraphView, clip: onnx.NodeProto) -> bool:
    """Whether a Clip has no upper bound, or one known not to be negative: it wins over the lower one."""
    if len(clip.input) < 3 or not clip.input[2]:
        return True
    largest = view.constant(clip.input[2])
    return largest is not None and float(largest.reshape(-1)[0]) >= 0.0


def _stride(values: int, row: int) -> int:
    """A step that leaves about SAMPLE_VALUES of the values and walks through all columns of a row."""
    step = max(1, values // SAMPLE_VALUES)
    while step > 1 and math.gcd(step, row) != 1:
        step += 1
    return step


def _spatial_strides(shape: Sequence[int]) -> list[int]:
    """Equal strides over height and width that leave about SAMPLE_VALUES values of an image."""
    _, channels, height, width = shape
    stride = 1
    while channels * -(-height // stride) * -(-width // stride) > SAMPLE_VALUES and stride < max(
        height, width
    ):
        stride += 1
    return [stride, stride]
