"""Options of commands as values: which networks, how they are converted, and presets of them all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from deploykit.errors import UnknownName, UsageError, one_line
from deploykit.spec import BuildOptions, InputChoice, ShapeRange
from deploykit.text import split_list
from deploykit.workflow.ranges import SHOWN_CHARACTERS, SIZE, shown


@dataclass(frozen=True)
class Variants:
    """The options that make several networks out of one name, and `inputs`, which is said of those of files.

    `None` weights are random ones.
    """

    alphas: tuple[float, ...] = (1.0,)
    rhos: tuple[Fraction, ...] = (Fraction(1),)
    weights: str | None = None
    num_classes: int | None = None
    resolution_px: int | None = None
    seed: int = 0
    inputs: InputChoice = field(default_factory=InputChoice)


def input_shapes(texts: Sequence[str]) -> tuple[tuple[str, tuple[int | None, ...]], ...]:
    """What `--shape NAME=1x3x320x320` means, also without a name for the only input; "?" leaves a size open.

    Raises:
        UsageError: it is no shape.
    """
    return tuple(_shape(text) for text in texts)


def _shape(text: str, option: str = "--shape") -> tuple[str, tuple[int | None, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = re.split(r"[x,]", sizes.strip()) if sizes.strip() != "scalar" else []
    shape: list[int | None] = []
    for part in parts:
        if part in ("?", "N", "n", "-1"):
            shape.append(None)
            continue
        if not re.fullmatch(r"[+-]?\d+", part, re.ASCII):
            raise UsageError(
                f"{option} takes NAME=1x3x320x320, with ? for a size that stays open, not {shown(text)}"
            )
        shape.append(_size(part, f"{option} {text}"))
    return name.strip(), tuple(shape)


def _size(text: str, said: str) -> int:
    """The size of a dimension; `said` is the option with its text."""
    value = SIZE.parse(text)
    if value is None:
        raise UsageError(
            f"{one_line(said, 2 * SHOWN_CHARACTERS)}: a size is a whole number from {SIZE}, not {shown(text)}"
        )
    return int(value)


def input_dims(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """What `--dim height=320` means.

    Raises:
        UsageError: it is no name with a size.
    """
    dims = []
    for text in texts:
        name, equals, size = text.rpartition("=")
        if not equals or not name.strip():
            raise UsageError(f"--dim takes NAME=SIZE such as height=320, not {shown(text)}")
        dims.append((name.strip(), _size(size, f"--dim {text}")))
    return tuple(dims)


def input_values(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What `--input NAME=range(0,255)` means; the values themselves are read where the network is.

    Raises:
        UsageError: there is no name or no values.
    """
    pairs = [text.rpartition("=") for text in texts]
    for name, _, values in pairs:
        if not name or not values:
            raise UsageError(
                "--input takes NAME=FILE.npy, NAME=range(0,255), NAME=constant(16000) or "
                f"NAME=tokens(0,30000), not {name or values!r}"
            )
    return tuple((name.strip(), values.strip()) for name, _, values in pairs)


