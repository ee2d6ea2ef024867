"""int8 rows that are slower than fp32 say so, and why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.backends.building import precision_share
from deploykit.backends.onnxruntime_layers import EngineNode
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.layer_times import LayerTimes
from deploykit.row import Note, Row
from deploykit.workflow.judge import (
    SlowerThanFp32,
    _at_most,
    costliest_operators,
    operator_costs,
    time_by_type,
)


def row(low: float | None, p50: float, high: float | None, backend: str = "onnxruntime"):
    return Row(
        {
            "latency_p50_low_ms": low,
            "latency_p50_ms": p50,
            "latency_p50_high_ms": high,
            "backend": backend,
            "batch": 1,
        }
    )


FP32 = row(0.9, 1.0, 1.1)
SLOW = row(1.9, 2.0, 2.1)
ENGINE, SOURCE = Path("int8.onnx"), Path("model.onnx")


@pytest.fixture
def judge(monkeypatch) -> SlowerThanFp32:
    costs = {Path("fp32.onnx"): {"Conv": 1.0}, ENGINE: {"Conv": 0.5, "Sigmoid": 1.25, "Cast": 0.01}}
    monkeypatch.setattr(
        SlowerThanFp32, "_costs", lambda self, engine, *rest: (costs[engine], 0.25, None)
    )
    made = SlowerThanFp32()
    assert made.note("a", "fp32", FP32, Path("fp32.onnx"), SOURCE) == (None, {})
    return made


def test_a_slower_row_names_both_medians_and_the_operators(judge):
    note, cells = judge.note("a", "int8", SLOW, ENGINE, SOURCE)
    assert note == Note(
        "slower", "int8 is slower than fp32, 2.00 ms against 1.00: it loses 0.99 ms in Sigmoid"
    )
    assert cells == {"precision_share_time": 0.25}


@pytest.mark.parametrize(
    ("like", "precision", "found"),
    [
        ("a", "int8", row(1.05, 1.2, 1.3)),  # the intervals touch
        ("a", "int8", row(None, 2.0, None)),  # no interval
        ("a", "int8", row(0.4, 0.5, 0.6)),  # faster
        ("b", "int8", SLOW),  # no fp32 row like it
        ("a", "fp16", SLOW),
    ],
)
def test_what_is_not_surely_slower_is_not_said(judge, like, precision, found):
    assert judge.note(like, precision, found, ENGINE, SOURCE) == (None, {})


def test_a_runtime_without_times_says_that_it_is_slower_and_no_more(judge):
    note, cells = judge.note("a", "int8", row(1.9, 2.0, 2.1, "torch"), ENGINE, SOURCE)
    assert cells == {}
    assert note == Note("slower", "int8 is slower than fp32, 2.00 ms against 1.00")


def test_openvino_says_what_costs_it_by_its_own_names(judge, monkeypatch):
    """It said that int8 was slower, and not what to keep in fp32."""
    taken = {
        Path("a/int8"): {"Convolution": 0.5, "FakeQuantize": 1.2},
        Path("a/fp32"): {"Convolution": 0.7},
    }
    asked = []

    def operator_times(folder, *, batch, threads):
        asked.append((batch, threads))
        return taken[folder]

    monkeypatch.setattr("deploykit.workflow.judge.operator_times", operator_times)
    judge.note("a", "fp32", FP32, Path("a/fp32/engine.onnx"), SOURCE)
    slow = row(1.9, 2.0, 2.1, "openvino")
    note, cells = judge.note("a", "int8", slow, Path("a/int8/engine.onnx"), SOURCE)
    text = "int8 is slower than fp32, 2.00 ms against 1.00: it loses 1 ms in FakeQuantize"
    assert (note, cells) == (Note("slower", text), {})
    assert asked == [(1, None)] * 2


def test_repeats_of_a_row_are_timed_operator_by_operator_once(judge, monkeypatch):
    first, cells = judge.note("a", "int8", SLOW, ENGINE, SOURCE)
    monkeypatch.setattr(SlowerThanFp32, "_costs", None)
    assert judge.note("a", "int8", SLOW, ENGINE, SOURCE) == (first, cells)
    again, _ = judge.note("a", "int8", row(2.0, 2.5, 2.6), ENGINE, SOURCE)
    assert "2.50 ms against 1.00: it loses 1.2 ms in Sigmoid" in again.text


def test_operators_that_cannot_be_timed_leave_the_verdict(judge, monkeypatch):
    def fail(*arguments):
        raise WorkerFailure("killed; free memory", "killed")

    monkeypatch.setattr(SlowerThanFp32, "_costs", fail)
    note, _ = judge.note("a", "int8", SLOW, ENGINE, SOURCE)
    assert str(note).endswith("was not found: killed, free memory")


def test_costs_are_summed_by_the_float_graphs_operator():
    nodes = [
        EngineNode(0, "q", "QuantizeLinear"),
        EngineNode(1, "c", "QLinearConv", ("conv", "relu"), "conv"),
        EngineNode(2, "d", "QLinearConv", ("conv2",), "conv2"),
    ]
    times = LayerTimes(("q", "c", "d"), (0.5, 1.0, 2.0), 0.0, 3.5, 0.0, 9)
    found = operator_costs(nodes, times, {"conv": "Conv", "relu": "Relu", "conv2": "Conv"})
    assert found == {"QuantizeLinear": 0.5, "Conv": 3.0}


def test_only_operators_that_lose_much_are_named_the_worst_first():
    int8 = {"A": 1.0, "B": 5.0, "C": 0.1, "D": 2.0, "E": 3.0}
    assert costliest_operators(int8, {"B": 1.0, "D": 9.0}) == [("B", 4.0), ("E", 3.0), ("A", 1.0)]
    assert costliest_operators(int8, {"B": 1.0, "E": 3.0, "D": 2.0}) == [("B", 4.0), ("A", 1.0)]
    assert costliest_operators({"A": 1.0}, {"A": 1.0}) == []


def test_what_is_named_never_exceeds_the_difference():
    int8, fp32 = {"A": 4.0, "B": 3.0, "C": 0.5}, {"A": 1.0, "B": 1.5, "C": 2.5}
    named = costliest_operators(int8, fp32, 1.5)  # 4.5 ms lost, of which C gains 2
    assert named == [("A", pytest.approx(1.0)), ("B", pytest.approx(0.5))]
    assert costliest_operators(int8, fp32, 9.0) == [("A", 3.0), ("B", 1.5)]


MS = st.floats(1e-3, 1e3)


COSTS = st.dictionaries(st.sampled_from("ABCDE"), MS)


@given(int8=COSTS, fp32=COSTS, slow=MS, fast=MS)
def test_the_note_s_parts_never_add_up_to_more_than_its_own_difference(int8, fp32, slow, fast):
    judge = SlowerThanFp32()
    costs = {Path("fp32.onnx"): fp32, ENGINE: int8}
    judge._costs = lambda engine, *rest: (costs[engine], None, None)
    judge.note("a", "fp32", row(fast, fast, fast), Path("fp32.onnx"), SOURCE)
    note, _ = judge.note("a", "int8", row(slow, slow, slow), ENGINE, SOURCE)
    if note is None:
        assert slow <= fast
        return
    said = re.match(r".*, (\S+) ms against ([^: ]+)(?:: it loses (.*))?$", note.text)
    assert said is not None, note.text
    parts = [float(part.split(" ms in ")[0]) for part in (said[3] or "").split(", ") if part]
    slower, faster = (float(said[k].replace(",", "")) for k in (1, 2))
    assert sum(parts) <= (slower - faster) * (1 + 1e-9)
    assert all(part > 0 for part in parts)


def test_time_is_shared_out_by_the_type_that_products_compute_in():
    nodes = [
        EngineNode(0, "q", "QuantizeLinear"),
        EngineNode(1, "c", "QLinearConv", ("conv", "relu"), "conv"),
        EngineNode(2, "d", "Gemm", ("gemm",), "gemm"),
    ]
    times = LayerTimes(("q", "c", "d"), (0.5, 1.0, 3.0), 0.0, 4.5, 0.0, 9)
    types = {"int8": ("conv",), "fp32": ("gemm",)}
    by_type = time_by_type(nodes, times, types)
    assert by_type == {"int8": 1.0, "fp32": 3.0}
    assert precision_share(types, "int8", by_type) == 0.25
    assert time_by_type(nodes, times, {"unknown": ()}) is None


@pytest.mark.parametrize(
    ("ms", "text"), [(0.996, "0.99"), (1.0, "1"), (1.25, "1.2"), (0.0129, "0.012"), (29.9, "29")]
)
def test_milliseconds_are_rounded_down(ms, text):
    assert _at_most(ms) == text
