"""From the words of a request to the networks that it means; standard library only."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from deploykit import zoo
from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import InputChoice, ModelFile, ModelSpec
from deploykit.workflow.choices import Variants
from deploykit.zoo.catalogue import refuse_files

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
    models = _matched(models)
    for text in models:
        sources += [_existing(text, variants.inputs)] if is_file(text) else _of_name(text, variants)
    sources = _told_apart(sources)
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


def _matched(models: Sequence[str]) -> list[str]:
    """The names and paths that are meant, patterns (`mobilenet*`, `folder/*.onnx`) written out.

    Raises:
        UsageError: nothing matches a pattern.
    """
    named: list[str] = []
    for text in models:
        if not any(mark in text for mark in "*?[") or Path(text).exists():
            named.append(text)
            continue
        if is_file(text):
            found = sorted(glob.glob(text))  # noqa: PTH207, pathlib takes no absolute pattern
            if not found:
                raise InvalidModel(f"no file matches {text!r}; give the path of an .onnx file")
        else:
            found = [architecture.name for architecture in zoo.architectures(text)]
            if not found:
                raise UsageError(f"no network matches {text!r}: see `deploykit list`")
        named += found
    return named


def _existing(text: str, inputs: InputChoice) -> ModelFile:
    path = Path(text)
    if path.is_dir():
        raise InvalidModel(f"{text} is a folder; give the path of an .onnx file")
    if not path.exists():
        raise InvalidModel(f"no such file: {text}; give the path of an .onnx file")
    return ModelFile(path, inputs)


def _told_apart(sources: Sequence[Source]) -> list[Source]:
    """The sources, those files that share a stem labelled by as much of their paths as tells them apart."""
    files = list(dict.fromkeys(s.path for s in sources if isinstance(s, ModelFile)))
    labels: dict[Path, str] = {}
    for path in files:
        same = [other for other in files if other.stem == path.stem and other != path]
        parts = path.absolute().with_suffix("").parts
        for length in range(2, len(parts) + 1):
            ends = [other.absolute().with_suffix("").parts[-length:] for other in same]
            if same and parts[-length:] not in ends:
                labels[path] = "/".join(parts[-length:])
                break
    return [
        replace(s, label=labels.get(s.path, "")) if isinstance(s, ModelFile) else s for s in sources
    ]


def _of_name(text: str, variants: Variants) -> list[Source]:
    refuse_files(text)
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
