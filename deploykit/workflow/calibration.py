"""The images that ranges come from, as a `CalibrationChoice` means them for a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deploykit.bench.feeds import may_have_scores
from deploykit.data import open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.errors import UnknownName, UsageError
from deploykit.graph.calibrate import METHODS, Calibration, synthetic_calibration
from deploykit.graph.calibrate.synthetic import synthetic_feeds
from deploykit.graph.precision import find_recipe
from deploykit.graph.recipes import PrecisionRecipe
from deploykit.spec import TensorSpec
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import Network
from deploykit.zoo.catalogue import is_factory

#: Images that calibration takes when nobody says how many.
DEFAULT_IMAGES = 100
DEFAULT_SYNTHETIC_IMAGES = 8
#: Of a user's network that makes little of an image, a few tell too little of how far its values reach: so many
#: are made up, within this many bytes of activations.
MOST_SYNTHETIC_IMAGES, SYNTHETIC_BYTES = 64, 2**26
#: Bounds on what calibration runs at once: images, and bytes of their activations.
MAX_BATCH = 8
BATCH_BYTES = 2**29


def check_choice(choice: CalibrationChoice) -> None:
    """Refuse what can't be, before any work is done for it.

    Raises:
        UnknownName, UsageError, MissingDependency: no such method, step or data set, or it can't be read here.
    """
    if choice.int8 != CalibrationChoice.int8:
        find_recipe("int8", "cpu").chosen(choice.int8)  # of all recipes it has the most steps
    if choice.method not in METHODS:
        raise UnknownName("calibration method", choice.method, METHODS)
    if choice.images is not None and choice.images < 1:
        raise UsageError(f"calibration needs at least one image, not {choice.images}")
    if choice.data is not None:
        open_dataset(choice.data)


def calibration_of(
    network: Network, choice: CalibrationChoice, recipe: PrecisionRecipe | None = None
) -> Calibration:
    """The images that `choice` means for a network, and the steps that it means for a recipe.

    Raises:
        UsageError: there are none, or they don't fit the network; the recipe has no steps, and some are asked for.
    """
    found = _images_of(network, choice)
    if recipe is None or recipe.name != "int8":
        return found
    return replace(found, steps=recipe.chosen(choice.int8))


def _images_of(network: Network, choice: CalibrationChoice) -> Calibration:
    model = network.model
    data = choice.data or network.dataset
    # Random weights have seen no data, so none is more right for them than noise is. A network of the user's own
    # that was given no weights may have been made with trained ones.
    drawn = model.spec.weights == "random" and not is_factory(model.spec.name)
    synthetic = choice.synthetic or drawn
    if data is not None:
        dataset = open_dataset(data)
        judged = choice.judged or (not dataset.unjudged and may_have_scores(model.outputs))
        part = dataset.for_calibration(choice.images, DEFAULT_IMAGES, judged=judged)
        batch = _batch(network)
        return Calibration(
            batches=lambda: feeds_of(part, model.inputs, batch),
            count=len(part),
            method=choice.method,
            data=data,
            data_sha256=part.sha256,
        )
    if not synthetic:
        raise UsageError(
            f"int8 needs images to calibrate {model.spec.label}: give --data DATASET, or "
            "--synthetic-calibration for an engine whose accuracy means nothing"
        )
    if not _is_plain(model.inputs):
        return synthetic_feeds(
            model.inputs,
            seed=choice.seed,
            count=choice.images or _made_up(network),
            batch_size=_batch(network),
            method=choice.method,
        )
    return synthetic_calibration(
        model.inputs[0].with_batch(1)[1:],
        seed=choice.seed,
        count=choice.images or _made_up(network),
        batch_size=_batch(network),
        method=choice.method,
    )


def _made_up(network: Network) -> int:
    """How many images are made up when nobody says."""
    if network.origin is None:
        return DEFAULT_SYNTHETIC_IMAGES
    fit = SYNTHETIC_BYTES // max(1, int(network.facts["activation_bytes"]))
    return max(DEFAULT_SYNTHETIC_IMAGES, min(MOST_SYNTHETIC_IMAGES, fit))


def _is_plain(inputs: Sequence[TensorSpec]) -> bool:
    """Whether normal values with their batch first are all that a network needs."""
    spec = inputs[0]
    return (
        len(inputs) == 1
        and spec.dtype == "float32"
        and spec.values in ("", "normal")
        and spec.image_axis == 0
        and not spec.single
        and len(spec.shape) > 1
    )


def _batch(network: Network) -> int:
    """Images that calibration runs at once: fewer where each has many activations."""
    activation_bytes = int(network.facts["activation_bytes"])
    return max(1, min(MAX_BATCH, BATCH_BYTES // max(1, activation_bytes)))
