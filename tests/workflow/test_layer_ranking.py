"""Layers by what one precision costs each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.store import Store
from deploykit.workflow.conversion import CalibrationChoice
from deploykit.workflow.layer_ranking import layers_by_drift
from deploykit.workflow.network import obtain_network


def two_products(path: Path, spread: float) -> Path:
    """Two Gemms; the weights of the first span `spread`, so that few steps are left for most of them."""
    random = np.random.default_rng(0)
    first = random.standard_normal((16, 16)).astype(np.float32)
    first[:, 0] *= spread
    second = random.standard_normal((16, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="between"),
            helper.make_node("MatMul", ["r", "b"], ["y"], name="second"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 4))],
        [numpy_helper.from_array(first, "a"), numpy_helper.from_array(second, "b")],
    )
    from deploykit.graph.loading import save_model

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, path)
    return path


@pytest.fixture
def ranked(tmp_path: Path) -> list[tuple[str, float | None]]:
    network = obtain_network(two_products(tmp_path / "net.onnx", 1.0), Store(tmp_path / "store"))
    return layers_by_drift(network, "int8", "cpu", CalibrationChoice(synthetic=True), images=4)


def test_every_product_is_ranked_by_its_own_drift_and_nothing_else(
    ranked: list[tuple[str, float | None]],
) -> None:
    assert {name for name, _ in ranked} == {"first", "second"}
    values = [snr for _, snr in ranked]
    assert values == sorted(values)
    assert all(snr is not None and 10 < snr < 80 for snr in values)
