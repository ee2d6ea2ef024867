"""Arguments of the Python API as the values that commands make of their options, and refused in the same words."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from deploykit.bench import contain
from deploykit.bench.scenario import Constraint, Scenario, parse_rate
from deploykit.errors import DeploykitError, UnknownName, UsageError
from deploykit.spec import BOUNDARIES, BuildOptions, InputChoice
from deploykit.store import Store, open_store
from deploykit.text import split_list
from deploykit.workflow import ranges
from deploykit.workflow.choices import (
    COMPILE_MODES,
    HARDWARE_COMPATIBILITY,
    CalibrationChoice,
    EngineChoice,
    KeepChoice,
    Variants,
    input_values,
)

P = ParamSpec("P")
T = TypeVar("T")

#: Where artifacts are to lie: a store, its folder, or None for the default one.
StoreLike = Store | str | os.PathLike[str] | None
#: One value, or several, or the command line's text of several.
Names = str | Sequence[str]
Counts = int | str | Iterable[int]
Multipliers = Any

#: One number for all channels of images, or one for each.
PerChannel = float | str | Iterable[float] | None

_OPTION = re.compile(r"--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
#: Names that options have here, where they are not those of the command line in the plural or with underscores.
_NAMES = {"pass": "run_pass", "time-limit": "limit_s", "from": "start"}


def spoken(function: Callable[P, T]) -> Callable[P, T]:
    """A function of the API whose errors name its own arguments rather than options of the command line.

    Its argument `build_timeout_s`, where it has one, bounds what it reads, converts and builds.
    """
    names = set(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            limit_s = number(
                kwargs.get("build_timeout_s"), ranges.BUILD_TIMEOUT_S, "--build-timeout"
            )
            with contain.limiting_time(limit_s):
                return function(*args, **kwargs)
        except DeploykitError as error:
            error.args = (in_python(str(error), names),)
            raise

    return call


def in_python(text: str, names: Iterable[str]) -> str:
    """A message with the options in it as the arguments of these names; others stay as they are."""

    def said(match: re.Match[str]) -> str:
        plain = _NAMES.get(match[1], match[1].replace("-", "_"))
        candidates = (plain, f"{plain}s", f"{plain}es", f"{plain}_s")
        return next((one for one in candidates if one in names), match[0])

    return _OPTION.sub(said, text)


def opened(store: StoreLike) -> Store:
    """The store that is meant.

    Raises:
        UsageError: as `open_store`.
    """
    return store if isinstance(store, Store) else open_store(None if store is None else str(store))


def bounds_of(constraints: Any) -> tuple[Constraint, ...]:
    """Bounds on columns, one or several: texts such as "latency_p95_ms<=10", or as they stand; None is none.

    Raises:
        UsageError: something is no bound.
    """
    one = isinstance(constraints, str | Constraint) or not isinstance(constraints, Iterable)
    listed = () if constraints is None else (constraints,) if one else tuple(constraints)
    wrong = next((c for c in listed if not isinstance(c, str | Constraint)), None)
    if wrong is not None:
        raise UsageError(
            f"--constraint takes COLUMN<=NUMBER, such as 'latency_p95_ms<=10', not {ranges.shown(repr(wrong))}"
        )
    return tuple(Constraint.parse(c) if isinstance(c, str) else c for c in listed)


def texts(values: Names | None, option: str) -> tuple[str, ...]:
    """Names, one or several; a text is read as the command line reads it, with commas.

    Raises:
        UsageError: something is no text, or an empty text.
    """
    if values is None:
        return ()
    if isinstance(values, str):
        parts = split_list(values)
        if not parts:
            raise UsageError(f"{option} needs at least one value")
        return tuple(parts)
    listed = list(values) if isinstance(values, Iterable) else [values]
    wrong = [one for one in listed if not isinstance(one, str) or not one.strip()]
    if wrong:
        raise UsageError(f"{option} takes names, not {ranges.shown(repr(wrong[0]))}")
    return tuple(one.strip() for one in listed)


def number(value: Any, limits: ranges.Range, option: str) -> float | None:
    """A number of a range; None stays None."""
    return None if value is None else limits.check(value, option)


def integer(value: Any, limits: ranges.Range, option: str) -> int | None:
    """A whole number of a range; None stays None."""
    return None if value is None else int(limits.check(value, option))


def time_limit(seconds: float | None) -> contain.TimeLimit | None:
    """The time that a call may take as a whole, counted from now on; None where it waits."""
    limit_s = number(seconds, ranges.TIMEOUT_S, "--time-limit")
    return None if limit_s is None else contain.TimeLimit(limit_s, "limit_s")


def share(value: Any, option: str) -> float | None:
    """A share above 0 and below 1, or a text such as "0.5%"; None stays None.

    Raises:
        UsageError: it is no such number.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return ranges.percent(value, option)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1:
        raise UsageError(
            f"{option} takes a share above 0 and below 1, such as 0.005, or '0.5%', not {value!r}"
        )
    return float(value)


