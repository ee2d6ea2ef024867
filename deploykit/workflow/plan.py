"""From the words of a request to what it means: networks, numbers, well-known presets; standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from deploykit import zoo
from deploykit.errors import InvalidModel, UnknownName, UsageError
from deploykit.spec import InputChoice, ModelFile, ModelSpec

#: A network to work on: a spec that the zoo can make, or a file of the user's own.
Source = ModelSpec | ModelFile

#: Data sets that weights come for; of a user's own images nobody knows which weights fit.
TRAINED_ON = ("digits", "fashion-mnist")

#: What `deploykit run`, and commands without a MODEL, work on.
DEFAULT_MODELS: tuple[ModelSpec, ...] = (
    ModelSpec("lenet5", weights="trained"),
    ModelSpec("squeezenet1_0"),
    ModelSpec("alexnet"),
    ModelSpec("mobilenet"),
    ModelSpec("mobilenet", alpha=0.5),
)


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


def is_file(model: str) -> bool:
    """Whether MODEL means a file rather than a name: by its ending, or because it is a path."""
    return model.endswith(".onnx") or ("/" in model and ":" not in model)


def plan(models: Sequence[str], variants: Variants, data: str | None = None) -> list[Source]:
    """The networks that `models` mean, each name at every combination of `variants`.

    A multiplier that only some of the named networks have applies to those; the others stay at 1.
    Trained weights are those for the data set that is asked for, where weights can come for it.

    Args:
        models: names, paths, factories.
        variants: the options that make several networks out of each name.
        data: what the networks are to be judged on, as `open_dataset` takes it.

    Raises:
        UnknownName: no such network.
        InvalidModel: no such file.
        UsageError: an option that none of them has, or a value that can't be.
    """
    sources: list[Source] = []
    for text in models:
        sources += [_existing(text, variants.inputs)] if is_file(text) else _of_name(text, variants)
    _refuse_idle(sources, models, variants)
    trained_on = (data or "").partition(":")[0]
    if variants.weights == "trained" and trained_on in TRAINED_ON:
        sources = [
            replace(s, weights=f"trained:{trained_on}") if isinstance(s, ModelSpec) else s
            for s in sources
        ]
    specs = [source for source in sources if isinstance(source, ModelSpec)]
    for spec in specs:
        if ":" not in spec.name:
            zoo.input_shape(spec)
    return list(dict.fromkeys(sources))


def _existing(text: str, inputs: InputChoice) -> ModelFile:
    path = Path(text)
    if path.is_dir():
        raise InvalidModel(f"{text} is a folder; give the path of an .onnx file")
    if not path.exists():
        raise InvalidModel(f"no such file: {text}; give the path of an .onnx file")
    return ModelFile(path, inputs)


def _of_name(text: str, variants: Variants) -> list[Source]:
    name, alphas, rhos = text, variants.alphas, variants.rhos
    if (
        ":" not in text
    ):  # a factory of the user's own refuses for itself what it has no parameter for
        architecture = zoo.lookup(text)
        name = architecture.name
        alphas = alphas if architecture.has_alpha else (1.0,)
        rhos = rhos if architecture.has_rho else (Fraction(1),)
    return [
        ModelSpec(
            name,
            alpha=alpha,
            rho=rho,
            num_classes=variants.num_classes,
            weights=variants.weights or "random",
            resolution_px=variants.resolution_px,
            seed=variants.seed,
        )
        for alpha in alphas
        for rho in rhos
    ]


def _refuse_idle(sources: Sequence[Source], models: Sequence[str], variants: Variants) -> None:
    """An option that changes none of the networks would be accepted and ignored: refuse it."""
    specs = [source for source in sources if isinstance(source, ModelSpec)]
    names = ", ".join(models)
    if set(variants.alphas) != {1.0} and not any(
        spec.alpha in variants.alphas for spec in specs if _has(spec, "alpha")
    ):
        raise UsageError(f"{names} has no width multiplier: leave --alpha out, or use mobilenet")
    if set(variants.rhos) != {Fraction(1)} and not any(_has(spec, "rho") for spec in specs):
        raise UsageError(
            f"{names} has no resolution multiplier, its input size is fixed: leave --rho out"
        )
    if variants.inputs and specs and len(specs) == len(sources):
        raise UsageError(
            f"{names} is made with its inputs: leave --shape, --dim, --input and --layout out, which say what "
            "an .onnx file leaves open"
        )
    if specs or not sources:
        return
    for option, given in (
        ("--weights", variants.weights),
        ("--num-classes", variants.num_classes),
        ("--resolution", variants.resolution_px),
        ("--seed", variants.seed or None),
    ):
        if given is not None:
            raise UsageError(f"{names} is a finished graph: leave {option} out")


def _has(spec: ModelSpec, multiplier: str) -> bool:
    if ":" in spec.name:
        return True
    architecture = zoo.lookup(spec.name)
    return architecture.has_alpha if multiplier == "alpha" else architecture.has_rho


def input_shapes(texts: Sequence[str]) -> tuple[tuple[str, tuple[int | None, ...]], ...]:
    """What `--shape NAME=1x3x320x320` means, also without a name for the only input; "?" leaves a size open.

    Raises:
        UsageError: it is no shape.
    """
    return tuple(_shape(text) for text in texts)


def _shape(text: str) -> tuple[str, tuple[int | None, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = re.split(r"[x,]", sizes.strip()) if sizes.strip() != "scalar" else []
    if not all(part in ("?", "N", "n", "-1") or (part.isdigit() and int(part)) for part in parts):
        raise UsageError(
            f"--shape takes NAME=1x3x320x320, sizes from 1 or ? for one that stays open, not {text!r}"
        )
    return name.strip(), tuple(int(part) if part.isdigit() else None for part in parts)


def input_dims(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """What `--dim height=320` means.

    Raises:
        UsageError: it is no name with a size.
    """
    pairs = [text.rpartition("=") for text in texts]
    for name, _, size in pairs:
        if not name or not size.strip().isdigit() or not int(size):
            raise UsageError(f"--dim takes NAME=SIZE such as height=320, not {name or size!r}")
    return tuple((name.strip(), int(size)) for name, _, size in pairs)


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


def numbers(text: str, option: str) -> tuple[float, ...]:
    """A comma-separated list of numbers; fractions such as 6/7 are numbers too.

    Raises:
        UsageError: something in it is not a number.
    """
    try:
        return tuple(float(value) for value in fractions(text, option))
    except OverflowError:
        raise UsageError(f"{option} takes numbers such as 1,0.5 or 6/7, not {text!r}") from None


def fractions(text: str, option: str) -> tuple[Fraction, ...]:
    """A comma-separated list of exact fractions: 1, 0.5, 6/7.

    Raises:
        UsageError: something in it is not a number.
    """
    values = []
    for part in words(text):
        try:
            values.append(Fraction(part))
        except (ValueError, ZeroDivisionError):
            raise UsageError(f"{option} takes numbers such as 1,0.5 or 6/7, not {part!r}") from None
    return tuple(values)


def words(text: str) -> list[str]:
    """The parts of a comma-separated list, blanks and doubles dropped, order kept."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@dataclass(frozen=True)
class Preset:
    """A well-known way of measuring: the values that options have where none are given.

    Attributes:
        models: what is measured where no MODEL is named.
        options: values of the profile command's options, as they would be written there.
        summary: what it is, in one line.
    """

    models: tuple[str, ...]
    options: Mapping[str, str]
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
        },
        summary="the classic listing: VGG-16 in PyTorch, 32 random images of 3x224x224, forward and forward+"
        "backward, 10 burn-in runs, mean and standard deviation of 100",
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
