"""What a TensorRT engine computes in, from the list of layers in its build log.

With detailed verbosity the log has one message that lists every layer with the types of its inputs, constants
and outputs and, as metadata, the ONNX nodes that it was made from. A layer can hold several nodes: the product
with the cast of its input, with what comes after it, with another product of the same input.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TYPE_NAMES = {
    "float": "fp32",
    "half": "fp16",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "int8": "int8",
    "fp8": "fp8",
    "fp8e4m3": "fp8",
    "fp4": "fp4",
    "int4": "int4",
}
#: Bits of the types that products are computed in.
_BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "fp8": 8, "fp4": 4, "int4": 4}
#: Their names: any other type is of indices or masks.
FLOAT_OR_QUANTISED = frozenset(_BITS)
#: Kinds of layers that multiply; a node can appear in others too (a cast or re-layout of its input).
_MULTIPLYING = (
    "correlation",
    "conv",
    "gemm",
    "matmul",
    "matrix",
    "deconv",
    "fusion",
    "runtime_fusion",
)
#: How the name of a layer that casts or quantises says so: it lists what the layer does, one after the other.
_NARROWING = re.compile(r"Cast|Roun|Quant", re.IGNORECASE)


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name, kind: as the listing has them.
        input_types: of its inputs, in their order.
        nodes: the ONNX nodes in it.
        constant_types: of its constants of more than one value, the largest first.
        output_types: of its outputs, in their order.
    """

    name: str
    kind: str
    input_types: tuple[str, ...]
    nodes: tuple[str, ...]
    constant_types: tuple[str, ...] = ()
    output_types: tuple[str, ...] = ()


def parse_layers(listing: str) -> list[EngineLayer]:
    """The layers of a listing; lines that are not understood are passed over."""
    layers = []
    for line in listing.splitlines():
        name = re.match(r"Name: (.*?), LayerType: (\w*)", line)
        if name is None:
            continue
        inputs = re.search(r"Inputs: \[(.*?)\], (?:Constants|Outputs):", line)
        constants = re.search(r"Constants: \[(.*?)\], Outputs:", line)
        outputs = re.search(r"Outputs: \[(.*?)\], TacticName:", line)
        # Of a node in a body, the body and the node around it follow its name: "a | then (then_branch) | b (If)".
        named = re.findall(r"\[ONNX Layer: ([^\]]*)\]", line)
        nodes = [re.sub(r" \| \S.*\)$", "", name) for name in named]
        layers.append(
            EngineLayer(
                name.group(1),
                name.group(2),
                _types(inputs),
                tuple(nodes),
                _largest_first(constants),
                _types(outputs),
            )
        )
    return layers


def _types(part: re.Match[str] | None) -> tuple[str, ...]:
    return tuple(re.findall(r"Datatype: (\w+)", part.group(1))) if part else ()


def _largest_first(part: re.Match[str] | None) -> tuple[str, ...]:
    if part is None:
        return ()
    found = re.findall(r"Dimensions: \[([\d,]*)\][^{}]*?Datatype: (\w+)", part.group(1))
    sizes = [(math.prod(int(n) for n in dims.split(",") if n), kind) for dims, kind in found]
    return tuple(kind for size, kind in sorted(sizes, key=lambda one: -one[0]) if size > 1)


def compute_types(layers: Sequence[EngineLayer], products: Iterable[str]) -> dict[str, list[str]]:
    """The nodes that multiply, by the type in which the engine's layer for them multiplies.

    A node that no layer names is listed under "unknown": it was merged with another or the listing changed.
    """
    by_type: dict[str, list[str]] = {}
    for node in products:
        candidates = [layer for layer in layers if node in layer.nodes and layer.input_types]
        multiplying = [c for c in candidates if c.kind.lower().startswith(_MULTIPLYING)]
        if not multiplying:
            # In a layer that works value by value, the product is where its weight is.
            multiplying = [c for c in candidates if _holds_product(c)]
        # What prepares a node's input comes before the layer that computes it.
        chosen = (multiplying or candidates)[-1:]
        kind = _multiplies_in(chosen[0]) if chosen else "unknown"
        by_type.setdefault(kind, []).append(node)
    return by_type


def _holds_product(layer: EngineLayer) -> bool:
    """Whether the name of a pointwise layer says that it multiplies and adds up: "MulSum"."""
    return any(word in layer.name for word in ("MulSum", "Corr", "gemm"))


def _multiplies_in(layer: EngineLayer) -> str:
    """The type that a layer multiplies in.

    That of its data, but where casts are part of the layer: data that is cast to its weight's narrower type
    on the way in counts by the weight, as does quantised data that meets a wide weight. Without a weight, it
    counts by what it makes.
    """
    data = _float_first(layer.input_types)
    casts = _NARROWING.search(layer.name) is not None
    if layer.constant_types:
        weight = _name(layer.constant_types[0])
        if weight not in _BITS or data not in _BITS:
            return data
        if _BITS[weight] > _BITS[data] or (casts and layer.kind.lower() == "kgen"):
            return weight
        return data
    made = _float_first(layer.output_types) if layer.output_types else data
    return made if casts and _BITS.get(made, 32) < _BITS.get(data, 32) else data


def _name(raw: str) -> str:
    return _TYPE_NAMES.get(raw.lower(), raw.lower())


def _float_first(types: Sequence[str]) -> str:
    """The first type that products are computed in, as indices and masks may come before the data."""
    named = [_name(raw) for raw in types]
    return next((kind for kind in named if kind in _BITS), named[0])
