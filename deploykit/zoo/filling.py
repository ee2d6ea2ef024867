"""Filling a network with weights from a file, from what is shipped, or from torchvision and timm."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deploykit.errors import InvalidModel, MissingDependency, UsageError
from deploykit.spec import ModelSpec

from . import weights
from .architecture import Architecture
from .weights import first_line

#: How many wrong keys a message lists.
_LISTED = 5

#: Prefixes of auxiliary heads, which are there for training alone.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def load(module: nn.Module, spec: ModelSpec, architecture: Architecture) -> None:
    """Load the weights that `spec` names into `module`, which may be on the meta device.

    Raises:
        UsageError: no such weights for this network.
        InvalidModel: the file can't be read, or its keys or shapes differ (five at most are listed).
        MissingDependency: torchvision or timm isn't installed, or can't get its weights.
    """
    if spec.weights in ("torchvision", "timm"):
        state = _from_package(spec.weights, spec, architecture)
        source = architecture.reference
    else:
        path = weights.checkpoint_path(spec)
        if path is None:
            raise ValueError(f"{spec.weights} weights are not loaded from a file")
        state, source = weights.read_state(path), str(path)
    fill(module, state, source)


def fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Give `module` the values of `state`, which must match in keys and shapes.

    Two differences are harmless: auxiliary heads that the module doesn't have, and missing
    `num_batches_tracked` counters of BatchNorm, which older checkpoints lack.

    Args:
        module: takes the tensors as its own, as float32 on the CPU.
        state: by key.
        source: how to call it in messages.

    Raises:
        InvalidModel: keys or shapes differ; lists five at most, and their count.
    """
    wanted = module.state_dict()
    given = {k: v for k, v in state.items() if k in wanted or not k.startswith(_AUXILIARY)}
    for key in wanted:
        if key.endswith(".num_batches_tracked") and key not in given:
            given[key] = torch.zeros((), dtype=torch.int64)
    faults = [f"{key} is missing" for key in wanted if key not in given]
    faults += [f"{key} is unknown" for key in given if key not in wanted]
    faults += [
        f"{key} is {list(given[key].shape)}, not {list(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if faults:
        listed = ", ".join(faults[:_LISTED]) + (", …" if len(faults) > _LISTED else "")
        raise InvalidModel(
            f"{source} belongs to another network, {len(faults)} of its entries differ: {listed}"
        )
    ready = {key: value.to(wanted[key].dtype).contiguous() for key, value in given.items()}
    for key, value in ready.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InvalidModel(f"{source} has values in {key} that are not finite: get it again")
    module.load_state_dict(ready, strict=True, assign=True)


def _from_package(package: str, spec: ModelSpec, architecture: Architecture) -> dict[str, Tensor]:
    """The released weights that `package` offers for the network."""
    home, _, name = architecture.reference.partition("/")
    if home != package:
        other = f"; --weights {home} has some" if home else ""
        raise UsageError(f"{package} has no weights for {architecture.name}{other}")
    if spec.alpha != 1:
        raise UsageError(
            f"{package} has no weights for {architecture.name} at alpha {spec.alpha:g}"
        )
    try:
        library: Any = importlib.import_module(
            "timm" if package == "timm" else "torchvision.models"
        )
    except (ImportError, RuntimeError) as error:
        raise MissingDependency(
            f"{package} is not installed or doesn't fit this torch ({first_line(error)}): pip install {package}"
        ) from error
    try:
        if package == "timm":
            reference = library.create_model(name, pretrained=True)
        else:
            reference = library.get_model(name, weights="IMAGENET1K_V1")
    except Exception as error:  # whatever the hub, the network or the cache on disk may raise
        raise MissingDependency(
            f"{package} could not get the weights of {name} ({first_line(error)}): "
            "check the network, or give a file that you have"
        ) from error
    return dict(reference.state_dict())
