from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from backend_models import tiny_network

from deploykit.graph.calibrate import synthetic_calibration
from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model
from deploykit.spec import ModelSpec, OnnxModel


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    onnx.save(tiny_network(), path)
    return open_model(path, ModelSpec("tiny", weights="file"))


@pytest.fixture(scope="session")
def in_precision(tiny: OnnxModel, tmp_path_factory: pytest.TempPathFactory):
    """The tiny network by precision and target, each converted once."""
    folder, made = tmp_path_factory.mktemp("precisions"), {}

    def get(precision: str, target: str) -> OnnxModel:
        if (precision, target) not in made:
            path = folder / f"{precision}-{target}.onnx"
            calibration = synthetic_calibration((3, 16, 16), count=4)
            made[precision, target] = convert(tiny, precision, target, path, calibration)
        return made[precision, target]

    return get


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {"image": random.standard_normal((2, 3, 16, 16)).astype(np.float32)}


@pytest.fixture
def save(tmp_path: Path):
    """Write a graph to a file and open it as the package does."""

    def write(proto: onnx.ModelProto, name: str = "graph", **changes) -> OnnxModel:
        import dataclasses

        onnx.save(proto, tmp_path / f"{name}.onnx")
        return dataclasses.replace(open_model(tmp_path / f"{name}.onnx"), **changes)

    return write
