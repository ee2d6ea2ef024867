"""From a source to a graph in the store, and what makes a stored one stale."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from deploykit.errors import DeploykitError, InvalidModel, UsageError
from deploykit.spec import ModelSpec
from deploykit.store import Store, file_sha256
from deploykit.workflow import network as network_module
from deploykit.workflow.export import write_network
from deploykit.workflow.network import input_chw, obtain_network, stored_sources

FACTORY = """
from torch import nn

class Net(nn.Module):
    input_shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, {classes})

    def forward(self, x):
        return self.layer(x.flatten(1))
"""


def contents(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def test_a_network_is_exported_once(trained, shared_store):
    before = contents(shared_store.root)
    again = obtain_network(trained.model.spec, shared_store)
    assert again.hit
    assert again.model == trained.model
    assert contents(shared_store.root) == before


def test_a_network_comes_with_its_counts_and_its_data_set(trained, untrained):
    assert trained.facts["parameters"] == 61_706
    assert trained.dataset == "digits"
    assert untrained.dataset is None
    assert untrained.model.precision == "fp32"
    assert input_chw(untrained.model) == (3, 128, 128)


def test_changed_code_makes_a_stored_graph_stale(trained, shared_store, tmp_path, monkeypatch):
    copied = Store(tmp_path / "engines")
    shutil.copytree(shared_store.root, copied.root)
    assert obtain_network(trained.model.spec, copied).hit
    monkeypatch.setattr(network_module, "code_digest", lambda *names: "changed")
    fresh = obtain_network(trained.model.spec, copied)
    assert not fresh.hit
    assert fresh.model.path != trained.model.path
    # the same code in truth, so the same bytes
    assert fresh.model.sha256 == trained.model.sha256


def test_a_users_graph_is_counted_anew_with_changed_code(light_squeezenet, tmp_path, monkeypatch):
    store = Store(tmp_path / "engines")
    first = obtain_network(light_squeezenet, store)
    monkeypatch.setattr(network_module, "code_digest", lambda *names: "changed")
    again = obtain_network(light_squeezenet, store)
    assert not again.hit
    assert again.model.sha256 == first.model.sha256


def test_a_checkpoint_with_other_bytes_is_another_network(trained, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from deploykit.zoo import weights

    shipped = weights.trained(trained.model.spec)
    with safe_open(shipped, framework="np") as file:
        stored, tensors = file.metadata(), {k: file.get_tensor(k).copy() for k in file.keys()}  # noqa: SIM118
    path, store = tmp_path / "mine.safetensors", Store(tmp_path / "engines")
    spec = ModelSpec("lenet5", weights=str(path))
    save_file(tensors, path, stored)
    first = obtain_network(spec, store)
    assert first.dataset == "digits"
    next(iter(tensors.values())).flat[0] += 1
    save_file(tensors, path, stored)
    second = obtain_network(spec, store)
    assert not second.hit
    assert second.model.sha256 != first.model.sha256


def test_data_of_a_users_own_that_a_checkpoint_names_is_not_looked_for_here(tmp_path):
    """Another folder of that name, or the same without what was said of its images, gave wrong accuracy."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from deploykit.zoo import weights

    with safe_open(weights.trained(ModelSpec("lenet5", weights="trained")), framework="np") as file:
        stored, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    named = {"dataset": "imagefolder:photos"}
    save_file(tensors, tmp_path / "w.safetensors", stored | named)
    spec = ModelSpec("lenet5", weights=str(tmp_path / "w.safetensors"))
    assert obtain_network(spec, Store(tmp_path / "engines")).dataset is None


def test_a_file_nobody_here_made_is_taken_in_as_it_is(light_squeezenet, tmp_path):
    store, named = Store(tmp_path / "engines"), tmp_path / "named.onnx"
    model = onnx.load(light_squeezenet)
    for index, node in enumerate(model.graph.node):
        node.name = f"node-{index}"
    onnx.save(model, named)
    first = obtain_network(named, store)
    assert first.model.path.read_bytes() == named.read_bytes()
    assert first.model.sha256 == file_sha256(named)
    assert first.facts["parameters"] > 1_000_000
    assert first.facts["macs"] > 100_000_000
    assert (first.hit, obtain_network(named, store).hit) == (False, True)


