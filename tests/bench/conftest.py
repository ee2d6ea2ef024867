from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deploykit.spec import BuildOptions, ModelSpec, OnnxModel
from deploykit.store import EngineManifest, Entry, Store

PLUGIN = Path(__file__).parent / "plugin"


def classifier(classes: int = 10, batch: int | str = "batch", scale: float = 1.0) -> bytes:
    """A graph that scores 8x8 images: convolution, pooling, matrix product."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = {
        "kernel": random.standard_normal((16, 1, 3, 3)),
        "matrix": random.standard_normal((16, classes)) * scale,
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def store_engine(root: Path, content: bytes, name: str = "tiny") -> Entry[EngineManifest]:
    """Put bytes into a store as an engine for the CPU."""

    def make(path: Path) -> dict[str, Any]:
        path.write_bytes(content)
        return {
            "onnx_sha256": "0" * 64,
            "onnx_bytes": len(content),
            "options": BuildOptions(),
            "builder": "onnxruntime",
            "builder_version": "1",
            "precision": "fp32",
            "precision_actual": "fp32",
            "emulated": False,
            "compute_types": {},
            "build_s": 0.1,
            "calibration": None,
            "model": {"name": name, "alpha": 1, "rho": "1", "weights": "file", "label": name},
            "inputs": [],
            "outputs": [],
            "recipe": {},
        }

    return Store(root).produce(EngineManifest, name, {"target": "cpu"}, "engine.onnx", make)


def as_model(path: Path, content: bytes) -> OnnxModel:
    """The graph in a file, as the package passes it on."""
    path.write_bytes(content)
    return OnnxModel(path, "0" * 64, ModelSpec("tiny"), "fp32", (), ())


@pytest.fixture
def tiny() -> SimpleNamespace:
    """The functions above, for tests that need a graph of their own."""
    return SimpleNamespace(classifier=classifier, store_engine=store_engine, as_model=as_model)


@pytest.fixture
def engine(tmp_path: Path) -> Entry[EngineManifest]:
    return store_engine(tmp_path / "engines", classifier())


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes find the backends in plugin/, by their entry points."""
    paths = [str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
