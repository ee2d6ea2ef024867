"""Lazy packages: imported at first use, told in one line where they are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


def test_a_missing_package_without_an_extra_is_told_by_its_name():
    with pytest.raises(MissingDependency, match="pip install no_such_package"):
        _ = LazyModule("no_such_package").anything


def test_inspecting_a_name_is_no_use_of_the_package():
    assert not hasattr(LazyModule("no_such_package"), "__wrapped__")
