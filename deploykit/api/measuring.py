"""Measuring: what `deploykit profile` does."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploykit.api.arguments import (
    Counts,
    Multipliers,
    Names,
    PerChannel,
    StoreLike,
    bounds_of,
    calibration_of,
    engine_of,
    folder,
    function_name,
    image_options,
    integer,
    number,
    opened,
    scenarios_of,
    share,
    spoken,
    texts,
    told,
    variants_of,
)
from deploykit.api.networks import data_text, sources_of
from deploykit.bench.scenario import (
    SHARE_OF_TIMEOUT,
    Constraint,
    Policy,
    measuring_policy,
)
from deploykit.errors import UsageError
from deploykit.spec import BuildOptions
from deploykit.workflow import against as sides
from deploykit.workflow import ranges
from deploykit.workflow.asked import check_profile, check_scores
from deploykit.workflow.choices import (
    DEFAULT_BUDGET_S,
    DEFAULT_THRESHOLD,
    EngineChoice,
)
from deploykit.workflow.configuration import (
    ProfileOptions,
    enumerate_configurations,
)
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.run import describe_machine
from deploykit.workflow.search import LoadSearch, percentile_of

if TYPE_CHECKING:
    from deploykit.api.networks import Data, Model
    from deploykit.report.frame import Frame


@spoken
def profile(
    models: Model | Iterable[Model],
    *,
    precisions: Names = (),
    backends: Names = ("onnxruntime",),
    batches: Counts = (1,),
    threads: Counts | None = None,
    streams: Counts = (1,),
    rate: float | str | Iterable[float | str] | None = None,
    boundary: Names | None = None,
    cuda_graph: bool = False,
    options: Mapping[str, Any] | None = None,
    run_pass: Names = ("forward",),
    repeats: int = 1,
    quick: bool = False,
    seconds: float | None = None,
    percentile: float | None = None,
    iterations: int | None = None,
    warmup_iterations: int | None = None,
    timeout_s: float = 600.0,
    roofline: bool = True,
    samples: str | os.PathLike[str] | None = None,
    constraint: str | Constraint | None = None,
    against: str | os.PathLike[str] | None = None,
    max_slowdown: float | str | None = None,
    against_seconds: float | None = None,
    data: Data | None = None,
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | None = None,
    crop: int | None = None,
    channel_order: str | None = None,
    scores: str | None = None,
    metric: str | Callable[..., Any] | None = None,
    engine: EngineChoice | BuildOptions | None = None,
    calibration_method: str = "minmax",
    calibration_images: int | None = None,
    int8: str = "default",
    synthetic_calibration: bool = False,
    strict: bool = False,
    keep: Names = (),
    keep_op: Names = (),
    keep_drift: int | None = None,
    alpha: Multipliers = 1,
    rho: Multipliers = 1,
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
    """Measure networks: a row per configuration, each in a process of its own.

    The frame has the columns of `deploykit.columns`, with units in their names, and their types: text, whole
    numbers (Int64) and floats; what was not measured is blank. `attrs["environment"]` describes the machine. A
    configuration that fails is a row with `status` "failed" or "skipped" and its reason. Rows are the product of
    all that is given as several.

    Args:
        models: a name, "module:factory", an .onnx file, a `ModelSpec` or a `torch.nn.Module`, or several of them.
        precisions: such as ["fp32", "int8"]; none is fp32, or that of a file that is quantised already.
        backends: who builds and runs, such as ["onnxruntime", "openvino"].
        batches: images per run.
        threads: that the runtime computes with; None is all usable cores.
        streams: concurrent requests.
        rate: requests per second that arrive at random, queueing counted; None sends each after the last.
        boundary: what a latency spans: "end_to_end" or "device".
        cuda_graph: capture a run on a GPU as a CUDA graph.
        options: what runtimes are told, such as {"ort.allow_spinning": ["0", "1"]}.
        run_pass: "forward", "forward_backward" (torch backends only).
        repeats: processes per configuration, spread over the run; `compare` needs three.
        quick: measure 0.5 s per row instead of 3 s.
        seconds: measure each row that long.
        percentile: measure until this one, such as 99, has the samples that it needs.
        iterations: measure exactly so many runs.
        warmup_iterations: and warm up so many.
        timeout_s: kill a row that takes longer.
        roofline: compare with the machine's ceilings, which are measured once (3 s).
        samples: folder that keeps every latency; None keeps none.
        constraint: find the largest batch, or what is given as several of `batches`, `streams` and `rate`, that
            holds "latency_p95_ms<=10", say; `attrs["answers"]` has what was found.
        against: compare one configuration in turns with another: an .onnx file, an engine's folder, a precision, an
            option set or another model; `attrs["comparison"]` has the ratio and its interval.
        max_slowdown: with `against`, the share that matters, such as 0.05 or "5%".
        against_seconds: with `against`, seconds for blocks and loads.
        data: images to calibrate and judge on: a data set's name ("digits", "fashion-mnist", "imagefolder:PATH",
            "npz:PATH"), (images, labels) with images float32 (N, C, H, W) or uint8 (N, H, W, C) and labels
            integers (N,), an array of images, or arrays by name as in an .npz file.
        mean: of images of your own, in `data` that is a folder or an .npz file, of values in 0..1: one number, or
            one for each channel; None is what the data set has.
        std: their standard deviation, in the same way.
        resize: the shorter side of resized images in px; None is 256/224 of the network's input.
        crop: the side of the centre that is cut out in px; None is the network's input.
        channel_order: in which the network takes colours, "RGB" or "BGR".
        scores: the output that holds class scores.
        metric: "module:function", or a function of a module, of outputs and labels of `data`; see
            `deploykit.bench.metric`.
        engine: what engines are built for, such as `BuildOptions(channels_last=True)`.
        calibration_method: "minmax", "percentile", "entropy" or "mse".
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges: "default", "plain", or names of its steps with commas.
        synthetic_calibration: allow made-up images; the row says so.
        strict: fail where the runtime leaves a layer in another precision.
        keep: nodes that stay in fp32, by name or pattern.
        keep_op: operator types that stay in fp32.
        keep_drift: so many layers stay in fp32, those whose conversion costs most.
        alpha: width multipliers of networks that are named.
        rho: resolution multipliers, such as "6/7".
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input; None asks its attribute `input_shape`.
        name: of a module; None is the name of its class.
        shapes: of inputs of a file that leaves sizes open, by name.
        dims: sizes of a file's open dimensions, by name.
        inputs: what a file's inputs are fed, by name, such as "range(0,255)" or "FILE.npy".
        layout: "NHWC" or "NCHW" of image inputs of a file.
        build_timeout_s: give up what takes longer to read, convert or build; None is 300 to read, else 3600.
        store: of graphs and engines; None is the default one.
        say: is told what is being done.

    Raises:
        UnknownName, UsageError: a value that the command would refuse, before any work is done.
        MissingDependency: a backend is not installed.
        OutputFailed: the store can't be written.

    Example:
        >>> frame = deploykit.profile("lenet5", weights="trained", precisions=["fp32"], seconds=0.1)
        >>> frame.loc[0, "status"], bool(frame.loc[0, "latency_mean_ms"] > 0), frame.loc[0, "rho"]
        ('ok', True, '1')
        >>> deploykit.profile("lenet5", precisions=["int9"])
        Traceback (most recent call last):
        ...
        deploykit.errors.UnknownName: unknown precision 'int9': did you mean int8?
    """
    from deploykit.report.frame import profile_frame

    artifacts = opened(store)
    dataset = data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order))
    limit_s = ranges.TIMEOUT_S.check(timeout_s, "--timeout")
    options_of_profile = ProfileOptions(
        precisions=texts(precisions or None, "--precision"),
        backends=texts(backends, "--backend"),
        batches=ranges.BATCH.check_list(batches, "--batch"),
        scenarios=scenarios_of(threads, streams, rate, boundary, cuda_graph),
        repeats=int(ranges.REPEATS.check(repeats, "--repeats")),
        policy=_policy(quick, seconds, percentile, iterations, warmup_iterations, limit_s),
        calibration=calibration_of(
            dataset,
            calibration_method,
            calibration_images,
            int8,
            synthetic_calibration,
            strict,
            keep,
            keep_op,
            keep_drift,
        ),
        data=dataset,
        build=engine_of(engine),
        timeout_s=limit_s,
        roofline=roofline,
        samples=folder(samples),
        passes=texts(run_pass, "--pass"),
        scores=scores,
        metric=function_name(metric),
        run_options=told(options),
    )
    if not options_of_profile.backends or not options_of_profile.passes:
        raise UsageError("--backend and --pass need at least one value each")
    bounds = bounds_of(constraint)
    if len(bounds) > 1:
        raise UsageError(f"a load is searched for one --constraint, not {len(bounds)}: give one")
    bound = next(iter(bounds), None)
    if bound is not None and against is not None:
        raise UsageError("--constraint and --against are two questions: ask one at a time")
    for option, value in (
        ("seconds", seconds),
        ("iterations", iterations),
        ("metric", metric),
        ("scores", scores),
        ("repeats", None if repeats == 1 else repeats),
    ):
        if against is not None and value is not None:
            raise UsageError(
                f"--against, which times blocks for --against-seconds, has no use for --{option}: leave it out"
            )
    if against is None and (max_slowdown is not None or against_seconds is not None):
        raise UsageError("--max-slowdown and --against-seconds need --against OTHER")
    percentile_bound = None if bound is None else percentile_of(bound)
    if percentile_bound is not None:
        longer = options_of_profile.policy.reaching(percentile_bound, limit_s * SHARE_OF_TIMEOUT)
        options_of_profile = dataclasses.replace(options_of_profile, policy=longer)
    options_of_profile = check_profile(options_of_profile, bound)
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    sources = sources_of(
        models, variants, artifacts, data=dataset, input_shape=input_shape, name=name
    )
    check_scores(options_of_profile, sources)
    describe_machine(options_of_profile.samples, artifacts)
    if bound is not None:
        search = LoadSearch(sources, options_of_profile, bound)
        for _ in search.rows(Profiler(artifacts, search.options, say)):
            pass
        describe_machine(search.options.samples, artifacts)
        answers = [answer.text for answer in search.answers]
        return profile_frame(search.tried, answers=answers)
    wanted = enumerate_configurations(sources, options_of_profile)
    profiler = Profiler(artifacts, options_of_profile, say)
    if against is None:
        rows = list(profiler.rows(wanted))
        describe_machine(options_of_profile.samples, artifacts)
        return profile_frame(rows, store=str(artifacts.root))
    if len(wanted) != 1:
        raise UsageError(
            f"--against compares one configuration, these are {len(wanted)}: name one model, "
            "precision, backend and batch"
        )
    other = sides.other_side(os.fspath(against), wanted[0])
    sides.check_sides([wanted[0], other])
    threshold = share(max_slowdown, "--max-slowdown")
    budget_s = number(against_seconds, ranges.SECONDS, "--against-seconds")
    found = sides.compare_sides(
        profiler,
        wanted[0],
        other,
        threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        budget_s=DEFAULT_BUDGET_S if budget_s is None else budget_s,
    )
    describe_machine(options_of_profile.samples, artifacts)
    values = {k: v for k, v in sides.as_values(found).items() if k not in ("base", "judged")}
    return profile_frame([found.base, found.head], comparison=values)


def _policy(
    quick: bool,
    seconds: float | None,
    percentile: float | None,
    iterations: int | None,
    warmup_iterations: int | None,
    timeout_s: float,
) -> Policy:
    """How long to warm up and measure.

    Raises:
        UsageError: two arguments contradict each other.
    """
    for name, given in (("quick", quick), ("seconds", seconds), ("percentile", percentile)):
        if iterations is not None and given not in (None, False):
            raise UsageError(
                f"--iterations measures so many runs and has no use for --{name}: leave it out"
            )
    policy = measuring_policy(
        quick=bool(quick),
        seconds=number(seconds, ranges.SECONDS, "--seconds"),
        percentile=number(percentile, ranges.PERCENTILE, "--percentile"),
        timeout_s=timeout_s,
    )
    return dataclasses.replace(
        policy,
        iterations=integer(iterations, ranges.ITERATIONS, "--iterations"),
        warmup_iterations=integer(
            warmup_iterations, ranges.WARMUP_ITERATIONS, "--warmup-iterations"
        ),
    )
