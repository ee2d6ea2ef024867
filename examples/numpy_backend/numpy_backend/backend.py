"""A backend that runs graphs with ONNX's reference evaluator, which computes each node with NumPy."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from deploykit.backends.base import BackendBase, Bound, SessionBase
from deploykit.env import device_name, package_version
from deploykit.errors import BuildFailed
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, TensorSpec

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class NumpyBackend(BackendBase):
    """Stores the graph as it is, and evaluates it node by node."""

    name = "numpy"
    target = "cpu"  # whose precision recipes it takes
    filename = "engine.onnx"
    precisions = ("fp32",)  # of those that the target has

    def available(self) -> Reason | None:
        """Whether engines can be built here: the evaluator comes with onnx."""
        return None

    def device(self) -> str | Reason:
        """What engines run on."""
        return device_name()

    def version(self) -> str:
        """The version of what runs the graphs; another one makes other engines."""
        return package_version("onnx") or "unknown"

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Write the engine to `path` and read back what it computes in."""
        shutil.copyfile(model.path, path)
        try:
            ReferenceEvaluator(str(path))
        except Exception as error:
            raise BuildFailed(
                f"the reference evaluator refuses {model.spec.label}: {error}"
            ) from error
        graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
        values = {value.name: value for value in (*graph.value_info, *graph.output)}
        types: dict[str, list[str]] = {}
        for node in graph.node:
            if node.op_type in PRODUCTS:
                dtype = _spec(values[node.output[0]]).dtype
                types.setdefault("fp32" if dtype == "float32" else dtype, []).append(node.name)
        return {"compute_types": types}

    def usage(self, model: OnnxModel, options: BuildOptions) -> str:
        """Python that runs an engine without deploykit; without this method `build -o` refuses the backend."""
        return (
            "from onnx.reference import ReferenceEvaluator\n"
            f'print(ReferenceEvaluator("{self.filename}").input_names)\n'
        )

    def open(self, engine: Engine, threads: int | None, run_pass: str) -> SessionBase:
        """Load an engine."""
        return NumpySession(engine)


class NumpySession(SessionBase):
    """One loaded graph."""

    def __init__(self, engine: Engine) -> None:
        self._evaluator = ReferenceEvaluator(str(engine.path))
        graph = self._evaluator.proto_.graph
        self.inputs = tuple(map(_spec, graph.input))
        self.outputs = tuple(map(_spec, graph.output))

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once and return every output by name; not timed."""
        values = self._evaluator.run(None, dict(feeds))
        return {spec.name: np.asarray(v) for spec, v in zip(self.outputs, values, strict=True)}

    def bind(self, feeds: Mapping[str, np.ndarray]) -> Bound:
        """Make one set of inputs ready; all that `Bound.run(Bound.argument)` does is timed."""
        arrays = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        return Bound(lambda given: self._evaluator.run(None, given), arrays)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value or dim.dim_param or None for dim in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(value.name, shape, str(dtype))
