"""Standard output holds data alone: what native code prints to descriptor 1 goes to stderr."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

#: A command that prints JSON while a library writes to descriptor 1, and a program that it starts does too.
NOISY = """
import json, os, subprocess, sys
import deploykit.cli as cli
def dispatch(arguments):
    os.write(1, b"WARNING from C\\n")
    print(json.dumps({"a": "\\u00e9"}))
    os.write(1, b"more of it\\n")
    subprocess.run(["sh", "-c", "echo from a child"])
cli._dispatch = dispatch
cli.main([])
"""


def run(code: str, **more: object) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, PYTHONIOENCODING="utf-8")
    return subprocess.run(
        [sys.executable, "-c", code], text=True, env=env, capture_output=True, check=False, **more
    )


def test_what_a_library_prints_to_descriptor_1_is_not_in_the_data():
    done = run(NOISY)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"a": "é"}
    for text in ("WARNING from C", "more of it", "from a child"):
        assert text in done.stderr


def test_with_stderr_closed_the_data_still_comes():
    done = run(NOISY, preexec_fn=lambda: os.close(2))
    assert json.loads(done.stdout) == {"a": "é"}


def test_with_stdout_closed_nothing_breaks():
    done = run("import os; os.close(1)\nimport deploykit.text as s\ns.reserve_stdout(); os.dup(2)")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_stream_that_a_caller_put_there_stays():
    done = run(
        "import io, sys\nfrom deploykit.text import reserve_stdout\n"
        "own = sys.stdout = io.StringIO()\nreserve_stdout()\nassert sys.stdout is own"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_read_together_a_remark_stands_below_what_it_is_about(unbuffered):
    """As on a terminal, and in the log of a CI job; containers often set PYTHONUNBUFFERED."""
    code = (
        "import sys\nfrom deploykit.text import open_streams, reserve_stdout, write_line\n"
        "open_streams(); reserve_stdout()\nsys.stdout.writelines(['a table\\n'] * 400)\n"
        "write_line('a remark', err=True)\nprint('more')"
    )
    env = dict(os.environ, PYTHONUNBUFFERED=unbuffered)
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, env=env, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["a table"] * 400 + ["a remark", "more"]


def test_on_a_terminal_lines_come_as_they_are_written_unbuffered_or_not():
    code = (
        "import os, sys\nfrom deploykit.text import open_streams, reserve_stdout\n"
        "open_streams(); reserve_stdout()\nsys.stdout.write('first\\n')\nos.write(2, b'second\\n')"
    )
    for unbuffered in ("", "1"):
        main, terminal = pty.openpty()
        env = dict(os.environ, PYTHONUNBUFFERED=unbuffered)
        subprocess.run(
            [sys.executable, "-c", code], env=env, check=True, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        assert os.read(main, 100).split() == [b"first", b"second"]
        os.close(main)


#: Ends with an error behind what it printed, as `check` does that found a weak row.
FAILING = """
import deploykit.cli as cli
from deploykit.errors import CheckFailed
def dispatch(arguments):
    print("data")
    raise CheckFailed("1 of 1 rows is weak")
cli._dispatch = dispatch
cli.main([])
"""


def test_a_failed_check_with_stdout_closed_is_told_without_a_complaint_of_python():
    done = run(FAILING, preexec_fn=lambda: os.close(1))
    assert done.returncode == 4
    first, second = done.stderr.splitlines()
    assert first.endswith("1 of 1 rows is weak")
    assert "can't write standard output" in second


def test_a_failed_check_whose_reader_has_gone_keeps_its_code():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_standard_output_by_another_name_is_standard_output(run_process):
    """By its descriptor it was standard error."""
    by_name = run_process("count", "lenet5", "--csv", "/dev/stdout", "-q")
    assert (by_name.out.partition(",")[0], by_name.err) == ("model", "")
    both = run_process("count", "lenet5", "--csv", "/dev/fd/1", "--json")
    assert (both.code, "stdout takes one of" in both.err) == (2, True)
