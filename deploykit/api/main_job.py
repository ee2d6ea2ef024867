"""The main job: what `deploykit run` does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.api.arguments import (
    Counts,
    Multipliers,
    Names,
    PerChannel,
    StoreLike,
    calibration_of,
    image_options,
    opened,
    scenarios_of,
    spoken,
    texts,
    told,
    variants_of,
)
from deploykit.api.networks import data_text, sources_of
from deploykit.bench.scenario import Policy
from deploykit.claims import read_claims
from deploykit.errors import UsageError
from deploykit.workflow import ranges
from deploykit.workflow.asked import check_run, in_own_precisions
from deploykit.workflow.configuration import ProfileOptions
from deploykit.workflow.plan import DEFAULT_MODELS
from deploykit.workflow.profile import Say
from deploykit.workflow.run import BACKENDS, PRECISIONS, Run, RunResult

if TYPE_CHECKING:
    from deploykit.api.networks import Data, Model


@spoken
def run(
    models: Model | Iterable[Model] | None = None,
    *,
    reports: str | os.PathLike[str] = "results",
    precisions: Names = (),
    backends: Names = (),
    quick: bool = False,
    batches: Counts = (1,),
    threads: Counts | None = None,
    streams: Counts = (1,),
    rate: float | str | Iterable[float | str] | None = None,
    boundary: Names | None = None,
    cuda_graph: bool = False,
    options: Mapping[str, Any] | None = None,
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
    claims: str | os.PathLike[str] | None = None,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
    say: Say = lambda text: None,
) -> RunResult:
    """Export, convert, build, measure and check claims, and write the reports: the main job.

    Leaves profile.csv, claims.csv, summary.md and env.json in `reports`.

    Args:
        models: as in `profile`; None is the default models.
        reports: folder of the reports.
        precisions: none is fp32, fp16 and int8, or each network's own where a file is quantised already.
        backends: none is ONNX Runtime, and TensorRT for RTX, whose engines run where there is a GPU.
        quick: measure 0.5 s per row instead of 3 s.
        batches: as in `profile`, as are all that follow.
        threads: of the runtime.
        streams: concurrent requests.
        rate: requests per second that arrive at random.
        boundary: what a latency spans.
        cuda_graph: capture a run on a GPU as a CUDA graph.
        options: what runtimes are told.
        data: to calibrate and judge on, as in `profile`.
        mean: of images of your own, as in `quantize`, as are the next four.
        std: their standard deviation.
        resize: the shorter side in px.
        crop: the side of the centre that is cut out in px.
        channel_order: "RGB" or "BGR".
        calibration_method: how ranges are found.
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges.
        synthetic_calibration: allow made-up images.
        strict: fail where the runtime leaves a layer in another precision.
        keep: nodes that stay in fp32.
        keep_op: operator types that stay in fp32.
        keep_drift: so many layers stay in fp32.
        alpha: width multipliers of networks that are named.
        rho: resolution multipliers.
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
        claims: a file of claims of your own, as in `check_claims`; None checks the project's.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs and engines; None is the default one.
        say: is told what is being done.

    Raises:
        UnknownName, UsageError: an argument that can't be, or a claim that can't be judged; then the reports are
            written all the same.
        MissingDependency: a backend that is named can't build here.
        OutputFailed: the reports can't be written.

    Example:
        >>> result = deploykit.run(["lenet5"], precisions="fp32", weights="trained", quick=True)  # doctest: +SKIP
        >>> result.rows[0]["status"]  # doctest: +SKIP
        'ok'
    """
    artifacts = opened(store)
    stated = None if claims is None else read_claims(Path(claims))
    dataset = data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order))
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    if models is None and (
        variants != variants_of() or input_shape is not None or name is not None
    ):
        raise UsageError(
            "the default models are as they are: name a model to have it in another form"
        )
    named = texts(precisions or None, "--precision")
    named_backends = texts(backends or None, "--backend")
    asked = ProfileOptions(
        precisions=named or PRECISIONS,
        backends=named_backends or BACKENDS,
        batches=ranges.BATCH.check_list(batches, "--batch"),
        scenarios=scenarios_of(threads, streams, rate, boundary, cuda_graph),
        policy=Policy.quick() if quick else Policy(),
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
        run_options=told(options),
    )
    check_run(asked, named=named, has_backends=bool(named_backends))
    sources = (
        list(DEFAULT_MODELS)
        if models is None
        else sources_of(
            models, variants, artifacts, data=dataset, input_shape=input_shape, name=name
        )
    )
    if not named:
        asked = in_own_precisions(asked, sources)
    result = Run(Path(reports), artifacts, asked, sources, say=say, claims=stated)()
    if result.errors:
        raise result.errors[0]
    return result
