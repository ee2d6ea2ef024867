"""Networks as ONNX Runtime's tools, detectors and graph networks have them: counted and converted as they are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import deploykit
from deploykit.bench import contain
from deploykit.errors import InvalidModel, PrecisionMismatch
from deploykit.graph.count import count_graph
from deploykit.graph.fit import require_fit
from deploykit.graph.precision import is_reduced
from deploykit.graph.read_write import read_model
from deploykit.graph.view import GraphView
from deploykit.workflow.configuration import precisions_of_file

info, node = helper.make_tensor_value_info, helper.make_node
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def stored(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def save(path, nodes, inputs, outputs, weights, opset=13):
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def counted(path):
    return count_graph(read_model(path))


def test_a_layer_normalisation_before_onnx_had_one_is_read_and_counted(tmp_path):
    path = save(
        tmp_path / "a.onnx",
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("LayerNormalization", ["a", "g", "b"], ["n"], axis=-1),
            node("MatMul", ["n", "w"], ["y"]),
        ],
        [info("x", FLOAT, ["batch", 16])],
        [info("y", FLOAT, ["batch", 16])],
        [stored("w", normal(16, 16)), stored("g", normal(16)), stored("b", normal(16))],
        opset=11,
    )
    counts = counted(path)
    assert (counts.macs, counts.parameters) == (512, 288)


def test_a_quantised_table_of_embeddings_is_parameters(tmp_path):
    path = save(
        tmp_path / "q.onnx",
        [
            node("Gather", ["e", "ids"], ["g"]),
            node("DequantizeLinear", ["g", "s", "z"], ["d"]),
            node("MatMul", ["d", "w"], ["y"]),
        ],
        [info("ids", INT64, ["batch", 4])],
        [info("y", FLOAT, ["batch", 4, 3])],
        [
            stored("e", np.random.default_rng(0).integers(0, 255, (100, 8)).astype(np.uint8)),
            stored("s", np.float32(0.1)),
            stored("z", np.uint8(128)),
            stored("w", normal(8, 3)),
        ],
    )
    assert counted(path).parameters == 824


def pooled(path, pool, size, classes, **attributes):
    """A pool of integers with its channels last, as ONNX Runtime writes int8 engines, and a product."""
    scales = ["s", "z", "s", "z"]
    where = {"domain": "com.microsoft", "channels_last": 1}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node(pool, ["q", *scales], ["p"], **where, **attributes),
        node("DequantizeLinear", ["p", "s", "z"], ["d"]),
        node("Flatten", ["d"], ["v"]),
        node("Gemm", ["v", "w"], ["y"]),
    ]
    weights = [
        *(stored("s", np.float32(0.1)), stored("z", np.uint8(0))),
        stored("w", normal(size, classes)),
    ]
    inputs, outputs = [info("x", FLOAT, [1, 4, 4, 8])], [info("y", FLOAT, [1, classes])]
    return save(path, nodes, inputs, outputs, weights)


def test_pools_with_channels_last_keep_them_last(tmp_path):
    whole = pooled(tmp_path / "whole.onnx", "QLinearGlobalAveragePool", 8, 5)
    model = read_model(whole)
    require_fit(model, GraphView(model))
    assert count_graph(model).macs == 40
    parts = {"kernel_shape": [2, 2], "strides": [2, 2]}
    halved = pooled(tmp_path / "half.onnx", "QLinearAveragePool", 2 * 2 * 8, 5, **parts)
    model = read_model(halved)
    require_fit(model, GraphView(model))
    assert count_graph(model).macs == 2 * 2 * 8 * 5


def rows(path, threshold):
    """Rows that a threshold chooses, between two products."""
    nodes = [
        node("Reshape", ["x", "s"], ["r"]),
        node("Gemm", ["r", "w1", "b1"], ["h"]),
        node("ReduceSum", ["h", "ax"], ["c"], keepdims=0),
        node("Greater", ["c", "limit"], ["m"]),
        node("NonZero", ["m"], ["nz"]),
        node("Squeeze", ["nz", "a0"], ["i"]),
        node("Gather", ["h", "i"], ["g"], axis=0),
        node("Gemm", ["g", "w2", "b2"], ["y"]),
    ]
    weights = [
        stored("s", np.int64([-1, 16])),
        *(stored("w1", normal(16, 8)), stored("b1", normal(8))),
        *(stored("w2", normal(8, 4)), stored("b2", normal(4))),
        *(stored("ax", np.int64([1])), stored("a0", np.int64([0]))),
        stored("limit", np.float32(threshold)),
    ]
    inputs, outputs = [info("x", FLOAT, [1, 512, 16])], [info("y", FLOAT, ["K", 4])]
    return save(path, nodes, inputs, outputs, weights)


@pytest.mark.parametrize("threshold", [0.0, 1e9])
def test_rows_that_are_others_in_integers_or_none_convert_to_int8(tmp_path, threshold):
    path = rows(tmp_path / "rows.onnx", threshold)
    with contain.in_place():
        made = deploykit.quantize(path, store=tmp_path / "store", synthetic_calibration=True)
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": normal(1, 512, 16)})
    assert found.shape[1] == 4
    assert np.isfinite(found).all()


def test_a_transposed_convolution_of_a_size_that_nobody_tells_stays_in_float(tmp_path):
    path = save(
        tmp_path / "ct.onnx",
        [
            node("Transpose", ["p0"], ["p1"]),
            node("Reshape", ["p1", "m1"], ["pads"]),
            node("Pad", ["x", "pads"], ["p"]),
            node("ConvTranspose", ["p", "w"], ["y"], strides=[2, 1], kernel_shape=[2, 3]),
        ],
        [info("x", FLOAT, ["batch", 4, 8, 8])],
        [info("y", FLOAT, ["batch", 6, 20, 12])],
        [
            stored("p0", np.int64([[0, 0], [0, 0], [1, 1], [1, 1]])),
            stored("m1", np.int64([-1])),
            stored("w", normal(4, 6, 2, 3)),
        ],
    )
    with contain.in_place(), pytest.raises(PrecisionMismatch, match="no form as a convolution"):
        deploykit.quantize(path, store=tmp_path / "store", synthetic_calibration=True)


def test_a_graph_network_s_nodes_are_no_batch(tmp_path):
    path = save(
        tmp_path / "gnn.onnx",
        [node("MatMul", ["x", "w"], ["a"]), node("MatMul", ["adj", "a"], ["y"])],
        [info("x", FLOAT, [16, 8]), info("adj", FLOAT, [16, 16])],
        [info("y", FLOAT, [16, 4])],
        [stored("w", normal(8, 4))],
    )
    assert counted(path).macs == 16 * 8 * 4 + 16 * 16 * 4


def test_an_output_that_a_body_reads_too_has_one_type_in_half_precision(tmp_path):
    def branch(name):
        conv = node("Conv", ["r", f"w{name}"], [f"o{name}"])
        weights = [stored(f"w{name}", normal(4, 4, 1, 1))]
        return helper.make_graph([conv], name, [], [info(f"o{name}", FLOAT, None)], weights)

    path = save(
        tmp_path / "if.onnx",
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("ReduceSum", ["x"], ["s"], keepdims=0),
            node("Greater", ["s", "z"], ["k"]),
            node("If", ["k"], ["y"], then_branch=branch("1"), else_branch=branch("2")),
        ],
        [info("x", FLOAT, ["batch", 3, 8, 8])],
        [info("r", FLOAT, ["batch", 4, 8, 8]), info("y", FLOAT, ["batch", 4, 8, 8])],
        [stored("w", normal(4, 3, 1, 1)), stored("z", np.float32(0))],
    )
    with contain.in_place():
        made = deploykit.quantize(path, precision="fp16", store=tmp_path / "store")
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    x = normal(1, 3, 8, 8)
    exact = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for one, other in zip(session.run(None, {"x": x}), exact.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(one, other, atol=0.05)


def test_a_batch_normalisation_of_single_values_is_read(tmp_path):
    names = ("scale", "bias", "mean", "variance")
    path = save(
        tmp_path / "bn.onnx",
        [node("BatchNormalization", ["x", *names], ["y"], spatial=0)],
        [info("x", FLOAT, [1, 3, 4, 4])],
        [info("y", FLOAT, [1, 3, 4, 4])],
        [stored(name, np.abs(normal(3, 4, 4)) + 1) for name in names],
        opset=7,
    )
    model = read_model(path)
    require_fit(model, GraphView(model))


def test_a_flatten_counts_its_axis_from_the_end(tmp_path):
    path = save(
        tmp_path / "flat.onnx",
        [node("Flatten", ["e"], ["f"], axis=-1), node("MatMul", ["x", "f"], ["y"])],
        [info("x", FLOAT, ["batch", 6])],
        [info("y", FLOAT, ["batch", 4])],
        [stored("e", normal(2, 3, 4))],
    )
    assert GraphView(onnx.load(path)).constant("f").shape == (6, 4)


def table(path, bits):
    """A table of 20 by 64 values of 4 bits, stored as such or two to a byte, of which rows are looked up."""
    generator = np.random.default_rng(0)
    packed = stored("t", generator.integers(0, 255, (20, 32)).astype(np.uint8))
    values = generator.integers(0, 15, 20 * 64).tolist()
    own = helper.make_tensor("t", TensorProto.UINT4, [20, 64], values)
    more = {"bits": 4} if bits == 8 else {}
    look = node("GatherBlockQuantized", ["t", "ids", "s"], ["e"], domain="com.microsoft",
                block_size=32, quantize_axis=1, gather_axis=0, **more)  # fmt: skip
    return save(
        path,
        [look, node("MatMul", ["e", "w"], ["y"])],
        [info("ids", INT64, ["batch", 4])],
        [info("y", FLOAT, ["batch", 4, 3])],
        [packed if bits == 8 else own, stored("s", np.abs(normal(20, 2))), stored("w", normal(64, 3))],
        opset=21,
    )  # fmt: skip


@pytest.mark.parametrize("bits", [4, 8])
def test_a_table_of_a_few_bits_each_is_parameters_and_what_reads_it_is_counted(tmp_path, bits):
    counts = counted(table(tmp_path / "t.onnx", bits))
    assert (counts.parameters, counts.macs) == (20 * 64 + 64 * 3, 4 * 64 * 3)
    assert not counts.uncounted
    assert not counts.unsized


def products_of_bits(path):
    product = node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft",
                   K=64, N=8, bits=4, block_size=32)  # fmt: skip
    packed = np.random.default_rng(0).integers(0, 255, (8, 2, 16)).astype(np.uint8)
    weights = [stored("w", packed), stored("s", np.abs(normal(16)))]
    ends = [info("x", FLOAT, ["batch", 64])], [info("y", FLOAT, ["batch", 8])]
    return save(path, [product], *ends, weights, opset=17)


@pytest.mark.parametrize("make", [products_of_bits, lambda path: table(path, 8)])
def test_a_file_whose_weights_are_packed_already_is_taken_as_it_is(tmp_path, make):
    path = make(tmp_path / "p.onnx")
    assert is_reduced(read_model(path))
    assert precisions_of_file(path) == ("as-is",)
    with pytest.raises(InvalidModel, match=r"is quantised already .* precision as-is"):
        deploykit.quantize(path, store=tmp_path / "store", synthetic_calibration=True)
