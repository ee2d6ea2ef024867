"""Completion in the shells themselves: what they offer once they have read what `deploykit` prints for them."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from deploykit.cli import cli
from deploykit.cli.completion import models

#: What is typed, and what a shell makes of it or offers.
CASES = [
    ("deploykit prof", "profile"),
    ("deploykit profile alexnet_ow", "alexnet_owt"),
    ("deploykit profile --precision fp32,int", "fp32,int8"),
    ("deploykit tune --backends openv", "openvino"),
]


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed here")


@pytest.fixture
def environment(tmp_path):
    folder = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
    }


def output_of(environment, *command):
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    return done.stdout


@needs("bash")
def test_bash_completes(environment):
    lines = ['eval "$(_DEPLOYKIT_COMPLETE=bash_source deploykit)"']
    for typed, _ in CASES:
        words = typed.split()
        lines.append(f"COMPREPLY=(); COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}")
        lines.append('_deploykit_completion deploykit; echo "${COMPREPLY[@]}"')
    said = output_of(environment, "bash", "--norc", "-c", "; ".join(lines)).splitlines()
    assert said == [offered for _, offered in CASES]


@needs("fish")
def test_fish_completes(environment):
    asked = [f"complete -C'{typed}'" for typed, _ in CASES]
    lines = ["_DEPLOYKIT_COMPLETE=fish_source deploykit | source", *asked]
    said = output_of(environment, "fish", "--no-config", "-c", "; ".join(lines)).splitlines()
    # Behind a tab stands what it is.
    assert [line.partition("\t")[0] for line in said] == [offered for _, offered in CASES]


@needs("zsh")
def test_zsh_completes(environment):
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment)

    def until(text):
        """What the shell writes, until it has written a text; all of it after half a minute."""
        seen, end = "", time.monotonic() + 30
        while text not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.5)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")
        return seen

    def type_in(text):
        os.write(terminal, text.encode())

    try:
        type_in("PS1='$ '; autoload -Uz compinit && compinit -u -D\n")
        type_in('eval "$(_DEPLOYKIT_COMPLETE=zsh_source deploykit)"; echo rea""dy\n')
        assert "ready" in until("ready")
        for typed, offered in CASES:
            type_in(f"\x15{typed}\t")
            assert offered in until(offered)
    finally:
        type_in("\x15exit\n")
        os.close(terminal)
        os.waitpid(child, 0)


def test_a_model_is_a_network_a_file_or_a_folder_on_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "nets"
    (folder / "deep").mkdir(parents=True)
    (folder / "net.onnx").touch()
    (folder / "note.txt").touch()
    command = cli.get_command(click.Context(cli), "profile")
    context = click.Context(command)

    def offered(text):
        return [item.value for item in models(context, command.params[0], text)]

    assert offered("nets/") == ["nets/deep/", "nets/net.onnx"]
    assert offered("nets/n") == ["nets/net.onnx"]
    assert "squeezenet1_1" in offered("squeeze")
    assert offered("missing/") == []
