from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import deploykit
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.store import Store
from deploykit.workflow.choices import EngineChoice
from deploykit.workflow.configuration import Configuration
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.rows import configuration_cells, count_notes, macs_of, network_cells

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


SHAPED = (("x", (1, 3, 16, 16), (), (1, 3, 64, None)), ("", (), (1, 4), ()))


@pytest.mark.parametrize(
    ("backend", "choice", "said"),
    [
        ("onnxruntime", EngineChoice(batch_max=9, options=BuildOptions(channels_last=True)), ""),
        ("torch-cuda", EngineChoice(options=BuildOptions(channels_last=True)), "channels-last"),
        ("torch-cuda", EngineChoice(options=BuildOptions(compile_mode="max-autotune")), ""),
        (
            "torch-compile-cuda",
            EngineChoice(options=BuildOptions(channels_last=True, compile_mode="max-autotune")),
            "channels-last compile-mode=max-autotune",
        ),
        (
            "torch-compile",
            EngineChoice(options=BuildOptions(compile_mode="max-autotune")),
            "compile-mode=max-autotune",
        ),
        ("tensorrt", EngineChoice(), ""),
        ("tensorrt", EngineChoice(4, 4, 4), ""),
        ("tensorrt", EngineChoice(batch_max=8), "min-batch=1 opt-batch=8 max-batch=8"),
        (
            "tensorrt",
            EngineChoice(
                options=BuildOptions(
                    workspace_mib=64, sparse=True, tactic_sources=("a", "b"), timing_cache=False
                )
            ),
            "workspace=64 sparse tactic-sources=a,b no-timing-cache",
        ),
        (
            "tensorrt-rtx",
            EngineChoice(options=BuildOptions(shapes=SHAPED, compute_capability="8.6")),
            "min-shape=x=1x3x16x16 max-shape=x=1x3x64x? opt-shape=1x4 compute-capability=8.6",
        ),
    ],
)
def test_options_of_the_build_that_a_backend_follows_are_in_the_row(
    backend: str, choice: EngineChoice, said: str
) -> None:
    configuration = Configuration(ModelSpec("lenet5"), "fp32", backend, 4)
    assert configuration_cells(configuration, choice, "run")["engine_options"] == said


def test_every_option_of_the_build_is_told_where_it_is_not_the_default() -> None:
    others = {
        "batch_min": 2, "batch_opt": 3, "batch_max": 4, "shapes": SHAPED, "compute_capability": "8.6",
        "optimization_level": 5, "workspace_mib": 64, "version_compatible": True,
        "hardware_compatibility": "ampere+", "sparse": True, "tactic_sources": ("cublas",),
        "timing_cache": False, "channels_last": True, "compile_mode": "max-autotune",
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(BuildOptions)} == set(others)
    for name, value in others.items():
        assert BuildOptions(**{name: value}).differences(1), name
    assert BuildOptions().differences(1) == BuildOptions().differences(8) == ""
