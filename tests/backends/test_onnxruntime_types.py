"""What an engine computes in is found wherever it computes: in bodies, in recurrent layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from computing_models import (
    attention,
    branches,
    function,
    loop,
    model,
    recurrent,
    stored,
    value,
)
from onnx import helper, numpy_helper

from deploykit.backends import get
from deploykit.backends.building import build_engine, macs_by_type
from deploykit.backends.onnxruntime_types import read_back
from deploykit.graph.calibrate import synthetic_calibration
from deploykit.graph.count import product_macs
from deploykit.graph.element_types import compute_types
from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model
from deploykit.spec import BuildOptions
from deploykit.store import Store


def optimised(source: onnx.ModelProto, folder: Path) -> Path:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "engine.onnx")
    ort.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return folder / "engine.onnx"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (loop(), {"first_conv", "inner_conv", "last_conv"}),
        (branches(), {"product_then", "product_else"}),
        *((recurrent(operator), {"layer"}) for operator in ("LSTM", "GRU", "RNN")),
        (attention(), {"scores", "values"}),
    ],
)
def test_products_are_found_and_called_as_in_the_source(source, names, tmp_path):
    found = read_back(optimised(source, tmp_path), source)
    assert {kind: set(nodes) for kind, nodes in found.items()} == {"fp32": names}
    assert dict(compute_types(source)) == {"fp32": len(names)}


def test_products_of_functions_are_found(tmp_path):
    found = read_back(optimised(function(), tmp_path), function())
    assert {kind: len(nodes) for kind, nodes in found.items()} == {"fp32": 1}
    assert dict(compute_types(function())) == {"fp32": 1}


def test_a_loop_body_counts_as_often_as_it_runs():
    types = {"int8": ["first_conv", "last_conv"], "fp32": ["inner_conv"]}
    macs = macs_by_type(types, product_macs(loop()))
    assert macs == {"int8": 36 * (8 * 27 + 2 * 72), "fp32": 5 * 36 * 8 * 72}


def test_of_branches_the_one_that_is_counted_works():
    assert sorted(product_macs(branches()).values()) == [0, 12]


def test_a_recurrent_layer_of_an_int8_network_is_listed_as_left(tmp_path):
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["h"], name="layer", hidden_size=5),
        helper.make_node("Squeeze", ["h", "axis"], ["s"]),
        helper.make_node("MatMul", ["s", "head"], ["y"], name="product"),
    ]
    lstm = recurrent("LSTM").graph.initializer
    network = model(
        nodes,
        [value("x", [7, 1, 3])],
        [value("y", [7, 1, 4])],
        [*lstm, stored("head", 5, 4), numpy_helper.from_array(np.array([1]), "axis")],
    )
    onnx.save(network, tmp_path / "m.onnx")
    source = open_model(tmp_path / "m.onnx")
    images = synthetic_calibration((1, 3), count=2, batch_size=7)
    converted = convert(source, "int8", "cpu", tmp_path / "int8.onnx", images)
    store = Store(tmp_path / "engines")
    engine, _ = build_engine(converted, get("onnxruntime"), BuildOptions(), store)
    assert engine.manifest["compute_types"] == {"fp32": ["layer"], "int8": ["product"]}
    assert engine.manifest["left"] == ["layer"]
    assert engine.manifest["compute_macs"] == {"fp32": 7 * 20 * 8, "int8": 7 * 20}


def test_a_dynamically_quantised_recurrent_layer_computes_in_integers(tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    onnx.save(recurrent("LSTM"), tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    source = onnx.load(tmp_path / "int8.onnx")
    assert set(read_back(optimised(source, tmp_path), source)) == {"int8"}
    assert dict(compute_types(source)) == {"int8": 1}
