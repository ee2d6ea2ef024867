"""The Python API: what `import deploykit` offers. Each function is what the command of its name does."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import zoo
from deploykit.bench.metric import load_metric
from deploykit.bench.scenario import Constraint, Policy, Scenario
from deploykit.claims import evaluate_claims
from deploykit.claims.verdict import verdict_rows
from deploykit.columns import NAMES
from deploykit.errors import UnknownName, UsageError
from deploykit.lazy import pd
from deploykit.report.csv import rows_of
from deploykit.spec import (
    BuildOptions,
    Counts,
    Engine,
    InputChoice,
    ModelFile,
    ModelSpec,
    OnnxModel,
)
from deploykit.store import Store
from deploykit.workflow.build import (
    build_network,
    check_buildable,
    check_precisions,
    usable_backends,
)
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import CalibrationChoice, Variants
from deploykit.workflow.configuration import (
    ProfileOptions,
    default_precisions,
    enumerate_configurations,
)
from deploykit.workflow.export import write_network
from deploykit.workflow.network import count_source, obtain_network
from deploykit.workflow.plan import Source, plan
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.ranges import fractions
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Question, Tuned
from deploykit.zoo import Architecture

if TYPE_CHECKING:
    import torch

#: A network as the API takes it: a name, "module:factory", the path of an .onnx file, or a spec.
Model = str | os.PathLike[str] | ModelSpec


def _sources(
    models: Model | Iterable[Model], variants: Variants, data: str | None = None
) -> list[Source]:
    """The networks that the API's argument means; a spec is one as it stands."""
    named = [models] if isinstance(models, str | os.PathLike | ModelSpec) else list(models)
    sources: list[Source] = []
    for model in named:
        if isinstance(model, ModelSpec):
            sources.append(model)
        else:
            sources += plan([os.fspath(model)], variants, data)
    return sources


def _variants(alpha: float, rho: Fraction | float | str, weights: str | None) -> Variants:
    return Variants(alphas=(float(alpha),), rhos=(_exact(rho),), weights=weights)


def _exact(rho: Fraction | float | str) -> Fraction:
    """A multiplier as it was meant: 0.1 is 1/10, "6/7" is 6/7."""
    if isinstance(rho, Fraction):
        return rho
    numbers = fractions(str(rho), "rho")
    if len(numbers) != 1:
        raise UsageError(f"rho takes one number such as 0.5 or '6/7', not {rho!r}")
    return numbers[0]


def create_model(
    name: str,
    *,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    num_classes: int | None = None,
    weights: str | None = None,
    seed: int = 0,
) -> torch.nn.Module:
    """A network of the catalogue as a module in eval mode: (N, C, H, W) float32 to logits (N, classes).

    Args:
        name: a network of the catalogue, or "module:factory".
        alpha: the width multiplier, for the networks that have one.
        rho: the resolution multiplier; it shapes no weight, but is checked against what the network can take.
        num_classes: how many classes the head tells apart; None takes the architecture's own number.
        weights: "random" (the default), "trained", "torchvision", "timm", or a checkpoint's path.
        seed: what random weights are drawn with; equal seeds give equal weights.

    Raises:
        UsageError, InvalidModel, MissingDependency: as `deploykit.zoo.create`.
    """
    exact = _exact(rho)
    canonical = name if ":" in name else zoo.lookup(name).name
    spec = ModelSpec(canonical, float(alpha), exact, num_classes, weights or "random", seed=seed)
    if ":" not in canonical:
        zoo.input_shape(spec)
    return zoo.create(spec)


def list_models(pattern: str | None = None) -> list[str]:
    """Names of the catalogue, all or those that match a shell pattern such as "vgg*"."""
    return [architecture.name for architecture in zoo.architectures(pattern)]


def model_info(name: str) -> Architecture:
    """What the catalogue states about a network; needs no torch.

    Raises:
        UnknownName: there is none of that name.
    """
    return zoo.lookup(name)


def export(
    model: Model,
    path: str | os.PathLike[str],
    *,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    store: Store | None = None,
) -> OnnxModel:
    """Write a network to `path` as ONNX, verified against PyTorch, and say what was written.

    Raises:
        DeploykitError: as `deploykit.workflow.network.obtain_network`; nothing is written then.
    """
    (source,) = _sources(model, _variants(alpha, rho, weights))
    network = obtain_network(source, store or Store())
    write_network(network, Path(path))
    return dataclasses.replace(network.model, path=Path(path))


