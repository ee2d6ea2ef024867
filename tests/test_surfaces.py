"""The recorded interfaces of NVIDIA's bindings: whole, and what the package's code asks of them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib.metadata
import json
import math
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import pytest
import recorded_surfaces as recorded
import source_tree as source
import surface_uses as uses

EVERY = [(release, module) for module, found in recorded.RELEASES.items() for release in found]


@pytest.mark.parametrize(("release", "module"), EVERY)
def test_every_recorded_signature_can_be_read(release, module):
    found = recorded.all_signatures(recorded.surface(release, module))
    assert len(found) > 50
    for name, text in found:
        assert recorded.signature(text), name


def test_every_recorded_file_is_of_a_release_that_is_held_against():
    files = {path.stem for path in recorded.FOLDER.glob("*.json")}
    assert files == {release for found in recorded.RELEASES.values() for release in found}


def test_what_distinguishes_releases_is_recorded():
    old, *_, new = recorded.surfaces("tensorrt")
    assert "FP16" in old.enums["BuilderFlag"]
    assert "FP16" not in new.enums["BuilderFlag"]
    assert recorded.takes(new.member("IExecutionContext", "execute_async_v3"), 1, [], method=True)
    assert not recorded.takes(
        new.member("IExecutionContext", "execute_async_v3"), 2, [], method=True
    )
    assert old.member("ICudaEngine", "get_binding_shape") is None


@pytest.mark.parametrize(("release", "module"), EVERY)
def test_a_double_has_the_recorded_names_and_no_others(release, module):
    made = recorded.double(release, module)
    names = recorded.surface(release, module).names()
    assert {
        name for name in vars(made) if not name.endswith("_") and not name.startswith("__")
    } <= names
    assert all(hasattr(made, name) for name in names)
    with pytest.raises(AttributeError, match="has no no_such_name"):
        _ = made.no_such_name
    with pytest.raises(AttributeError, match="has no no_such_name"):
        made.no_such_name = 1


@pytest.fixture
def trt():
    return recorded.double("tensorrt-11.4", "tensorrt")


def test_a_doubles_class_has_what_is_recorded_and_takes_what_it_takes(trt):
    @recorded.stands_for(trt.IExecutionContext)
    class Context:
        name = "context"

        def execute_async_v3(self, stream_handle):
            return stream_handle == 7

        def set_input_shape(self, name, shape):
            return "true"

    assert trt.IExecutionContext is Context
    context = Context()
    assert context.execute_async_v3(7) is True
    assert context.execute_async_v3(stream_handle=8) is False
    for wrong in ((), (1, 2), ("7",)):
        with pytest.raises(TypeError, match=r"execute_async_v3 of tensorrt-11\.4 does not take"):
            context.execute_async_v3(*wrong)
    with pytest.raises(TypeError, match="gives bool, not 'true'"):
        context.set_input_shape("x", (1, 2))
    with pytest.raises(AttributeError, match="has no get_binding_shape"):
        _ = context.get_binding_shape
    with pytest.raises(NotImplementedError, match="get_tensor_shape"):
        context.get_tensor_shape("x")
    context.nvtx_verbosity = trt.ProfilingVerbosity.DETAILED
    with pytest.raises(TypeError, match="takes ProfilingVerbosity"):
        context.nvtx_verbosity = 2
    with pytest.raises(AttributeError, match="no engine that can be set"):
        context.engine = None


def test_a_double_refuses_behaviour_for_what_is_not_there(trt):
    with pytest.raises(TypeError, match=r"ICudaEngine of tensorrt-11\.4 has no get_binding_name"):

        @recorded.stands_for(trt.ICudaEngine)
        class Engine:
            def get_binding_name(self, index):
                return "x"


def test_what_only_the_library_makes_is_not_made(trt):
    with pytest.raises(TypeError, match="makes a ICudaEngine only by itself"):
        trt.ICudaEngine()
    with pytest.raises(TypeError, match=r"Logger of tensorrt-11\.4 does not take"):
        trt.Logger(1)
    assert trt.Logger(trt.Logger.ERROR)


def test_functions_and_values_of_a_double_are_the_recorded_ones(trt):
    assert trt.float32 is trt.DataType.FLOAT
    assert int(trt.BuilderFlag.TF32) == 6
    trt.nptype = lambda trt_type: "float32"
    assert trt.nptype(trt.float32) == "float32"
    with pytest.raises(TypeError, match=r"nptype of tensorrt-11\.4 does not take"):
        trt.nptype()
    runtime = recorded.double("cuda-bindings-13.5", "cuda.bindings.runtime")
    assert runtime.cudaMemcpyKind.cudaMemcpyHostToDevice == 1
    with pytest.raises(NotImplementedError, match="cudaMalloc"):
        runtime.cudaMalloc(1)
    assert issubclass(recorded.double("nvidia-ml-py-13.615", "pynvml").NVMLError, Exception)


def test_a_class_that_code_derives_has_attributes_of_its_own(trt):
    class Log(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)
            self.errors = []

    assert Log().errors == []


def test_the_stubs_are_those_of_the_recorded_interfaces():
    # `make stubs` writes them anew
    made = runpy.run_path(str(source.ROOT / "scripts" / "make_stubs.py"))["stubs"]()
    folder = source.ROOT / "stubs"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.pyi")} == set(made)
    for path, text in made.items():
        assert (folder / path).read_text(encoding="utf-8") == text, path


def test_stubs_have_what_all_releases_have_and_no_more():
    stub = (source.ROOT / "stubs" / "tensorrt" / "__init__.pyi").read_text(encoding="utf-8")
    (flags,) = [n for n in source.ast.parse(stub).body if getattr(n, "name", "") == "BuilderFlag"]
    members = {n.targets[0].id for n in flags.body if isinstance(n, source.ast.Assign)}
    every = [
        of.enums["BuilderFlag"] for m in ("tensorrt", "tensorrt_rtx") for of in recorded.surfaces(m)
    ]
    assert members == set.intersection(*map(set, every))
    assert "FP16" not in members


#: What code uses where it is there, and the one package that has it.
ONLY_IN = {
    "IBuilderConfig.num_compute_capabilities": "tensorrt_rtx",
    "IBuilderConfig.set_compute_capability": "tensorrt_rtx",
    "no EngineValidity": "tensorrt_rtx",
    "no EngineInvalidityDiagnostics": "tensorrt_rtx",
    "no CudaGraphStrategy": "tensorrt_rtx",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy": "tensorrt_rtx",
    "IRuntimeConfig.cuda_graph_strategy": "tensorrt_rtx",
    "IRuntimeConfig.create_runtime_cache": "tensorrt_rtx",
    "IRuntimeConfig.set_runtime_cache": "tensorrt_rtx",
}


def read_code(release, module):
    of = recorded.surface(release, module)
    return [uses.Reader(of, code).read() for code in uses.USERS[module]]


@pytest.mark.parametrize(("release", "module"), [x for x in EVERY if x[1] in uses.ROOTS])
def test_whatever_the_code_uses_is_in_every_release(release, module):
    readers = read_code(release, module)
    problems = [problem for reader in readers for problem in reader.problems]
    elsewhere = [name for name, owner in ONLY_IN.items() if owner != module]
    assert [p for p in problems if not any(name in p for name in elsewhere)] == []
    assert len(set().union(*(reader.uses for reader in readers))) >= 10


@pytest.mark.parametrize("name", ONLY_IN)
def test_what_is_used_of_one_package_only_is_in_no_other(name):
    for release, module in (x for x in EVERY if x[1].startswith("tensorrt")):
        problems = [problem for reader in read_code(release, module) for problem in reader.problems]
        assert any(name in problem for problem in problems) == (module != ONLY_IN[name])


def test_every_module_that_imports_the_bindings_is_read():
    importing = {
        (name, code)
        for code, tree in source.modules().items()
        for node in source.ast.walk(tree)
        if isinstance(node, source.ast.Import | source.ast.ImportFrom)
        for name in source.imported(code, node)
        if name in recorded.RELEASES
    }
    assert importing <= {(name, code) for name, codes in uses.USERS.items() for code in codes}
    assert len(importing) >= 3


@pytest.mark.parametrize("module", uses.USERS)
def test_a_use_that_goes_wrong_anywhere_in_the_code_is_found(monkeypatch, module):
    """Every name that the code asks for, changed in the code itself: none is passed over by what reads it."""
    of, real = recorded.surfaces(module)[-1], source.modules()
    for code in uses.USERS[module]:
        text = (source.ROOT / f"{code.replace('.', '/')}.py").read_text(encoding="utf-8")
        found = uses.Reader(of, code).read()
        missed = []
        for name in {use.removesuffix(" =").rpartition(".")[2] for use in found.uses}:
            if name.endswith("()") or name.startswith("__"):
                continue
            changed = re.sub(rf"(?<=[.\"]){name}\b", f"{name}_gone", text)
            assert changed != text, name
            trees = real | {code: source.ast.parse(changed)}
            monkeypatch.setattr(source, "modules", lambda trees=trees: trees)
            if not any("_gone" in one for one in uses.Reader(of, code).read().problems.values()):
                missed.append(name)
            monkeypatch.undo()
        assert missed == []


def test_no_other_module_knows_the_bindings_by_the_names_that_are_followed():
    names = {"trt", "pynvml", "nvml", "_trt", "_nvml"}
    knowing = {
        code
        for code, tree in source.modules().items()
        for node in source.ast.walk(tree)
        if (isinstance(node, source.ast.Name) and node.id in names)
        or (isinstance(node, source.ast.Attribute) and node.attr in names)
    }
    knowing -= {"deploykit.lazy"}  # which hands pynvml on and asks nothing of it
    assert knowing <= {code for codes in uses.USERS.values() for code in codes}


def test_what_can_not_be_followed_has_a_name_that_something_has():
    """Attributes of objects whose class is not known here: of the bindings, the package or another library."""
    known = names_of_the_package() | names_of_other_libraries()
    for code in {code for codes in uses.USERS.values() for code in codes}:
        offered = {
            name
            for module, codes in uses.USERS.items()
            if code in codes
            for of in recorded.surfaces(module)
            for name in names_offered(of)
        }
        asked = {
            node.attr
            for node in source.ast.walk(source.modules()[code])
            if isinstance(node, source.ast.Attribute) and not node.attr.startswith("__")
        }
        assert asked - offered - known == set(), code


def names_offered(of):
    members = {member for members in of.enums.values() for member in members}
    return of.names().union(members, *(of.members(name) for name in of.classes))


def names_of_the_package():
    found = set()
    for tree in source.modules().values():
        for node in source.ast.walk(tree):
            if isinstance(node, source.ast.FunctionDef | source.ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, source.ast.Attribute) and uses.is_self(node.value):
                if isinstance(node.ctx, source.ast.Store):
                    found.add(node.attr)
            elif isinstance(node, source.ast.Name) and isinstance(node.ctx, source.ast.Store):
                found.add(node.id)
    return found


def names_of_other_libraries():
    kinds = [str, bytes, list, dict, set, tuple, int, float, BaseException, Path, re.Match]
    kinds += [np.ndarray, memoryview, contextlib.ExitStack, subprocess.CalledProcessError(1, [])]
    kinds += [ctypes.CDLL, ctypes.c_uint8]
    kinds += [type(ctypes.CDLL(None).free), type(ctypes.c_uint8), functools.lru_cache(len)]
    modules = [os, sys, re, json, time, signal, subprocess, ctypes, contextlib, functools, atexit]
    modules += [importlib, importlib.metadata, math, np, onnx, onnx.helper]
    messages = [onnx.ModelProto, onnx.GraphProto, onnx.ValueInfoProto, onnx.TypeProto]
    messages += [onnx.TypeProto.Tensor, onnx.TensorShapeProto, onnx.TensorShapeProto.Dimension]
    fields = {name for one in messages for name in one.DESCRIPTOR.fields_by_name}
    return {name for one in [*kinds, *messages, *modules] for name in dir(one)} | fields


CODE = """
class Session:
    def __init__(self, trt, path):
        self._engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(path)
        self._context = self._engine.create_execution_context()

    def run(self, stream):
        self._context.enqueue_emits_profile = True
        return self._context.execute_async_v3(stream)
