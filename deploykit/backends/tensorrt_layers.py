"""What a TensorRT engine computes in, read from the layer listing of its build log.

Deserialising an engine needs a GPU; the build log does not. With detailed verbosity it has one message that
lists every layer with the types of its inputs and, as metadata, the ONNX nodes it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
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


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine: its name, kind, types of its inputs, and the ONNX nodes in it."""

    name: str
    kind: str
    input_types: tuple[str, ...]
    nodes: tuple[str, ...]


def named_model(path: Path) -> tuple[bytes, list[str]]:
    """The graph's bytes with every node named, and the names of those that multiply.

    The listing can only tell which layer came from which node if the nodes have names.
    """
    model = onnx.load(str(path))
    renamed = False
    for index, node in enumerate(model.graph.node):
        if not node.name:
            node.name, renamed = f"{node.op_type}_{index}", True
    products = [node.name for node in model.graph.node if node.op_type in _PRODUCTS]
    return (bytes(model.SerializeToString()) if renamed else path.read_bytes()), products


def parse_layers(listing: str) -> list[EngineLayer]:
    """The layers of a listing; lines that are not understood are passed over."""
    layers = []
    for line in listing.splitlines():
        name = re.match(r"Name: (.*?), LayerType: (\w*)", line)
        if name is None:
            continue
        inputs = re.search(r"Inputs: \[(.*?)\], (?:Constants|Outputs):", line)
        types = re.findall(r"Datatype: (\w+)", inputs.group(1)) if inputs else []
        nodes = re.findall(r"\[ONNX Layer: ([^\]]*)\]", line)
        layers.append(EngineLayer(name.group(1), name.group(2), tuple(types), tuple(nodes)))
    return layers


def compute_types(layers: Sequence[EngineLayer], products: Iterable[str]) -> dict[str, list[str]]:
    """The nodes that multiply, by the type in which the engine's layer for them takes its data.

    A node that no layer names is listed under "unknown": it was folded away or the listing changed.
    """
    found: dict[str, list[str]] = {}
    for node in products:
        candidates = [layer for layer in layers if node in layer.nodes and layer.input_types]
        multiplying = [c for c in candidates if c.kind.lower().startswith(_MULTIPLYING)]
        if candidates:
            # What prepares a node's input comes before the layer that computes it.
            raw = (multiplying or candidates)[-1].input_types[0].lower()
            kind = _TYPE_NAMES.get(raw, raw)
        else:
            kind = "unknown"
        found.setdefault(kind, []).append(node)
    return found
