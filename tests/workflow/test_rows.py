from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import deploykit
from deploykit.store import Store
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.rows import count_notes, macs_of, network_cells

BOUND = (
    "macs, gflops and roofline are blank: 576 MACs and those of Loop (Loop: how often it runs depends on values, "
    "one run is counted)"
)


def body(op_type: str, **attributes: Any) -> onnx.GraphProto:
    """Of a Loop that goes on until a value says so."""
    nodes = [
        helper.make_node(op_type, ["s", "w"][: 2 if op_type == "Conv" else 1], ["t"], **attributes),
        helper.make_node("ReduceMax", ["t"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["on"], to=TensorProto.BOOL),
    ]
    inputs = [("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("s", 1, [1, 3, 8, 8])]
    outputs = [("on", TensorProto.BOOL, []), ("t", 1, [1, 3, 8, 8])]
    infos = [[helper.make_tensor_value_info(*one) for one in side] for side in (inputs, outputs)]
    return helper.make_graph(nodes, "body", *infos)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """These Loops have no end on made-up values: a trial of them tells nothing, however long it takes."""
    monkeypatch.setattr("deploykit.graph.evidence.TRIAL_LIMIT_S", 0.2)


def network(op_type: str, folder: Path) -> Network:
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.normal(size=(3, 3, 1, 1)).astype(np.float32), "w")
    ends = [helper.make_tensor_value_info(name, 1, ["N", 3, 8, 8]) for name in ("x", "y")]
    loop = helper.make_node("Loop", ["", "", "x"], ["y"], name="loop", body=body(op_type))
    graph = helper.make_graph([loop], "g", ends[:1], ends[1:], [weight])
    path = folder / "net.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return obtain_network(path, Store(folder / "store"))


def test_a_lower_bound_is_no_number_of_macs_and_the_row_says_why(tmp_path: Path) -> None:
    found = network("Conv", tmp_path)
    assert found.facts["macs"] == 64 * 9
    assert macs_of(found) is None
    found_here = network_cells(found, 1)
    assert (found_here["parameters"], found_here["macs"]) == (9, None)
    (note,) = count_notes(found)
    assert note.kind == "missing"
    assert str(note) == BOUND


def test_what_does_not_multiply_leaves_the_count_whole(tmp_path: Path) -> None:
    found = network("Relu", tmp_path)
    assert macs_of(found) == 0
    assert count_notes(found) == []


@pytest.mark.parametrize("uncounted", [{}, {"DFT": 1}])
def test_suppositions_are_told(uncounted: dict[str, int], tmp_path: Path) -> None:
    facts = {
        "macs": 7, "uncounted": uncounted, "chosen": (), "remarks": ("of If the larger branch",)
    }  # fmt: skip
    (note,) = count_notes(Network(None, tmp_path, facts, None, False))  # type: ignore[arg-type]
    assert "of If the larger branch" in note.text
    assert note.kind == ("missing" if uncounted else "counted")


def test_work_that_values_choose_is_set_against_no_time(tmp_path: Path) -> None:
    """The larger branch is counted, and the smaller may have run: what that reached would be too much."""
    weights = [
        numpy_helper.from_array(np.ones((3, 3, size, size), np.float32), f"w{size}")
        for size in (1, 5)
    ]

    def branch(size: int) -> onnx.GraphProto:
        conv = helper.make_node("Conv", ["x", f"w{size}"], [f"t{size}"], pads=[size // 2] * 4)
        return helper.make_graph(
            [conv], f"b{size}", [], [helper.make_tensor_value_info(f"t{size}", 1, None)]
        )

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], "if", then_branch=branch(1), else_branch=branch(5)),
    ]
    ends = [helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    path = tmp_path / "net.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    store = Store(tmp_path / "store")
    frame = deploykit.profile([path], precisions=["fp32"], quick=True, store=store)
    row = frame.iloc[0]
    assert row["status"] == "ok"
    assert row["macs"] == 64 * 9 * 25
    assert frame[["gflops", "roofline_fraction", "latency_bound_ms"]].isna().all(axis=None)
    assert "gflops and roofline are blank: what runs of If depends on values" in row["reason"]
