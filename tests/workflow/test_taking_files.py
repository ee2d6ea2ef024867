"""Files that leave things open are taken into the store as graphs of which only the batch is free."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends import reference
from deploykit.bench.scenario import Constraint, Policy
from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import InputChoice, ModelFile
from deploykit.store import Store
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.engine_file import places_of
from deploykit.workflow.export import destinations
from deploykit.workflow.network import obtain_network
from deploykit.workflow.profile import Profiler
from deploykit.workflow.search import LoadSearch

FLOAT = TensorProto.FLOAT


@pytest.fixture
def save(tmp_path):
    def write(name, nodes, shape, outputs, stored):
        made = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", FLOAT, shape)],
            [helper.make_tensor_value_info("y", FLOAT, outputs)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()],
        )
        path = tmp_path / name
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), path)
        return path

    return write


@pytest.fixture
def fixed_inside(save):
    nodes = [helper.make_node("Reshape", ["x", "one"], ["y"])]
    return save("inside.onnx", nodes, ["N", 4], ["N", 4], {"one": np.array([1, 4])})


def test_a_batch_that_is_free_in_name_only_is_fixed_and_said(fixed_inside, tmp_path):
    network = obtain_network(fixed_inside, Store(tmp_path / "store"))
    assert network.model.inputs[0].shape == (1, 4)
    assert "fixed to 1 by what is inside" in str(network.notes[0])
    again = obtain_network(fixed_inside, Store(tmp_path / "store"))
    assert (again.hit, again.notes) == (True, network.notes)


def test_sizes_that_do_not_fit_are_refused_with_the_option_that_gives_others(save, tmp_path):
    nodes = [helper.make_node("MatMul", ["w", "x"], ["y"])]
    path = save("m.onnx", nodes, ["N", "T", 3], ["N", 2, 3], {"w": np.ones((2, 5), np.float32)})
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError, match=r"taken as T=1, node 'y' .*: give sizes with --shape"):
        obtain_network(path, store)
    given = ModelFile(path, InputChoice(dims=(("T", 5),)))
    assert obtain_network(given, store).model.inputs[0].with_batch(2) == (2, 5, 3)


def test_numbers_that_were_guessed_are_named_where_a_network_does_not_run(tmp_path):
    """Sizes were asked for, whatever was given as the size of a picture."""
    nodes = [
        helper.make_node("Cast", ["orig_im_size"], ["size"], to=TensorProto.INT64),
        helper.make_node("Concat", ["ones", "size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["mask", "", "", "sizes"], ["y"]),
    ]
    inputs = [("mask", ["N", 1, 4, "T"]), ("orig_im_size", [2])]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("y", FLOAT, [None] * 4)],
        [numpy_helper.from_array(np.array([1, 1]), "ones")],
    )
    path = tmp_path / "decoder.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), path)
    store = Store(tmp_path / "store")
    named = r"; orig_im_size was fed normal: give what it takes with --input orig_im_size="
    with pytest.raises(UsageError, match=named):
        obtain_network(path, store)
    given = ModelFile(path, InputChoice(values=(("orig_im_size", "constant(8)"),)))
    assert obtain_network(given, store).model.inputs[1].values == "constant(8)"


def test_what_is_said_of_a_file_makes_another_network(save, tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save("m.onnx", nodes, ["N", 3, "T"], ["N", 3, "T"], {})
    store = Store(tmp_path / "store")
    shas = {
        obtain_network(ModelFile(path, InputChoice(dims=(("T", size),))), store).model.sha256
        for size in (5, 6)
    }
    values = InputChoice(dims=(("T", 5),), values=(("x", "range(0,1)"),))
    network = obtain_network(ModelFile(path, values), store)
    assert network.model.inputs[0].values == "range(0,1)"
    assert network.model.sha256 not in shas
    assert len(shas) == 2


def test_a_file_on_which_inference_crashes_is_one_line_and_nothing_is_left(save, tmp_path):
    # Two outputs of a Split that says it has one: ONNX's inference reads beyond the end of its list.
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=1),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    path = save("split.onnx", nodes, ["N", 4], ["N", 2], {})
    model = onnx.load(path)
    model.opset_import[0].version = 18
    onnx.save(model, path)
    store = Store(tmp_path / "engines")
    with pytest.raises(InvalidModel, match=r"^reading \S+split\.onnx ended in a crash \(SIG"):
        obtain_network(path, store)
    assert list(store.root.glob("**/*")) == []
    (outputs,) = (a for a in model.graph.node[0].attribute if a.name == "num_outputs")
    outputs.i = 2
    onnx.save(model, path)
    assert obtain_network(path, store)


def test_two_batches_that_a_file_makes_one_are_one_row(save, tmp_path):
    """Both were rows of one configuration, run and repeat, which `compare` refuses."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save("m.onnx", nodes, [8, 3], [8, 2], {"w": np.ones((3, 2), np.float32)})
    brief = Policy(warmup_s=0.01, warmup_max_s=0.1, window_s=0.01, min_s=0.05, max_s=0.2)
    options = ProfileOptions(batches=(1, 8), policy=brief, roofline=False)
    wanted = enumerate_configurations([ModelFile(path)], options)
    rows = list(Profiler(Store(tmp_path / "store"), options).rows(wanted))
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert "takes batch 8 only, which has a row: leave --batch 8 out" in rows[1]["reason"]


def test_no_file_is_written_over_another_of_the_same_command(tmp_path):
    folder, backend = f"{tmp_path}/", reference()
    sources = [ModelFile(Path("x/net.onnx"), label="x/net"), ModelFile(Path("x_net.onnx"))]
    with pytest.raises(UsageError, match=r"two of these would be written to .*x_net-checked\.onnx"):
        destinations(sources, folder)
    with pytest.raises(UsageError, match=r"two of these would be written to .*x_net-fp32\.onnx"):
        places_of([("x/net-fp32", backend), ("x_net-fp32", backend)], folder)
    assert len({*destinations(sources[:1], folder), *destinations(sources[1:], folder)}) == 1


@pytest.mark.parametrize(
    ("batches", "bound", "best"),
    [((1,), 60000, 8), ((1, 8), 60000, 8), ((4, 8, 16), "0.000001", None)],
)
def test_a_search_for_the_largest_batch_of_a_graph_with_one_tries_that_alone(
    save, tmp_path, batches, bound, best
):
    """Batch 1 was run as batch 8 and chosen, and batch 8 itself was refused as it had a row."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save("m.onnx", nodes, [8, 3], [8, 2], {"w": np.ones((3, 2), np.float32)})
    brief = Policy(warmup_s=0.01, warmup_max_s=0.1, window_s=0.01, min_s=0.05, max_s=0.2)
    options = ProfileOptions(batches=batches, policy=brief, roofline=False)
    search = LoadSearch([ModelFile(path)], options, Constraint.parse(f"latency_p50_ms<={bound}"))
    rows = list(search.rows(Profiler(Store(tmp_path / "store"), search.options)))
    assert [(row["status"], row["batch"]) for row in rows] == [("ok", 8)]
    (answer,) = search.answers
    assert answer.search.best == best
    said = "take batch 8: .*; the graph takes batch 8 only$" if best else "; at 8, it is"
    assert re.search(said, answer.text)