def run_option_values(texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What `--option NAME=VALUE`, or `NAME=VALUE,VALUE`, means; whether there is such a one, a backend knows.

    Raises:
        UsageError: there is no name or no value, or a name stands twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, _, values = (part.strip() for part in text.partition("="))
        if not name or not split_list(values):
            raise UsageError(
                f"--option takes NAME=VALUE, such as ort.allow_spinning=0, not {shown(text)}"
            )
        if name in found:
            raise UsageError(f"--option {name} is given twice: give its values as {name}=A,B")
        found[name] = tuple(split_list(values))
    return tuple(found.items())


#: Of an interleaved comparison: the relative change of latency that matters, and seconds for blocks and loads.
DEFAULT_THRESHOLD = 0.01
DEFAULT_BUDGET_S = 8.0


@dataclass(frozen=True)
class KeepChoice:
    """Layers that stay in float32 where the rest is converted.

    Attributes:
        nodes: names of ONNX nodes; `*` and `?` match as in file names.
        op_types: operator types, such as "Gemm".
        drift: this many convolutions and products, those whose conversion alone costs the outputs most.
    """

    nodes: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()
    drift: int = 0

    def __bool__(self) -> bool:
        return bool(self.nodes or self.op_types or self.drift)

    def check(self, precisions: Sequence[str]) -> None:
        """Refuse to keep what is not converted.

        Raises:
            UsageError: nothing but fp32 is asked for, or files as they are.
        """
        from deploykit.graph.recipes import AS_IS

        if not self or not set(precisions) <= {"fp32", AS_IS}:
            return
        why = (
            f"nothing is converted with --precision {AS_IS}"
            if AS_IS in precisions
            else "all are with --precision fp32"
        )
        raise UsageError(
            f"--keep leaves layers in fp32, and {why}: give another precision, such as int8"
        )


@dataclass(frozen=True)
class CalibrationChoice:
    """How the ranges of a quantised graph are to be found.

    Attributes:
        data: a data set whose calibration part is used; None takes the one the weights were trained on.
        method: "minmax", "percentile", "entropy" or "mse".
        images: how many images of it; None takes all that were given for calibration (`DEFAULT_IMAGES` where nobody
            said which those are and others are to be judged), or `DEFAULT_SYNTHETIC_IMAGES` of made-up ones.
        synthetic: whether made-up images are allowed where there is no data.
        seed: of the generator that makes images up.
        keep: the layers that stay in float32.
        strict: whether a layer that the runtime leaves in another precision fails the build.
        judged: whether a metric is computed on the test part, which then stays out of calibration.
        int8: what the int8 recipe does beyond ranges: "default", "plain", or names of its steps with commas.
    """

    data: str | None = None
    method: str = "minmax"
    images: int | None = None
    synthetic: bool = False
    seed: int = 0
    keep: KeepChoice = field(default_factory=KeepChoice)
    strict: bool = False
    judged: bool = False
    int8: str = "default"


#: The options that set fields of `BuildOptions`.
_ENGINE_OPTIONS = {
    "shapes": "--min-shape, --opt-shape and --max-shape",
    "compute_capability": "--compute-capability",
    "optimization_level": "--optimization-level",
    "workspace_mib": "--workspace",
    "version_compatible": "--version-compatible",
    "hardware_compatibility": "--hardware-compatibility",
    "sparse": "--sparse",
    "tactic_sources": "--tactic-sources",
    "timing_cache": "--no-timing-cache",
    "channels_last": "--channels-last",
    "compile_mode": "--compile-mode",
}


#: Which other devices an engine may be for, and how torch.compile may search.
HARDWARE_COMPATIBILITY = ("ampere+", "same-compute-capability")
COMPILE_MODES = ("reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


@dataclass(frozen=True)
class EngineChoice:
    """What engines are built for, where the batch may be left to the rows that they are measured in.

    Attributes:
        batch_min, batch_opt, batch_max: batches that an engine takes, and the one that it is tuned for. With none
            given each measured batch has an engine of its own; else the least is 1, the largest is what is measured
            or tuned for, and it is tuned for the largest.
        options: all others.

    Raises:
        UsageError: the three are not in order.
    """

    batch_min: int | None = None
    batch_opt: int | None = None
    batch_max: int | None = None
    options: BuildOptions = field(default_factory=BuildOptions)

    def __post_init__(self) -> None:
        batches = {
            "--min-batch": self.batch_min,
            "--opt-batch": self.batch_opt,
            "--max-batch": self.batch_max,
        }
        given = [(option, batch) for option, batch in batches.items() if batch is not None]
        for (smaller, low), (larger, high) in itertools.pairwise(given):
            if low > high:
                raise UsageError(
                    f"{smaller} {low} is above {larger} {high}: raise {larger} or lower {smaller}"
                )

    def given(self) -> dict[str, str]:
        """The options that were given, by the field of `BuildOptions` that each sets."""
        default = BuildOptions()
        options = {
            name: option
            for name, option in _ENGINE_OPTIONS.items()
            if getattr(self.options, name) != getattr(default, name)
        }
        batches = {
            "batch_min": ("--min-batch", self.batch_min),
            "batch_opt": ("--opt-batch", self.batch_opt),
            "batch_max": ("--max-batch", self.batch_max),
        }
        return options | {
            name: option for name, (option, batch) in batches.items() if batch is not None
        }

    def at_batch(self, batch: int) -> BuildOptions:
        """The options of the engine that is run at a batch."""
        low, best, high = self.batch_min, self.batch_opt, self.batch_max
        if low is best is high is None:
            low = best = high = batch
        high = high or max(batch, low or 1, best or 1)
        return replace(self.options, batch_min=low or 1, batch_opt=best or high, batch_max=high)


def shape_ranges(
    least: Sequence[str], best: Sequence[str], most: Sequence[str]
) -> tuple[ShapeRange, ...]:
    """Ranges of inputs from `--min-shape`, `--opt-shape` and `--max-shape`, by input; what is not given is empty.

    Raises:
        UsageError: one is no shape, or an input is named twice.
    """
    given = {}
    options = ("--min-shape", "--opt-shape", "--max-shape")
    for option, texts in zip(options, (least, best, most), strict=True):
        shapes = [_shape(text, option) for text in texts]
        given[option] = dict(shapes)
        if len(given[option]) < len(shapes):
            raise UsageError(f"{option} names an input twice: give one shape for each")
    names = dict.fromkeys(name for shapes in given.values() for name in shapes)
    low, tuned, high = given.values()
    return tuple((n, low.get(n, ()), tuned.get(n, ()), high.get(n, ())) for n in names)


@dataclass(frozen=True)
class Goal:
    """What a network must still do.

    Attributes:
        max_drop: top-1 accuracy that it may lose against fp32, a share, on the calibration part.
        min_snr_db: or: signal-to-noise ratio of the outputs against fp32, in dB.
        max_metric_drop: or: by how much `metric` may be below that of fp32, on the calibration part.
        scores: for `max_drop`, the output that holds class scores; None is the one that can.
        metric: for `max_metric_drop`, "module:function" of the user's own; larger is better.
    """

    max_drop: float | None = None
    min_snr_db: float | None = None
    max_metric_drop: float | None = None
    scores: str | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.max_drop, self.min_snr_db, self.max_metric_drop) if v is not None]
        if len(given) != 1:
            raise UsageError("give one of --max-accuracy-drop, --min-snr-db and --max-metric-drop")
        if (self.metric is None) != (self.max_metric_drop is None):
            raise UsageError(
                "--metric and --max-metric-drop go together: the function, and by how much its value may drop"
            )
        if self.scores is not None and self.max_drop is None:
            raise UsageError("--scores names what --max-accuracy-drop judges: give that, too")

    @property
    def max_loss(self) -> float | None:
        """What may be lost of what is judged on labelled images; None where the outputs' noise is."""
        return self.max_drop if self.max_drop is not None else self.max_metric_drop

    def holds(self, value: float) -> bool:
        """Whether a drop, or a ratio, is good enough."""
        if self.max_loss is not None:
            return value <= self.max_loss + 1e-12
        return value >= (self.min_snr_db or 0.0)


@dataclass(frozen=True)
class Preset:
    """A well-known way of measuring: the values that options have where none are given.

    Attributes:
        models: what is measured where no MODEL is named.
        options: values of the profile command's options, as they would be written there.
        summary: what it is, in one line.
    """

    models: tuple[str, ...]
    options: Mapping[str, str | tuple[str, ...]]
    summary: str


PRESETS: Mapping[str, Preset] = {
    "vgg-listing": Preset(
        models=("vgg16",),
        options={
            "backend": "torch",
            "batch": "32",
            "run_pass": "forward,forward_backward",
            "warmup_iterations": "10",
            "iterations": "100",
            "timeout": "14400",
            "options": ("torch.loss=l2",),
        },
        summary="the classic listing: VGG-16 in PyTorch, 32 random images of 3x224x224, forward and forward+"
        "backward of the L2 loss of the outputs, 10 burn-in runs, mean and standard deviation of 100",
    ),
}


def preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UnknownName: there is none.
    """
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    return PRESETS[name]
