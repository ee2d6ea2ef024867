"""A backend of another package: a target of its own, with a precision that nothing else has.

Its entry point is the only thing that is registered; see `test_plugin_backend.py`.
"""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import onnx

from deploykit import env
from deploykit.backends.base import BackendBase
from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.graph.precision import find_recipe
from deploykit.graph.recipes import PrecisionRecipe


def eighths(model, rules, calibration):
    """Round every weight of two dimensions or more to eighths."""
    changed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            rounded = np.round(onnx.numpy_helper.to_array(tensor) * 8) / 8
            tensor.CopyFrom(onnx.numpy_helper.from_array(rounded.astype(np.float32), tensor.name))
            changed += 1
    return {"rounded": changed}


class Board(BackendBase):
    name = "board"
    target = "board-npu"
    filename = "engine.onnx"

    def recipes(self):
        return (
            dataclasses.replace(find_recipe("fp32", "cpu"), targets=(self.target,)),
            PrecisionRecipe("eighths", (self.target,), "weights in eighths", False, eighths),
        )

    def available(self):
        return None

    def device(self):
        return env.device_name()

    def version(self):
        return "1.5"

    def build(self, model, options, path):
        shutil.copyfile(model.path, path)
        graph = onnx.load(str(path)).graph
        products = [node.name for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
        return {"compute_types": {model.precision: products}}

    def open(self, engine, threads, run_pass):
        return OnnxRuntimeSession(engine.path, threads, optimise=True)