def exact(values: Multipliers, option: str) -> tuple[Fraction, ...]:
    """Multipliers as they were meant: 0.1 is 1/10, "6/7" is 6/7; one, several, or a text of several.

    Raises:
        UsageError: there is none, or something is no number above 0 and up to 1.
    """
    several = isinstance(values, Iterable) and not isinstance(values, str)
    found: list[Fraction] = []
    for one in values if several else [values]:
        found += [one] if isinstance(one, Fraction) else ranges.fractions(str(one), option)
    wrong = next((one for one in found if not 0 < one <= 1), None)
    if wrong is not None:
        raise UsageError(f"{option} takes numbers above 0 and up to 1, not {wrong}")
    if not found:
        raise UsageError(f"{option} needs at least one number, such as 0.5 or '6/7'")
    return tuple(found)


def variants_of(
    alpha: Multipliers = 1,
    rho: Multipliers = 1,
    weights: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
) -> Variants:
    """Which variants of the named networks are meant, and what is said of the inputs of files.

    Raises:
        UsageError: a value that can't be.
    """
    sizes = tuple(
        (name, tuple(integer(size, ranges.SIZE, "--shape") for size in shape))
        for name, shape in (shapes or {}).items()
    )
    named = tuple(
        (name, int(ranges.SIZE.check(size, "--dim"))) for name, size in (dims or {}).items()
    )
    if layout not in (None, "NCHW", "NHWC"):
        raise UsageError(f"--layout takes NCHW or NHWC, not {layout!r}")
    values = input_values([f"{name}={text}" for name, text in (inputs or {}).items()])
    return Variants(
        tuple(float(value) for value in exact(alpha, "--alpha")),
        exact(rho, "--rho"),
        None if weights is None else os.fspath(weights),
        integer(num_classes, ranges.CLASSES, "--num-classes"),
        integer(resolution, ranges.RESOLUTION, "--resolution"),
        int(ranges.SEED.check(seed, "--seed")),
        InputChoice(sizes, named, values, layout),
    )


def scenarios_of(
    threads: Counts | None,
    streams: Counts,
    rate: float | str | Iterable[float | str] | None,
    boundary: Names | None,
    cuda_graph: bool,
) -> tuple[Scenario, ...]:
    """Every combination of threads, streams, rate and boundary.

    Raises:
        UsageError: a value that can't be.
    """
    if rate is None:
        asked: list[float | str] = []
    elif isinstance(rate, Iterable) and not isinstance(rate, str):
        asked = list(rate)
        if not asked:
            raise UsageError("--rate needs at least one value")
    else:
        asked = [rate]
    rates = [parse_rate(str(one)) for one in asked]
    boundaries = texts(boundary, "--boundary")
    for one in boundaries:
        if one not in BOUNDARIES:
            raise UnknownName("boundary", one, BOUNDARIES)
    product = itertools.product(
        (None,) if threads is None else ranges.THREADS.check_list(threads, "--threads"),
        ranges.STREAMS.check_list(streams, "--streams"),
        rates or (None,),
        boundaries or (None,),
        (bool(cuda_graph),),
    )
    return tuple(itertools.starmap(Scenario, product))


def image_options(
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | str | None = None,
    crop: int | str | None = None,
    channel_order: str | None = None,
) -> dict[str, str]:
    """What is said of images of the user's own, by the names and in the texts of the command's options."""
    said = {"mean": mean, "std": std, "resize": resize, "crop": crop}
    said["channel-order"] = channel_order
    return {name: _listed(value) for name, value in said.items() if value is not None}


