"""The example package is installed and run; and what a package of one's own lacks is told in one line."""

from __future__ import annotations

import csv
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import onnx
import pytest
from source_tree import ROOT

from deploykit import backends
from deploykit.backends.building import make_engine
from deploykit.errors import BuildFailed, UsageError
from deploykit.graph.read_write import open_model
from deploykit.spec import BuildOptions, ModelSpec

EXAMPLE = ROOT / "examples" / "numpy_backend"
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def tiny_network():
    """One convolution with its weights in the graph."""
    helper = onnx.helper
    value = helper.make_tensor_value_info
    floats = onnx.TensorProto.FLOAT
    weights = helper.make_tensor("w", floats, [2, 1, 3, 3], [0.5] * 18)
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    inputs, outputs = value("x", floats, ["n", 1, 8, 8]), value("y", floats, ["n", 2, 6, 6])
    graph = helper.make_graph([node], "tiny", [inputs], [outputs], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def install(site: Path, folder: Path) -> None:
    """Put a package and its entry points where an installed wheel would have them."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    for package in tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["packages"]:
        shutil.copytree(folder / package, site / package)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    install(site, EXAMPLE)
    return site


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def deploykit(site, store, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "deploykit", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), "DEPLOYKIT_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
        cwd=site,
    )


def test_its_network_runs_on_its_backend_and_computes_what_others_do(site, store, tmp_path):
    report = tmp_path / "report.csv"
    done = deploykit(
        site,
        store,
        *("profile", "two_convolutions", "--backend", "numpy,onnxruntime", "--iterations", "5"),
        *("--warmup-iterations", "1", "--no-roofline", "--csv", str(report)),
    )
    assert done.returncode == 0, done.stderr
    with report.open() as file:
        rows = {row["backend"]: row for row in csv.DictReader(file)}
    assert {row["status"] for row in rows.values()} == {"ok"}, rows
    numpy = rows["numpy"]
    assert numpy["precision_actual"] == "fp32"
    assert float(numpy["drift_snr_db"]) > 100
    facts = re.search(
        r"parameters=(\d+),\n    macs=(\d+)", (EXAMPLE / "numpy_backend" / "models.py").read_text()
    )
    assert (numpy["parameters"], numpy["macs"]) == facts.groups()


def test_the_catalogue_and_the_doctor_know_it(site, store):
    assert "two_convolutions" in deploykit(site, store, "list", "two*").stdout
    assert "numpy" in deploykit(site, store, "doctor").stdout


def test_the_page_names_what_the_example_has():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    for group, points in project["entry-points"].items():
        assert f'[project.entry-points."{group}"]' in PAGE
        assert all(f'{name} = "{value}"' in PAGE for name, value in points.items())
    code = (EXAMPLE / "numpy_backend" / "backend.py").read_text()
    for name in re.findall(r"    def ([a-z]\w+)\(", code):
        assert f"`{name}(" in PAGE, name


def changed(code, instead):
    """The example's backend with a part of it changed, as the class that its entry point gives."""
    text = (EXAMPLE / "numpy_backend" / "backend.py").read_text()
    assert code in text
    namespace = {"__name__": "numpy_backend.backend"}
    exec(
        compile(text.replace(code, instead, 1), "backend.py", "exec", dont_inherit=True), namespace
    )
    return namespace["NumpyBackend"]


class Point:
    """An entry point that gives a backend which was changed."""

    name, value = "numpy", "numpy_backend.backend:NumpyBackend"

    def __init__(self, code, instead):
        self.load = lambda: changed(code, instead)


@pytest.mark.parametrize(
    ("code", "instead", "message"),
    [
        ("    def version(self)", "    def other(self)", "abstract method '?version"),
        ('    filename = "engine.onnx"', "", "NumpyBackend has no filename, which is a text"),
        ('    name = "numpy"', '    name = "other"', "it calls itself 'other': give both one name"),
        ("import shutil", "import gone", "No module named 'gone'"),
        ("(BackendBase)", "", "it gives a NumpyBackend, not a BackendBase"),
    ],
)
def test_what_a_backend_lacks_when_it_is_loaded_is_one_line(code, instead, message):
    with pytest.raises(UsageError, match=f"'numpy' of numpy_backend.*does not load: .*{message}"):
        backends._loaded(Point(code, instead))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("graphs") / "tiny.onnx"
    onnx.save(tiny_network(), path)
    return open_model(path)


@pytest.mark.parametrize(
    ("code", "instead", "message"),
    [
        ('return {"compute_types": types}', "return {}", "build has to return compute_types"),
        ('return {"compute_types": types}', "return None", "build has to return compute_types"),
        ('"compute_types": types', '"compute_types": ["a"]', "build has to return compute_types"),
        ("shutil.copyfile(model.path, path)", "return {}", "wrote no engine"),
        ("shutil.copyfile(model.path, path)", "1 / 0", "raised ZeroDivisionError in build"),
    ],
)
def test_what_a_backend_lacks_when_it_builds_is_one_line(code, instead, message, model, tmp_path):
    backend = changed(code, instead)()
    with pytest.raises(BuildFailed, match=f"^the backend numpy .*{message}"):
        make_engine(model, backend, BuildOptions(), tmp_path, tmp_path / "engine.onnx", {})


def test_what_a_session_lacks_is_one_line(site, tmp_path):
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    onnx.save(tiny_network(), broken / "tiny.onnx")
    place = broken / "numpy_backend" / "backend.py"
    place.write_text(place.read_text().replace("    def bind(self", "    def other(self"))
    arguments = ("profile", "tiny.onnx", "--backend", "numpy", "--iterations", "2")
    done = deploykit(broken, tmp_path / "store", *arguments, "--no-roofline", "--json")
    assert done.returncode == 1, done.stderr
    assert re.search(r"abstract class NumpySession .*abstract method '?bind", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("code", "instead", "message"),
    [
        ("def two_convolutions(", "def other(", "has no attribute 'two_convolutions'"),
        ("num_classes: int = 10", "", "it has to take num_classes"),
        ("    return nn.Sequential(", "    return 3\n    nn.Sequential(", "returned int"),
        ("nn.ReLU(),", "nn.PReLU(),", "PReLU has values of its own and no reset_values"),
    ],
)
def test_what_a_network_lacks_is_one_line(code, instead, message, tmp_path, monkeypatch):
    from deploykit import zoo

    package = tmp_path / "numpy_backend"
    shutil.copytree(EXAMPLE / "numpy_backend", package)
    text = (package / "network.py").read_text()
    assert code in text
    (package / "network.py").write_text(text.replace(code, instead, 1))
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("numpy_backend")]:
        monkeypatch.delitem(sys.modules, name)
    point = importlib.import_module("numpy_backend.models").TWO_CONVOLUTIONS
    monkeypatch.setattr("deploykit.zoo.creation.lookup", lambda name: point)
    with pytest.raises(UsageError, match=message):
        zoo.create(ModelSpec("two_convolutions"))
    for name in [name for name in sys.modules if name.startswith("numpy_backend")]:
        del sys.modules[name]
