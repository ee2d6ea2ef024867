"""A package with a backend, a target and a recipe of its own, installed for real: no file of deploykit knows it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from backend_models import tiny_network
from onnx import numpy_helper

PLUGIN = Path(__file__).parent / "plugin" / "deploykit_board.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs deploykit's command line where the package is installed, as a wheel's unpacking leaves it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(PLUGIN, site)
    info = site / "deploykit_board-2.7.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deploykit-board\nVersion: 2.7\n")
    (info / "entry_points.txt").write_text("[deploykit.backends]\nboard = deploykit_board:Board\n")
    store = tmp_path_factory.mktemp("store")
    onnx.save(tiny_network(), site / "tiny.onnx")  # a file spares each process PyTorch

    def deploykit(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "deploykit", *arguments],
            env={**os.environ, "PYTHONPATH": str(site), "DEPLOYKIT_STORE": str(store)},
            capture_output=True,
            text=True,
            check=False,
            cwd=site,
        )
        done.store = store
        return done

    return deploykit


def test_it_builds_an_engine_for_its_target_with_its_own_recipe(run):
    done = run("build", "tiny.onnx", "--target", "board-npu", "--precision", "fp32,eighths")
    assert done.returncode == 0, done.stderr
    manifests = [json.loads(path.read_text()) for path in done.store.rglob("manifest.json")]
    engines = {one["precision"]: one for one in manifests if one.get("builder") == "board"}
    assert set(engines) == {"fp32", "eighths"}
    assert engines["eighths"]["precision_actual"] == "eighths"
    assert engines["eighths"]["recipe"]["rounded"] > 0
    (path,) = (p for p in done.store.rglob("engine.onnx") if "eighths" in str(p))
    weights = [
        numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer if len(t.dims) > 1
    ]
    assert all((w * 8 == (w * 8).round()).all() for w in weights)
    graphs = [one for one in manifests if one.get("recipe_targets") == ["board-npu"]]
    (graph,) = (one for one in graphs if one["precision"] == "eighths")
    # Whoever installs another version of the package gets another graph.
    assert graph["recipe_origin"] == "deploykit-board 2.7"


def test_it_measures_a_row(run, tmp_path):
    report = tmp_path / "report.csv"
    arguments = (
        "--no-roofline",
        "--backend",
        "board",
        "--precision",
        "eighths",
        "--quick",
        "--csv",
        str(report),
    )
    done = run("profile", "tiny.onnx", *arguments)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(report.read_text().splitlines())
    assert (row["backend"], row["target"], row["status"]) == ("board", "board-npu", "ok")
    assert (row["precision"], row["precision_actual"]) == ("eighths", "eighths")
    assert row["backend_version"] == "1.5"
    assert float(row["latency_p50_ms"]) > 0


def test_it_is_listed_and_a_precision_that_it_lacks_is_refused_in_one_line(run):
    listed = json.loads(run("list", "--precisions", "--json").stdout)
    (recipe,) = (one for one in listed if one["precision"] == "eighths")
    assert recipe["targets"] == ["board-npu"]
    done = run("build", "tiny.onnx", "--target", "board-npu", "--precision", "int8")
    assert done.returncode == 2
    assert "no int8 for target board-npu; it has fp32, eighths" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert run("build", "tiny.onnx", "--precision", "eighths").returncode == 2
