"""How claims are decided: one kind of question per file; importing this package registers every check.

None of them imports torch, numpy or onnx before it is called.
"""

from __future__ import annotations

from deploykit.claims.checks import (
    computations,
    costs,
    layers,
    linear,
    multipliers,
    stacks,
    structure,
)

__all__ = [
    "computations",
    "costs",
    "layers",
    "linear",
    "multipliers",
    "stacks",
    "structure",
]
