"""Networks that are trained where no trained weights come for them, so that a tuning has something to judge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from deploykit import zoo
from deploykit.code_digest import code_digest, others_digest
from deploykit.data import Dataset, open_dataset
from deploykit.env import package_version
from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import ModelSpec
from deploykit.store import Store, key_of
from deploykit.training import Progress, train
from deploykit.workflow.plan import Source
from deploykit.writing import output_errors
from deploykit.zoo.catalogue import is_factory
from deploykit.zoo.factories import code_sha256, takes_classes

#: Told what is being done, for a display: a short text.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """How networks without trained weights are trained.

    Attributes:
        data: the data set, whose train part is learned.
        epochs: passes over it; None takes the recipe's own number.
    """

    data: str
    epochs: int | None = None

    def of(self, source: Source, store: Store, say: Say, detail: Say) -> Source:
        """A network with trained weights: those that come with the package, or that are in the store, or made now.

        A file, and a network that was given other weights, stays as it is. A training that was broken off goes on.

        Args:
            source: the network.
            store: takes the checkpoint.
            say: is told that a training begins.
            detail: is told of every epoch.

        Raises:
            UsageError: the data has no images to learn from, or does not fit the network.
            OutputFailed: the store can't be written.
        """
        if not isinstance(source, ModelSpec) or not _is_open(source):
            return source
        dataset = open_dataset(self.data)
        shipped = replace(source, weights=f"trained:{dataset.name}")
        if ":" not in source.name and _is_shipped(shipped):
            return shipped
        path = self._path(source, dataset, store)
        if not path.exists():
            with output_errors("engine store"):
                path.parent.mkdir(parents=True, exist_ok=True)
            say(f"{source.label}: train on {dataset.name}")
            train(
                source,
                dataset,
                out=path,
                epochs=self.epochs,
                seed=source.seed,
                resume=True,
                progress=lambda now: detail(_told(source, now)),
            )
        return replace(source, weights=str(path))

    def _path(self, source: ModelSpec, dataset: Dataset, store: Store) -> Path:
        facts = {
            "network": repr(replace(source, weights="random")),
            "data": [dataset.name, dataset.train.sha256],
            "epochs": self.epochs,
            "code": code_digest("deploykit.training", "deploykit.zoo"),
            "versions": [package_version(name) for name in ("deploykit", "torch")],
        }
        if is_factory(source.name):  # which is none of the code above
            facts["own"] = code_sha256(_as_trained(source, dataset))
        elif (others := others_digest(zoo.lookup(source.name).factory)) is not None:
            facts["own"] = others
        name = f"{source.label.replace(':', '.')}-{key_of(facts)[:16]}.safetensors"
        return store.root / "trained" / name


def _as_trained(spec: ModelSpec, dataset: Dataset) -> ModelSpec:
    """A network of the user's own as a training makes it: told the number of classes where it can be.

    Raises:
        UsageError: the data has no classes, or the network can't be imported.
    """
    dataset.require_classes(len(dataset.classes))  # before a network of none is made
    if spec.num_classes is None and takes_classes(spec.name):
        return replace(spec, num_classes=len(dataset.classes))
    return spec


def training_of(
    *, train: bool, epochs: int | None, weights: str | None, data: str | None
) -> Training | None:
    """How networks are trained that have no trained weights; None where nobody said that they should be.

    Raises:
        UsageError: there is no data to train on, or other weights are given.
    """
    if not train:
        if epochs is not None:
            raise UsageError("--epochs is of a training: give --train, too, or leave it out")
        return None
    if data is None:
        raise UsageError("--train needs images to learn from: give --data DATASET")
    if weights not in (None, "trained"):
        raise UsageError(
            f"--train makes weights, and --weights {weights} are some: give one of the two"
        )
    return Training(data, epochs)


def starting_point(checkpoint: str | None, spec: ModelSpec) -> tuple[Path | None, ModelSpec]:
    """The file that a training starts from, and the network at the input size that it was trained at.

    Args:
        checkpoint: a path, or "trained" for the shipped one; None starts anew.
        spec: the network; a resolution that it gives stays.

    Raises:
        UsageError, InvalidModel: there is no such file, or no shipped one.
    """
    if checkpoint is None:
        return None, spec
    start = Path(checkpoint)
    if zoo.weights.is_trained(checkpoint):
        start = zoo.weights.trained(replace(spec, weights=checkpoint))
    if spec.resolution_px is not None or ":" in spec.name or not zoo.lookup(spec.name).has_rho:
        return start, spec
    if start.suffix != ".safetensors" or not start.is_file():
        return start, spec
    size = zoo.weights.metadata(start).get("resolution_px", "")
    return start, replace(spec, resolution_px=int(size)) if size.isdigit() else spec


def default_checkpoint(spec: ModelSpec, data: str) -> Path:
    """Where the weights of a training go if nobody says: MODEL-DATASET.safetensors in the current folder.

    Args:
        spec: the network.
        data: the data set by its name. Of a user's own the kind alone is in the file's name, so that the files of
            two have the same.

    Raises:
        UsageError: there are weights under that name which were trained on other data.
    """
    path = Path(f"{spec.label}-{data.partition(':')[0]}.safetensors")
    with suppress(InvalidModel):  # no checkpoint, which may be replaced
        trained_on = zoo.weights.metadata(path).get("dataset", data) if path.is_file() else data
        if trained_on != data:
            raise UsageError(
                f"{path} has weights that were trained on {trained_on}, not on {data}: give these another name"
            )
    return path


def _told(source: ModelSpec, now: Progress) -> str:
    return (
        f"{source.label}: epoch {now.epoch} of {now.epochs}, image {now.image:,} of {now.images:,}"
    )


def _is_open(spec: ModelSpec) -> bool:
    """Whether nobody gave weights of their own."""
    return spec.weights == "random" or zoo.weights.is_trained(spec.weights)


def _is_shipped(spec: ModelSpec) -> bool:
    """Whether trained weights come for a network at the size of input that is asked for, if one is."""
    try:
        stored = zoo.weights.metadata(zoo.weights.trained(spec))
    except UsageError:
        return False
    return spec.resolution_px is None or str(spec.resolution_px) == stored.get("resolution_px")
