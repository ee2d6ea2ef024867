"""Times of an ONNX Runtime engine's nodes and of a PyTorch network's modules."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from deploykit.backends import get
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.layer_times import (
    BETWEEN,
    Hooks,
    LayerTimes,
    TimesRequest,
    layer_times,
    measure_nodes,
    module_times,
)
from deploykit.bench.runtime_profile import ProfileCost
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.workflow.build import build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import obtain_network


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    """A large product and a small one."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("large", (256, 2048)), ("small", (2048, 1)))
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "large"], ["h"], name="first"),
            helper.make_node("MatMul", ["h", "small"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 256))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 1))],
        weights,
    )
    path = tmp_path_factory.mktemp("engine") / "engine.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_nodes_share_the_time_of_a_run_by_their_work(engine):
    times = layer_times(engine, batch=16, threads=1, rounds=2, span_s=0.05)
    assert times.names == ("first", "y")
    first, second = times.nodes_ms
    assert first > 5 * second > 0
    assert times.sum_ms == pytest.approx(first + second + times.call_ms)
    assert times.profile_ms > 0
    assert times.runs > 10
    assert times.cost is not None
    assert times.cost.event_us > 0


def test_the_cost_of_the_profile_that_is_given_is_not_measured_again(engine, monkeypatch):
    def measured(*rest):
        raise AssertionError("measured again")

    monkeypatch.setattr("deploykit.bench.layer_times.profile_cost", measured)
    cost = ProfileCost(event_us=1.5, shape_us=0.1, dimension_us=0.01, call_us=3.0)
    times = measure_nodes(TimesRequest(engine, "nodes", 16, 1, 1, 0.02, 0, cost=cost))
    assert times.cost == cost
    assert times.call_ms == pytest.approx(0.003)


def test_an_engine_that_cannot_run_is_a_failure_in_one_line(tmp_path):
    (tmp_path / "engine.onnx").write_bytes(b"")
    with pytest.raises(WorkerFailure) as failure:
        layer_times(tmp_path / "engine.onnx", rounds=1, span_s=0.01)
    assert "\n" not in str(failure.value)


def test_the_ratio_is_that_of_the_parts_to_the_whole():
    assert LayerTimes(("a", "b"), (1.0, 2.0), 0.5, 7.0, 0.0, 9).ratio == 0.5


class Slow(nn.Module):
    def forward(self, values):
        time.sleep(0.005)
        return values


class Twice(nn.Module):
    """One module that runs twice, in a module of its own, and one that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(Slow())
        self.quick = nn.Identity()
        self.unused = nn.Linear(2, 2)

    def forward(self, values):
        return self.quick(self.inner(self.inner(values)))


def test_time_is_added_up_over_all_runs_of_a_module_and_only_of_innermost_ones():
    network = Twice().eval()
    with Hooks(network) as hooks:
        network(torch.zeros(2))
        first = hooks.take()
        assert hooks.take() == {}  # each run is taken once
    assert set(first) == {"inner.0", "quick"}
    assert first["inner.0"] >= 10e6 > first["quick"]
    network(torch.zeros(2))
    assert hooks.take() == {}


@pytest.fixture
def torch_engine(shared_store):
    network = obtain_network(ModelSpec("lenet5", weights="trained"), shared_store)
    choice = CalibrationChoice()
    return build_network(network, "fp32", get("torch"), BuildOptions(), choice, shared_store)


def test_every_module_of_an_engine_has_its_time_and_the_rest_comes_last(torch_engine):
    found = module_times(torch_engine.engine.path.parent, threads=1, rounds=2, span_s=0.02)
    times = found.times
    assert times.names[:3] == ("features.0", "features.1", "features.2")
    assert times.names[-1] == BETWEEN
    assert found.types[:2] == ("Conv2d", "Tanh")
    assert len(times.nodes_ms) == len(times.names) == len(found.types)
    assert all(ms >= 0 for ms in times.nodes_ms)
    assert times.nodes_ms[0] > times.nodes_ms[-2] > 0  # the first convolution, the last product
    assert times.call_ms == 0
    assert times.whole_ms > 0
