"""What a network is built in when nobody says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import ModelFile, ModelSpec
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice, KeepChoice
from deploykit.workflow.configuration import (
    ProfileOptions,
    default_precisions,
    enumerate_configurations,
)
from deploykit.workflow.convert import convert_network
from deploykit.workflow.network import obtain_network


def file(path: Path, node: onnx.NodeProto, weight: np.ndarray) -> ModelFile:
    kind = helper.np_dtype_to_tensor_dtype(weight.dtype)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return ModelFile(path)


@pytest.mark.parametrize(
    ("op_type", "weight", "wanted"),
    [
        ("MatMul", np.ones((4, 4), np.float32), "fp32"),
        ("MatMul", np.ones((4, 4), np.float16), "as-is"),
        ("MatMulInteger", np.ones((4, 4), np.uint8), "as-is"),
    ],
)
def test_a_file_that_is_not_in_float32_is_taken_as_it_is(
    op_type: str, weight: np.ndarray, wanted: str, tmp_path: Path
) -> None:
    node = helper.make_node(op_type, ["x", "w"], ["y"])
    assert default_precisions(file(tmp_path / "m.onnx", node, weight)) == (wanted,)


def partly(path: Path, kind: type[np.integer]) -> ModelFile:
    """A file of two products, the first of which is quantised to integers of a kind."""
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "s", "z"], ["q"]), make("DequantizeLinear", ["q", "s", "z"], ["d"]),
        make("DequantizeLinear", ["w", "s", "z"], ["v"]), make("MatMul", ["d", "v"], ["m"]),
        make("MatMul", ["m", "u"], ["n"]), make("MatMul", ["n", "u"], ["y"]),
    ]  # fmt: skip
    weights = {
        "s": np.float32(0.02),
        "z": kind(0),
        "w": np.ones((4, 4), kind),
        "u": np.eye(4, dtype="f4"),
    }
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(made, path)
    return ModelFile(path)


def test_a_file_that_is_int8_in_part_is_taken_as_it_is_for_int8(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    network = obtain_network(partly(tmp_path / "m.onnx", np.int8), store)
    assert network.model.precision == "fp32"  # most of it
    made = convert_network(network, "int8", "cpu", CalibrationChoice(), store)
    assert (made.path, made.precision) == (network.model.path, "int8")
    keep = CalibrationChoice(keep=KeepChoice(op_types=("MatMul",)))
    with pytest.raises(UsageError, match="is in int8 already, and nothing of it is converted"):
        convert_network(network, "int8", "cpu", keep, store)


def test_a_file_in_integers_of_another_width_is_refused_before_images_are_asked_for(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    network = obtain_network(partly(tmp_path / "m.onnx", np.int16), store)
    with pytest.raises(InvalidModel, match=r"m\.onnx is quantised already"):
        convert_network(network, "int8", "cpu", CalibrationChoice(), store)


def test_networks_of_the_catalogue_and_files_that_are_none_are_asked_for_in_fp32(
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x08\xff\xff")
    assert default_precisions(ModelFile(tmp_path / "broken.onnx")) == ("fp32",)
    assert default_precisions(ModelFile(tmp_path / "missing.onnx")) == ("fp32",)
    assert default_precisions(ModelSpec("lenet5")) == ("fp32",)


def test_a_backend_that_takes_no_such_file_is_said_rather_than_no_row_made(tmp_path: Path) -> None:
    half = file(
        tmp_path / "half.onnx",
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        np.ones((4, 4), np.float16),
    )
    with pytest.raises(
        UsageError, match=r"half\.onnx is not in float32, and torch can't take it as-is"
    ):
        enumerate_configurations([half], ProfileOptions(backends=("torch",)))
    both = enumerate_configurations([half], ProfileOptions(backends=("torch", "onnxruntime")))
    assert [(one.backend, one.precision) for one in both] == [("onnxruntime", "as-is")]
