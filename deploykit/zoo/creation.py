"""From a spec to its network: the input that it leads to, and the module, weights loaded, in eval mode."""

from __future__ import annotations

import importlib
import inspect
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from deploykit.errors import UsageError
from deploykit.lazy import torch
from deploykit.spec import ModelSpec

from . import weights
from .catalogue import Architecture, is_factory, lookup
from .factories import create_from_factory, input_shape_of_factory

if TYPE_CHECKING:
    from torch import nn


def input_shape(spec: ModelSpec) -> tuple[int, int, int]:
    """Channels, height and width of the input that `spec` asks for: round(resolution * rho) squared.

    Raises:
        UsageError: alpha, rho, the resolution or num_classes can't be.
        UnknownName: there is no such architecture.
    """
    _check_multipliers(spec)
    if is_factory(spec.name):
        return input_shape_of_factory(spec)
    architecture = lookup(spec.name)
    _check_support(spec, architecture)
    base_px = _base_resolution_px(spec, architecture)
    resolution_px = round(base_px * spec.rho)
    if resolution_px != architecture.resolution_px and not architecture.has_rho:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution_px} px and no other size: "
            "leave out --resolution"
        )
    smallest_px = architecture.min_resolution_px
    if resolution_px < smallest_px:
        rho = Fraction(smallest_px, base_px)
        raise UsageError(
            f"an input of {resolution_px} px is too small for {architecture.name}: the smallest that "
            f"works is {smallest_px} px" + (f", rho {rho} of {base_px} px" if rho <= 1 else "")
        )
    return (architecture.channels, resolution_px, resolution_px)


def _base_resolution_px(spec: ModelSpec, architecture: Architecture) -> int:
    """The size that rho acts on: as asked for, else of the trained checkpoint, else canonical."""
    if spec.resolution_px is not None:
        return spec.resolution_px
    if spec.weights != "random":
        stored = weights.facts(spec)
        if "resolution_px" in stored:
            return int(stored["resolution_px"])
    return architecture.resolution_px


def create(spec: ModelSpec, *, device: str = "cpu") -> nn.Module:
    """Make the network of `spec` in eval mode, its weights loaded, or seeded when random.

    On `device="meta"` no weights are allocated, which is enough to count. Input is (N, C, H, W) float32
    with the C, H, W of `input_shape(spec)`; output is the logits, (N, num_classes).

    Raises:
        UsageError: alpha, classes, weights or the factory can't be used so.
        InvalidModel: the checkpoint can't be read or belongs to another network.
        MissingDependency: torch, or the package that holds the weights, isn't installed.
    """
    _check_multipliers(spec)
    if is_factory(spec.name):
        return create_from_factory(spec).eval().to(device)
    architecture = lookup(spec.name)
    _check_support(spec, architecture)
    module = _skeleton(spec, architecture)
    if device == "meta":
        return module
    if spec.weights == "random":
        # Its classes derive from PyTorch's, so that it is light to import only once PyTorch is there.
        from .initialise import initialise

        # Shapes first, then values: the constructors' own initialisation would be thrown away.
        module.to_empty(device="cpu")
        initialise(module, seed=spec.seed, architecture=architecture)
    else:
        weights.load(module, spec, architecture)
    return module if torch.device(device).type == "cpu" else module.to(device)


def _skeleton(spec: ModelSpec, architecture: Architecture) -> nn.Module:
    """The network without storage, in eval mode."""
    keywords: dict[str, Any] = {"num_classes": spec.num_classes or architecture.num_classes}
    if architecture.has_alpha:
        keywords["alpha"] = spec.alpha
    if spec.weights != "random":
        stored = weights.facts(spec)
        if spec.num_classes is None and "num_classes" in stored:
            keywords["num_classes"] = int(stored["num_classes"])
    module_name, _, function = architecture.factory.partition(":")
    factory = getattr(importlib.import_module(module_name), function)
    if spec.weights == "torchvision" and "transform_input" in inspect.signature(factory).parameters:
        keywords["transform_input"] = True  # these weights expect pixels from -1 to 1
    with torch.device("meta"):
        module: nn.Module = factory(**keywords)
    return module.eval()


def _check_multipliers(spec: ModelSpec) -> None:
    """Refuse values that no network could take.

    Raises:
        UsageError: alpha or rho outside (0, 1], a resolution or num_classes below 1.
    """
    if not 0 < spec.alpha <= 1:
        raise UsageError(f"alpha {spec.alpha:g} is out of range: give a number above 0, at most 1")
    if not 0 < spec.rho <= 1:
        raise UsageError(f"rho {spec.rho} is out of range: give a number above 0, at most 1")
    if spec.num_classes is not None and spec.num_classes < 1:
        raise UsageError(f"num_classes {spec.num_classes} is out of range: give at least 1")
    if spec.resolution_px is not None and spec.resolution_px < 1:
        raise UsageError(f"resolution {spec.resolution_px} px is out of range: give at least 1")


def _check_support(spec: ModelSpec, architecture: Architecture) -> None:
    """Refuse a multiplier on an architecture that has none.

    Raises:
        UsageError: alpha or rho other than 1 where the architecture doesn't define it.
    """
    if spec.alpha != 1 and not architecture.has_alpha:
        raise UsageError(
            f"{architecture.name} has no width multiplier: leave out --alpha (mobilenet has one)"
        )
    if spec.rho != 1 and not architecture.has_rho:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution_px} px and no other size: "
            "leave out --rho"
        )
