"""Making a network: factory, weights, eval mode."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from deploykit.errors import MissingDependency
from deploykit.spec import ModelSpec

from .architecture import Architecture
from .inputs import check_multipliers, check_support
from .registry import is_factory, lookup

if TYPE_CHECKING:
    from torch import nn


def create(spec: ModelSpec, *, device: str = "cpu") -> nn.Module:
    """Make the network of `spec`; see `deploykit.zoo.create`."""
    check_multipliers(spec)
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingDependency(
            'torch is not installed: pip install "deploykit[export]"'
        ) from error

    if is_factory(spec.name):
        from .factories import create_from_factory

        return create_from_factory(spec).eval().to(device)

    architecture = lookup(spec.name)
    check_support(spec, architecture)
    module = _skeleton(spec, architecture)
    if device == "meta":
        return module
    if spec.weights == "random":
        from .initialise import initialise

        # Shapes first, then values: the constructors' own initialisation would be thrown away.
        module.to_empty(device="cpu")
        initialise(module, seed=spec.seed, architecture=architecture)
    else:
        from .filling import load

        load(module, spec, architecture)
    return module if torch.device(device).type == "cpu" else module.to(device)


def _skeleton(spec: ModelSpec, architecture: Architecture) -> nn.Module:
    """The network without storage, in eval mode."""
    import torch

    keywords: dict[str, Any] = {"num_classes": spec.num_classes or architecture.num_classes}
    if architecture.has_alpha:
        keywords["alpha"] = spec.alpha
    if spec.weights != "random":
        from .weights import facts

        keywords.update(_head(spec, facts(spec)))
    module_name, _, function = architecture.factory.partition(":")
    factory = getattr(importlib.import_module(module_name), function)
    if spec.weights == "torchvision" and "transform_input" in inspect.signature(factory).parameters:
        keywords["transform_input"] = True  # these weights expect pixels from -1 to 1
    with torch.device("meta"):
        module: nn.Module = factory(**keywords)
    return module.eval()


def _head(spec: ModelSpec, stored: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint's metadata fixes of the network where the request leaves it open."""
    if spec.num_classes is None and "num_classes" in stored:
        return {"num_classes": int(stored["num_classes"])}
    return {}
