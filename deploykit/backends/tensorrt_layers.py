r"""What a TensorRT engine computes in, from its list of layers.

There are two sources of one list: the inspector of an engine that is loaded, in JSON, and one message of the log of
its build, in lines of text. With detailed verbosity both have every layer with the types of its inputs, constants
and outputs and, as metadata, the ONNX nodes that it was made from. A layer can hold several nodes: the product with
the cast of its input, with what comes after it, with another product of the same input.

How a type is written changed twice. Up to 10.3 it is within a sentence ("Thirty-two wide channel vectorized row
major Int8 format"); from 10.4 a word ("Format/Datatype: Int8"); from 11, and in TensorRT for RTX, a field of its
own ("Datatype: Int8, Format: ..."), and constants are no longer among the inputs. Control characters separate the
metadata of nodes: \x1e between groups that were fused, \x1f within one.

Of an engine with open sizes, an inspector that was given no shapes says "N/A due to dynamic shapes" instead of the
types of tensors; those of weights it says all the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_TYPE_NAMES = {
    "float": "fp32",
    "fp32": "fp32",
    "half": "fp16",
    "fp16": "fp16",
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
#: What the kinds of layers that multiply have in their names, such as CaskGemmConvolution; a node can appear in
#: others too (a cast or re-layout of its input).
_MULTIPLYING = re.compile(
    r"correlation|conv(?!er)|gemm|matmul|matrix_?mult|^matrix|fusion", re.IGNORECASE
)
#: How the name of a layer that casts or quantises says so: it lists what the layer does, one after the other.
_NARROWING = re.compile(r"Cast|Roun|Quant", re.IGNORECASE)
#: How the name of a pointwise layer says that it multiplies and adds up.
_PRODUCT = re.compile(r"MulSum|Corr|gemm")


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
    """The layers of a listing, as the log or the inspector gives it; what is not understood is passed over."""
    if not listing.lstrip().startswith("{"):
        # Not by str.splitlines, which also splits at the control characters between metadata.
        return [layer for line in listing.split("\n") if (layer := _from_line(line)) is not None]
    try:
        # Not strictly: what separates the metadata of nodes are control characters, here and there unescaped.
        layers = json.loads(listing, strict=False)["Layers"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    # Without detailed verbosity, layers are their names alone.
    found = (
        [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    )
    return [_from_fields(layer) for layer in found]


#: A list of tensors, each in braces.
_TENSORS = r"\b{}: \[(\]| ?\{{.*?\}} ?\])(?=, |$)"


def _from_line(line: str) -> EngineLayer | None:
    head = re.match(r"\s*Name: (.*?), LayerType: (\w*)", line)
    if head is None:
        return None
    fields: dict[str, Any] = {"Name": head[1], "LayerType": head[2]}
    for part in ("Inputs", "Constants", "Outputs"):
        listed = re.search(_TENSORS.format(part), line)
        if listed is not None:
            tensors = re.findall(r"\{ ?(Name: .*?) ?\}(?=, \{| ?\])", listed[1])
            fields[part] = [_tensor(tensor) for tensor in tensors]
    for part in ("Weights", "Bias"):
        constant = re.search(rf'\b{part}: \{{"Type": "(\w+)", "Count": (\d+)\}}', line)
        if constant is not None:
            fields[part] = {"Type": constant[1], "Count": int(constant[2])}
    fields["Metadata"] = line.rpartition("Metadata: ")[2]
    return _from_fields(fields)


def _tensor(text: str) -> dict[str, Any]:
    """One tensor of a line as the inspector's fields."""
    name = re.match(r"Name: (.*?)(?=, (?:Location|Dimensions|Strides|Format|Data[tT]ype)|$)", text)
    dimensions = re.search(r"Dimensions: \[([-\d,]*)\]", text)
    kind = re.search(r"\bData[tT]ype: ([^,]*)", text)
    return {
        "Name": name[1] if name else "",
        "Dimensions": [int(n) for n in re.findall(r"-?\d+", dimensions[1])] if dimensions else [],
        "Datatype": kind[1] if kind else "",
    }


