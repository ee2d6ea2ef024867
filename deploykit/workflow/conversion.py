"""A network in another precision, as a graph in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.code_digest import code_digest
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import OnnxModel
from deploykit.store import GraphManifest, Store
from deploykit.workflow.keeping import KeepChoice, keep_rules
from deploykit.workflow.network import Network, input_chw, model_of

if TYPE_CHECKING:
    from deploykit.graph.calibration import Calibration


@dataclass(frozen=True)
class CalibrationChoice:
    """How the ranges of a quantised graph are to be found.

    Attributes:
        data: a data set whose calibration part is used; None takes the one the weights were trained on.
        method: "minmax", "percentile", "entropy" or "mse".
        images: how many.
        synthetic: whether made-up images are allowed where there is no data.
        seed: of made-up images.
        keep: layers that are not converted at all.
    """

    data: str | None = None
    method: str = "minmax"
    images: int | None = None
    synthetic: bool = False
    seed: int = 0
    keep: KeepChoice = field(default_factory=KeepChoice)

    def check(self) -> None:
        """Refuse what can't be, before any work is done for it.

        Raises:
            UnknownName, UsageError, MissingDependency: no such method or data set, or it can't be read here.
        """
        from deploykit.graph.calibration import METHODS

        if self.method not in METHODS:
            raise UnknownName("calibration method", self.method, METHODS)
        if self.images is not None and self.images < 1:
            raise UsageError(f"calibration needs at least one image, not {self.images}")
        if self.data is not None:
            from deploykit.data import open_dataset

            open_dataset(self.data)


#: Images that calibration takes when nobody says how many.
DEFAULT_IMAGES = 100
DEFAULT_SYNTHETIC_IMAGES = 8
#: Bounds on what calibration runs at once: images, and bytes of their activations.
MAX_BATCH = 8
BATCH_BYTES = 2**29


def convert_network(
    network: Network, precision: str, target: str, choice: CalibrationChoice, store: Store
) -> OnnxModel:
    """The graph of `network` in `precision` for `target`: found in the store, or made.

    Raises:
        UnknownName: no such precision or target, or no node that is to be kept.
        UsageError: the precision needs calibration and there is no data for it.
        DriftFailed: the graph's values don't fit the precision.
    """
    from deploykit.graph.precision import convert, find_recipe

    recipe = find_recipe(precision, target)
    if precision == network.model.precision:
        return network.model
    calibration = calibration_of(network, choice) if recipe.needs_calibration else None
    fields = {
        "source_sha256": network.model.sha256,
        "precision": precision,
        "recipe_targets": recipe.targets,
        "calibration": calibration.facts() if calibration else None,
        "keep": choice.keep.facts(choice.data or network.dataset),
        "versions": {name: env.package_version(name) for name in ("onnx", "onnxruntime")},
        "code": code_digest("deploykit.graph.precision"),
    }
    if recipe.origin:  # the code of other packages' recipes is in no digest
        fields["recipe_origin"] = recipe.origin

    def make(path: Path) -> Mapping[str, Any]:
        rules = keep_rules(network, precision, target, choice)
        model = convert(network.model, precision, target, path, calibration, rules)
        return {
            "sha256": model.sha256,
            "precision": model.precision,
            "inputs": model.inputs,
            "outputs": model.outputs,
            "recipe": dict(model.recipe),
        }

    label = f"{network.model.spec.label.replace(':', '.')}-{precision}"
    if recipe.targets == ("cpu",) or "cpu" not in recipe.targets:  # two recipes bear this name
        label += f"-{recipe.targets[0]}"
    return model_of(
        store.produce(GraphManifest, label, fields, "model.onnx", make), network.model.spec
    )


def calibration_of(network: Network, choice: CalibrationChoice) -> Calibration:
    """The images that `choice` means for a network.

    Raises:
        UsageError: there are none, or they don't fit the network.
    """
    from deploykit.graph.calibration import Calibration, synthetic_calibration

    model = network.model
    data = choice.data or network.dataset
    # Random weights have seen no data, so none is more right for them than noise is.
    synthetic = choice.synthetic or model.spec.weights == "random"
    if data is not None:
        from deploykit.data import open_dataset

        shape = input_chw(model)
        if shape is None:
            raise UsageError(
                f"{model.spec.label} takes no images, so {data} can't calibrate it: "
                "give --synthetic-calibration"
            )
        part = open_dataset(data).calibration
        count = choice.images or min(DEFAULT_IMAGES, len(part))
        return Calibration.from_part(
            part,
            shape,
            count=count,
            batch_size=_batch(network),
            data=data,
            method=choice.method,
        )
    if not synthetic:
        raise UsageError(
            f"int8 needs images to calibrate {model.spec.label}: give --data DATASET, or "
            "--synthetic-calibration for an engine whose accuracy means nothing"
        )
    return synthetic_calibration(
        model.inputs[0].with_batch(1)[1:],
        seed=choice.seed,
        count=choice.images or DEFAULT_SYNTHETIC_IMAGES,
        batch_size=_batch(network),
        method=choice.method,
    )


def _batch(network: Network) -> int:
    """Images that calibration runs at once: fewer where each has many activations."""
    activation_bytes = int(network.facts["activation_bytes"])
    return max(1, min(MAX_BATCH, BATCH_BYTES // max(1, activation_bytes)))


def calibration_text(model: OnnxModel) -> str | None:
    """What the `calibration` column says of a graph: method, count and data, or None for a float graph."""
    facts = model.recipe.get("calibration")
    if not facts:
        return None
    data = "synthetic images" if facts["synthetic"] else f"images of {facts['data']}"
    return f"{facts['method']}, {facts['count']} {data}"
