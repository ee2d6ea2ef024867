"""How many images are made up to calibrate a network that nobody has images for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.spec import ModelFile, ModelSpec
from deploykit.store import Store
from deploykit.workflow.calibration import calibration_of
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import obtain_network


def dense(path: Path, size: int) -> ModelFile:
    """A file with a layer that makes `size` values of three."""
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", size])],
        [numpy_helper.from_array(np.ones((3, size), np.float32), "w")],
    )
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return ModelFile(path)


@pytest.mark.parametrize(("size", "count"), [(4, 64), (2**20, 16), (2**22, 8)])
def test_a_small_network_of_the_users_gets_more_of_them(
    size: int, count: int, tmp_path: Path
) -> None:
    network = obtain_network(dense(tmp_path / "m.onnx", size), Store(tmp_path / "store"))
    choice = CalibrationChoice(synthetic=True)
    assert calibration_of(network, choice).count == count


def test_a_number_that_is_given_and_the_catalogue_keep_theirs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    network = obtain_network(dense(tmp_path / "m.onnx", 4), store)
    assert calibration_of(network, CalibrationChoice(synthetic=True, images=3)).count == 3
    listed = obtain_network(ModelSpec("lenet5"), store)
    assert calibration_of(listed, CalibrationChoice(synthetic=True)).count == 8
