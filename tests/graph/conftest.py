from __future__ import annotations

import onnx
import pytest
from graph_models import make_model, tensor
from onnx import helper


@pytest.fixture
def convolution() -> onnx.ModelProto:
    """A 3x3 convolution from 3 to 16 channels with bias, 448 parameters, and a ReLU."""
    return make_model(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"], name="relu"),
        ],
        [tensor("w", 16, 3, 3, 3), tensor("b", 16)],
        output=("batch", 16, 8, 8),
    )
