"""Running calibration images through the float graph and taking the range of every wanted activation.

Reductions are nodes of the graph itself: what leaves the session per batch is a few numbers per tensor
(and, for methods that need a histogram, a fixed share of its values), never the activations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deploykit.errors import DriftFailed, UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.histogram import WideningHistogram, choose_range
from deploykit.graph.calibrate.probes import Probes, Range
from deploykit.graph.nodes import graph_inputs
from deploykit.lazy import np, onnx, ort
from deploykit.ort_session import open_session, session_options


def collect_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    calibration: Calibration,
    *,
    symmetric: bool,
) -> dict[str, Range]:
    """Run the calibration images through a float32 model and choose a range for each tensor.

    The model is not changed. Ranges contain zero.

    Args:
        model: the float graph.
        tensors: names of float32 tensors of its main graph.
        calibration: images and method.
        symmetric: whether the quantised type will be symmetric, for methods that weigh errors.

    Raises:
        UsageError: images that don't fit the network, see also `Calibration.images`.
        DriftFailed: an activation is not finite.
        MissingDependency: ONNX Runtime is not installed.
    """
    known = calibration.remembered
    if known is not None:
        missing = [name for name in tensors if (name, symmetric) not in known]
        if missing:
            fresh = replace(calibration, remembered=None)
            found = collect_ranges(model, missing, fresh, symmetric=symmetric)
            known.update(((name, symmetric), bounds) for name, bounds in found.items())
        return {name: known[name, symmetric] for name in tensors}
    histograms = calibration.method != "minmax"
    plan = Probes(model, tensors, histograms)
    session = _session(plan.model)
    plan.model.Clear()
    feed = graph_inputs(model.graph)
    if len(feed) != 1:
        raise UsageError(
            f"calibration feeds networks with one input, this one has {len(feed)}; use fp32 or fp16"
        )
    fixed = _fixed_batch(feed[0])
    extremes = dict.fromkeys(tensors, (0.0, 0.0))
    histogram_of = {name: WideningHistogram() for name in tensors} if histograms else {}
    for images in calibration.images():
        for part in _fitting(images, fixed):
            outputs = _run(session, feed[0], part, plan.names)
            for name in plan.ends:
                if not np.isfinite(outputs[name]).all():
                    raise _not_finite(name)
            for name in tensors:
                low, high = plan.extremes(name, outputs)
                if not (math.isfinite(low) and math.isfinite(high)):
                    raise _not_finite(name)
                extremes[name] = (min(extremes[name][0], low), max(extremes[name][1], high))
                if histograms:
                    histogram_of[name].add(outputs[plan.samples[name]])
    if not histograms:
        return extremes
    return {
        name: choose_range(histogram_of[name], extremes[name], calibration, symmetric=symmetric)
        for name in tensors
    }


def _not_finite(name: str) -> DriftFailed:
    return DriftFailed(
        f"activation {name!r} is not finite on the calibration images; "
        "check the network's weights and the images' scaling"
    )


def _session(model: onnx.ModelProto) -> Any:
    options = session_options(optimise=True)
    # In the default order reductions wait until the end and every activation is kept for them; and a plan of
    # memory made for one batch would be kept beside the memory itself.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.enable_mem_pattern = False
    return open_session(
        model.SerializeToString(),
        options,
        lambda reason: UsageError(f"ONNX Runtime can't run the network to calibrate it: {reason}"),
    )


def _run(
    session: Any, feed: onnx.ValueInfoProto, images: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    try:
        return dict(zip(names, session.run(list(names), {feed.name: images}), strict=True))
    except Exception as error:
        wanted = "x".join(
            str(d.dim_value or d.dim_param or "?") for d in feed.type.tensor_type.shape.dim
        )
        given = "x".join(str(n) for n in images.shape)
        raise UsageError(
            f"calibration images of shape {given} do not run through input {feed.name!r} ({wanted}): "
            f"{' '.join(str(error).split())[:120]}"
        ) from error


def _fixed_batch(feed: onnx.ValueInfoProto) -> int | None:
    dims = feed.type.tensor_type.shape.dim
    return int(dims[0].dim_value) or None if dims else None


def _fitting(images: np.ndarray, fixed: int | None) -> list[np.ndarray]:
    """The batch in pieces that a network with a fixed batch takes; the last one repeats its images."""
    if fixed is None or len(images) == fixed:
        return [images]
    short = -len(images) % fixed
    if short:
        images = np.concatenate([images, np.resize(images, (short, *images.shape[1:]))])
    return [images[start : start + fixed] for start in range(0, len(images), fixed)]
