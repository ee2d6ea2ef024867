"""Mixed precision for speed: the table, the cut of least cost, and a mix that is built and measured."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from deploykit.bench.layer_times import LayerTimes
from deploykit.errors import UsageError
from deploykit.spec import ModelSpec
from deploykit.stats import RatioInterval
from deploykit.workflow import what_if
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.mix import Passed, Table, Unit, best_mix, mean_table
from deploykit.workflow.network import obtain_network


def table_of(seed: int, count: int = 7) -> Table:
    """A network of so many units with costs drawn at random; each value is read by one or two later units."""
    draw = random.Random(seed)
    units = tuple(
        Unit((f"n{i}",), f"n{i}", "Conv", draw.random(), draw.random(), draw.random() < 0.8, False)
        for i in range(count)
    )
    passed = [Passed(None, (0,), False, draw.random() / 4, 0.0)]
    for i in range(count):
        readers = tuple(sorted({min(count - 1, i + draw.randint(1, 2)) for _ in range(2)} - {i}))
        passed.append(Passed(i, readers, i == count - 1, draw.random() / 3, draw.random() / 3))
    table = Table(units, tuple(passed), 0.0, 0.0)
    # Parts that make up the whole, so that a prediction is their sum.
    return replace(
        table, fp32_ms=table.predicted_ms(()), int8_ms=table.predicted_ms(table.all_int8)
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_cut_is_the_best_of_all_mixes(seed):
    table = table_of(seed)
    able = sorted(table.all_int8)
    every = [set(some) for n in range(len(able) + 1) for some in itertools.combinations(able, n)]
    best = table.best()
    assert best <= table.all_int8
    assert table.predicted_ms(best) == pytest.approx(min(map(table.predicted_ms, every)), abs=1e-6)


def test_a_value_is_changed_once_for_all_who_read_it_and_where_the_network_puts_it_out():
    units = tuple(Unit((n,), n, "Conv", 1.0, 0.1, True, False) for n in "abc")
    passed = (
        Passed(None, (0,), False, 10.0, 0.0),
        Passed(0, (1, 2), False, 0.0, 5.0),
        Passed(2, (), True, 0.0, 7.0),
    )
    table = Table(units, passed, 3.0, 17.3)
    assert table.predicted_ms(()) == pytest.approx(3.0)
    assert table.predicted_ms((0, 1, 2)) == pytest.approx(10 + 0.3 + 7)
    assert table.predicted_ms((0,)) == pytest.approx(10 + 0.1 + 5 + 2)
    assert table.best() == {1}  # entering int8 is free there, and nothing leaves it
    assert table.kept({0}) == ("b", "c")


def test_what_one_table_chooses_by_chance_the_other_one_does_not_predict():
    """Units that take as long in both precisions, but for noise: the least of many noisy sums is no prediction."""
    draw = random.Random(1)

    def noisy() -> Table:
        units = tuple(
            Unit((f"n{i}",), f"n{i}", "Conv", draw.gauss(1, 0.3), draw.gauss(1, 0.3), True, False)
            for i in range(200)
        )
        table = Table(units, (), 0.0, 0.0)
        return replace(
            table, fp32_ms=table.predicted_ms(()), int8_ms=table.predicted_ms(table.all_int8)
        )

    tables = noisy(), noisy()
    _, predicted_ms = best_mix(*tables)
    assert max(one.predicted_ms(one.best()) for one in tables) < 175
    assert 193 < predicted_ms < 207
    slow = (
        replace(tables[0], fp32_ms=1.0, int8_ms=900.0),
        replace(tables[1], fp32_ms=1.0, int8_ms=900.0),
    )
    assert best_mix(*slow) == (frozenset(), 1.0)
    mean = mean_table(*tables)
    assert mean.int8_ms == pytest.approx(sum(one.int8_ms for one in tables) / 2)


def test_parts_are_scaled_so_that_they_make_up_the_whole_runs():
    table = replace(table_of(3), fp32_ms=50.0, int8_ms=20.0).fitted()
    assert table.predicted_ms(()) == pytest.approx(50.0)
    assert table.predicted_ms(table.all_int8) == pytest.approx(20.0)


def test_what_has_no_product_is_in_int8_only_behind_what_is():
    pool = Unit(("pool",), "pool", "MaxPool", 1.0, 0.1, True, True)
    conv = Unit(("conv",), "conv", "Conv", 0.1, 1.0, True, False)
    passed = (Passed(None, (0,), False, 0.0, 0.0), Passed(0, (1,), False, 0.0, 0.0))
    table = Table((conv, pool), passed, 1.1, 1.1)
    # Alone, the pool would be faster in int8; a recipe leaves it in float where its input is.
    assert table.best() in (set(), {0, 1})


def test_the_chains_of_changes_run_and_give_back_what_they_were_given():
    session = onnxruntime.InferenceSession(what_if.changes_graph(False).SerializeToString())
    feeds = {
        one.name: np.linspace(-3, 3, np.prod(one.shape), dtype=np.float32).reshape(one.shape)
        for one in session.get_inputs()
    }
    for given, found in zip(feeds.values(), session.run(None, feeds), strict=True):
        assert np.abs(given - found).max() <= 0.026  # half a step of the quantiser


def test_costs_between_the_sizes_lie_on_a_line_and_above_them_grow_with_the_size():
    costs = what_if.ChangeCosts((100, 300), {"QuantizeLinear": (1.0, 2.0)})
    assert costs.of("QuantizeLinear", 200) == pytest.approx(1.5)
    assert costs.of("QuantizeLinear", 50) == pytest.approx(1.0)
    assert costs.of("QuantizeLinear", 600) == pytest.approx(4.0)
    assert costs.of("ReorderInput", 600) == 0.0  # there are none on this processor


@pytest.fixture
def planted(monkeypatch):
    """Let a node take 1 ms in fp32, 0.5 ms in int8 but the first convolution 3 ms, and a change 0.1 ms."""

    def times(path, **rest):
        nodes = onnx.load(str(path), load_external_data=False).graph.node
        if path.name == "changes.onnx":
            each = [0.1] * len(nodes)
        elif any("QLinear" in n.op_type or n.op_type == "QuantizeLinear" for n in nodes):
            slow = next(n.name for n in nodes if n.op_type == "QLinearConv")
            each = [3.0 if n.name == slow else 0.5 for n in nodes]
        else:
            each = [1.0] * len(nodes)
        names = tuple(n.name for n in nodes)
        return LayerTimes(names, tuple(each), 0.0, sum(each), 0.0, 1)

    monkeypatch.setattr(what_if, "layer_times", times)
    monkeypatch.setattr(what_if, "_beside", lambda *sides: RatioInterval(0.8, 0.79, 0.81, 0.99, 12))


def test_a_layer_that_is_slow_in_int8_stays_in_fp32_and_the_mix_is_built(planted, shared_store):
    network = obtain_network(ModelSpec("lenet5"), shared_store)
    found = what_if.what_if(network, shared_store, CalibrationChoice())
    assert found.is_mix
    assert "features.0/Conv" in found.kept
    assert not any("classifier" in name for name in found.kept)
    assert found.predicted_ms < min(found.table.fp32_ms, found.table.int8_ms)
    tried = what_if.try_mix(network, shared_store, CalibrationChoice(), found)
    types = tried.built.engine.manifest["compute_types"]
    assert "features.0/Conv" in types["fp32"]
    assert types["int8"]
    assert tried.measured_ms == pytest.approx(0.8 * found.table.int8_ms)


def test_nodes_without_names_can_not_be_kept(tmp_path):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, 3]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "graph", ends[:1], ends[1:])
    path = tmp_path / "unnamed.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=8), path)
    with pytest.raises(UsageError, match="1 nodes have no names"):
        what_if.read_parts_here(path, path, path)


def test_what_is_no_mix_can_not_be_tried(planted, shared_store):
    network = obtain_network(ModelSpec("lenet5"), shared_store)
    found = what_if.what_if(network, shared_store, CalibrationChoice())
    alone = replace(found, in_int8=frozenset(), kept=())
    assert alone.sentence.startswith("No mix of int8 and fp32 is predicted to be faster than fp32")
    with pytest.raises(UsageError, match="there is no mix to try"):
        what_if.try_mix(network, shared_store, CalibrationChoice(), alone)
