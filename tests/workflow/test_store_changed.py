"""The store is wiped while a profile runs, or what lies in it can't be read: the row is measured all the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from deploykit.backends import get
from deploykit.bench.scenario import Policy, Scenario
from deploykit.errors import DeploykitError, OutputFailed
from deploykit.graph.export import export_model
from deploykit.spec import BuildOptions, ModelSpec, OnnxModel
from deploykit.store import GraphManifest, Store
from deploykit.workflow.build import Built, build_despite_wipes, build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.export import export_to, write_network
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.profile import Profiler

BRIEF = Policy(warmup_s=0.02, warmup_max_s=0.2, window_s=0.01, min_s=0.05, max_s=0.5, block_s=0.02)
OPTIONS = ProfileOptions(policy=BRIEF, scenarios=(Scenario(1),), roofline=False)
WANTED = enumerate_configurations([ModelSpec("lenet5", weights="trained")], OPTIONS)


@pytest.fixture
def store(shared_store: Store, tmp_path) -> Store:
    """A store of its own that has all that the rows need."""
    list(Profiler(shared_store, OPTIONS).rows(WANTED))
    shutil.copytree(shared_store.root, tmp_path / "engines", symlinks=True)
    return Store(tmp_path / "engines")


@pytest.mark.parametrize("moment", ["build", "measure"])
def test_a_row_is_measured_once_more_where_its_store_was_wiped(store, moment):
    said = []

    def say(text: str) -> None:
        if text.startswith(moment) and not any(one.startswith(moment) for one in said):
            shutil.rmtree(store.root)
        said.append(text)

    (row,) = Profiler(store, OPTIONS, say).rows(WANTED)
    assert row["status"] == "ok", row["reason"]
    assert any("once more" in text for text in said)


def test_a_row_whose_store_is_wiped_again_and_again_fails(store):
    def say(text: str) -> None:
        if text.startswith("measure"):
            shutil.rmtree(store.root)

    (row,) = Profiler(store, OPTIONS, say).rows(WANTED)
    assert row["status"] == "failed"
    assert "holds no whole engine" in row["reason"]


def test_a_network_is_made_once_more_where_its_store_was_wiped(tmp_path, monkeypatch):
    store, calls = Store(tmp_path / "engines"), []

    def export(spec: ModelSpec, path: Path) -> OnnxModel:
        if not calls:
            shutil.rmtree(store.root)
        calls.append(path)
        return export_model(spec, path)

    monkeypatch.setattr("deploykit.workflow.network.export_model", export)
    assert obtain_network(ModelSpec("lenet5"), store).model.path.is_file()
    assert len(calls) == 2


def test_a_graph_is_written_once_more_where_its_store_was_wiped(tmp_path, monkeypatch):
    store, calls = Store(tmp_path / "engines"), []

    def write(network: Network, place: Path):
        if not calls:
            shutil.rmtree(store.root)
        calls.append(network)
        return write_network(network, place)

    monkeypatch.setattr("deploykit.workflow.export.write_network", write)
    export_to(ModelSpec("lenet5"), tmp_path / "lenet5.onnx", store)
    assert (tmp_path / "lenet5.onnx").is_file()
    assert len(calls) == 2


def test_an_engine_is_built_once_more_where_its_network_was_wiped(store):
    source = ModelSpec("lenet5", weights="trained")
    network = obtain_network(source, store)
    shutil.rmtree(store.root)

    def build(given: Network) -> Built:
        backend = get("onnxruntime")
        return build_network(given, "int8", backend, BuildOptions(), CalibrationChoice(), store)

    with pytest.raises((DeploykitError, OSError)):
        build(network)
    assert build_despite_wipes(source, network, build, store).engine.path.is_file()


def test_a_store_that_was_wiped_while_it_made_something_has_lost_it(tmp_path):
    store = Store(tmp_path / "engines")

    def make(path: Path):
        shutil.rmtree(store.root)
        path.write_bytes(b"")

    with pytest.raises(OutputFailed):
        store.produce(GraphManifest, "a", {}, "model.onnx", make)
    assert store.has_lost()
    store.let_go()
    assert not store.has_lost()


def damaged(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 no more than this")


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        *(("reference", damaged), ("reference", a_pipe)),
        *(("predictions", blank), ("predictions", a_folder)),
    ],
)
def test_what_fp32_put_out_is_made_again_where_it_cannot_be_read(store, what, damage):
    paths = list(store.root.glob(f"*/{what}-*.npz"))  # those of other tests' networks among them
    for path in paths:
        damage(path)
    options = ProfileOptions(("int8",), policy=BRIEF, scenarios=(Scenario(1),), roofline=False)
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    (row,) = Profiler(store, options).rows(wanted)
    assert row["status"] == "ok", row["reason"]
    assert any(path.is_file() and any(path.read_bytes()) for path in paths)
    assert row["drift_snr_db"] > 20
    assert row["top1_agreement"] > 0.9
