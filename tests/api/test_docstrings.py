"""The example in each docstring of the Python API holds: as a doctest, in a folder and a store of its own."""

from __future__ import annotations

import doctest
import inspect

import pytest

import deploykit
from deploykit import api

FUNCTIONS = [name for name in api.__all__ if inspect.isfunction(getattr(deploykit, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_docstring_tells_what_can_go_wrong_and_every_argument(name):
    function = getattr(deploykit, name)
    text = inspect.getdoc(function)
    assert "Example:\n    >>> " in text
    taken = set(inspect.signature(function).parameters)
    if taken and name != "list_models":
        described = set()
        _, _, section = text.partition("Args:\n")
        for line in section.partition("\n\n")[0].splitlines():
            if line.startswith("    ") and not line.startswith("     "):
                described.add(line.strip().partition(":")[0])
        assert described == taken or not section
        assert section or taken <= {"name"}
    if name not in ("list_models", "doctor"):
        assert "Raises:\n" in text or name == "check_claims"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_holds(name, shared_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPLOYKIT_STORE", str(shared_store.root))
    function = inspect.unwrap(getattr(deploykit, name))
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(function, name, globs={"deploykit": deploykit})
    assert test.examples
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
