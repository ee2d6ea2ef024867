"""`deploykit layers`, from the command line."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import time
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.bench import layer_times
from deploykit.bench.roofline import Ceilings
from deploykit.cli import progress
from deploykit.workflow.network import obtain_network


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Few and short sessions: what is looked at is not how long layers take."""
    kept = layer_times.layer_times
    brief = {"rounds": 1, "span_s": 0.02}
    monkeypatch.setattr(
        "deploykit.workflow.layers.layer_times", lambda *a, **k: kept(*a, **(k | brief))
    )
    ceilings = Ceilings({"fp32": 100.0, "int8": 300.0}, {2**27: 10.0}, 2)
    monkeypatch.setattr("deploykit.workflow.layers.ceilings", lambda *a: ceilings)


@pytest.mark.parametrize("step", ["build", "time"])
def test_layers_are_looked_at_once_more_where_the_store_was_wiped(run, monkeypatch, tmp_path, step):
    store, said = tmp_path / "engines", []
    kept = progress.Steps.say

    def say(self, text):
        if text.startswith(step) and not any(one.startswith(step) for one in said):
            shutil.rmtree(store)
        said.append(text)
        kept(self, text)

    monkeypatch.setattr(progress.Steps, "say", say)
    ended = run("layers", "lenet5", "--store", str(store), "-q")
    assert ended.code == 0, ended.err
    assert sum(text.startswith("export") for text in said) == 2


def test_a_first_look_takes_fewer_rounds(run, monkeypatch):
    asked = []
    kept = layer_times.layer_times

    def times(*arguments, **options):
        asked.append((options["rounds"], options["cost_span_s"]))
        return kept(*arguments, **(options | {"rounds": 1, "span_s": 0.02}))

    monkeypatch.setattr("deploykit.workflow.layers.layer_times", times)
    for more in ((), ("--quick",)):
        assert run("layers", "lenet5", "-q", *more).code == 0
    (rounds, cost_s), (quick_rounds, quick_cost_s) = asked
    assert quick_rounds == 3 < rounds
    assert quick_cost_s < cost_s


INT8 = ("layers", "lenet5", "--weights", "trained", "--precision", "int8", "-q")