def _listed(values: Any) -> str:
    """A value, or several with commas, as text."""
    several = isinstance(values, Iterable) and not isinstance(values, str)
    return ",".join(str(value) for value in values) if several else str(values)


def calibration_of(
    data: str | None,
    method: str = "minmax",
    images: int | None = None,
    int8: str = "default",
    synthetic: bool = False,
    strict: bool = False,
    keep: Names = (),
    keep_op: Names = (),
    keep_drift: int | None = None,
) -> CalibrationChoice:
    """How quantised networks are calibrated, and which of their layers stay in float32."""
    nodes = (keep,) if isinstance(keep, str) else texts(keep, "--keep")
    kept = KeepChoice(
        nodes,
        texts(keep_op or None, "--keep-op"),
        integer(keep_drift, ranges.KEPT_LAYERS, "--keep-drift") or 0,
    )
    return CalibrationChoice(
        data,
        method,
        integer(images, ranges.CALIBRATION_IMAGES, "--calibration-images"),
        synthetic,
        keep=kept,
        strict=strict,
        int8=int8,
    )


def engine_of(engine: EngineChoice | BuildOptions | None) -> EngineChoice:
    """What engines are built for; of `BuildOptions` the batches count where they are not 1, as if given one by one.

    Raises:
        UnknownName, UsageError: it is something else, or has a value that the command's options can't have.
    """
    if engine is None:
        return EngineChoice()
    if isinstance(engine, EngineChoice):
        _check_engine(engine, engine.options)
        return engine
    if not isinstance(engine, BuildOptions):
        raise UsageError(f"engine takes BuildOptions, not {ranges.shown(repr(engine))}")
    _check_engine(engine, engine)
    low, best, high = (
        None if batch == 1 else batch
        for batch in (engine.batch_min, engine.batch_opt, engine.batch_max)
    )
    return EngineChoice(low, best, high, options=engine)


def _check_engine(batches: EngineChoice | BuildOptions, options: BuildOptions) -> None:
    """Refuse what the command's options of engines refuse.

    Raises:
        UnknownName, UsageError: a value that can't be.
    """
    integer(batches.batch_min, ranges.BATCH, "--min-batch")
    integer(batches.batch_opt, ranges.BATCH, "--opt-batch")
    integer(batches.batch_max, ranges.BATCH, "--max-batch")
    integer(options.optimization_level, ranges.OPTIMIZATION_LEVEL, "--optimization-level")
    integer(options.workspace_mib, ranges.WORKSPACE_MIB, "--workspace")
    for kind, value, known in (
        ("hardware compatibility", options.hardware_compatibility, HARDWARE_COMPATIBILITY),
        ("compile mode", options.compile_mode, COMPILE_MODES),
    ):
        if value is not None and value not in known:
            raise UnknownName(kind, str(value), known)


def told(options: Mapping[str, Any] | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What runtimes are told, by name: a value, or several to compare.

    Raises:
        UsageError: they are no mapping of names, or one has no value.
    """
    if not isinstance(options, Mapping | None):
        raise UsageError(
            f"options takes values by the names of options, such as {{'ov.streams': 2}}, not "
            f"{ranges.shown(repr(options))}"
        )
    found = []
    for name, values in (options or {}).items():
        several = isinstance(values, Iterable) and not isinstance(values, str)
        listed = tuple(str(value) for value in (values if several else [values]))
        if not listed:
            raise UsageError(f"--option {name} needs at least one value")
        found.append((str(name), listed))
    return tuple(found)


def function_name(metric: str | Callable[..., Any] | None) -> str | None:
    """A function of the user's own as "module:function", which the processes that measure can import.

    Raises:
        UsageError: it lies where no other process finds it.
    """
    if metric is None or isinstance(metric, str):
        return metric
    module, name = getattr(metric, "__module__", None), getattr(metric, "__qualname__", "")
    if module in (None, "__main__") or "<" in name or not name:
        raise UsageError(
            "--metric is called in other processes: put the function into a module and give 'module:function'"
        )
    return f"{module}:{name}"


def seconds(value: Any, option: str, limits: ranges.Range = ranges.SECONDS) -> float:
    """A time in seconds."""
    number = limits.check(value, option)
    assert math.isfinite(number)
    return number


def folder(path: str | os.PathLike[str] | None) -> Path | None:
    """A path; None stays None."""
    return None if path is None else Path(path)
