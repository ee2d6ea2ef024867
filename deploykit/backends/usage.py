"""Python that loads an engine and runs it without deploykit: what manifests and docs/engines.md show.

Each text is a whole program for one engine: its file, and the names, shapes and types of its inputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from deploykit.spec import TensorSpec

_ONNXRUNTIME = """\
import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
# The graph is optimised already, for the instruction sets of the processor that it was built on.
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession({file}, options, providers=["CPUExecutionProvider"])
inputs = {{
{inputs}}}
for output, array in zip(session.get_outputs(), session.run(None, inputs)):
    print(output.name, array.shape, array.dtype)
"""

_ONNXRUNTIME_GPU = """\
import numpy as np
import onnxruntime as ort

ort.preload_dlls()  # CUDA's and cuDNN's libraries, where they are installed as Python packages
# A provider that does not load would leave the graph to the processor without an error.
providers = [({provider}, {{"use_tf32": "0"}})]
session = ort.InferenceSession({file}, providers=providers, enable_fallback=0)
inputs = {{
{inputs}}}
for output, array in zip(session.get_outputs(), session.run(None, inputs)):
    print(output.name, array.shape, array.dtype)
"""

_OPENVINO = """\
import numpy as np
import openvino

core = openvino.Core()
model = core.read_model({file})
inputs = {{
{inputs}}}
model.reshape({{name: list(array.shape) for name, array in inputs.items()}})
# Without the hint OpenVINO may compute floats in another type than the engine was read back in.
options = {{"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": {floats}}}
compiled = core.compile_model(model, "CPU", options)
results = compiled(inputs)
for output in compiled.outputs:
    print(output.any_name, results[output].shape, results[output].dtype)
"""

_TENSORRT = """\
import ctypes

import numpy as np
import {module} as trt
from cuda.bindings import runtime as cuda


def checked(result):
    error, *values = result
    if error != cuda.cudaError_t.cudaSuccess:
        raise RuntimeError(str(error))
    return values[0] if values else None


{runtime}{host_code}with open({file}, "rb") as file:
    engine = runtime.deserialize_cuda_engine(file.read())
{context}stream = checked(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking))
inputs = {{
{inputs}}}
for name, array in inputs.items():
    context.set_input_shape(name, array.shape)
arrays, buffers = {{}}, {{}}  # pinned memory of the host, and memory of the device
for index in range(engine.num_io_tensors):
    name = engine.get_tensor_name(index)
    shape, dtype = tuple(context.get_tensor_shape(name)), trt.nptype(engine.get_tensor_dtype(name))
    nbytes = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    pinned = (ctypes.c_byte * nbytes).from_address(checked(cuda.cudaMallocHost(nbytes)))
    arrays[name] = np.frombuffer(pinned, dtype, int(np.prod(shape))).reshape(shape)
    buffers[name] = checked(cuda.cudaMalloc(nbytes))
    context.set_tensor_address(name, int(buffers[name]))


def copy(name, to_device):
    kinds, host = cuda.cudaMemcpyKind, arrays[name]
    kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
    places = (buffers[name], host.ctypes.data) if to_device else (host.ctypes.data, buffers[name])
    checked(cuda.cudaMemcpyAsync(*places, host.nbytes, kind, stream))


for name, array in inputs.items():
    arrays[name][...] = array
    copy(name, to_device=True)
if not context.execute_async_v3(int(stream)):
    raise RuntimeError("TensorRT could not enqueue the engine")
for name in arrays.keys() - inputs.keys():
    copy(name, to_device=False)
checked(cuda.cudaStreamSynchronize(stream))
for name in arrays.keys() - inputs.keys():
    print(name, arrays[name].shape, arrays[name].dtype)
for name in arrays:
    checked(cuda.cudaFree(buffers[name]))
    checked(cuda.cudaFreeHost(arrays[name].ctypes.data))
checked(cuda.cudaStreamDestroy(stream))
"""


def onnxruntime(file: str, inputs: Sequence[TensorSpec], batch: int) -> str:
    """For a graph that ONNX Runtime has optimised for the processor."""
    return _ONNXRUNTIME.format(file=json.dumps(file), inputs=_inputs(inputs, batch))


def onnxruntime_gpu(file: str, inputs: Sequence[TensorSpec], batch: int, provider: str) -> str:
    """For a graph that one of ONNX Runtime's providers for NVIDIA devices compiles when it is loaded."""
    return _ONNXRUNTIME_GPU.format(
        file=json.dumps(file), inputs=_inputs(inputs, batch), provider=json.dumps(provider)
    )


def openvino(file: str, inputs: Sequence[TensorSpec], batch: int, floats: str) -> str:
    """For a graph that OpenVINO compiles when it is loaded; `floats` is its name of the type of floats."""
    return _OPENVINO.format(
        file=json.dumps(file), inputs=_inputs(inputs, batch), floats=json.dumps(floats)
    )


def tensorrt(
    file: str, inputs: Sequence[TensorSpec], batch: int, module: str, *, host_code: bool
) -> str:
    """For a plan of TensorRT, or of TensorRT for RTX, by the name of their module.

    Args:
        file: name of the plan.
        inputs: of the network.
        batch: to run.
        module: "tensorrt" or "tensorrt_rtx".
        host_code: whether the plan brings code that runs on the host, as one for later versions does.
    """
    runtime = (
        "logger = trt.Logger(trt.Logger.WARNING)\n"
        "# A plan may hold plugins of TensorRT's own, which are found once they are registered.\n"
        'trt.init_libnvinfer_plugins(logger, "")\n'
        "runtime = trt.Runtime(logger)\n"
    )
    context = "context = engine.create_execution_context()\n"
    if module == "tensorrt_rtx":
        runtime = "runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))\n"  # it has no library of plugins
        # It compiles kernels for the device when a context is made.
        context = (
            "config = engine.create_runtime_config()\n"
            "context = engine.create_execution_context(config)\n"
        )
    allowed = "runtime.engine_host_code_allowed = True\n" if host_code else ""
    return _TENSORRT.format(
        file=json.dumps(file),
        inputs=_inputs(inputs, batch),
        module=module,
        runtime=runtime,
        host_code=allowed,
        context=context,
    )


def _inputs(inputs: Sequence[TensorSpec], batch: int) -> str:
    lines = []
    for spec in inputs:
        dtype = "bool_" if spec.dtype == "bool" else spec.dtype
        lines.append(
            f"    {json.dumps(spec.name)}: np.zeros({spec.with_batch(batch)!r}, np.{dtype}),\n"
        )
    return "".join(lines)