#: How names say that a tensor among the inputs is a constant: lists of before 11 tell it in no other way.
_CONSTANT = re.compile(
    r"^__mye\d+_?d?const(?![a-z])|_dconst|constant(?:Float|Half|BFloat16|Int\d+|FP8|FP4)|const-lit|"
    r"_(?:alpha|beta)(?:_myl\d+)?$"
)


def _from_fields(fields: dict[str, Any]) -> EngineLayer:
    inputs = _tensors(fields, "Inputs")
    constants = _tensors(fields, "Constants")
    if "Constants" not in fields:
        constants = [tensor for tensor in inputs if _CONSTANT.search(tensor[0])]
        inputs = [tensor for tensor in inputs if not _CONSTANT.search(tensor[0])]
    for part in ("Weights", "Bias"):
        constant = fields.get(part)
        if isinstance(constant, dict) and isinstance(constant.get("Count"), int):
            constants.append((part, constant["Count"], _word(constant.get("Type"))))
    largest = sorted(constants, key=lambda constant: -constant[1])
    # Of a node in a body, the body and the node around it follow its name: "a | then (then_branch) | b (If)".
    named = re.findall(
        r"\[ONNX Layer: (.*?)\](?=[\x1e\x1f\[\s]|$)", str(fields.get("Metadata", ""))
    )
    return EngineLayer(
        str(fields.get("Name", "")),
        str(fields.get("LayerType", "")),
        tuple(kind for _, _, kind in inputs if kind),
        tuple(re.sub(r" \| \S.*\)$", "", name) for name in named),
        tuple(kind for _, size, kind in largest if size > 1 and kind),
        tuple(kind for _, _, kind in _tensors(fields, "Outputs") if kind),
    )


def _tensors(fields: dict[str, Any], part: str) -> list[tuple[str, int, str]]:
    """Name, number of values and type of each tensor of a part; free dimensions count as one."""
    listed = fields.get(part)
    found = []
    for tensor in listed if isinstance(listed, list) else []:
        if isinstance(tensor, dict):
            dimensions = tensor.get("Dimensions")
            sizes = (
                [n for n in dimensions if isinstance(n, int)]
                if isinstance(dimensions, list)
                else []
            )
            written = tensor.get("Datatype", tensor.get("Format/Datatype"))
            found.append((str(tensor.get("Name", "")), abs(math.prod(sizes)), _word(written)))
    return found


def _word(written: object) -> str:
    """The word for the type in how it is written: itself, or one of a sentence's words; "" where none is told."""
    text = str(written or "")
    if text.startswith("N/A"):
        return ""
    words = re.findall(r"\w+", text)
    known = [word for word in words if word.lower() in _TYPE_NAMES]
    return known[0] if known else next(iter(words), "")


def computing_layer(layers: Sequence[EngineLayer], node: str) -> EngineLayer | None:
    """The layer that computes a node that multiplies; None where none names it and tells its types.

    What prepares the node's input names it too, and so does what adds its bias or rounds what it makes.
    """
    candidates = [layer for layer in layers if node in layer.nodes and _tells(layer)]
    multiplying = [c for c in candidates if _MULTIPLYING.search(c.kind)]
    if not multiplying:
        # In a layer that works value by value, the product is where its weight is.
        multiplying = [c for c in candidates if _holds_product(c)]
    # What prepares a node's input comes before the layer that computes it.
    return next(reversed(multiplying or candidates), None)


def compute_types(layers: Sequence[EngineLayer], products: Iterable[str]) -> dict[str, list[str]]:
    """The nodes that multiply, by the type in which the engine's layer for them multiplies.

    A node that no layer names is listed under "unknown": it was merged with another or the listing changed.
    """
    by_type: dict[str, list[str]] = {}
    for node in products:
        layer = computing_layer(layers, node)
        kind = "unknown" if layer is None else _multiplies_in(layer)
        by_type.setdefault(kind, []).append(node)
    return by_type


