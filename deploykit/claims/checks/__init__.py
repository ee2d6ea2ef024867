"""How claims are decided: one kind of question per file; importing this package registers them all.

None of them imports torch, numpy or onnx before it is called.
"""

from __future__ import annotations

from deploykit.claims.checks import (
    attention,
    blueprint,
    comparisons,
    dense,
    heads,
    lenet,
    multipliers,
    normalisation,
    parameters,
    published,
    receptive_field,
    residual,
    resolution,
    separable,
    shares,
    stacks,
    structure,
    xor,
)

__all__ = [
    "attention",
    "blueprint",
    "comparisons",
    "dense",
    "heads",
    "lenet",
    "multipliers",
    "normalisation",
    "parameters",
    "published",
    "receptive_field",
    "residual",
    "resolution",
    "separable",
    "shares",
    "stacks",
    "structure",
    "xor",
]
