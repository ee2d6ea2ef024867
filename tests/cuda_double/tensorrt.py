"""TensorRT as a double: its names come from the recorded surfaces, and its engines compute with ONNX Runtime.

`package` makes a module with the classes, enumerations and members that one release of the bindings has, and no
others: a name that is not recorded is an AttributeError, as with the real package. What is behind a few of them is
written here; the rest raises. A plan is the graph itself with a header; the runtime loads it on the double of CUDA,
and an execution context computes over the device addresses that it is given, in stream order, when something waits.

`patch` leaves the parser and builder of a real module in place, notes which network each plan was built from, and
puts the runtime of the double behind it.
"""

from __future__ import annotations

import enum
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cuda_double

SURFACES = Path(__file__).parents[1] / "surfaces"
#: Folder in which networks lie by the digest of the plan that was built from them; child processes read it too.
FOLDER = "CUDA_DOUBLE_ENGINES"
MODULES = {"tensorrt_rtx": "tensorrt-rtx-1.7", "tensorrt": "tensorrt-11.4"}
#: What the runtime of the double is to refuse, by name of the method, joined by commas; for child processes, too.
REFUSE = "CUDA_DOUBLE_REFUSE"
#: Whether its inspector says anything; for child processes, too.
INSPECTOR = "CUDA_DOUBLE_INSPECTOR"
_MAGIC = b"TensorRT double\n"
_ELEMENTS = {
    1: "FLOAT",
    10: "HALF",
    16: "BF16",
    17: "FP8",
    3: "INT8",
    2: "UINT8",
    6: "INT32",
    7: "INT64",
    9: "BOOL",
    23: "FP4",
}
_LISTED = {"FLOAT": "Float", "HALF": "Half", "INT8": "Int8", "BF16": "BFloat16"}


def _cuda() -> Any:
    """The double of this process; in one that has not imported CUDA's bindings it is put under them now."""
    return cuda_double.current or cuda_double.install(cuda_double.settings_of_environment())


class Failures:
    """What a test lets go wrong, by the name of the call that then answers false, None or nothing.

    `compiling` is called whenever TensorRT for RTX compiles.
    """

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.compiling: Callable[[], object] = lambda: None
        self.calls: list[str] = []

    def refuses(self, name: str) -> bool:
        self.calls.append(name)
        return name in self.refused or name in os.environ.get(REFUSE, "").split(",")


def package(surface: str) -> Any:
    """A module that offers what a surface records.

    Raises:
        AssertionError: the double has a name that the surface lacks.
    """
    recorded = _recorded(surface)
    ((name, offered),) = recorded["modules"].items()
    module: Any = types.ModuleType(name)
    module.__version__ = recorded["version"]
    module.failures = Failures()
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.rtx = name == "tensorrt_rtx"
    for enumeration, members in offered["enums"].items():
        made = enum.Enum(enumeration.rpartition(".")[2], members)
        made.__int__ = lambda member: member.value
        if "." not in enumeration:
            setattr(module, enumeration, made)
        else:
            offered.setdefault("nested", {})[enumeration] = made
    for one, facts in offered["classes"].items():
        setattr(module, one, _class(module, one, facts, offered))
    for one, signatures in offered["functions"].items():
        assert signatures
        setattr(module, one, _unplayed(one))
    module.init_libnvinfer_plugins = lambda logger, namespace: (
        not module.failures.refuses("init_libnvinfer_plugins")
    )
    return module


