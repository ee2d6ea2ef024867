"""PyTorch networks as engines: the weights in one file, the network made again from its spec around them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import zoo
from deploykit.errors import BuildFailed, DeploykitError, OutputFailed, UsageError, one_line
from deploykit.spec import ModelSpec, OnnxModel

if TYPE_CHECKING:
    from torch import nn

#: Key of the spec in the file's metadata.
_SPEC = "deploykit.spec"


def create_verified(model: OnnxModel) -> nn.Module:
    """The module that `model` was exported from, shown to compute what the graph does.

    Raises:
        UsageError: the graph is a file of the user's own, of which there is no module.
        DriftFailed, BuildFailed: the module computes something else than the graph, or does not run.
        MissingDependency: torch or, for the comparison, ONNX Runtime is not installed.
    """
    from deploykit.graph import export

    if model.spec.weights == "file":
        raise UsageError(
            f"{model.spec.label} is a finished graph, PyTorch needs the network itself: give a name of the "
            "catalogue or module:factory, or another --backend"
        )
    module = zoo.create(model.spec)
    images = export.seeded_images(tuple(model.inputs[0].with_batch(1)[1:]))
    expected = export.torch_outputs(module, images, model.spec.label)
    export.verify(model.path, images, expected, model.spec.label)
    return module


def save_module(module: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Write a module's weights with the spec that makes the network again.

    Raises:
        OutputFailed: `path` can't be written.
    """
    from safetensors.torch import save_model

    text = json.dumps(dataclasses.asdict(spec) | {"rho": str(spec.rho)}, sort_keys=True)
    try:
        save_model(module, str(path), {_SPEC: text})
    except Exception as error:  # safetensors raises an error class of its own, in Rust
        raise OutputFailed(
            f"can't write the engine {path.name}: {one_line(error)}; free some space in the store, "
            "or choose another with --store"
        ) from error


def restore_module(path: Path) -> nn.Module:
    """The module in a file that `save_module` wrote, in eval mode.

    Raises:
        BuildFailed: the file is damaged, or its network is no longer what it was.
        UsageError, InvalidModel: the user's factory or checkpoint is gone.
    """
    from safetensors.torch import load_model

    from deploykit.zoo import weights

    try:
        spec = _spec(json.loads(weights.metadata(path)[_SPEC]))
    except (DeploykitError, KeyError, ValueError, TypeError) as error:
        raise BuildFailed(f"{path} does not load: {one_line(error)}; build it again") from error
    # Values come from the file: to draw random ones first would take longer than to load these.
    named = ":" not in spec.name
    module = zoo.create(spec, device="meta").to_empty(device="cpu") if named else zoo.create(spec)
    try:
        load_model(module, str(path))
    except Exception as error:
        raise BuildFailed(
            f"{path} does not fit {spec.label} as it is now: {one_line(error)}; build it again"
        ) from error
    return module.eval()


def _spec(stored: Mapping[str, Any]) -> ModelSpec:
    return ModelSpec(**{**stored, "rho": Fraction(stored["rho"])})
