from __future__ import annotations

import pkgutil
import subprocess
import sys

import deploykit.graph

HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "torch", "google.protobuf")


def test_no_module_of_graph_imports_a_heavy_package() -> None:
    """Only their use does, so that commands which list precisions start at once."""
    modules = [
        found.name for found in pkgutil.walk_packages(deploykit.graph.__path__, "deploykit.graph.")
    ]
    assert "deploykit.graph.calibrate.ranges" in modules
    assert "deploykit.graph.precision.half" in modules
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == []
