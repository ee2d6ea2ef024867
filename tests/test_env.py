from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from deploykit import env


def test_the_version_of_a_package_is_that_of_its_metadata():
    import onnx

    assert env.package_version("onnx") == onnx.__version__
    assert env.package_version("no-such-distribution") is None


def test_cores_are_those_that_this_process_may_use():
    assert 0 < env.usable_cores() <= len(os.sched_getaffinity(0))


def test_fewer_cores_by_affinity_are_seen():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from deploykit.env import usable_cores; print(usable_cores())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(shown.stdout) <= 1


@pytest.mark.parametrize(
    ("architecture", "features", "so"),
    [
        ("x86_64", ["avx2", "avx512f"], True),
        ("AMD64", ["avx2", "avx_vnni"], False),
        ("x86_64", ["avx2", "avx512_vnni"], False),
        ("aarch64", [], False),
    ],
)
def test_x86_without_vnni_adds_pairs_of_products_in_int16(monkeypatch, architecture, features, so):
    monkeypatch.setattr(env.platform, "machine", lambda: architecture)
    monkeypatch.setattr(env, "cpu_features", lambda: features)
    assert env.adds_pairs_in_int16() is so


@pytest.mark.parametrize(("limit", "cores"), [(1.5, 1.5), (0.5, 0.5), (None, 8.0), (12.0, 8.0)])
def test_a_cgroup_limit_cuts_the_cores(monkeypatch, limit, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(env, "cpu_limit", lambda: limit)
    assert env.usable_cores() == cores


def test_a_cgroup_limit_cuts_the_memory(monkeypatch):
    monkeypatch.setattr(env, "_read", {"/proc/meminfo": "MemTotal:  8388608 kB\n"}.get)
    monkeypatch.setattr(env, "memory_limit_bytes", lambda: 2**30)
    assert env.memory_mib() == 1024
    monkeypatch.setattr(env, "memory_limit_bytes", lambda: None)
    assert env.memory_mib() == 8192


def test_the_processor_and_its_features_come_from_the_kernel(monkeypatch):
    text = "model name\t: Some CPU @ 3 GHz\nflags\t\t: fpu avx2 fma avx512_vnni\n"
    monkeypatch.setattr(env, "_read", {"/proc/cpuinfo": text}.get)
    assert env.cpu_model() == "Some CPU @ 3 GHz"
    assert env.cpu_features() == ["avx2", "fma", "avx512_vnni"]


def test_without_proc_nothing_is_made_up(monkeypatch):
    monkeypatch.setattr(env, "_read", lambda path: None)
    monkeypatch.setattr(env, "memory_limit_bytes", lambda: None)
    assert env.memory_mib() is None
    assert env.cpu_features() == []
    assert env.cpu_model() in (platform.processor(), platform.machine())


def test_the_machines_name_is_the_same_in_every_process():
    code = "from deploykit.env import env_id; print(env_id())"
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert shown == [env.env_id()] * 2
    assert len(env.env_id()) == 12


def test_what_is_captured_can_be_stored_and_names_machine_and_versions():
    captured = json.loads(json.dumps(env.capture()))
    assert captured["env_id"] == env.env_id()
    assert captured["machine"] == env.machine()
    assert captured["python"] == platform.python_version()
    assert {"onnx", "onnxruntime", "numpy", "torch"} <= set(captured["packages"])
    assert all(captured["packages"].values())