def test_nodes_without_names_get_them_and_nothing_else_of_a_file_changes(
    light_squeezenet, tmp_path
):
    source = onnx.load(light_squeezenet)
    assert not all(node.name for node in source.graph.node)
    taken = onnx.load(obtain_network(light_squeezenet, Store(tmp_path / "engines")).model.path)
    names = [node.name for node in taken.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    for node in [*taken.graph.node, *source.graph.node]:
        node.ClearField("name")
    assert taken == source


def test_a_changed_file_is_another_network(light_squeezenet, tmp_path):
    store, copy = Store(tmp_path / "engines"), tmp_path / "mine.onnx"
    shutil.copy(light_squeezenet, copy)
    first = obtain_network(copy, store)
    model = onnx.load(copy)
    model.producer_name = "someone else"
    onnx.save(model, copy)
    assert obtain_network(copy, store).model.sha256 != first.model.sha256


def test_weights_in_files_beside_the_graph_are_taken_in(tmp_path):
    weights = numpy_helper.from_array(np.ones((300, 200), np.float32), "w")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 300])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 200])],
        [weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    file = tmp_path / "split.onnx"
    onnx.save(model, file, save_as_external_data=True, location="split.data", size_threshold=0)
    store = Store(tmp_path / "engines")
    found = obtain_network(file, store)
    (tmp_path / "split.data").unlink()
    inside = onnx.load(found.model.path, load_external_data=False).graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(inside), 1)
    with pytest.raises(InvalidModel, match=r"split\.data"):
        obtain_network(file, store)


def test_a_network_of_the_users_own_is_exported_and_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "engines")
    (tmp_path / "own_net_a.py").write_text(FACTORY.format(classes=3))
    (tmp_path / "own_net_b.py").write_text(FACTORY.format(classes=4))
    first = obtain_network(ModelSpec("own_net_a:Net"), store)
    assert first.facts["parameters"] == 64 * 3 + 3
    assert first.model.spec.name == "own_net_a:Net"
    assert obtain_network(ModelSpec("own_net_a:Net"), store).hit
    second = obtain_network(ModelSpec("own_net_b:Net"), store)
    assert second.facts["parameters"] == 64 * 4 + 4
    assert not second.hit


@pytest.mark.parametrize(
    "source",
    [
        Path("text.onnx"),
        ModelSpec("lenet5", weights="cut.safetensors"),
        ModelSpec("lenet5", weights="gone.pt"),
        ModelSpec("no_such_module:make"),
        ModelSpec("mobilenet", alpha=3.0),
    ],
    ids=["no ONNX", "cut checkpoint", "no checkpoint", "no module", "alpha"],
)
def test_what_fails_leaves_nothing_in_the_store(tmp_path, monkeypatch, source):
    from deploykit.zoo import weights

    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("not a graph")
    shipped = weights.trained(ModelSpec("lenet5", weights="trained"))
    Path("cut.safetensors").write_bytes(shipped.read_bytes()[:5000])
    store = Store(tmp_path / "engines")
    with pytest.raises(DeploykitError) as error:
        obtain_network(source, store)
    assert isinstance(error.value, UsageError)
    assert "\n" not in str(error.value)
    assert contents(store.root) == {}


def test_the_store_tells_which_networks_it_holds(trained, light_squeezenet, tmp_path):
    store, own = Store(tmp_path / "engines"), tmp_path / "own.onnx"
    assert stored_sources(store) == []
    shutil.copytree(trained.folder, store.root / trained.folder.name)
    shutil.copy(light_squeezenet, own)
    obtain_network(own, store)
    assert set(map(str, stored_sources(store))) == {str(trained.model.spec), str(own)}
    own.unlink()
    assert stored_sources(store) == [trained.model.spec]


def test_a_spec_survives_the_manifest(untrained, tmp_path):
    store = Store(tmp_path)
    shutil.copytree(untrained.folder, tmp_path / untrained.folder.name)
    (found,) = stored_sources(store)
    assert found == untrained.model.spec
    assert dataclasses.asdict(found) == dataclasses.asdict(untrained.model.spec)


def test_a_factorys_network_says_how_near_it_is_to_pytorch_found_in_the_store_or_not(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "its_error.py").write_text(FACTORY.format(classes=3))
    store = Store(tmp_path / "engines")
    for _ in range(2):
        network = obtain_network(ModelSpec("its_error:Net"), store)
        assert network.model.recipe["verified"]["batches"] == [1, 3]
        verified = write_network(network, tmp_path / "own.onnx").verified
        assert float(verified.replace("×10^", "e")) < 1e-3
