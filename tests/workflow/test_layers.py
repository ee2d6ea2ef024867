"""Layers one by one: their time, work, roofline and drift."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends.onnxruntime_layers import EngineNode
from deploykit.bench.drift import LayerDrift
from deploykit.bench.layer_times import BETWEEN, LayerTimes, ModuleTimes
from deploykit.bench.roofline import Ceilings
from deploykit.errors import UsageError
from deploykit.graph.count import LayerCounts
from deploykit.graph.lineage import Layer
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.layers import (
    LayerReport,
    layer_rows,
    module_nodes,
    ordered,
    report_layers,
)
from deploykit.workflow.network import obtain_network

MS = (0.5, 4.0, 1.0)
TIMES = LayerTimes(("q", "c", "p"), MS, 0.5, 6.0, 0.003, 40)
LAYERS = [
    Layer("conv", "net.conv", "Conv", "a"),
    Layer("relu", "net.relu", "Relu", "b"),
    Layer("drop", "net.drop", "Dropout", "d"),
    Layer("pool", "net.pool", "MaxPool", "y"),
]
NODES = [
    EngineNode(0, "q", "QuantizeLinear"),
    EngineNode(1, "c", "QLinearConv", ("conv", "relu"), "conv"),
    EngineNode(2, "p", "MaxPool", ("pool",), "pool"),
]
COUNTS = {
    "conv": LayerCounts(10**6, 4000, {"x": 4000}, {"a": 8000}),
    "relu": LayerCounts(0, 0, {"a": 8000}, {"b": 8000}),
    "pool": LayerCounts(0, 0, {"b": 8000}, {"y": 2000}),
}
DRIFT = {
    "conv": LayerDrift("conv", "relu", 30.0, 0.999, 0.1),
    "pool": LayerDrift("pool", "pool", 20.0, 0.99, 0.2),
}
CEILINGS = Ceilings({"fp32": 10.0, "int8": 2.0}, {2**30: 0.01}, 2)


@pytest.fixture
def rows():
    return {r.node: r for r in layer_rows(LAYERS, NODES, TIMES, COUNTS, DRIFT, CEILINGS, 2)}


def test_rows_come_as_the_engine_runs_them_each_layer_and_each_added_node_once(rows):
    assert list(rows) == ["q", "conv", "relu", "drop", "pool"]
    assert [r.node for r in rows.values() if r.added] == ["q"]
    assert rows["conv"].module == "net.conv"


def test_a_layer_whose_branch_values_choose_has_a_time_and_no_rate():
    chosen = COUNTS | {"conv": dataclasses.replace(COUNTS["conv"], is_chosen=True)}
    rows = {r.node: r for r in layer_rows(LAYERS, NODES, TIMES, chosen, DRIFT, CEILINGS, 2)}
    assert rows["conv"].time_ms > 0
    assert (rows["conv"].gflops, rows["conv"].roofline_fraction) == (None, None)


def test_a_fused_layer_names_where_its_time_is_counted_and_one_that_is_gone_has_none(rows):
    assert (rows["relu"].fused_into, rows["relu"].time_ms) == ("conv", None)
    assert (rows["relu"].engine_node, rows["drop"].engine_node) == ("c", None)
    assert sum(r.time_ms or 0 for r in rows.values()) == sum(MS)
    assert rows["conv"].time_share == pytest.approx(4 / 6)


def test_the_roofline_takes_the_bytes_of_an_integer_node_as_a_quarter(rows):
    conv, pool = rows["conv"], rows["pool"]
    assert conv.gflops == pytest.approx(2 * 2 * 10**6 / 4e-3 / 1e9)
    # 2 images of (4000 read + 8000 written) and 4000 of weights, over 4; at 0.01 GB/s that is 0.7 ms;
    # 4 million operations at 2 GFLOP/s are 2 ms.
    assert conv.roofline_fraction == pytest.approx(2.0 / 4.0)
    assert conv.roofline_bound == "compute"
    assert pool.gflops is None
    # Without products the data alone bounds it: 20,000 bytes in float take 2 ms.
    assert (pool.roofline_fraction, pool.roofline_bound) == (pytest.approx(2.0), "memory")


def test_drift_says_where_it_was_compared_when_that_is_another_layer(rows):
    assert (rows["conv"].drift_snr_db, rows["conv"].drift_at) == (30.0, "relu")
    assert rows["pool"].drift_at is None
    assert rows["relu"].drift_snr_db is None


def test_rows_are_ordered_by_drift_time_or_work(rows):
    given = list(rows.values())
    assert [r.node for r in ordered(given, "drift")][:2] == ["pool", "conv"]
    assert [r.node for r in ordered(given, "time")][:3] == ["conv", "pool", "q"]
    assert ordered(given, "macs")[0].node == "conv"
    assert ordered(given, "order") == given
    with pytest.raises(UsageError, match="--by takes order"):
        ordered(given, "size")


def test_a_sum_that_is_off_is_said():
    assert LayerReport((), TIMES, "int8").warning is None
    off = LayerTimes(TIMES.names, MS, 0.5, 5.0, 0.003, 40)
    assert "120%" in str(LayerReport((), off, "int8").warning)


def test_a_backend_without_times_per_layer_is_refused(trained, shared_store):
    from deploykit.workflow.choices import CalibrationChoice

    with pytest.raises(UsageError, match="no times per layer"):
        report_layers(trained, "fp32", shared_store, CalibrationChoice(), backend="openvino")


def test_a_batch_that_the_file_insists_on_is_timed_and_its_work_is_of_one_image(tmp_path):
    """It was refused, with the batch to give."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 5, 8, 8])],
        [numpy_helper.from_array(np.ones((5, 3, 1, 1), np.float32), "w")],
    )
    path = tmp_path / "four.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    store = Store(tmp_path / "store")
    network = obtain_network(path, store)
    report = report_layers(network, "fp32", store, CalibrationChoice(), quick=True)
    (row,) = [row for row in report.rows if row.node == "conv"]
    assert row.macs == 5 * 3 * 64
    assert row.gflops == pytest.approx(2 * 4 * row.macs / row.time_ms / 1e6)


def test_modules_of_pytorch_stand_for_the_layers_in_them():
    found = [
        Layer("a", "net.act", "Sigmoid", "s"),
        Layer("m", "net.conv", "Pad", "p"),
        Layer("c", "net.conv", "Conv", "c"),
        Layer("add", "", "Add", "y"),
    ]
    times = LayerTimes(("net.act", "net.conv", "net.drop", BETWEEN), (1.0,) * 4, 0.0, 4.0, 0.0, 9)
    timed = ModuleTimes(times, ("Sigmoid", "Conv2d", "Dropout", "rest"))
    nodes = module_nodes(found, timed)
    assert [(node.layers, node.main) for node in nodes] == [
        (("a",), "a"),
        (("m", "c"), "c"),
        ((), None),
        ((), None),  # sums have no module, and are part of the rest
    ]
    assert [node.index for node in nodes] == [0, 1, 2, 3]
