"""What a command that needs little may import: the rest costs seconds and hundreds of megabytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "numpy",
    "tensorrt",
    "tensorrt_rtx",
)
REPORT = f"; import sys; print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
INVOKE = "from deploykit.cli import invoke; assert invoke({}) == 0"


def heavy_imports(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT], capture_output=True, text=True, check=True
    )
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "module",
    [
        "deploykit",
        "deploykit.cli",
        "deploykit.zoo",
        "deploykit.report",
        "deploykit.report.compare.rendering",
        "deploykit.report.csv",
        "deploykit.report.views",
        "deploykit.claims",
        "deploykit.backends",
        "deploykit.backends.onnxruntime",
        "deploykit.backends.tensorrt",
        "deploykit.data",
        "deploykit.store",
        "deploykit.env",
        "deploykit.stats",
        "deploykit.workflow.plan",
        "deploykit.workflow.profile",
        "deploykit.workflow.run",
    ],
)
def test_importing_it_imports_nothing_heavy(module):
    assert heavy_imports(f"import {module}") == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "vgg*", "--json"],
        ["claims", "--list"],
        ["profile", "--help"],
        ["run", "--help"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_the_command_imports_nothing_heavy(arguments):
    assert heavy_imports(INVOKE.format(arguments)) == "[]"


def test_comparing_reports_imports_nothing_heavy(tmp_path):
    from stored_reports import repeats, save

    path = save(tmp_path / "a.csv", repeats())
    assert heavy_imports(INVOKE.format(["compare", path, path])) == "[]"


def test_every_module_of_every_command_is_light_to_import():
    from deploykit.cli import COMMANDS

    code = "import " + ", ".join(f"deploykit.cli.{name}_command" for name in COMMANDS)
    assert heavy_imports(code) == "[]"


def test_naming_the_facts_of_a_network_needs_no_torch():
    assert heavy_imports("import deploykit; deploykit.model_info('alexnet').macs") == "[]"


def test_profiling_an_onnx_file_needs_no_torch(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [0.5] * 8)],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    arguments = ["profile", str(tmp_path / "m.onnx"), "--quick", "-q", "--store", str(tmp_path)]
    found = heavy_imports(INVOKE.format(arguments))
    assert "'onnx'" in found
    assert "'torch'" not in found