def placed_nodes(layers: Sequence[EngineLayer], products: Iterable[str]) -> list[list[str]]:
    """Name, kind and nodes of each layer, in their order; a product is only with the layer that computes it."""
    computed_by = {node: computing_layer(layers, node) for node in products}

    def is_at(node: str, layer: EngineLayer) -> bool:
        computing = computed_by.get(node)
        return computing is None or computing is layer

    return [
        [layer.name, layer.kind, *(node for node in layer.nodes if is_at(node, layer))]
        for layer in layers
    ]


def told_by(
    listings: Iterable[Sequence[EngineLayer]], products: Iterable[str]
) -> dict[str, list[str]]:
    """As `compute_types`, of several lists of one engine: for each node the first that tells a type of products.

    Where none does, what the first of them says.
    """
    wanted = list(products)
    each = []
    for layers in listings:
        found = compute_types(layers, wanted)
        each.append({node: kind for kind, nodes in found.items() for node in nodes})
    by_type: dict[str, list[str]] = {}
    for node in wanted if each else ():
        kinds = [kinds[node] for kinds in each]
        kind = next((kind for kind in kinds if kind in FLOAT_OR_QUANTISED), kinds[0])
        by_type.setdefault(kind, []).append(node)
    return by_type


def unnamed_type(layers: Sequence[EngineLayer]) -> str | None:
    """The widest type that layers multiply in which name no node; None where there are none.

    A recurrent node becomes layers for each step, and with some none of them bears its name.
    """
    kinds = {
        _multiplies_in(layer)
        for layer in layers
        if not layer.nodes
        and _tells(layer)
        and (_MULTIPLYING.search(layer.kind) or _holds_product(layer))
    }
    return max(kinds & FLOAT_OR_QUANTISED, key=lambda kind: (_BITS[kind], kind), default=None)


def _tells(layer: EngineLayer) -> bool:
    """Whether types are told of a layer: of its inputs, or, where shapes were open, of its weights alone."""
    weighs = bool(layer.constant_types) and _MULTIPLYING.search(layer.kind) is not None
    return bool(layer.input_types) or weighs


def _holds_product(layer: EngineLayer) -> bool:
    """Whether the name of a pointwise layer says that it multiplies and adds up: "MulSum"."""
    return _PRODUCT.search(layer.name) is not None


def _multiplies_in(layer: EngineLayer) -> str:
    """The type that a layer multiplies in.

    That of its data, but where casts are part of the layer: data that is cast to its weight's narrower type
    on the way in counts by the weight, as does quantised data that meets a wide weight. Without a weight, it
    counts by what it makes, unless it quantises that: what is rounded to 8 bits was multiplied before. What is
    cast or rounded behind the product changes nothing of the product.
    """
    if not layer.input_types:
        return _name(layer.constant_types[0])
    data = _float_first(layer.input_types)
    casts = _NARROWING.search(_PRODUCT.split(layer.name, 1)[0]) is not None
    if layer.constant_types:
        weight = _name(layer.constant_types[0])
        if weight not in _BITS or data not in _BITS:
            return data
        if _BITS[weight] > _BITS[data] or (casts and layer.kind.lower() == "kgen"):
            return weight
        return data
    made = _float_first(layer.output_types) if layer.output_types else data
    return made if casts and 8 < _BITS.get(made, 32) < _BITS.get(data, 32) else data


def _name(raw: str) -> str:
    return _TYPE_NAMES.get(raw.lower(), raw.lower())


def _float_first(types: Sequence[str]) -> str:
    """The first type that products are computed in, as indices and masks may come before the data."""
    named = [_name(raw) for raw in types]
    return next((kind for kind in named if kind in _BITS), named[0])
