"""Running small graphs of one input "x" as they stand, with no optimisation."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)


def run(model: onnx.ModelProto) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": X})[0])
