"""Times of an engine's nodes from the runtime's own profile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.bench.child import WorkerFailure
from deploykit.bench.layer_times import LayerTimes, layer_times, read_profile
from deploykit.errors import InvalidModel


def event(name: str, index: int, dur: int) -> dict:
    args = {"node_index": str(index)}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": args}


def test_a_profile_gives_each_nodes_time_in_each_run():
    events = [
        {"cat": "Session", "name": "model_run", "dur": 99},
        # Branches may change places from run to run.
        *[event("a", 0, 5), event("b", 1, 7), event("b", 1, 8), event("a", 0, 6)],
        {"cat": "Node", "name": "a_fence_before", "dur": 1, "args": {}},
    ]
    assert read_profile(json.dumps(events), ["a", ""]).tolist() == [[5, 7], [6, 8]]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([event("other", 0, 1), event("b", 1, 1)], "names node 0 'other'"),
        ([event("a", 0, 1), event("a", 0, 1), event("b", 1, 1)], "once per run"),
        ([], "once per run"),
    ],
)
def test_a_profile_of_another_graph_or_of_branches_is_refused(events, says):
    with pytest.raises(InvalidModel, match=says):
        read_profile(json.dumps(events), ["a", "b"])


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


def test_an_engine_that_cannot_run_is_a_failure_in_one_line(tmp_path):
    (tmp_path / "engine.onnx").write_bytes(b"")
    with pytest.raises(WorkerFailure) as failure:
        layer_times(tmp_path / "engine.onnx", rounds=1, span_s=0.01)
    assert "\n" not in str(failure.value)


def test_the_ratio_is_that_of_the_parts_to_the_whole():
    assert LayerTimes(("a", "b"), (1.0, 2.0), 0.5, 7.0, 0.0, 9).ratio == 0.5
