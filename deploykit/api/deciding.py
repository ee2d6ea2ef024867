"""Deciding and training: what `deploykit tune` and `deploykit train` do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import training
from deploykit.api.arguments import (
    Counts,
    Multipliers,
    Names,
    PerChannel,
    StoreLike,
    bounds_of,
    calibration_of,
    function_name,
    image_options,
    integer,
    number,
    opened,
    share,
    spoken,
    texts,
    told,
    variants_of,
)
from deploykit.api.networks import data_text, source_of, sources_of
from deploykit.bench.scenario import Constraint, Policy, parse_rate
from deploykit.data import open_dataset
from deploykit.errors import UsageError
from deploykit.spec import ModelSpec
from deploykit.training import Progress, TrainResult
from deploykit.workflow import ranges
from deploykit.workflow.asked import check_tuning
from deploykit.workflow.configuration import ProfileOptions
from deploykit.workflow.frontier import Frontier, tune_each
from deploykit.workflow.profile import Say
from deploykit.workflow.trained import training_of
from deploykit.workflow.tuned import Question, Tuned

if TYPE_CHECKING:
    from deploykit.api.networks import Data, Model


@spoken
def tune(
    models: Model | Iterable[Model],
    *,
    objective: str = "latency_p50_ms",
    constraints: Sequence[str | Constraint] | str | Constraint = (),
    max_accuracy_drop: float | str | None = None,
    min_snr_db: float | None = None,
    min_top1: float | str | None = None,
    backends: Names = (),
    precisions: Names = (),
    threads: Counts | None = None,
    batches: Counts | None = None,
    streams: Counts | None = None,
    rate: float | str | None = None,
    options: Mapping[str, Any] | None = None,
    metric: str | Callable[..., Any] | None = None,
    max_metric_drop: float | None = None,
    budget_s: float = 180.0,
    train: bool = False,
    epochs: int | None = None,
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
    build_timeout_s: float | None = None,
    store: StoreLike = None,
    say: Say = lambda text: None,
) -> Tuned | Frontier:
    """Find the configuration that is best by one objective and holds the accuracy.

    Of one network the answer is a `Tuned`: `best` (None where nothing meets what is asked), `sentence`, `frame`
    with all candidates, `toml` for --config of the commands, `engine` and `plot()`. Of several, or of several
    multipliers, it is a `Frontier` with the same, `best` being that of the cheapest network that holds everything,
    and with `answers`, `refused` and `line`, the networks that are worth a higher price.

    Args:
        models: the network, or several; as in `profile`.
        objective: the column to make small, or "throughput_ips", which is made large.
        constraints: that the answer must hold, such as "latency_p95_ms<=10".
        max_accuracy_drop: by which share top-1 may be below that of fp32, such as 0.005 or "0.5%"; needs labelled
            data.
        min_snr_db: what outputs must keep to those of fp32, in dB.
        min_top1: refuse networks whose top-1 may be lower, such as 0.9 or "90%"; needs labelled data.
        backends: to choose from; none means all that can run here.
        precisions: to choose from; none means all that a backend offers and does not emulate.
        threads: to choose from; None means powers of two up to all usable cores.
        batches: to choose from; more than one makes sense for throughput only. None means 1, and for throughput 8
            and 32, too, where no constraint bounds a latency.
        streams: to choose from, as batches; None means 1, and for throughput 2, too.
        rate: requests that arrive per second; None sends each as soon as the last is answered.
        options: values of options of the runtimes to choose from, by name, such as {"ort.allow_spinning": ["0"]}.
        metric: "module:function", a measure of your own of outputs and labels of `data`; larger is better.
        max_metric_drop: by how much its value may be below that of fp32, in its unit.
        budget_s: seconds for each network, building included.
        train: train networks that no trained weights come for on `data`, once, into the store.
        epochs: with `train`, passes over the data; None is the recipe's.
        alpha: width multipliers of networks that are named.
        rho: resolution multipliers.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights and of training.
        input_shape: (C, H, W) of a module's input.
        name: of a module.
        shapes: of inputs of a file.
        dims: of a file's open dimensions.
        inputs: what a file's inputs are fed.
        layout: of image inputs of a file.
        data: to train, calibrate and judge on, as in `profile`.
        mean: of images of your own, as in `quantize`, as are the next four.
        std: their standard deviation.
        resize: the shorter side in px.
        crop: the side of the centre that is cut out in px.
        channel_order: "RGB" or "BGR".
        calibration_method: how ranges are found.
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges.
        synthetic_calibration: allow made-up images to calibrate with.
        strict: refuse candidates in which the runtime leaves a layer in another precision.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs and engines.
        say: is told which phase begins.

    Raises:
        UnknownName: an objective, a backend, a precision or a column of a constraint that there is not.
        UsageError: a combination that makes no sense, a drop that can't be judged, a budget that is too short.
        MissingDependency: a backend can't run here.
        DeploykitError: the default of the only network can't be built.

    Example:
        >>> tuned = deploykit.tune("lenet5", weights="trained", budget_s=10)  # doctest: +SKIP
        >>> tuned.best.name, len(tuned.frame), tuned.plot("lenet5.svg")  # doctest: +SKIP
    """
    artifacts = opened(store)
    dataset = data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order))
    question = Question(
        objective=objective,
        constraints=bounds_of(constraints),
        max_accuracy_drop=share(max_accuracy_drop, "--max-accuracy-drop"),
        min_snr_db=number(min_snr_db, ranges.SNR_DB, "--min-snr-db"),
        backends=texts(backends or None, "--backend"),
        precisions=texts(precisions or None, "--precision"),
        threads=_counts(threads, ranges.THREADS, "--threads"),
        batches=_counts(batches, ranges.BATCH, "--batch"),
        streams=_counts(streams, ranges.STREAMS, "--streams"),
        rate_per_s=None if rate is None else parse_rate(str(rate)),
        options=told(options),
        max_metric_drop=number(max_metric_drop, ranges.METRIC_DROP, "--max-metric-drop"),
        budget_s=ranges.SECONDS.check(budget_s, "budget_s"),
    )
    measuring = ProfileOptions(
        policy=Policy.quick(),
        calibration=calibration_of(
            dataset, calibration_method, calibration_images, int8, synthetic_calibration, strict
        ),
        data=dataset,
        metric=function_name(metric),
        roofline=False,
    )
    measuring = check_tuning(question, measuring)
    learnt = training_of(
        train=bool(train),
        epochs=integer(epochs, ranges.EPOCHS, "--epochs"),
        weights=weights,
        data=dataset,
    )
    variants = variants_of(
        alpha,
        rho,
        None if learnt is not None else weights,
        num_classes,
        resolution,
        seed,
        shapes,
        dims,
        inputs,
        layout,
    )
    sources = sources_of(
        models, variants, artifacts, data=dataset, input_shape=input_shape, name=name
    )
    found = Frontier()
    for one in tune_each(
        sources,
        question,
        measuring,
        artifacts,
        min_top1=ranges.share(min_top1, "--min-top1")
        if isinstance(min_top1, str)
        else share(min_top1, "--min-top1"),
        training=learnt,
        say=say,
    ):
        found.take(one)
    if len(sources) == 1 and found.answers:
        return found.answers[0]
    return found


def _counts(values: Counts | None, limits: ranges.Range, option: str) -> tuple[int, ...]:
    empty = values is None or (isinstance(values, tuple | list) and not values)
    return () if empty else limits.check_list(values, option)


@spoken
def train(
    model: str | ModelSpec,
    *,
    data: Data,
    out: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
    start: str | os.PathLike[str] | None = None,
    freeze: Names = (),
    device: str = "cpu",
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    resolution: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    store: StoreLike = None,
) -> TrainResult:
    """Train a network on a data set and store it with its accuracy on the held-out part.

    The same arguments give the same weights, but for roundings where a GPU trains. `top1` of the result is the
    share of `test_images` that are told right; `path` is what `weights` of the other functions take.

    Args:
        model: a network of the catalogue, "module:factory", or a `ModelSpec`.
        data: images with labels, as in `profile`; its train part is learned, its test part judges.
        out: the checkpoint, safetensors; None is MODEL-DATASET.safetensors in the current folder, unless weights
            of other data are there.
        epochs: passes over the data; None is the recipe's.
        seed: of weights, order and augmentation.
        resume: go on from what an interrupted training left.
        start: a checkpoint to start from, or "trained" for the shipped one; a head of another shape starts anew.
        freeze: patterns of the names of parameters that stay as they are.
        device: "cpu", "cuda", or a GPU by its number.
        alpha: the width multiplier.
        rho: the resolution multiplier.
        resolution: base input size in px; None is that of `start`, else the network's own.
        progress: is called after each batch with where training stands.
        store: where arrays that are given as `data` are written; None is the default one.

    Raises:
        UsageError: an argument that can't be, or data that does not fit.
        InvalidModel: `start` is damaged or of another network.
        OutputFailed: `out` can't be written; found before training begins.

    Example:
        >>> result = deploykit.train("lenet5", data="digits", epochs=1, out="lenet5.safetensors")
        >>> result.test_images, result.top1 > 0.5
        (500, True)
    """
    from deploykit.backends.pytorch import device_of
    from deploykit.workflow.trained import default_checkpoint, starting_point

    torch_device = device_of(device)
    artifacts = opened(store)
    text = data_text(data, artifacts)
    if text is None:
        raise UsageError("train needs images to learn from: give --data")
    variants = variants_of(alpha, rho, resolution=resolution, seed=seed)
    source = source_of(model, variants, artifacts, "train")
    if not isinstance(source, ModelSpec):
        raise UsageError("train takes one network of the catalogue, or module:factory")
    checkpoint, spec = starting_point(None if start is None else os.fspath(start), source)
    dataset = open_dataset(text)
    place = Path(out) if out is not None else default_checkpoint(spec, dataset.name)
    return training.train(
        spec,
        dataset,
        out=place,
        epochs=integer(epochs, ranges.EPOCHS, "--epochs"),
        seed=spec.seed,
        resume=bool(resume),
        from_checkpoint=checkpoint,
        freeze=texts(freeze or None, "--freeze"),
        progress=progress,
        device=torch_device,
    )