def build(
    model: Model,
    *,
    precision: str | None = None,
    target: str = "cpu",
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    data: str | None = None,
    synthetic_calibration: bool = False,
    options: BuildOptions | None = None,
    store: Store | None = None,
) -> Engine:
    """Build an engine, or find it in the store; its precision is the one asked for, or an error says so.

    Without `precision` it is fp32, or that of the file where it is quantised already.

    Raises:
        DeploykitError: as `deploykit.workflow.build.build_network`.
    """
    choice = CalibrationChoice(data, synthetic=synthetic_calibration)
    check_choice(choice)
    named = [precision] if precision else []
    check_precisions(named, [target])
    (backend,) = usable_backends([target])
    check_buildable(named, [backend])
    artifacts = store or Store()
    (source,) = _sources(model, _variants(alpha, rho, weights), data)
    network = obtain_network(source, artifacts)
    precision = precision or default_precisions(source)[0]
    built = build_network(network, precision, backend, options or BuildOptions(), choice, artifacts)
    return built.engine


def profile(
    models: Model | Iterable[Model],
    *,
    precisions: Sequence[str] = (),
    backends: Sequence[str] = ("onnxruntime",),
    batches: Sequence[int] = (1,),
    threads: int | None = None,
    quick: bool = False,
    data: str | None = None,
    synthetic_calibration: bool = False,
    scores: str | None = None,
    metric: str | None = None,
    store: Store | None = None,
) -> pd.DataFrame:
    """Measure networks: one row per configuration, in the columns of `deploykit.columns`.

    Networks with multipliers or weights are given as `ModelSpec`. A configuration that fails is a row with
    its reason. `scores` names the output that holds class scores, `metric` is "module:function", a measure of your
    own of outputs and labels of `data` (see `deploykit.bench.metric`).

    Raises:
        UsageError: `metric` without `data`, or no such function.
    """
    if metric is not None:
        if data is None:
            raise UsageError("metric needs data with a test part: give data=...")
        load_metric(metric)
    options = ProfileOptions(
        precisions=precisions,
        backends=backends,
        batches=batches,
        scenarios=(Scenario(threads),),
        policy=Policy.quick() if quick else Policy(),
        calibration=CalibrationChoice(
            data, synthetic=synthetic_calibration, judged=metric is not None
        ),
        data=data,
        scores=scores,
        metric=metric,
    )
    check_choice(options.calibration)
    wanted = enumerate_configurations(_sources(models, Variants()), options)
    rows = list(Profiler(store or Store(), options).rows(wanted))
    return pd.DataFrame([[row.get(name) for name in NAMES] for row in rows], columns=list(NAMES))


