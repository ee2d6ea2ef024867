"""bf16: weights and activations in bfloat16, BatchNorm folded first; inputs and outputs stay float32.

BatchNorm is folded because eight bits of mantissa are too few for its statistics, and because TensorRT
then finds plain convolutions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import onnx

from deploykit.graph.calibration import Calibration
from deploykit.graph.folding import fold_batchnorm, remove_passing_nodes
from deploykit.graph.precision.half import to_half
from deploykit.graph.precision.keep import KeepRules
from deploykit.graph.precision.opsets import raise_opset

#: From this opset on convolutions and pooling have a bfloat16 form.
OPSET_BF16 = 22


def transform(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Write the graph in bfloat16, in place; see `half.to_half`. Calibration is not used."""
    facts = raise_opset(model, OPSET_BF16, "bf16")
    remove_passing_nodes(model)
    facts["nodes_folded"] = fold_batchnorm(model)
    # TensorRT has no transposed convolution in bfloat16, and fails on one rather than choosing another.
    wider = replace(keep, op_types=(*keep.op_types, "ConvTranspose"))
    return facts | to_half(model, onnx.TensorProto.BFLOAT16, wider)
