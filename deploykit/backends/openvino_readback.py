"""What OpenVINO will execute, read from the runtime model of what it compiled."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

#: Kinds of layers that multiply, as the CPU plugin calls them.
_MULTIPLYING = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}


def compute_types(runtime_model: Any, nodes: Collection[str]) -> dict[str, list[str]]:
    """The layers that multiply, by the type they take their data in.

    Args:
        runtime_model: of what was compiled.
        nodes: of the graph as it was read; a layer is called by the first of them that went into it.
    """
    found: dict[str, list[str]] = {}
    for layer in runtime_model.get_ops():
        facts = layer.get_rt_info()
        if facts["layerType"].astype(str) not in _MULTIPLYING:
            continue
        raw = facts["runtimePrecision"].astype(str).lower()
        origins = facts["originalLayersNames"].astype(str).split(",")
        name = next((origin for origin in origins if origin in nodes), layer.get_friendly_name())
        found.setdefault(_NAMES.get(raw, raw), []).append(name)
    return found
