"""How claims are decided: one kind of question per file; importing this package registers them all.

None of them imports torch, numpy or onnx before it is called.
"""

from __future__ import annotations

from deploykit.claims.checks import multipliers, parameters, receptive_field

__all__ = ["multipliers", "parameters", "receptive_field"]
