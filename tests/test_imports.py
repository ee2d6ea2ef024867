"""What a command that needs little may import: the rest costs seconds and hundreds of megabytes."""

from __future__ import annotations

import json
import subprocess
import sys

import cuda_double
import pytest
from source_tree import PACKAGE
from stored_reports import repeats, save

from deploykit.cli import COMMANDS

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
        [sys.executable, "-c", code + REPORT],
        capture_output=True,
        text=True,
        check=True,
        env=cuda_double.environment_without(),
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
        "deploykit.claims.claim",
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


#: What the help of every command may take of this package beside its own module: options and the values they make.
FOR_HELP = {
    "deploykit",
    "deploykit.bench",
    "deploykit.bench.scenario",
    "deploykit.cli",
    "deploykit.cli.completion",
    "deploykit.cli.groups",
    "deploykit.cli.library",
    "deploykit.cli.log",
    "deploykit.cli.measuring",
    "deploykit.cli.options",
    "deploykit.cli.outputs",
    "deploykit.cli.wrapping",
    "deploykit.errors",
    "deploykit.figures",
    "deploykit.lazy",
    "deploykit.report",
    "deploykit.spec",
    "deploykit.text",
    "deploykit.workflow",
    "deploykit.workflow.choices",
    "deploykit.workflow.ranges",
}
#: Of the standard library: what takes longest to import of all that commands need only when they run.
SLOW = {"email", "hashlib", "importlib.metadata", "msgspec", "statistics", "tempfile", "xml"}
MODULES = "; import sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"


def modules_of(arguments):
    done = subprocess.run(
        [sys.executable, "-c", f"from deploykit.cli import invoke; invoke({arguments})" + MODULES],
        capture_output=True,
        text=True,
        check=True,
        env=cuda_double.environment_without(),
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def ours(modules):
    return {name for name in modules if name.partition(".")[0] == "deploykit"}


def test_the_help_lists_commands_and_imports_none_of_them():
    modules = modules_of(["--help"])
    assert ours(modules) == {
        "deploykit",
        "deploykit.cli",
        "deploykit.cli.wrapping",
        "deploykit.errors",
        "deploykit.text",
    }
    assert not modules & SLOW


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_its_options_and_not_its_work(command):
    modules = modules_of([command, "--help"])
    allowed = FOR_HELP | {f"deploykit.cli.{command}_command"}
    assert ours(modules) - allowed == set()
    assert not modules & SLOW


#: Packages that commands on stored files have no need of.
NETWORKS = ("backends", "bench", "data", "graph", "training", "zoo")


@pytest.mark.parametrize("command", ["list", "claims", "compare", "check"])
def test_a_command_on_what_is_stored_needs_nothing_of_networks(command, tmp_path):
    path = save(tmp_path / "a.csv", repeats())
    arguments = {
        "list": ["list"],
        "claims": ["claims", "--list"],
        "compare": ["compare", path, path],
        "check": ["check", path],
    }[command]
    modules = modules_of(arguments)
    seen = {name.split(".")[1] for name in ours(modules) if "." in name}
    assert seen & set(NETWORKS) <= ({"zoo"} if command == "list" else set())
    assert not {name for name in modules if name.startswith("deploykit.claims.check")}
    assert not modules & {"deploykit.store", "deploykit.spec", "deploykit.codec", "msgspec"}


def test_comparing_reports_imports_nothing_heavy(tmp_path):
    path = save(tmp_path / "a.csv", repeats())
    assert heavy_imports(INVOKE.format(["compare", path, path])) == "[]"


def test_every_module_of_every_command_is_light_to_import():
    modules = (path.stem for path in (PACKAGE / "cli").glob("[a-z]*.py"))
    code = "import " + ", ".join(f"deploykit.cli.{name}" for name in modules)
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
    assert "'numpy'" in found
    assert "'onnx'" not in found  # the file is read in another process
    assert "'torch'" not in found
