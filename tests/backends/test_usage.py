"""An engine is used without deploykit: the programs of manifests and docs/engines.md, run as far as can be here."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from source_tree import ROOT

import deploykit
from deploykit.backends import usage
from deploykit.errors import UsageError
from deploykit.spec import TensorSpec

PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
LENET = (TensorSpec("input", ("batch", 1, 32, 32), "float32"),)
#: Before a program: what imports deploykit fails.
ALONE = "import sys; sys.modules['deploykit'] = None\n"


def test_the_page_shows_what_the_manifests_say():
    assert [
        usage.onnxruntime("lenet5-int8.onnx", LENET, 1),
        usage.openvino("lenet5-openvino.onnx", LENET, 1, "f32"),
        usage.tensorrt("lenet5.plan", LENET, 1, "tensorrt_rtx", host_code=False),
        usage.onnxruntime_gpu("lenet5-cuda.onnx", LENET, 1, "CUDAExecutionProvider"),
    ] == PROGRAMS


def ran(program, folder):
    return subprocess.run(
        [sys.executable, "-c", ALONE + program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("backend", "name", "program"),
    [
        ("onnxruntime", "lenet5-int8.onnx", PROGRAMS[0]),
        ("openvino", "lenet5-openvino.onnx", PROGRAMS[1]),
    ],
)
def test_the_program_loads_the_file_and_computes_the_same(
    backend, name, program, shared_store, tmp_path
):
    place = tmp_path / name
    options = {"precision": "int8", "weights": "trained", "store": shared_store}
    engine = deploykit.build("lenet5", place, backend=backend, **options)
    assert engine.path == place
    manifest = json.loads((tmp_path / f"{name}.json").read_text())
    assert manifest["usage"] == engine.manifest["usage"] == program
    assert manifest["precision_actual"] == "int8"
    done = ran(program, tmp_path)
    assert done.stdout == "logits (1, 10) float32\n", done.stderr
    # What it computes, too, is what deploykit measures.
    images = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    given = program.replace("np.zeros((1, 1, 32, 32), np.float32)", 'np.load("images.npy")')
    array = "array" if backend == "onnxruntime" else "results[output]"
    done = ran(given.rstrip() + f'\n    np.save("logits.npy", {array})\n', tmp_path)
    assert done.returncode == 0, done.stderr
    with deploykit.load(place) as loaded:
        expected = loaded.run(images)["logits"]
    assert np.allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-5)
    assert np.ptp(expected) > 0


def test_the_program_of_tensorrt_runs_on_the_double_of_its_interface(
    cuda, tensorrt_rtx_runs, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("cuda.bindings")
    place = tmp_path / "lenet5.plan"
    # In a store of its own: the double can't load what the real builder made for other tests.
    options = {"target": "tensorrt-rtx", "weights": "trained", "store": tmp_path / "engines"}
    deploykit.build("lenet5", place, **options)
    monkeypatch.chdir(tmp_path)
    exec(compile(PROGRAMS[2], "usage", "exec"), {})
    assert capsys.readouterr().out == "logits (1, 10) float32\n"
    gc.collect()  # the program's names refer to each other


def test_code_on_the_host_is_allowed_where_a_plan_brings_some():
    text = usage.tensorrt("e.plan", LENET, 4, "tensorrt", host_code=True)
    assert "runtime.engine_host_code_allowed = True\nwith open" in text
    assert "np.zeros((4, 1, 32, 32), np.float32)" in text
    assert "import tensorrt as trt" in text


def test_plugins_of_tensorrt_are_registered_before_a_plan_is_read():
    text = usage.tensorrt("e.plan", LENET, 1, "tensorrt", host_code=False)
    registered = text.index('trt.init_libnvinfer_plugins(logger, "")')
    assert text.index("logger = trt.Logger") < registered < text.index("deserialize_cuda_engine")
    assert "runtime = trt.Runtime(logger)\nwith open" in text
    compile(text, "usage", "exec")
    # TensorRT for RTX has no library of them.
    assert "plugins" not in usage.tensorrt("e.plan", LENET, 1, "tensorrt_rtx", host_code=False)


def test_an_engine_that_deploykit_alone_runs_is_refused_before_it_is_built(shared_store, tmp_path):
    with pytest.raises(UsageError, match="of torch runs in deploykit alone: leave path out"):
        deploykit.build("lenet5", tmp_path / "x.onnx", backend="torch", store=shared_store)
    assert list(tmp_path.iterdir()) == []


def test_several_engines_go_into_a_folder(shared_store, tmp_path, monkeypatch, capsys):
    from deploykit.cli import invoke

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPLOYKIT_STORE", str(shared_store.root))
    call = ["build", "lenet5", "--weights", "trained", "--precision", "fp32,int8", "-q", "-o"]
    assert invoke([*call, "one.onnx"]) == 2
    assert "one.onnx is one file for 2 engines" in capsys.readouterr().err
    assert invoke([*call, "-"]) == 2
    assert invoke([*call, "gone/x.onnx"]) == 2
    assert list(tmp_path.iterdir()) == []
    assert invoke([*call, "all/"]) == 0
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    graphs = ["lenet5-fp32-onnxruntime.onnx", "lenet5-int8-onnxruntime.onnx"]
    assert names == sorted([*graphs, *(f"{name}.json" for name in graphs)])