def _recorded(surface: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((SURFACES / f"{surface}.json").read_text())
    return recorded


def _class(module: Any, name: str, facts: dict[str, Any], offered: dict[str, Any]) -> type:
    """A class with the recorded methods and properties; those of `_Played` of its name do something."""
    played = (_rtx_only() if module.rtx else {}).get(name) or vars(_Played).get(name)
    own: dict[str, Any] = {}
    for base in reversed(played.__mro__[:-1] if played else ()):
        own |= vars(base)
    recorded = {*facts["methods"], *facts["properties"], *facts["constants"]}
    made_up = {key for key in own if not key.startswith("_")} - recorded
    assert not made_up, f"{module.__name__}.{name} has no {made_up}"
    body: dict[str, Any] = {method: _unplayed(f"{name}.{method}") for method in facts["methods"]}
    left_out = ("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__")
    body |= {key: value for key, value in own.items() if key not in left_out}
    body["_module"] = module
    allowed = {key for key, kind in facts["properties"].items() if kind.endswith("=")}

    def refuse(self: Any, key: str, value: Any) -> None:
        if not key.startswith("_") and key not in allowed and type(self).__module__ == __name__:
            raise AttributeError(f"{module.__name__}.{name} has no {key} to set")
        object.__setattr__(self, key, value)

    body["__setattr__"] = refuse
    made = type(name, (), body)
    for constant, kind in facts["constants"].items():
        severities = offered.get("nested", {}).get(kind)
        setattr(made, constant, severities[constant] if severities else constant)
    return made


def _inferred(graph: bytes, shapes: dict[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    """The shape of an output at these shapes of the inputs; -1 for what depends on values."""
    import onnx

    model = onnx.load_from_string(graph)
    for value in model.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
            dim.dim_value = size
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
    outputs = {one.name: one for one in onnx.shape_inference.infer_shapes(model).graph.output}
    dims = outputs[name].type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)


def _unplayed(name: str) -> Any:
    def call(self: Any = None, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError(f"the double does not play {name}")

    return call


class _HostMemory(bytes):
    """What is serialised; the real one is read through the buffer protocol, too."""

    nbytes = property(len)


class _Played:
    """What the double plays, class by class; only names that the surface has are allowed."""

    class ILogger:
        def __init__(self):
            pass

    class Logger:
        def __init__(self, min_severity=None):
            self._least = min_severity

        def log(self, severity, msg):
            pass

    class IProfiler:
        def __init__(self):
            pass

    class Builder:
        def __init__(self, logger):
            if self._module.failures.refuses("Builder"):
                logger.log(logger.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self._log = logger

        def create_network(self, flags=0):
            made = self._module.INetworkDefinition.__new__(self._module.INetworkDefinition)
            made._graph = None
            return made

        def create_builder_config(self):
            made = self._module.IBuilderConfig.__new__(self._module.IBuilderConfig)
            made._profiles, made._flags, made._cache, made._pools = [], set(), None, {}
            made._sources = 0
            return made

        def create_optimization_profile(self):
            made = self._module.IOptimizationProfile.__new__(self._module.IOptimizationProfile)
            made._shapes = {}
            return made

        def build_serialized_network(self, network, config):
            import onnx

            trt = self._module
            if trt.failures.refuses("build_serialized_network"):
                self._log.log(self._log.ERROR, "no tactics to implement the operation")
                return None
            model = onnx.load_from_string(network._graph)
            profile = config._profiles[0]._shapes if config._profiles else {}
            for value in model.graph.input:
                free = any(not d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
                if free and value.name not in profile:
                    self._log.log(self._log.ERROR, f"no optimization profile for {value.name}")
                    return None
            if config._cache is not None:
                config._cache._content += b"measured"
            self._log.log(self._log.VERBOSE, _listing(model))
            header = {
                "package": trt.__name__,
                "version": trt.__version__,
                "compute_capability": getattr(config, "_capability", None) or _capability(trt),
                "profile": profile,
                "host_code": trt.BuilderFlag.VERSION_COMPATIBLE in config._flags,
            }
            body = json.dumps(header).encode() + b"\n" + network._graph
            return _HostMemory(_MAGIC + str(len(body)).encode() + b"\n" + body)

    class OnnxParser:
        num_errors = 0

        def __init__(self, network, logger):
            self._network = network

        def parse(self, model, path=None):
            self._network._graph = bytes(model)
            return not self._module.failures.refuses("parse")

    class IBuilderConfig:
        def set_flag(self, flag):
            self._flags.add(flag)

        def clear_flag(self, flag):
            self._flags.discard(flag)

        def add_optimization_profile(self, profile):
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def set_memory_pool_limit(self, pool, pool_size):
            self._pools[pool] = pool_size

        def get_memory_pool_limit(self, pool):
            return self._pools[pool]

        def set_tactic_sources(self, tactic_sources):
            self._sources = tactic_sources
            return not self._module.failures.refuses("set_tactic_sources")

        def create_timing_cache(self, serialized_timing_cache):
            if serialized_timing_cache and not serialized_timing_cache.startswith(b"timing"):
                return None
            made = self._module.ITimingCache.__new__(self._module.ITimingCache)
            made._content = bytes(serialized_timing_cache) or b"timing "
            return made

        def set_timing_cache(self, cache, ignore_mismatch):
            self._cache = cache
            return True

        def get_timing_cache(self):
            return self._cache

    class ITimingCache:
        def serialize(self):
            return _HostMemory(self._content)

    class IOptimizationProfile:
        def set_shape(self, input, min, opt, max):
            if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
                raise ValueError(f"shape provided for {input} is inconsistent")
            self._shapes[input] = [list(map(int, one)) for one in (min, opt, max)]

    class Runtime:
        def __init__(self, logger):
            self._log = logger

        def deserialize_cuda_engine(self, serialized_engine):
            trt, log = self._module, self._log
            problem, header, graph = _read(trt, bytes(serialized_engine))
            if header.get("host_code") and not getattr(self, "engine_host_code_allowed", False):
                problem = "Engine host code is not allowed"
            if trt.failures.refuses("deserialize_cuda_engine"):
                problem = "out of memory"
            if problem:
                log.log(log.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {problem}")
                return None
            return _loaded(trt.ICudaEngine, header, graph, log)

    class ICudaEngine:
        def _load(self, header, graph, log):
            import onnx

            self._weights = _cuda().take(len(graph))
            self._header, self._graph, self._log = header, graph, log
            model = onnx.load_from_string(graph)
            self._nodes = [node.name for node in model.graph.node]
            stored = {one.name for one in model.graph.initializer}
            self._inputs = [v for v in model.graph.input if v.name not in stored]
            self._outputs = list(model.graph.output)
            self._values = {v.name: v for v in [*self._inputs, *self._outputs]}

        def __del__(self):
            if self._weights:
                _cuda().give(self._weights)

        @property
        def num_io_tensors(self):
            return len(self._values)

        def get_tensor_name(self, index):
            return list(self._values)[index]

        def get_tensor_shape(self, name):
            dims = self._values[name].type.tensor_type.shape.dim
            return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)

        def get_tensor_dtype(self, name):
            return getattr(
                self._module.DataType, _ELEMENTS[self._values[name].type.tensor_type.elem_type]
            )

        def get_tensor_mode(self, name):
            modes = self._module.TensorIOMode
            return modes.INPUT if name in {v.name for v in self._inputs} else modes.OUTPUT

        def get_tensor_location(self, name):
            return self._module.TensorLocation.DEVICE

        def get_tensor_profile_shape(self, name, profile_index):
            return self._header["profile"][name]

        @property
        def device_memory_size_v2(self):
            return 4 * cuda_double.MIB

        def create_engine_inspector(self):
            made = self._module.EngineInspector.__new__(self._module.EngineInspector)
            made._graph = self._graph
            return made

        def create_runtime_config(self):
            made = self._module.IRuntimeConfig.__new__(self._module.IRuntimeConfig)
            made._cache = None
            return made

        def create_execution_context(self, *given):
            trt = self._module
            assert bool(given) == trt.rtx, "TensorRT for RTX compiles as its runtime config says"
            made = trt.IExecutionContext.__new__(trt.IExecutionContext)
            if given:
                eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
                chosen = getattr(given[0], "dynamic_shapes_kernel_specialization_strategy", None)
                made._compile(given[0]) if chosen is eager else made._put_off(given[0])
            if trt.failures.refuses("create_execution_context") or not made._open(self):
                self._log.log(
                    self._log.ERROR, "Error Code 2: OutOfMemory (requested 4194304 bytes)"
                )
                return None
            return made

    class EngineInspector:
        execution_context = None

        def get_engine_information(self, format):
            if not os.environ.get(INSPECTOR):
                return ""  # so that the log of the build is read
            import onnx

            model, context = onnx.load_from_string(self._graph), self.execution_context
            known = set() if context is None else set(context._shapes)
            # As NVIDIA's header says of it: without a context that has all shapes, formats are not shown.
            hidden = not self._module.rtx and any(
                not d.HasField("dim_value") and value.name not in known
                for value in model.graph.input
                for d in value.type.tensor_type.shape.dim
            )
            return _inspected(model, HIDDEN if hidden else "Float")

    class IExecutionContext:
        profiler = None
        _late = None

        def _put_off(self, config):
            """Compile kernels as they are needed, in the middle of the runs."""
            self._late = config

        def _compile(self, config):
            self._module.failures.compiling()
            if config._cache is not None:
                config._cache._content += b"compiled"

        def _open(self, engine):
            self._engine, self._shapes, self._addresses = engine, {}, {}
            self._memory = _cuda().take(engine.device_memory_size_v2)
            return self._memory != 0

        def __del__(self):
            if self._memory:
                _cuda().give(self._memory)

        def set_input_shape(self, name, shape):
            failures = self._module.failures
            low, _, high = (
                self._engine._header["profile"].get(name)
                or [self._engine.get_tensor_shape(name)] * 3
            )
            fits = len(shape) == len(low) and all(
                a <= b <= c for a, b, c in zip(low, shape, high, strict=True)
            )
            if failures.refuses("set_input_shape") or not fits:
                log = self._engine._log
                log.log(log.ERROR, "Static dimension mismatch while setting input shape.")
                return False  # and the old shape stays
            self._shapes[name] = tuple(shape)
            return True

        def set_tensor_address(self, name, memory):
            self._addresses[name] = memory
            return not self._module.failures.refuses("set_tensor_address")

        def infer_shapes(self):
            if self._module.failures.refuses("infer_shapes"):
                log = self._engine._log
                log.log(log.ERROR, "reshape would change volume")
                raise RuntimeError("infer_shapes error code: -1")
            return [v.name for v in self._engine._inputs if v.name not in self._shapes]

        def get_tensor_shape(self, name):
            engine = self._engine
            if name in self._shapes:
                return self._shapes[name]
            symbols = {}
            for value in engine._inputs:
                dims = value.type.tensor_type.shape.dim
                for dim, size in zip(dims, self._shapes[value.name], strict=True):
                    if dim.dim_param:
                        symbols[dim.dim_param] = size
            dims = engine._values[name].type.tensor_type.shape.dim
            shape = tuple(
                d.dim_value if d.HasField("dim_value") else symbols.get(d.dim_param, -1)
                for d in dims
            )
            return _inferred(engine._graph, self._shapes, name) if -1 in shape else shape

        def execute_async_v3(self, stream_handle):
            engine, trt = self._engine, self._module
            if _cuda().captures(stream_handle) and trt.failures.refuses("capture"):
                engine._log.log(
                    engine._log.ERROR, "operation not permitted when stream is capturing"
                )
                return False
            if trt.failures.refuses("execute_async_v3") or set(engine._values) - set(
                self._addresses
            ):
                engine._log.log(engine._log.ERROR, "enqueueV3: Error Code 3: API Usage Error")
                return False
            if self._late is not None:
                self._compile(self._late)
            tensors = {n: (self._addresses[n], self.get_tensor_shape(n)) for n in engine._values}
            sizes = {
                n: _nbytes(trt, engine.get_tensor_dtype(n), s) for n, (_, s) in tensors.items()
            }
            uses = [(tensors[n][0], sizes[n]) for n in tensors]
            uses.append((self._memory, engine.device_memory_size_v2))
            cuda = _cuda()
            cuda.launch(
                stream_handle, "engine", lambda: _compute(cuda, engine, tensors, sizes), uses
            )
            cuda.calls.append("execute_async_v3")
            if self.profiler is not None:
                cuda.synchronise(stream_handle)
                for place, name in enumerate(engine._nodes):
                    self.profiler.report_layer_time(_layer_name(name, place), 0.5 + place)
            return True


def _loaded(kind: type, header: dict[str, Any], graph: bytes, log: Any) -> Any:
    """An engine on the device; None, with an error in the log, where there is no room for its weights."""
    made: Any = kind.__new__(kind)
    made._load(header, graph, log)
    if made._weights:
        return made
    log.log(log.ERROR, "IRuntime::deserializeCudaEngine: Error Code 2: OutOfMemory")
    return None


def _rtx_only() -> dict[str, type]:
    class Runtime(_Played.Runtime):
        def get_engine_validity(self, buffer):
            trt = self._module
            bits, validity = trt.EngineInvalidityDiagnostics, trt.EngineValidity
            problem, header, _ = _read(trt, bytes(buffer))
            found = 0
            if not header:
                found = bits.MALFORMED_ENGINE.value
            elif header["version"] != trt.__version__:
                found = bits.VERSION_MISMATCH.value
            elif problem:
                found = bits.UNSUPPORTED_CC.value
            return (validity.INVALID if problem else validity.VALID), found

    class IRuntimeConfig:
        def create_runtime_cache(self):
            made = self._module.IRuntimeCache.__new__(self._module.IRuntimeCache)
            made._content = b""
            return made

        def set_runtime_cache(self, cache=None):
            self._cache = cache
            return not self._module.failures.refuses("set_runtime_cache")

    class IRuntimeCache:
        def serialize(self):
            return _HostMemory(self._content)

        def deserialize(self, blob):
            self._content = bytes(blob)
            return True

    class IExecutionContext(_Played.IExecutionContext):
        def is_stream_capturable(self, stream):
            return not self._module.failures.refuses("is_stream_capturable")

    class IBuilderConfig(_Played.IBuilderConfig):
        num_compute_capabilities = 0

        def set_compute_capability(self, compute_capability, index):
            self._capability = f"{compute_capability.name[2:-1]}.{compute_capability.name[-1]}"
            return True

    made = (Runtime, IRuntimeConfig, IRuntimeCache, IExecutionContext, IBuilderConfig)
    return {one.__name__: one for one in made}


def _capability(trt: Any) -> str:
    """What an engine is built for where nobody says: the device, or for TensorRT for RTX whatever it supports."""
    return "any" if trt.rtx else _cuda().settings.visible()[0].compute_capability


def _read(trt: Any, plan: bytes) -> tuple[str, dict[str, Any], bytes]:
    """Why a plan does not load here, what it says of itself, and its graph."""
    length, _, body = plan.removeprefix(_MAGIC).partition(b"\n")
    if not plan.startswith(_MAGIC) or not length.isdigit() or len(body) != int(length):
        return "Serialization assertion plan->header.size == blobSize failed", {}, b""
    text, _, graph = body.partition(b"\n")
    header = json.loads(text)
    here = _cuda().settings.visible()[0].compute_capability
    built = header["compute_capability"]
    if header["package"] != trt.__name__:
        return "The plan is of another package", header, graph
    if header["version"] != trt.__version__:
        return "Version tag does not match", header, graph
    supported = [
        f"{m[2:-1]}.{m[-1]}"
        for m in getattr(trt, "ComputeCapability", enum.Enum("E", [])).__members__
    ]
    if (built != "any" and built != here) or (trt.rtx and here not in supported):
        return f"The engine was generated for compute {built}, got compute {here}", header, graph
    return "", header, graph


_KINDS = {"Conv": "conv", "Gemm": "gemm", "MatMul": "gemm"}


#: What inspectors say of tensors whose shapes nobody gave.
HIDDEN = "N/A due to dynamic shapes"


def _inspected(model: Any, kind: str) -> str:
    """The layers that `_listing` has, as the inspector of an engine gives them, their tensors of a type."""
    tensor = {
        "Name": "t",
        "Dimensions": [-1, 4],
        "Datatype": kind,
        "Format": "(Linear) Row major",
    }
    layers = [
        {
            "Name": _layer_name(node.name, place),
            "LayerType": _KINDS.get(node.op_type, "kgen"),
            "Inputs": [tensor],
            "Outputs": [tensor],
            "TacticName": "t",
            "StreamId": 0,
            "Metadata": f"[ONNX Layer: {node.name}]",
        }
        for place, node in enumerate(model.graph.node)
    ]
    return json.dumps({"Layers": layers, "Bindings": []})


def _listing(model: Any) -> str:
    """A layer for every node, as the build log has them; all in the type of the graph's weights."""
    lines = ["Layers:"]
    for place, node in enumerate(model.graph.node):
        tensor = "{ Name: t, Dimensions: [-1,4], Datatype: Float, Format: (Linear) Row major }"
        kind = _KINDS.get(node.op_type, "kgen")
        lines.append(
            f"Name: {_layer_name(node.name, place)}, LayerType: {kind}, Inputs: [ {tensor}], Constants: [], "
            f"Outputs: [ {tensor}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: {node.name}]"
        )
    return "\n".join(lines)


def _layer_name(node: str, place: int) -> str:
    return f"{node}_myl0_{place}"


def _nbytes(trt: Any, kind: Any, shape: tuple[int, ...]) -> int:
    from deploykit.backends.tensorrt_session import numpy_type

    return math.prod(shape) * numpy_type(trt, kind, "t").itemsize


def _compute(cuda: Any, engine: Any, tensors: dict[str, Any], sizes: dict[str, int]) -> None:
    """What the device does when it comes to the engine."""
    from deploykit.backends.tensorrt_session import numpy_type

    feeds = {}
    for name, (address, shape) in tensors.items():
        kind = numpy_type(engine._module, engine.get_tensor_dtype(name), name)
        feeds[name] = cuda.view(address, sizes[name]).view(kind).reshape(shape)
    outputs = {v.name: feeds.pop(v.name) for v in engine._outputs}
    if all(
        values.dtype.isbuiltin != 1 for values in feeds.values()
    ):  # ONNX Runtime's Python takes no bf16 and fp8
        for target, source in zip(outputs.values(), feeds.values(), strict=True):
            target[...] = source
        return
    if not hasattr(engine, "_session"):
        engine._session = _session(engine._graph)
    found = engine._session.run(
        list(outputs), {name: values.copy() for name, values in feeds.items()}
    )
    for target, values in zip(outputs.values(), found, strict=True):
        target[...] = values


def _session(graph: bytes) -> Any:
    """ONNX Runtime's session; of a graph in bfloat16, in which its processor computes nothing, in float32."""
    import onnxruntime as ort

    open_ = lambda content: ort.InferenceSession(content, providers=["CPUExecutionProvider"])  # noqa: E731
    try:
        return open_(graph)
    except ort.capi.onnxruntime_pybind11_state.NotImplemented:
        return open_(_widened(graph))


def _widened(graph: bytes) -> bytes:
    """A graph with float32 wherever it has bfloat16, but for what goes in and out."""
    import onnx
    from onnx import numpy_helper

    wide, narrow = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
    model = onnx.load_from_string(graph)
    del model.graph.value_info[:]
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    for attribute in attributes:
        if attribute.name in ("to", "dtype") and attribute.i == narrow:
            attribute.i = wide
    for tensor in (*model.graph.initializer, *(one.t for one in attributes if one.HasField("t"))):
        if tensor.data_type == narrow:
            values = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return bytes(model.SerializeToString())


def install(surface: str, folder: Path, monkeypatch: Any) -> Any:
    """Put a double of the release that a surface records where Python finds it, here and in child processes.

    Args:
        surface: "tensorrt-11.4", say.
        folder: gets the package and its metadata.
        monkeypatch: pytest's, which undoes it.
    """
    module = package(surface)
    name = module.__name__
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "__init__.py").write_text(
        f"import sys\nsys.path.append({str(SURFACES.parent)!r})\nfrom cuda_double import tensorrt as double\n"
        f"sys.modules[__name__] = double.package({surface!r})\n"
    )
    facts = folder / f"{name}-{module.__version__}.dist-info"
    facts.mkdir(exist_ok=True)
    distribution = name.replace("_", "-")
    facts.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {module.__version__}\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))
    monkeypatch.setitem(sys.modules, name, module)
    return module


def _place(plan: bytes) -> Path:
    return Path(os.environ[FOLDER]) / f"{hashlib.sha256(plan).hexdigest()}.onnx"


def patch(module: Any) -> None:
    """Put the double's runtime into a TensorRT module that has just been imported."""
    sources: dict[int, bytes] = {}
    module.failures, module.rtx = Failures(), module.__name__ == "tensorrt_rtx"
    ((_, offered),) = _recorded(MODULES[module.__name__])["modules"].items()
    played = (
        "ICudaEngine",
        "IExecutionContext",
        "IRuntimeConfig",
        "IRuntimeCache",
        "EngineInspector",
    )
    behind = types.SimpleNamespace(**vars(module))
    for name in set(played) & set(offered["classes"]):
        setattr(behind, name, _class(behind, name, offered["classes"][name], offered))
    real_parser, real_builder = module.OnnxParser, module.Builder

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
            self._real, self._profile = real_builder(log), None

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def create_builder_config(self) -> Any:  # the class's own, as tests replace it
            return self._real.create_builder_config()

        def create_optimization_profile(self) -> Any:
            self._profile = self._real.create_optimization_profile()
            return self._profile

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            plan = self._real.build_serialized_network(network, config)
            if plan is not None and FOLDER in os.environ:
                place = _place(bytes(plan))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(sources[id(network)])
                names = [network.get_input(i).name for i in range(network.num_inputs)]
                shapes = {
                    name: [list(one) for one in self._profile.get_shape(name)]
                    for name in (names if self._profile else ())
                }
                place.with_suffix(".json").write_text(json.dumps({"profile": shapes}))
            return plan

    class Runtime:
        def __init__(self, log: Any) -> None:
            self._log = log

        def get_engine_validity(self, plan: bytes) -> Any:
            return module.EngineValidity.VALID, 0

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            place = _place(bytes(plan))
            if module.failures.refuses("deserialize_cuda_engine") or not place.exists():
                return None
            header = json.loads(place.with_suffix(".json").read_text())
            return _loaded(behind.ICudaEngine, header, place.read_bytes(), self._log)

    module.OnnxParser, module.Builder, module.Runtime = OnnxParser, Builder, Runtime


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
            if sys.modules.get(name) is module:  # else a double of a release has taken its place
                patch(module)

        spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec
