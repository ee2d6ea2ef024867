"""The groups of options that several commands share; each gives the command one value of the library's."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import click

from deploykit.cli import completion, log
from deploykit.cli.library import artifacts, bench, datasets
from deploykit.cli.options import LIST, Function, Grouped, Number, group, read_by
from deploykit.errors import UsageError
from deploykit.spec import BuildOptions, InputChoice
from deploykit.workflow import ranges
from deploykit.workflow.choices import (
    COMPILE_MODES,
    HARDWARE_COMPATIBILITY,
    CalibrationChoice,
    EngineChoice,
    KeepChoice,
    Variants,
    input_dims,
    input_shapes,
    shape_ranges,
)
from deploykit.workflow.choices import input_values as values_of

#: Where a project keeps its options, in the table [tool.deploykit].
PROJECT_FILE = "pyproject.toml"
#: Where a context keeps whether a file of options names a metric, which leaves the test images out of calibration.
METRIC_TAKEN = "deploykit.metric"

NUMBERS = read_by(ranges.numbers)
FRACTIONS = read_by(ranges.fractions)
RESOLUTION, CLASSES = Number.of(ranges.RESOLUTION), Number.of(ranges.CLASSES)
SEED = Number.of(ranges.SEED)
BATCH = Number.of(ranges.BATCH)
THREADS = Number.of(ranges.THREADS)


@group(
    "variants",
    click.option(
        "--alpha",
        default="1",
        callback=NUMBERS,
        metavar="LIST",
        help="Width multipliers, such as 1,0.5.",
    ),
    click.option(
        "--rho",
        default="1",
        callback=FRACTIONS,
        metavar="LIST",
        help="Resolution multipliers, such as 1,6/7.",
    ),
    click.option(
        "--weights",
        shell_complete=completion.weights,
        metavar="SOURCE",
        help="random (seeded; the default), trained (shipped, for --data where that is given; or "
        "trained:DATASET), torchvision, timm, or a checkpoint file.",
    ),
    click.option(
        "--num-classes", type=CLASSES, metavar="N", help="How many classes the network tells apart."
    ),
    click.option(
        "--resolution",
        type=RESOLUTION,
        metavar="PX",
        help="Base input size, which --rho multiplies.",
    ),
    click.option(
        "--seed", type=SEED, default=0, metavar="N", help="What random weights are drawn with."
    ),
    click.option(
        "--shape",
        multiple=True,
        metavar="NAME=1x3x320x320",
        help="The shape of an input, where an .onnx file leaves sizes open; can be repeated.",
    ),
    click.option(
        "--dim",
        multiple=True,
        metavar="NAME=SIZE",
        help="The size of an open dimension by its name, such as height=320; can be repeated.",
    ),
    click.option(
        "--input",
        "input_values",
        multiple=True,
        metavar="NAME=VALUES",
        help="What an input is fed: FILE.npy, range(0,255), range(0,255):uint8, constant(16000), tokens(0,30000).",
    ),
    click.option(
        "--layout",
        type=click.Choice(["NCHW", "NHWC"]),
        help="Where image inputs have their channels; else found from the graph.",
    ),
)
def network_options(
    alpha: tuple[float, ...],
    rho: tuple[Fraction, ...],
    weights: str | None,
    num_classes: int | None,
    resolution: int | None,
    seed: int,
    shape: tuple[str, ...],
    dim: tuple[str, ...],
    input_values: tuple[str, ...],
    layout: str | None,
) -> Variants:
    """Which variants of the named networks are meant.

    Raises:
        UsageError: a list is empty, or what is said of inputs can't be read.
    """
    check_multipliers(alpha, rho)
    inputs = InputChoice(input_shapes(shape), input_dims(dim), values_of(input_values), layout)
    return Variants(alpha, rho, weights, num_classes, resolution, seed, inputs)


def check_multipliers(alpha: tuple[float, ...], rho: tuple[Fraction, ...]) -> None:
    """Refuse lists of multipliers that are empty.

    Raises:
        UsageError: one of them is.
    """
    if not alpha or not rho:
        raise UsageError("--alpha and --rho need at least one number, such as --alpha 1,0.5")


def _select(context: click.Context, _: click.Parameter, index: int | None) -> None:
    """Leave one device to this command and to the processes that it starts."""
    if index is not None and not context.resilient_parsing:
        from deploykit.cuda.devices import select

        select(index)


#: What it does is done before the command begins, so that the command receives nothing.
device_option = click.option(
    "--device",
    type=Number(0, 1023),
    metavar="N",
    expose_value=False,
    callback=_select,
    help="Which GPU, where there are several, by its number in `deploykit doctor`.",
)

_CALIBRATION = (
    click.option(
        "--data",
        shell_complete=completion.data,
        metavar="DATASET",
        help="Calibrate and judge on: digits, fashion-mnist, imagefolder:PATH, npz:PATH.",
    ),
    click.option(
        "--mean",
        metavar="LIST",
        help="Of image data of your own, values in 0..1, such as 0.485,0.456,0.406 (imagefolder's default) or 0.5.",
    ),
    click.option("--std", metavar="LIST", help="Standard deviation, as --mean."),
    click.option(
        "--resize",
        metavar="PX",
        help="Shorter side of resized images; else 256/224 of the network's input.",
    ),
    click.option(
        "--crop", metavar="PX", help="Side of the centre that is cut out; the network's input."
    ),
    click.option(
        "--channel-order", metavar="ORDER", help="In which the network takes colours: RGB or BGR."
    ),
    click.option(
        "--calibration-method",
        shell_complete=completion.methods,
        default="minmax",
        metavar="METHOD",
        help="minmax, percentile, entropy or mse.",
    ),
    click.option(
        "--calibration-images",
        type=Number.of(ranges.CALIBRATION_IMAGES),
        metavar="N",
        help="How many images to calibrate on.",
    ),
    click.option(
        "--int8",
        default="default",
        metavar="STEPS",
        help="What int8 for the CPU does beyond ranges: default, plain, or of equalise, weight-mse, rounding, and "
        "bias or bias-fast, separated by commas.",
    ),
    click.option(
        "--synthetic-calibration",
        is_flag=True,
        help="Calibrate on made-up images: the timing holds, the accuracy does not. The row says so.",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Fail, instead of a remark, where the runtime leaves a layer in another precision.",
    ),
)


@group("calibration", *_CALIBRATION)
def calibration_options(
    data: str | None,
    mean: str | None,
    std: str | None,
    resize: str | None,
    crop: str | None,
    channel_order: str | None,
    calibration_method: str,
    calibration_images: int | None,
    int8: str,
    synthetic_calibration: bool,
    strict: bool,
) -> CalibrationChoice:
    """What quantised networks are calibrated with; the command checks whether that can be."""
    return CalibrationChoice(
        _prepared(data, mean, std, resize, crop, channel_order),
        calibration_method,
        calibration_images,
        synthetic_calibration,
        strict=strict,
        int8=int8,
    )


def _prepared(
    data: str | None,
    mean: str | None,
    std: str | None,
    resize: str | None,
    crop: str | None,
    channel_order: str | None,
) -> str | None:
    """The data set with what is said of its images, which goes wherever its name goes."""
    said = {"mean": mean, "std": std, "resize": resize, "crop": crop}
    said["channel-order"] = channel_order
    given = {name: value for name, value in said.items() if value is not None}
    return datasets.options.with_options(data, given) if given else data


@group(
    "calibration",
    *_CALIBRATION,
    click.option(
        "--keep",
        "keep",
        multiple=True,
        metavar="NODE",
        help="Leave a node in fp32, by name or pattern; can be repeated.",
    ),
    click.option(
        "--keep-op",
        "keep_op",
        multiple=True,
        metavar="TYPE",
        help="Leave all nodes of a type in fp32, such as Gemm; can be repeated.",
    ),
    click.option(
        "--keep-drift",
        "keep_drift",
        type=Number.of(ranges.KEPT_LAYERS),
        metavar="N",
        help="Leave the N layers in fp32 whose conversion costs the outputs most.",
    ),
)
def conversion_options(
    data: str | None,
    mean: str | None,
    std: str | None,
    resize: str | None,
    crop: str | None,
    channel_order: str | None,
    calibration_method: str,
    calibration_images: int | None,
    int8: str,
    synthetic_calibration: bool,
    keep: tuple[str, ...],
    keep_op: tuple[str, ...],
    keep_drift: int | None,
    strict: bool,
) -> CalibrationChoice:
    """What quantised networks are calibrated with, and which of their layers stay in fp32."""
    prepared = _prepared(data, mean, std, resize, crop, channel_order)
    return CalibrationChoice(
        prepared,
        calibration_method,
        calibration_images,
        synthetic_calibration,
        keep=KeepChoice(keep, keep_op, keep_drift or 0),
        strict=strict,
        judged=prepared is not None and bool(click.get_current_context().meta.get(METRIC_TAKEN)),
        int8=int8,
    )


@group(
    "engine",
    click.option(
        "--min-batch",
        type=BATCH,
        metavar="N",
        help="The least batch that TensorRT engines take. Without --min-batch, --opt-batch and --max-batch an "
        "engine takes the one batch that is measured.",
    ),
    click.option(
        "--opt-batch",
        type=BATCH,
        metavar="N",
        help="The batch that TensorRT engines are tuned for.",
    ),
    click.option(
        "--max-batch", type=BATCH, metavar="N", help="The largest batch that TensorRT engines take."
    ),
    click.option(
        "--min-shape",
        multiple=True,
        metavar="NAME=1x3x160x160",
        help="The least sizes that TensorRT engines take, like trtexec's --minShapes; --shape stays what is "
        "measured. Can be repeated.",
    ),
    click.option(
        "--opt-shape",
        multiple=True,
        metavar="NAME=1x3x320x320",
        help="The sizes that TensorRT engines are tuned for; else those measured. Can be repeated.",
    ),
    click.option(
        "--max-shape",
        multiple=True,
        metavar="NAME=1x3x640x640",
        help="The largest sizes that TensorRT engines take; can be repeated.",
    ),
    click.option(
        "--compute-capability", metavar="X.Y", help="NVIDIA device to build for, such as 8.6."
    ),
    click.option(
        "--optimization-level",
        type=Number.of(ranges.OPTIMIZATION_LEVEL),
        metavar="N",
        help="How long TensorRT's builder searches for quick kernels, 0 to 5, or how far ONNX Runtime rewrites the "
        "graph: 0 not at all, 1 basic, 2 extended, 3 all. Else 3.",
    ),
    click.option(
        "--workspace",
        type=Number.of(ranges.WORKSPACE_MIB),
        metavar="MIB",
        help="Memory that TensorRT's layers may take while they compute.",
    ),
    click.option(
        "--version-compatible", is_flag=True, help="TensorRT engines that later versions can load."
    ),
    click.option(
        "--hardware-compatibility",
        type=click.Choice(HARDWARE_COMPATIBILITY),
        help="TensorRT engines that other NVIDIA devices can load.",
    ),
    click.option(
        "--sparse", is_flag=True, help="Let TensorRT use sparse kernels where weights are 2:4."
    ),
    click.option(
        "--tactic-sources",
        callback=LIST,
        metavar="LIST",
        help="Where TensorRT may take kernels from, such as jit_convolutions; else its default.",
    ),
    click.option(
        "--no-timing-cache",
        is_flag=True,
        help="Let TensorRT measure all kernels anew, rather than those that no build before did.",
    ),
    click.option(
        "--channels-last", is_flag=True, help="Let PyTorch's images on a GPU lie channels last."
    ),
    click.option(
        "--compile-mode",
        type=click.Choice(COMPILE_MODES),
        help="How torch.compile searches for quick code; else its default.",
    ),
)
def engine_options(
    min_batch: int | None,
    opt_batch: int | None,
    max_batch: int | None,
    min_shape: tuple[str, ...],
    opt_shape: tuple[str, ...],
    max_shape: tuple[str, ...],
    compute_capability: str | None,
    optimization_level: int | None,
    workspace: int | None,
    version_compatible: bool,
    hardware_compatibility: str | None,
    sparse: bool,
    tactic_sources: tuple[str, ...] | None,
    no_timing_cache: bool,
    channels_last: bool,
    compile_mode: str | None,
) -> EngineChoice:
    """What engines are built for."""
    options = BuildOptions(
        shapes=shape_ranges(min_shape, opt_shape, max_shape),
        compute_capability=compute_capability,
        optimization_level=optimization_level,
        workspace_mib=workspace,
        version_compatible=version_compatible,
        hardware_compatibility=hardware_compatibility,
        sparse=sparse,
        tactic_sources=tactic_sources,
        timing_cache=not no_timing_cache,
        channels_last=channels_last,
        compile_mode=compile_mode,
    )
    return EngineChoice(min_batch, opt_batch, max_batch, options)


class Configured(Grouped):
    """A command that takes a file of options: what is wrong with a value of it names the file and its key."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            DeploykitError: as the command; of a value that the file gave, with its place before it.
        """
        try:
            return super().invoke(ctx)
        except UsageError as error:
            from deploykit.cli import config

            place = config.place_of(str(error), ctx)
            if place is None:
                raise
            raise UsageError(f"{place}: {error}") from error


def _take_config(context: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """Let what a file says stand for options that are not given; called before these are read.

    Without --config it is the table [tool.deploykit] of pyproject.toml in the working folder, where there is one.
    """
    if context.resilient_parsing:
        return path
    if path is not None or os.path.exists(PROJECT_FILE):  # noqa: PTH110 - pathlib is not needed else
        from deploykit.cli import config

        if path is not None:
            config.take(path, context)
        else:
            config.take_project(PROJECT_FILE, context)
    return path


config_option = click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_take_config,
    help="Take what is not given from a TOML file, such as deploykit.toml or one that `deploykit tune -o` wrote: "
    "names of options as keys, and model. Without it, from [tool.deploykit] of pyproject.toml.",
)
store_option = click.option(
    "--store",
    metavar="DIR",
    help="Artifact store; else $DEPLOYKIT_STORE, engines/ where there is one here, or the user's cache.",
)


def opened_store(store: str | None, *, quiet: bool) -> artifacts.Store:
    """The store that is meant; where nobody said and the current folder has none, it is said which.

    Raises:
        UsageError: it can't be one.
    """
    opened = artifacts.open_store(store)
    if not store and not quiet and opened.root == artifacts.cache_root():
        log.say_ahead(f"engine store: {opened.root}; --store DIR or $DEPLOYKIT_STORE names another")
    return opened


_quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


def quiet_option(command: Function) -> Function:
    """Let a command be told how much to say: --quiet, which it receives, --verbose, and --log for a file of all."""
    return _quiet_option(log.verbose_option(log.log_option(command)))


#: For commands that can tell what they would do.
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Tell what would be done, and do nothing."
)


def read_ahead(
    context: click.Context, parameter: click.Parameter, models: tuple[str, ...]
) -> tuple[str, ...]:
    """Start the process that files are read in, while this one imports what the command needs."""
    if not context.resilient_parsing and any(name.endswith(".onnx") for name in models):
        bench.contain.start("deploykit.workflow.build")
    return models


def _limit_time(context: click.Context, parameter: click.Parameter, limit_s: float | None) -> None:
    if not context.resilient_parsing:
        bench.contain.limit_time(limit_s)


build_timeout_option = click.option(
    "--build-timeout",
    type=Number.of(ranges.BUILD_TIMEOUT_S),
    metavar="SECONDS",
    expose_value=False,
    callback=_limit_time,
    help="Give up a network that takes longer to read, convert or build. Default 300 to read, else 3600.",
)
