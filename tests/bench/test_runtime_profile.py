"""ONNX Runtime's own profile, and what it adds to the times of nodes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.bench.runtime_profile import (
    SHORT,
    Profile,
    ProfileCost,
    _write_chain,
    profiled_and_plain,
    read_profile,
)
from deploykit.errors import InvalidModel, OutputFailed


def event(name: str, index: int, ts: int, dur: int, **facts) -> dict:
    args = {"node_index": str(index), **facts}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}


def end(ts: int, dur: int) -> dict:
    return {"cat": "Session", "name": "SequentialExecutor::Execute", "ts": ts, "dur": dur}


def body_events() -> list[dict]:
    """Two runs of a graph of Relu, If and Add, whose If runs a body of two nodes, as the runtime writes them."""

    def node(name, op_type, index, ts, dur):
        facts = {"op_name": op_type, "node_index": str(index)}
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": facts}

    events = []
    for start in (0, 1000):
        events += [
            node("relu", "Relu", 0, start, 10),
            node("inner", "Relu", 0, start + 21, 5),
            node("other", "Mul", 1, start + 30, 5),
            {"cat": "Session", "name": "SequentialExecutor::Execute", "ts": start + 20, "dur": 30},
            node("if", "If", 1, start + 15, 40),
            node("add", "Add", 2, start + 60, 7),
            {"cat": "Session", "name": "SequentialExecutor::Execute", "ts": start, "dur": 70},
        ]
    return events


def test_the_time_of_a_body_is_that_of_its_node():
    found = read_profile(json.dumps(body_events()), ["relu", "if", "add"])
    assert found.nodes_us.shape == (2, 3)
    assert found.nodes_us[0].tolist() == [10.5, 40.5, 7.5]


def test_a_profile_gives_each_nodes_time_in_each_run():
    shapes = {
        "input_type_shape": [{"float": [1, 3, 8, 8]}, {"float": []}],
        "output_type_shape": [{"float": [1, 9]}],
    }
    events = [
        {"cat": "Session", "name": "session_initialization", "ts": 1, "dur": 99},
        *[event("a", 0, 10, 5, **shapes), event("b", 1, 18, 7), end(9, 21)],
        {"cat": "Session", "name": "model_run", "ts": 8, "dur": 23},
        # Branches may change places from run to run.
        *[event("b", 1, 40, 8), event("a", 0, 51, 6, **shapes), end(39, 30)],
        {"cat": "Node", "name": "a_fence_before", "ts": 70, "dur": 1, "args": {}},
    ]
    profile = read_profile(json.dumps(events), ["a", ""])
    # Whole microseconds, of which half of one has been cut off on average.
    assert profile.nodes_us.tolist() == [[5.5, 7.5], [6.5, 8.5]]
    assert profile.spans_us.tolist() == [20.5, 29.5]
    assert (profile.shapes, profile.dimensions) == ((3, 0), (6, 0))
    assert profile.without(1).nodes_us.tolist() == [[6.5, 8.5]]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([event("other", 0, 1, 1), event("b", 1, 2, 1), end(0, 5)], "names node 0 'other'"),
        (
            [event("a", 0, 1, 1), event("a", 0, 2, 1), event("b", 1, 3, 1), end(0, 5)],
            "once per run",
        ),
        ([event("a", 0, 1, 1), end(0, 5)], "once per run"),
        ([event("a", 0, 1, 1), event("b", 1, 3, 1)], "once per run"),
        ([], "once per run"),
    ],
)
def test_a_profile_of_another_graph_or_of_branches_is_refused(events, says):
    with pytest.raises(InvalidModel, match=says):
        read_profile(json.dumps(events), ["a", "b"])


def test_what_the_profile_adds_is_divided_by_what_events_describe():
    profile = Profile(np.zeros((1, 2)), np.zeros(1), (2, 7), (4, 8))
    cost = ProfileCost(event_us=3.0, shape_us=0.2, dimension_us=0.05, call_us=2.0)
    costs_us = cost.of(profile, added_us=8.0)
    assert costs_us.sum() == pytest.approx(8.0)
    assert costs_us[1] - costs_us[0] == pytest.approx(5 * 0.2 + 4 * 0.05)


@pytest.mark.parametrize(("added_us", "taken_us"), [(-50.0, 2.5), (50.0, 5.5)])
def test_what_the_profile_adds_is_never_far_from_what_it_adds_to_a_chain(added_us, taken_us):
    profile = Profile(np.zeros((1, 2)), np.zeros(1), (2, 2), (4, 4))
    cost = ProfileCost(event_us=3.0, shape_us=0.2, dimension_us=0.05, call_us=2.0)
    assert cost.of(profile, added_us).tolist() == pytest.approx([taken_us, taken_us])


def test_a_network_without_nodes_costs_its_profile_nothing():
    cost = ProfileCost(event_us=3.0, shape_us=0.2, dimension_us=0.05, call_us=2.0)
    without_nodes = Profile(np.zeros((4, 0)), np.ones(4), (), ())
    assert cost.of(without_nodes, added_us=1.0).size == 0


def test_a_profile_that_was_not_written_to_its_end_is_a_write_that_failed(tmp_path, monkeypatch):
    names = _write_chain(tmp_path / "chain.onnx", SHORT, 1, 2)
    kept = OnnxRuntimeSession.end_profile

    def cut_short(session):
        path = kept(session)
        path.write_bytes(path.read_bytes()[:-200])
        return path

    monkeypatch.setattr(OnnxRuntimeSession, "end_profile", cut_short)
    with pytest.raises(OutputFailed, match=r"can't write the profile .* most likely the disk is"):
        profiled_and_plain(tmp_path / "chain.onnx", names, tmp_path, threads=1, span_s=0.01)
