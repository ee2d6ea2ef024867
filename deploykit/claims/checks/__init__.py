"""How claims are decided: one kind of question per file; importing this package registers every check.

None of them imports torch, numpy or onnx before it is called.
"""

from __future__ import annotations

from deploykit.claims.checks import (
    activations,
    blocks,
    computations,
    costs,
    counted,
    exported,
    gradients,
    identities,
    layers,
    linear,
    listing,
    multipliers,
    normalisation,
    quantised,
    rows,
    stacks,
    structure,
    trained,
    wired,
)

__all__ = [
    "activations",
    "blocks",
    "computations",
    "costs",
    "counted",
    "exported",
    "gradients",
    "identities",
    "layers",
    "linear",
    "listing",
    "multipliers",
    "normalisation",
    "quantised",
    "rows",
    "stacks",
    "structure",
    "trained",
    "wired",
]
