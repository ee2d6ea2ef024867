from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploykit.cli import invoke
from deploykit.store import Store

OWN_CLAIM = """
[[claim]]
id = "lenet"
statement = "LeNet-5 has 61,706 parameters"
source = "a README"
about = "parameters(lenet5)"
kind = "counted"
stated = 61_706
unit = "parameters"
check = "count"
arguments = { network = "lenet5" }
expected = "confirmed"
parts = "holds"
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def own_claim(tmp_path) -> Path:
    """mine.toml with a claim of a user's own, `lenet`, in the folder of the commands."""
    path = tmp_path / "mine.toml"
    path.write_text(OWN_CLAIM)
    return path


@pytest.fixture
def run(capsys, monkeypatch, shared_store: Store, tmp_path) -> Callable[..., Ended]:
    """Run a command in this process, in an empty folder, with the session's store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPLOYKIT_STORE", str(shared_store.root))
    monkeypatch.delenv("COLUMNS", raising=False)  # as a pipe, whoever runs the tests

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        code = invoke([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return Ended(code, shown.out, shown.err)

    return call


@pytest.fixture
def run_process(shared_store: Store, tmp_path) -> Callable[..., Ended]:
    """Run a command as a process of its own; keywords go to `subprocess.run`."""

    def call(*arguments: str, **options) -> Ended:
        environment = {**os.environ, "DEPLOYKIT_STORE": str(shared_store.root)}
        environment.pop("COLUMNS", None)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        done = subprocess.run(
            [sys.executable, "-m", "deploykit", *map(str, arguments)],
            text=True,
            cwd=tmp_path,
            env=environment | options.pop("env", {}),
            timeout=300,
            check=False,
            **options,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call
