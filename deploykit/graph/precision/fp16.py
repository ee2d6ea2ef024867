"""fp16: weights and activations in IEEE half precision; inputs and outputs of the graph stay float32."""

from __future__ import annotations

from typing import Any

import onnx

from deploykit.graph.calibration import Calibration
from deploykit.graph.folding import remove_passing_nodes
from deploykit.graph.precision.half import to_half
from deploykit.graph.precision.keep import KeepRules


def transform(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Write the graph in float16, in place; see `half.to_half`. Calibration is not used."""
    remove_passing_nodes(model)
    return to_half(model, onnx.TensorProto.FLOAT16, keep)
