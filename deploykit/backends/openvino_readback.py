"""What OpenVINO will execute, read from the runtime model of what it compiled."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

#: Kinds of layers that multiply, as the CPU plugin calls them.
_MULTIPLYING = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}


#: What those are before compilation, as operators of a model.
_PRODUCTS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
_SUFFIX = "/WithoutBiases"


def product_names(model: Any) -> frozenset[str]:
    """What the convolutions and products of a model are called, as it was read."""
    return frozenset(
        op.get_friendly_name() for op in model.get_ops() if op.get_type_name() in _PRODUCTS
    )


def compute_types(runtime_model: Any, products: Collection[str]) -> dict[str, list[str]]:
    """The layers that multiply, by the type they take their data in.

    Args:
        runtime_model: of what was compiled.
        products: of the graph; a layer is called by the first of them that went into it.
    """
    found: dict[str, list[str]] = {}
    for layer in runtime_model.get_ops():
        facts = layer.get_rt_info()
        if facts["layerType"].astype(str) not in _MULTIPLYING:
            continue
        raw = facts["runtimePrecision"].astype(str).lower()
        origins = facts["originalLayersNames"].astype(str).split(",")
        name = next((o for o in origins if o in products), layer.get_friendly_name())
        found.setdefault(_NAMES.get(raw, raw), []).append(name.removesuffix(_SUFFIX))
    return found
