"""Graphs of a few nodes, written out by the tests that need them, and what is measured of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.calibrate import Calibration
from deploykit.graph.precision import KeepRules, convert
from deploykit.graph.read_write import open_model
from deploykit.spec import OnnxModel

N = helper.make_node


def graph(
    nodes: list[onnx.NodeProto],
    shape: list[int | str],
    weights: Mapping[str, np.ndarray],
    functions: tuple[onnx.FunctionProto, ...] = (),
    opset: int = 13,
) -> onnx.ModelProto:
    """A network from "x" (of `shape`) to "y"."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    domains = {f.domain for f in functions} | {n.domain for n in nodes} - {"", "ai.onnx"}
    opsets += [helper.make_opsetid(domain, 1) for domain in sorted(domains)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8, functions=functions)
    inferred = onnx.shape_inference.infer_shapes(model)
    model.graph.output[0].CopyFrom(inferred.graph.output[0])
    return model


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal values, scaled so that a product with them keeps its input's size."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return (values / np.sqrt(max(1.0, np.prod(shape[1:])))).astype(np.float32)


def data(shape: tuple[int, ...], count: int = 8, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def quantised(
    model: onnx.ModelProto,
    tmp_path: Path,
    keep: KeepRules | None = None,
    target: str = "cpu",
    steps: tuple[str, ...] | None = None,
) -> OnnxModel:
    """The network in int8, calibrated on the images that `snr_db` compares on."""
    path = tmp_path / "fp32.onnx"
    onnx.save(model, path)
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)[1:]

    def batches() -> Iterator[np.ndarray]:
        yield data(shape)

    images = Calibration(batches=batches, count=8, steps=steps)
    return convert(open_model(path), "int8", target, tmp_path / "int8.onnx", images, keep)


def run(model: onnx.ModelProto | Path, x: np.ndarray) -> np.ndarray:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


def snr_db(reference: np.ndarray, value: np.ndarray) -> float:
    """Signal-to-noise ratio in dB."""
    wide = reference.astype(np.float64)
    noise = np.square(wide - value).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(wide).sum() / noise))


def engine(path: Path) -> onnx.ModelProto:
    """What ONNX Runtime makes of a graph."""
    to = path.with_suffix(".engine.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(to)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(to)
