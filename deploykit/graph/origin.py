"""What a file says of itself: the network and the recipe that deploykit wrote into its metadata.

Anyone may have written it: what can't be is taken for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploykit import codec
from deploykit.lazy import onnx
from deploykit.spec import ModelSpec
from deploykit.text import file_name, is_name

#: Keys of the model's metadata under which deploykit writes where a graph came from.
SPEC_KEY = "deploykit.spec"
RECIPE_KEY = "deploykit.recipe"


def stored_spec(metadata: Mapping[str, str], path: Path) -> ModelSpec:
    """Read the spec that export wrote into the file; a file made elsewhere goes by its name."""
    with contextlib.suppress(KeyError, codec.MalformedMessage):
        spec = codec.from_json(metadata[SPEC_KEY], ModelSpec)
        if _is_sound(spec):
            return spec
    return ModelSpec(file_name(path.stem), weights="file")


def _is_sound(spec: ModelSpec) -> bool:
    """Whether what a file says of itself can be: anyone may have written it."""
    multipliers = 0 < spec.alpha <= 1 and 0 < spec.rho <= 1
    numbers = (spec.num_classes or 1, spec.resolution_px or 1)
    sizes = all(0 < number < 2**31 for number in numbers) and 0 <= spec.seed < 2**63
    return multipliers and sizes and is_name(spec.name) and is_name(spec.weights)


@dataclass(frozen=True)
class _Calibrated:
    """What a recipe says of its calibration."""

    method: str
    count: int
    synthetic: bool
    data: str | None = None


@dataclass(frozen=True)
class _Recipe:
    """What is read of a recipe later, each of its type; more may be in it."""

    calibration: _Calibrated | None = None
    int8_steps: tuple[str, ...] | None = None
    kept: tuple[str, ...] = ()
    kept_by_rule: tuple[str, ...] = ()
    kept_because: tuple[str, ...] = ()
    kept_by_value: Mapping[str, str] = field(default_factory=dict)
    verified: Mapping[str, Any] = field(default_factory=dict)
    constants_converted: int = 0
    constants_overflowed: int = 0
    constants_subnormal: int = 0
    constants_flushed_to_zero: int = 0
    biases_uncorrected: int = 0


def stored_recipe(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The recipe that deploykit wrote into a file; nothing where another hand wrote what can't be one."""
    with contextlib.suppress(KeyError, codec.MalformedMessage):
        recipe = codec.from_json(metadata[RECIPE_KEY], dict[str, Any])
        codec.from_values(recipe, _Recipe)
        return recipe
    return {}


def set_origin(model: onnx.ModelProto, spec: ModelSpec, recipe: Mapping[str, Any]) -> None:
    """Write into the model what `open_model` shall say of it; other metadata stays.

    `recipe` must be the same wherever the same graph is made: no times, paths or measured errors.
    """
    stored = codec.to_values(spec)
    if os.sep in spec.weights or "/" in spec.weights:
        stored["weights"] = Path(spec.weights).name
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    metadata[SPEC_KEY] = json.dumps(stored, sort_keys=True)
    metadata[RECIPE_KEY] = json.dumps(dict(recipe), sort_keys=True)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
