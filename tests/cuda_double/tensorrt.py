"""TensorRT's runtime over the double: engines that the real builder built are computed by ONNX Runtime.

`patch` replaces `Runtime` of a real TensorRT module, and lets its parser and builder note which network a plan was
built from. An engine reads and writes the device memory at the addresses that it is given, when its stream comes to
it, and takes memory for its weights and its context.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import cuda_double

#: Folder in which networks lie by the digest of the plan that was built from them; child processes read it too.
FOLDER = "CUDA_DOUBLE_ENGINES"
MODULES = ("tensorrt_rtx", "tensorrt")
#: What the runtime of the double is to refuse, by name of the method, joined by commas.
REFUSE = "CUDA_DOUBLE_REFUSE"


def _refused(name: str) -> bool:
    return name in os.environ.get(REFUSE, "").split(",")


def _place(plan: bytes) -> Path:
    return Path(os.environ[FOLDER]) / f"{hashlib.sha256(plan).hexdigest()}.onnx"


def patch(module: Any) -> None:
    """Put the double's runtime into a TensorRT module that has just been imported."""
    sources: dict[int, bytes] = {}
    real_parser, real_builder, real_runtime = module.OnnxParser, module.Builder, module.Runtime

    class OnnxParser:
        def __init__(self, network: Any, log: Any) -> None:
            self._real, self._network = real_parser(network, log), id(network)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def parse(self, source: bytes, *path: Any) -> bool:
            sources[self._network] = bytes(source)
            return bool(self._real.parse(source, *path))

    class Builder:
        def __init__(self, log: Any) -> None:
            self._real = real_builder(log)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            plan = self._real.build_serialized_network(network, config)
            if plan is not None and FOLDER in os.environ:
                place = _place(bytes(plan))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(sources[id(network)])
            return plan

    class Runtime:
        def __init__(self, log: Any) -> None:
            self._real = real_runtime(log)

        def get_engine_validity(self, plan: bytes) -> Any:
            return self._real.get_engine_validity(plan)

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if _refused("deserialize_cuda_engine") or not _place(bytes(plan)).exists():
                return None
            return Engine(module, _place(bytes(plan)), len(plan))

    module.OnnxParser, module.Builder, module.Runtime = OnnxParser, Builder, Runtime


class _Memory:
    """Device memory that a library takes for itself and gives back with the object that holds it."""

    def __init__(self, nbytes: int) -> None:
        double = cuda_double.current
        assert double is not None
        self._double, self.address = double, double.take(nbytes)

    def __del__(self) -> None:
        if self.address:
            self._double.give(self.address)


class Engine:
    """A network with an optimisation profile, on the device."""

    def __init__(self, module: Any, path: Path, nbytes: int) -> None:
        import onnxruntime

        self.module, self._memory = module, _Memory(nbytes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        self.outputs = {one.name: one for one in self.session.get_outputs()}
        self.num_io_tensors = len(self.inputs) + len(self.outputs)
        self.num_optimization_profiles, self.num_layers = 1, 1
        self.device_memory_size_v2 = nbytes

    def _tensor(self, name: str) -> Any:
        return self.inputs.get(name) or self.outputs[name]

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_mode(self, name: str) -> Any:
        mode = self.module.TensorIOMode
        return mode.INPUT if name in self.inputs else mode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else -1 for d in self._tensor(name).shape)

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = {
            "tensor(float)": "FLOAT",
            "tensor(float16)": "HALF",
            "tensor(bfloat16)": "BF16",
            "tensor(int32)": "INT32",
            "tensor(int64)": "INT64",
            "tensor(int8)": "INT8",
            "tensor(bool)": "BOOL",
        }
        return getattr(self.module.DataType, kinds[self._tensor(name).type])

    def create_execution_context(self, *arguments: Any) -> Any:
        return None if _refused("create_execution_context") else Context(self)


class Context:
    """Shapes and addresses of the next run; both count when it is enqueued."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self._memory = engine, _Memory(2**20)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Any) -> bool:
        declared = self.engine.get_tensor_shape(name)
        shape = tuple(int(size) for size in shape)
        fits = len(shape) == len(declared) and all(
            d in (-1, s) for d, s in zip(declared, shape, strict=True)
        )
        if _refused("set_input_shape") or not fits:
            return False
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        declared = self.engine.get_tensor_shape(name)
        if name in self.engine.inputs:
            return self.shapes.get(name, declared)
        first = next(iter(self.shapes.values()), (1,))
        return tuple(first[0] if size == -1 else size for size in declared)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = int(address)
        return not _refused("set_tensor_address")

    def execute_async_v3(self, stream_handle: int) -> bool:
        import numpy as np

        double = cuda_double.current
        assert double is not None
        if _refused("execute_async_v3"):
            return False
        places = {}
        for name in [*self.engine.inputs, *self.engine.outputs]:
            kind = np.dtype(self.engine.module.nptype(self.engine.get_tensor_dtype(name)))
            shape = self.get_tensor_shape(name)
            size = int(np.prod(shape)) * kind.itemsize
            places[name] = (self.addresses[name], size, kind, shape)

        def compute() -> None:
            seen = {
                name: double.view(address, size).view(kind).reshape(shape)
                for name, (address, size, kind, shape) in places.items()
            }
            found = self.engine.session.run(None, {name: seen[name] for name in self.engine.inputs})
            for name, values in zip(self.engine.outputs, found, strict=True):
                seen[name][...] = values

        uses = [(address, size) for address, size, _, _ in places.values()]
        double.launch(stream_handle, "engine", compute, uses)
        return True


class PatchOnImport(importlib.abc.MetaPathFinder):
    """Patches a TensorRT module as soon as somebody imports it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in MODULES:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_patch(module: Any) -> None:
            load(module)
            patch(module)

        spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec
