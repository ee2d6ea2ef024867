from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import deploykit.cli
from deploykit.cli import invoke
from deploykit.errors import UsageError, one_line
from deploykit.report.markdown import table
from deploykit.text import MOST_SHOWN, file_name, folder_name, is_name, printable, shown


def test_escape_sequences_and_line_breaks_are_written_out():
    assert printable("plain \u00fc \u5c42") == "plain \u00fc \u5c42"
    assert printable("a\x1b[31mred\n\x9b\udcff") == r"a\x1b[31mred\n\x9b\udcff"


def test_errors_show_no_escape_sequence_of_a_name_that_they_quote():
    assert str(UsageError("no \x1b[31mfile\nhere")) == r"no \x1b[31mfile here"
    assert "\x1b" not in one_line(ValueError("\x1b[2J"))


def test_a_file_name_that_is_no_text_becomes_text():
    assert file_name(os.fsdecode(b"bad\xff")) == r"bad\xff"
    assert file_name("ü 层") == "ü 层"


def test_folder_names_are_safe_short_and_keep_both_ends():
    assert folder_name("lenet5-fp32", "-012") == "lenet5-fp32-012"
    assert folder_name("a/b\x1b\n", "-0") == "a_b__-0"
    assert folder_name("..-fp32", "-0") == "_..-fp32-0"
    assert folder_name("-x", "-0") == "_-x-0"
    long = folder_name("层" * 200 + "-int8", "-0123456789ab")
    assert len(long.encode()) <= 255
    assert long.startswith("层")
    assert long.endswith("-int8-0123456789ab")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\x1b", "a\nb", "n" * 256, ".hidden", "\ud800"])
def test_what_can_not_be_a_name_is_not_taken_for_one(name):
    assert not is_name(name)


@pytest.mark.parametrize("name", ["lenet5", "module:function", "[red] %s {}", "层"])
def test_names_are_names(name):
    assert is_name(name)


SHOWN = "import sys; from deploykit.text import open_streams; open_streams(); "


def run(code: str, shell: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", SHOWN + code]
    if shell:
        command = ["bash", "-c", f'"$0" "$@" {shell}', *command]
    return subprocess.run(command, capture_output=True, env={**os.environ, **env})


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_character_ends_the_program_on_a_narrow_terminal(encoding):
    done = run(r"print('5 \u2013 6 \u5c42 \udcff')", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout == rb"5 - 6 \u5c42 \udcff" + b"\n"


def test_an_error_keeps_to_the_encoding_of_stderr():
    code = r"from deploykit.cli import main; main(['count', 'fehlt_\u00e9.onnx'])"
    done = run(code, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.startswith(rb"deploykit: no such file: fehlt_\xe9.onnx;")


def test_lines_keep_to_the_encoding_of_stdout():
    code = "from deploykit.text import open_streams, write_line; open_streams(); "
    code += r"write_line('\u00fc \u2265 5'); write_line('\u5c42', err=True)"
    done = run(code, PYTHONIOENCODING="ascii")
    assert (done.stdout, done.stderr) == (rb"\xfc >= 5" + b"\n", rb"\u5c42" + b"\n")


def test_no_line_of_ours_is_written_by_click():
    """Its `echo` writes UTF-8 on a terminal of ASCII alone; documents on stdout are UTF-8 by design."""
    commands = Path(deploykit.cli.__file__).parent.glob("*.py")
    found = [path.name for path in commands if re.search(r"click\.s?echo\(", path.read_text())]
    assert found == ["outputs.py"]


def test_folders_have_the_same_name_in_every_locale():
    code = "import os; from deploykit.text import folder_name; "
    code += r"print(os.fsencode(folder_name('\u00fc', '-0')))"
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert run(code, **narrow).stdout == run(code).stdout == rb"b'\xc3\xbc-0'" + b"\n"


def test_closed_streams_lead_nowhere_and_their_numbers_go_to_no_other_file():
    code = "import os; print('x', file=sys.stderr); assert not sys.stdin.read(); "
    code += "assert os.open('/dev/null', os.O_RDONLY) > 2"
    assert run(code, "<&- 2>&-").returncode == 0


def test_a_write_to_a_closed_stdout_fails_when_it_is_flushed():
    code = (
        "print('x')\ntry: sys.stdout.flush()\nexcept OSError as e: sys.stderr.write(str(e.errno))"
    )
    assert run(code, ">&-").stderr.startswith(b"9")


def test_what_is_shown_is_one_line_of_bounded_length_that_keeps_both_ends():
    text = "the file \x1b[31m\n" + "x" * 5000 + "; give another"
    assert len(shown(text)) == MOST_SHOWN
    assert shown(text).startswith("the file \\x1b[31m xxx")
    assert shown(text).endswith("xxx; give another")
    assert str(UsageError(text)) == shown(text)
    assert shown("short") == "short"


def test_a_command_says_no_more_than_a_screen_of_a_name(capsys):
    assert invoke(["count", "x" * 5000]) == 2
    assert len(capsys.readouterr().err) <= MOST_SHOWN + len("deploykit: \n")


def test_markdown_shows_names_and_not_what_they_ask_for():
    cell = table(["model"], [["a|b\n<img src=x>\x1b[31m" + "y" * 5000]]).splitlines()[2]
    assert cell.startswith(r"| a\|b \<img src=x>\x1b[31m")
    assert len(cell) < MOST_SHOWN + 20
