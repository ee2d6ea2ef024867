"""Layer by layer: what `deploykit layers` does, with what it searches for and with --mix."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from deploykit import backends
from deploykit.api.arguments import (
    PerChannel,
    StoreLike,
    calibration_of,
    function_name,
    image_options,
    integer,
    number,
    opened,
    share,
    spoken,
    time_limit,
    variants_of,
)
from deploykit.api.networks import data_text, source_of
from deploykit.bench import contain
from deploykit.bench.metric import load_metric
from deploykit.workflow import ranges, what_if
from deploykit.workflow.build import check_precisions, check_used, require_available
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import EngineChoice, Goal
from deploykit.workflow.configuration import default_precisions
from deploykit.workflow.keep import SearchResult, check_searched, search_layers_to_keep
from deploykit.workflow.layers import (
    LayerReport,
    LayerRow,
    ordered,
    report_layers,
    require_timed_parts,
    totals,
)
from deploykit.workflow.network import obtain_network
from deploykit.workflow.profile import Say

if TYPE_CHECKING:
    from deploykit.api.networks import Data, Model
    from deploykit.report.frame import Frame


@spoken
def layers(
    model: Model,
    *,
    precision: str | None = None,
    backend: str = "onnxruntime",
    batch: int = 1,
    threads: int | None = None,
    quick: bool = False,
    by: str = "order",
    data: Data | None = None,
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | None = None,
    crop: int | None = None,
    channel_order: str | None = None,
    calibration_method: str = "minmax",
    calibration_images: int | None = None,
    int8: str = "default",
    synthetic_calibration: bool = False,
    strict: bool = False,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
    limit_s: float | None = 900.0,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
    say: Say = lambda text: None,
) -> Frame:
    """Time, work and drift of each layer, a row each, in the order in which the engine runs them.

    `time_ms` is of one run of the whole batch, `macs` of one image, `drift_snr_db` against fp32 in dB. `attrs` has
    the sum of the layers and the whole run in ms, what the engine computes in (`precision_actual`), a `warning`
    where the layers don't make up the whole, and in `cut` what `limit_s` left out.

    Args:
        model: as in `export`.
        precision: "fp32", "fp16", "int8"; None is fp32, or that of a file that is quantised already.
        backend: whose engines' parts can be timed: "onnxruntime", "torch", "tensorrt-rtx", "tensorrt".
        batch: images per run.
        threads: of the runtime; None is all usable cores.
        quick: fewer rounds, for a first look.
        by: "order", "drift", "time" or "macs".
        data: as in `profile`.
        mean: of images of your own, as in `quantize`, as are the next four.
        std: their standard deviation.
        resize: the shorter side in px.
        crop: the side of the centre that is cut out in px.
        channel_order: "RGB" or "BGR".
        calibration_method: how ranges are found.
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges.
        synthetic_calibration: allow made-up images.
        strict: raise where the runtime leaves a layer in another precision.
        alpha: as in `export`, as are all up to `layout`.
        rho: the resolution multiplier.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input.
        name: of a module.
        shapes: of inputs of a file.
        dims: of a file's open dimensions.
        inputs: what a file's inputs are fed.
        layout: of image inputs of a file.
        limit_s: seconds for everything: a build must be done by then, and measuring ends with what there is; None
            waits.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs and engines; None is the default one.
        say: is told what is being done.

    Raises:
        UnknownName, UsageError: an argument that can't be, or a backend whose parts can't be timed.
        MissingDependency: the backend or its device is not here.

    Example:
        >>> frame = deploykit.layers("lenet5", weights="trained")
        >>> frame.loc[0, "op_type"], bool(frame["time_ms"].sum() > 0)
        ('Conv', True)
    """
    from deploykit.report.frame import frame_of

    limit = time_limit(limit_s)
    artifacts = opened(store)
    dataset = data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order))
    choice = calibration_of(
        dataset, calibration_method, calibration_images, int8, synthetic_calibration, strict
    )
    check_choice(choice)
    ordered((), by)
    builder = _timed_backend(backend, precision)
    named = [] if precision is None else [precision]
    check_used(EngineChoice(), choice, named, [builder])
    require_timed_parts(builder)
    images = int(ranges.BATCH.check(batch, "--batch"))
    cores = integer(threads, ranges.THREADS, "--threads")
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    source = source_of(
        model, variants, artifacts, "layers", data=dataset, input_shape=input_shape, name=name
    )
    with contain.bounding(limit):
        asked = precision or default_precisions(source)[0]

    def look() -> LayerReport:
        with contain.bounding(limit):
            network = obtain_network(source, artifacts)
        return report_layers(
            network,
            asked,
            artifacts,
            choice,
            backend=backend,
            batch=images,
            threads=cores,
            data=dataset,
            say=say,
            limit=limit,
            quick=quick,
        )

    measured = artifacts.despite_wipes(look)
    records = [dataclasses.asdict(row) for row in ordered(measured.rows, by)]
    about = {
        **totals(measured),
        "precision_actual": measured.precision_actual,
        "warning": measured.warning,
        "roofline_doubt": measured.doubt or None,
    }
    return frame_of(records, _layer_kinds(), of="layers", **about)


@spoken
def layers_to_keep(
    model: Model,
    *,
    precision: str = "int8",
    target: str = "cpu",
    max_accuracy_drop: float | str | None = None,
    min_snr_db: float | None = None,
    max_metric_drop: float | None = None,
    metric: str | Callable[..., Any] | None = None,
    scores: str | None = None,
    data: Data | None = None,
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | None = None,
    crop: int | None = None,
    channel_order: str | None = None,
    calibration_method: str = "minmax",
    calibration_images: int | None = None,
    int8: str = "default",
    synthetic_calibration: bool = False,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
    limit_s: float | None = 900.0,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
    say: Say = lambda text: None,
) -> SearchResult:
    """Search for the fewest layers to keep in fp32 with which a network still does what it must.

    `nodes` of the result is what `keep` of `build` and `profile` takes; None where not even all suffice.

    Args:
        model: as in `export`.
        precision: of all other layers.
        target: whose recipe the graph follows.
        max_accuracy_drop: top-1 that may be lost, a share such as 0.005 or "0.5%", on the calibration part.
        min_snr_db: or the ratio that outputs must keep to those of fp32, in dB.
        max_metric_drop: or what may be lost of `metric`, in its unit.
        metric: "module:function" of outputs and labels; larger is better.
        scores: the output that holds class scores.
        data: as in `profile`.
        mean: of images of your own, as in `quantize`, as are the next four.
        std: their standard deviation.
        resize: the shorter side in px.
        crop: the side of the centre that is cut out in px.
        channel_order: "RGB" or "BGR".
        calibration_method: how ranges are found.
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges.
        synthetic_calibration: allow made-up images.
        alpha: as in `export`, as are all up to `layout`.
        rho: the resolution multiplier.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input.
        name: of a module.
        shapes: of inputs of a file.
        dims: of a file's open dimensions.
        inputs: what a file's inputs are fed.
        layout: of image inputs of a file.
        limit_s: seconds for everything, after which the best so far is the answer; None waits.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs; None is the default one.
        say: is told what is being done.

    Raises:
        UsageError: no goal is given or several, or the precision is fp32.
        BuildFailed: the network could not be obtained within `limit_s`.

    Example:
        >>> found = deploykit.layers_to_keep("lenet5", weights="trained", min_snr_db=10)
        >>> found.nodes
        ()
    """
    check_searched(precision)
    limit = time_limit(limit_s)
    artifacts = opened(store)
    dataset = data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order))
    choice = calibration_of(
        dataset, calibration_method, calibration_images, int8, synthetic_calibration
    )
    check_choice(choice)
    check_precisions([precision], [target])
    check_used(EngineChoice(), choice, [precision], [backends.for_target(target)])
    goal = Goal(
        share(max_accuracy_drop, "--max-accuracy-drop"),
        number(min_snr_db, ranges.SNR_DB, "--min-snr-db"),
        number(max_metric_drop, ranges.METRIC_DROP, "--max-metric-drop"),
        scores,
        function_name(metric),
    )
    if goal.metric is not None:
        load_metric(goal.metric)
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    source = source_of(
        model,
        variants,
        artifacts,
        "layers_to_keep",
        data=dataset,
        input_shape=input_shape,
        name=name,
    )
    with contain.bounding(limit):
        network = obtain_network(source, artifacts)
    left_s = None if limit is None else limit.left_s()
    return search_layers_to_keep(network, precision, target, choice, goal, say=say, limit_s=left_s)


@spoken
def best_mix(
    model: Model,
    *,
    batch: int = 1,
    threads: int | None = None,
    data: Data | None = None,
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | None = None,
    crop: int | None = None,
    channel_order: str | None = None,
    calibration_method: str = "minmax",
    calibration_images: int | None = None,
    int8: str = "default",
    synthetic_calibration: bool = False,
    strict: bool = False,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
    say: Say = lambda text: None,
) -> Frame:
    """Find the fastest mix of int8 and fp32 on ONNX Runtime: what `deploykit layers --mix` does.

    A row is a layer, or layers that are in one precision together, with what it takes in fp32 and in int8 and what
    changing its outputs costs, in ms of one run of the whole batch; `mix` is the precision that it is to have.
    `attrs` has `kept`, which `keep` of `build` and `profile` takes (none where one precision is best throughout),
    `predicted_ms`, `measured_ms` of the mix where it was built, its ratios to both engines, and `sentences`.

    Args:
        model: as in `export`.
        batch: images per run.
        threads: of the runtime; None is all usable cores.
        data: as in `profile`.
        mean: of images of your own, as in `profile`, as are the next four.
        std: their standard deviation.
        resize: the shorter side in px.
        crop: the side of the centre that is cut out in px.
        channel_order: "RGB" or "BGR".
        calibration_method: how ranges are found.
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges.
        synthetic_calibration: allow made-up images.
        strict: raise where the runtime leaves a layer in another precision.
        alpha: as in `export`, as are all that follow.
        rho: the resolution multiplier.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input.
        name: of a module.
        shapes: of inputs of a file.
        dims: of a file's open dimensions.
        inputs: what a file's inputs are fed.
        layout: of image inputs of a file.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs and engines; None is the default one.
        say: is told what is being done.

    Raises:
        UnknownName, UsageError: an argument that can't be, or nodes without names.
        MissingDependency: ONNX Runtime is not installed.

    Example:
        >>> frame = deploykit.best_mix("efficientnet_b0")  # doctest: +SKIP
        >>> engine = deploykit.build(  # doctest: +SKIP
        ...     "efficientnet_b0", precision="int8", keep=frame.attrs["kept"]
        ... )
        >>> deploykit.best_mix("lenet5", weights="trained", threads=0)
        Traceback (most recent call last):
        ...
        deploykit.errors.UsageError: threads takes a whole number from 1 to 1,024, not '0'
    """
    from deploykit.report.frame import frame_of

    artifacts = opened(store)
    dataset = data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order))
    choice = calibration_of(
        dataset, calibration_method, calibration_images, int8, synthetic_calibration, strict
    )
    check_choice(choice)
    images = int(ranges.BATCH.check(batch, "--batch"))
    cores = integer(threads, ranges.THREADS, "--threads")
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    source = source_of(
        model, variants, artifacts, "best_mix", data=dataset, input_shape=input_shape, name=name
    )
    network = obtain_network(source, artifacts)
    found, tried = what_if.found_and_tried(
        network, artifacts, choice, batch=images, threads=cores, say=say
    )
    values = what_if.as_values(found, tried)
    sentences = [found.sentence, *([] if tried is None else [tried.sentence(found)])]
    return frame_of(values.pop("units"), _MIX_KINDS, of="mix", sentences=sentences, **values)


#: The kind of each column of a mix.
_MIX_KINDS = {
    name: "int" if name == "layers" else "float" if name.endswith("_ms") else "text"
    for name in what_if.COLUMNS
}


def _timed_backend(name: str, precision: str | None) -> Any:
    """The backend called `name`, which has the precision.

    Raises:
        UnknownName, UsageError, MissingDependency: as it says.
    """
    builder = backends.get(name)
    named = [] if precision is None else [precision]
    check_precisions(named, [builder.target])
    backends.base.check_offered([builder], named)
    require_available([builder])
    return builder


def _layer_kinds() -> dict[str, str]:
    """The kind of each column of a layer, by the type of its field."""
    words = {"str": "text", "bool": "bool", "int": "int", "float": "float"}
    return {
        field.name: words[str(field.type).partition(" ")[0]]
        for field in dataclasses.fields(LayerRow)
    }
