"""fp32: the graph as it was exported."""

from __future__ import annotations

from typing import Any

import onnx

from deploykit.errors import UsageError
from deploykit.graph.calibration import Calibration
from deploykit.graph.precision.keep import KeepRules


def transform(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Change nothing. Rules on what to keep in float32 are refused: they would mean nothing."""
    if keep.nodes or keep.op_types:
        raise UsageError(
            "fp32 keeps every layer in float32; give layers to keep with another precision"
        )
    return {}