def tune(
    model: Model,
    *,
    objective: str = "latency_p50_ms",
    constraints: Sequence[str | Constraint] = (),
    max_accuracy_drop: float | None = None,
    min_snr_db: float | None = None,
    backends: Sequence[str] = (),
    precisions: Sequence[str] = (),
    threads: Sequence[int] = (),
    batches: Sequence[int] = (1,),
    streams: Sequence[int] = (1,),
    rate_per_s: float | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
    metric: str | None = None,
    max_metric_drop: float | None = None,
    budget_s: float = 180.0,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    data: str | None = None,
    synthetic_calibration: bool = False,
    store: Store | None = None,
    say: Say = lambda text: None,
) -> Tuned:
    """Find the configuration that is best by one objective and holds the accuracy.

    The answer has `best` (None where nothing meets what is asked), `sentence`, `frame` with all candidates, `toml`
    for --config of the commands, and `plot()`.

    Args:
        model: the network.
        objective: the column to make small, or "throughput_ips", which is made large.
        constraints: that the answer must hold, such as "latency_p95_ms<=10".
        max_accuracy_drop: by which share top-1 may be below that of fp32, such as 0.005; needs labelled data.
        min_snr_db: what outputs must keep to those of fp32.
        backends: to choose from; none means all that can run here.
        precisions: to choose from; none means all that a backend offers and does not emulate.
        threads: to choose from; none means powers of two up to all usable cores.
        batches: to choose from; more than one makes sense for throughput only.
        streams: to choose from, as batches.
        rate_per_s: requests that arrive per second; None sends each as soon as the last is answered.
        options: values of options of the runtimes to choose from, by name, such as {"ort.allow_spinning": ["0"]}.
        metric: "module:function", a measure of your own of outputs and labels of `data`; larger is better.
        max_metric_drop: by how much its value may be below that of fp32.
        budget_s: seconds for measuring.
        alpha: the width multiplier of a network of the catalogue.
        rho: its resolution multiplier.
        weights: as in `create_model`.
        data: to calibrate and judge on.
        synthetic_calibration: allow made-up images to calibrate with.
        store: of graphs and engines.
        say: is told which phase begins.

    Raises:
        UnknownName: an objective or a column of a constraint that there is not.
        UsageError: a combination that makes no sense, a drop that can't be judged, a budget that is too short.
        MissingDependency: a backend can't run here.
        DeploykitError: the default itself can't be built.
    """
    bounds = [Constraint.parse(c) if isinstance(c, str) else c for c in constraints]
    for bound in bounds:
        if bound.column not in NAMES:
            raise UnknownName("column of a constraint", bound.column, NAMES)
    question = Question(
        objective=objective,
        constraints=tuple(bounds),
        max_accuracy_drop=max_accuracy_drop,
        min_snr_db=min_snr_db,
        backends=tuple(backends),
        precisions=tuple(precisions),
        threads=tuple(threads),
        batches=tuple(batches),
        streams=tuple(streams),
        rate_per_s=rate_per_s,
        options=tuple((name, tuple(values)) for name, values in (options or {}).items()),
        max_metric_drop=max_metric_drop,
        budget_s=budget_s,
    )
    if (metric is None) != (max_metric_drop is None):
        raise UsageError("metric and max_metric_drop go together: give both, or neither")
    if metric is not None:
        if data is None:
            raise UsageError("metric needs data with a test part: give data=...")
        load_metric(metric)
    choice = CalibrationChoice(data, synthetic=synthetic_calibration, judged=metric is not None)
    check_choice(choice)
    measuring = ProfileOptions(
        policy=Policy.quick(), calibration=choice, data=data, metric=metric, roofline=False
    )
    (source,) = _sources(model, _variants(alpha, rho, weights), data)
    return Tuning(source, question, measuring, store or Store(), say)()


def check_claims(ids: Iterable[str] | None = None, rows: Any = None) -> pd.DataFrame:
    """Verdicts on claims, one row each; see `deploykit.claims`. `rows` is a profile, for what is measured.

    Raises:
        UnknownName: there is no such claim.
    """
    return pd.DataFrame(verdict_rows(evaluate_claims(ids, rows_of(rows))))


def count(
    path_or_module: str | os.PathLike[str] | torch.nn.Module,
    input_shape: tuple[int, int, int] | None = None,
    *,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    layout: str | None = None,
) -> Counts:
    """Parameters, MACs and bytes of a network: an .onnx file, or a module with the (C, H, W) of its input.

    Args:
        path_or_module: the network.
        input_shape: (C, H, W) of a module's input.
        shapes: of a file's inputs that leave sizes open, by name; None in a shape leaves one as it is.
        dims: sizes of a file's open dimensions by their names. Those that nothing is said of are taken as in
            every command, 224 for height and width of images, 1 elsewhere, and a warning and the remarks of the
            counts say so.
        layout: "NHWC" or "NCHW" of image inputs; None finds out.

    Raises:
        InvalidModel: the file is no sound ONNX graph.
        UsageError: a module without `input_shape`, or a shape that contradicts the file.
    """
    if isinstance(path_or_module, str | os.PathLike):
        given = tuple((name, tuple(shape)) for name, shape in (shapes or {}).items())
        choice = InputChoice(given, tuple((dims or {}).items()), layout=layout)
        counted = count_source(ModelFile(Path(path_or_module), choice))
        said = [f"{note.text}: give sizes with shapes or dims" for note in counted.notes]
        for text in said:
            warnings.warn(text, stacklevel=2)
        counts = counted.counts
        return dataclasses.replace(counts, remarks=(*counts.remarks, *said))
    if input_shape is None:
        raise UsageError(
            "counting a module needs the shape of its input: give input_shape=(C, H, W)"
        )
    return zoo.count_module(path_or_module, input_shape)