"""


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("trt.Runtime", "trt.Runtimes", "no Runtimes"),
        ("trt.Logger.ERROR", "trt.Logger.FATAL", "no Logger.FATAL"),
        ("create_execution_context", "create_context", "no ICudaEngine.create_context"),
        ("execute_async_v3(stream)", "execute_async_v3(stream, 1)", "takes other arguments"),
        ("execute_async_v3(stream)", "execute_async_v3(handle=stream)", "takes other arguments"),
        ("enqueue_emits_profile = True", "engine = None", "IExecutionContext.engine can't be set"),
        ("trt.Logger(trt.Logger.ERROR)", "trt.Logger(1, 2)", "Logger takes other arguments"),
        (
            "self._context.execute_async_v3(",
            "getattr(self._context, 'enqueue_v3')(",
            "no IExecutionContext.enqueue_v3",
        ),
    ],
)
def test_code_that_asks_for_what_is_not_there_is_found(monkeypatch, good, bad, problem):
    assert good in CODE
    of = recorded.surface("tensorrt-11.4", "tensorrt")
    for code, expected in ((CODE, []), (CODE.replace(good, bad), [problem])):
        monkeypatch.setattr(source, "modules", lambda code=code: {"made": source.ast.parse(code)})
        found = uses.Reader(of, "made").read().problems.values()
        assert [any(e in p for p in found) for e in expected] == [True] * len(found)
