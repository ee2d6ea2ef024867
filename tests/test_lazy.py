"""Lazy packages: imported at first use, told in one line where they are missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from deploykit import lazy
from deploykit.errors import MissingDependency
from deploykit.lazy import LazyModule, np


def test_naming_a_package_does_not_import_it_and_using_it_does():
    code = (
        "import sys; from deploykit.lazy import np; before = 'numpy' in sys.modules; "
        "np.zeros(1); print(before, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_modules_of_a_package_are_imported_when_they_are_used():
    code = (
        "import sys; from deploykit.lazy import rich; before = 'rich' in sys.modules; "
        "rich.table.Table; print(before, 'rich.table' in sys.modules, hasattr(rich, 'tabel'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


def test_it_gives_what_the_package_holds_now(monkeypatch):
    monkeypatch.setattr("numpy.zeros", "replaced")
    assert np.zeros == "replaced"


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependency, match=r"OpenVINO is not installed .*\[openvino\]"):
        _ = LazyModule("openvino").Core


def test_what_installs_an_extra_works_from_any_folder(monkeypatch, tmp_path):
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    monkeypatch.setattr(lazy, "_CLONE", clone)
    assert lazy.install_line("rtx") == f'pip install "{clone}[rtx]"'
    monkeypatch.chdir(clone)
    assert lazy.install_line("rtx") == 'pip install ".[rtx]"'


def test_without_a_clone_what_an_extra_holds_is_installed(monkeypatch, tmp_path):
    # as a wheel's metadata has it
    wheel = [
        "numpy>=1.26",
        "cuda-bindings>=12.6; extra == 'rtx'",
        'tensorrt-rtx>=1.4 ; extra=="rtx"',
    ]
    wheel += ["onnxruntime-gpu[cuda,cudnn]>=1.21; extra == 'ort-gpu'"]
    monkeypatch.setattr(lazy, "_CLONE", tmp_path)
    monkeypatch.setattr(metadata, "requires", lambda name: wheel)
    assert lazy.install_line("rtx") == 'pip install "cuda-bindings>=12.6" "tensorrt-rtx>=1.4"'
    assert lazy.install_line("ort-gpu") == 'pip install "onnxruntime-gpu[cuda,cudnn]>=1.21"'


def test_every_extra_that_a_message_names_is_declared():
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert {extra for extra, _ in lazy.EXTRAS.values()} <= set(project["optional-dependencies"])


def test_nothing_tells_to_install_this_package_from_the_public_index():
    # there the name is another project's
    root = Path(__file__).parents[1]
    texts = [
        *root.glob("*.md"),
        *root.glob("docs/**/*.md"),
        *root.glob("deploykit/**/*.py"),
        root / "Makefile",
    ]
    assert len(texts) > 100
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""pip install (-\S+ )*["']?deploykit\b""", text), path


def test_a_missing_package_without_an_extra_is_told_by_its_name():
    with pytest.raises(MissingDependency, match="pip install no_such_package"):
        _ = LazyModule("no_such_package").anything


def test_inspecting_a_name_is_no_use_of_the_package():
    assert not hasattr(LazyModule("no_such_package"), "__wrapped__")