def test_every_layer_of_an_int8_network_has_time_work_and_drift_and_the_share_is_told(run):
    ended = run(*INT8, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    own = [row for row in found["layers"] if not row["added"]]
    assert [row["node"] for row in own][:2] == ["features.0/Conv", "features.1/Tanh"]
    assert all(row["time_ms"] is not None or row["fused_into"] for row in own)
    assert all(row["drift_snr_db"] is not None for row in own)
    assert sum(row["macs"] or 0 for row in own) == 416_520
    assert {row["op_type"] for row in found["layers"] if row["added"]} >= {"QuantizeLinear"}
    parts = sum(row["time_ms"] or 0 for row in found["layers"])
    assert found["layers_ms"] == pytest.approx(parts)
    assert found["ratio"] == pytest.approx((parts + found["call_ms"]) / found["whole_ms"])
    assert found["precision_share"] == 1.0
    assert found["precision_share_time"] == 1.0
    assert found["cut"] is None
    shown = run(*INT8).out.splitlines()[-2]
    assert shown.startswith("of what multiplies, 100.0% by MACs and 100.0% by time compute in")


def test_an_estimate_stands_before_the_work_and_a_limit_ends_it(run, monkeypatch):
    kept = layer_times.layer_times
    limits = []

    def slow(*arguments, limit_s, **options):
        limits.append(limit_s)
        clock = time.perf_counter
        monkeypatch.setattr("deploykit.bench.contain.time.perf_counter", lambda: clock() + 1000)
        return kept(*arguments, **(options | {"rounds": 1, "span_s": 0.02}))

    monkeypatch.setattr("deploykit.workflow.layers.layer_times", slow)
    ended = run(*[word for word in INT8 if word != "-q"], "--time-limit", "600", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert 0 < limits[0] < 600  # of what the build has left
    assert "all will take about " in ended.err
    assert re.search(r"ends after \d+ \w+ with what there is by then", ended.err)
    assert found["cut"] == (
        "the limit of 600 s was reached: times rest on fewer rounds, and drift is left out; "
        "give more with --time-limit"
    )
    assert all(row["drift_snr_db"] is None for row in found["layers"])
    assert any(row["time_ms"] for row in found["layers"])


def test_a_build_that_is_not_done_within_the_limit_is_given_up(run, monkeypatch, tmp_path):
    clock = time.perf_counter

    def obtained(*arguments):
        network = kept(*arguments)
        monkeypatch.setattr(
            "deploykit.bench.contain.time", SimpleNamespace(**vars(time) | {"perf_counter": later})
        )
        return network

    def later():
        return clock() + 1000

    kept = obtain_network
    monkeypatch.setattr("deploykit.workflow.network.obtain_network", obtained)
    # A store of its own: an engine that another test has built is found, and nothing is late.
    ended = run(*INT8, "--time-limit", "20", "--store", str(tmp_path / "engines"))
    assert (ended.code, ended.out) == (4, "")
    assert "was not done within the 20 s of --time-limit; give more" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_search_that_ends_early_gives_what_holds_by_then(in_place, run, monkeypatch):
    clock = SimpleNamespace(perf_counter=itertools.count(0, 1000).__next__)
    monkeypatch.setattr("deploykit.workflow.keep.time", clock)
    ended = run(*[word for word in INT8 if word != "-q"], "--min-snr-db", "50", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert not found["complete"]
    assert len(found["nodes"]) == found["candidates"]  # the only choice known to suffice
    assert "7 layers to choose from: 5 to 12 conversions of about 1e+03 s" in ended.err
    assert "the limit of 900 s was reached: these layers suffice, but fewer may" in ended.err


def test_the_worst_rows_come_first_and_as_csv(run):
    ended = run(*INT8, "--by", "drift", "--top", "3", "--csv", "-")
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    values = [float(row["drift_snr_db"]) for row in rows]
    assert len(rows) == 3
    assert values == sorted(values)


def test_fp32_has_no_drift_and_the_table_ends_with_the_sum(run):
    ended = run("layers", "lenet5", "--weights", "trained", "-q")
    assert ended.code == 0, ended.err
    assert "SNR" not in ended.out
    assert "in features.0/Conv" in ended.out  # Tanh, which is fused
    last = ended.out.splitlines()[-1]
    assert last.startswith("layers ")
    assert "ratio" in last


@pytest.fixture
def choosing(tmp_path):
    """A product of 512 x 512, and another in each branch of an If that looks at the sum of the first."""

    def branch(name):
        return helper.make_graph(
            [helper.make_node("MatMul", ["h", f"w_{name}"], [f"y_{name}"], f"product_{name}")],
            name,
            [],
            [helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, ["n", 512])],
        )

    random = np.random.default_rng(0)
    weights = {
        name: random.standard_normal((512, 512)).astype(np.float32)
        for name in ("w", "w_then", "w_else")
    } | {"zero": np.float32(0)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
            helper.make_node("ReduceSum", ["h"], ["s"], "sum", keepdims=0),
            helper.make_node("Greater", ["s", "zero"], ["c"], "above"),
            helper.make_node(
                "If", ["c"], ["y"], "choice", then_branch=branch("then"), else_branch=branch("else")
            ),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 512])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "choosing.onnx"
    onnx.save(model, path)
    return path


def test_an_if_is_a_layer_with_its_time_and_the_work_of_a_branch(run, choosing):
    ended = run("layers", choosing, "--quick", "-q", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    rows = {row["node"]: row for row in found["layers"]}
    assert (rows["choice"]["op_type"], rows["first"]["op_type"]) == ("If", "MatMul")
    assert all(rows[name]["time_ms"] > 0 for name in ("first", "choice"))
    assert all(rows[name]["macs"] == 512 * 512 for name in ("first", "choice"))
    assert found["layers_ms"] == pytest.approx(sum(r["time_ms"] or 0 for r in found["layers"]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lenet5", "--by", "size"), "--by takes order, drift, time, macs"),
        (("lenet5", "--precision", "int3"), "unknown precision 'int3'"),
        (("lenet5", "--precision", "int8", "--backend", "torch"), "torch has fp32"),
        (("mobilenet", "--alpha", "1,0.5"), "takes one network, not 2"),
        (
            ("lenet5", "--precision", "int8", "--min-snr-db", "9", "--strict"),
            "the search for layers to keep has no use for --strict",
        ),
        (
            ("lenet5", "--precision", "as-is", "--min-snr-db", "9"),
            "nothing is converted with --precision as-is",
        ),
        (("lenet5", "--json", "--csv", "-"), "stdout takes one of"),
        (("lenet5", "--csv", "none/layers.csv"), "does not exist"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(run, arguments, says):
    ended = run("layers", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert len(ended.err.splitlines()) == 1


def test_layers_to_keep_are_printed_as_options(run):
    ended = run(*INT8, "--min-snr-db", "50")
    assert ended.code == 0, ended.err
    *options, last = ended.out.splitlines()
    assert options
    assert all(line.startswith("--keep ") for line in options)
    assert last.startswith(f"{len(options)} of 7 layers in fp32: outputs at ")


def test_a_goal_that_holds_as_it_is_keeps_nothing_and_one_that_cannot_be_met_ends_with_1(run):
    ended = run(*INT8, "--max-accuracy-drop", "5%", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["nodes"] == []
    ended = run(*INT8, "--max-accuracy-drop", "5%")
    assert ended.out.startswith("nothing needs keeping: top-1 drops by ")
    ended = run(*INT8[:4], "--precision", "fp16", "-q", "--min-snr-db", "400")
    assert (ended.code, ended.out) == (1, "")
    assert "not even all 7 layers in fp32 suffice" in ended.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--max-accuracy-drop", "1%", "--min-snr-db", "9"), "give one of"),
        (("--max-accuracy-drop", "much"), "is no percentage"),
        (("--min-snr-db", "9", "--csv", "-"), "takes the rows of layers"),
        (("--min-snr-db", "9", "--precision", "fp32"), "with --precision fp32 all layers are"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(run, arguments, says):
    ended = run(*INT8, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
