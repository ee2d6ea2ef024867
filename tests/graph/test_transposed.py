"""Padding of transposed convolutions as numbers: it is what ONNX Runtime does, and what OpenVINO is given."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit import backends
from deploykit.graph.count import count_graph
from deploykit.graph.read_write import open_model
from deploykit.graph.transposed import write_out_padding
from deploykit.spec import BuildOptions

SIZES = (5, 4, 3)
#: Kernel, groups and attributes, for as many axes as there are strides.
CASES = {
    "stride above kernel": (2, 1, {"strides": [3, 3]}),
    "stride above kernel, longer": (2, 1, {"strides": [3, 3], "output_padding": [1, 1]}),
    "stride above kernel, same": (2, 1, {"strides": [3, 3], "auto_pad": "SAME_UPPER"}),
    "same above": (4, 1, {"strides": [3, 3], "auto_pad": "SAME_UPPER"}),
    "same below": (4, 2, {"strides": [3, 3], "auto_pad": "SAME_LOWER"}),
    "valid": (3, 1, {"strides": [2, 2], "auto_pad": "VALID"}),
    "shape": (3, 1, {"strides": [2, 2], "output_shape": [10, 8], "auto_pad": "SAME_LOWER"}),
    "longer shape": (3, 1, {"strides": [3, 3], "output_shape": [14, 13]}),
    "longer": (3, 3, {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}),
    "line": (3, 1, {"strides": [2], "auto_pad": "SAME_UPPER"}),
    "line of groups": (4, 6, {"strides": [2], "auto_pad": "SAME_LOWER"}),
    "volume": (3, 2, {"strides": [2, 2, 2], "auto_pad": "SAME_LOWER"}),
}


def network(kernel: int, groups: int, attributes: dict[str, object]) -> onnx.ModelProto:
    axes = len(attributes["strides"])
    weight = np.random.default_rng(0).standard_normal((6, 6 // groups, *[kernel] * axes))
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", group=groups, **attributes)  # fmt: skip
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, *SIZES[:axes]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6, *[None] * axes])],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def images(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return {"x": np.random.default_rng(1).standard_normal((1, *shape)).astype(np.float32)}


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


@pytest.mark.parametrize("name", CASES)
def test_padding_written_as_numbers_is_what_was_meant(name):
    model = network(*CASES[name])
    feeds = images(model)
    before = run(model, feeds)
    changed = write_out_padding(model)
    np.testing.assert_array_equal(before, run(model, feeds))
    said = {a.name for a in model.graph.node[0].attribute}
    assert changed == ("pads" in said and "pads" not in CASES[name][2])
    if changed:
        assert not said & {"auto_pad", "output_shape"}


@pytest.mark.parametrize("name", CASES)
def test_each_input_meets_its_whole_filter_whatever_is_cut_off(name):
    kernel, groups, attributes = CASES[name]
    axes = len(attributes["strides"])
    macs = count_graph(network(*CASES[name])).macs
    assert macs == 6 * math.prod(SIZES[:axes]) * 6 // groups * kernel**axes


@pytest.mark.parametrize("name", CASES)
def test_openvino_computes_what_onnx_runtime_does(name, tmp_path):
    pytest.importorskip("openvino")
    model = network(*CASES[name])
    feeds, place = images(model), tmp_path / "made"
    place.mkdir()
    onnx.save(model, tmp_path / "m.onnx")
    backend = backends.get("openvino")
    backend.build(open_model(tmp_path / "m.onnx"), BuildOptions(), place / backend.filename)
    built = onnx.load(place / backend.filename)
    from deploykit.backends.openvino import OpenVinoSession

    with OpenVinoSession(place / backend.filename, 1) as session:
        found = session.run(feeds)["y"]
    assert len(built.graph.node) == 1
    np.testing.assert_allclose(found, run(model, feeds), atol=1e-4)
