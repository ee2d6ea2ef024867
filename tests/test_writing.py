"""Drafts and working folders: gone with their maker, or removed by whoever comes next where it was killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploykit import writing
from deploykit.errors import OutputFailed
from deploykit.store import Manifest, Store
from deploykit.writing import DRAFT, WORKING, drafted, working_folder, write_atomic

MAKER = """
import sys
from pathlib import Path
from deploykit.writing import drafted, working_folder
folder = Path(sys.argv[1])
with drafted(folder / "report.csv"), working_folder(folder):
    print("made", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def maker(tmp_path):
    """A process that holds a draft and a working folder in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "made\n"
    yield process
    process.kill()
    process.communicate()


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_what_a_living_maker_has_stays(maker, tmp_path):
    before = hidden(tmp_path)
    assert len(before) == 2
    write_atomic(tmp_path / "other.csv", "x")
    with working_folder(tmp_path):
        pass
    Store(tmp_path).clear()
    assert hidden(tmp_path) == before


def test_what_a_killed_maker_left_goes_with_the_next_of_its_kind(maker, tmp_path):
    maker.kill()
    maker.wait()
    assert len(hidden(tmp_path)) == 2
    write_atomic(tmp_path / "other.csv", "x")
    with working_folder(tmp_path):
        assert len(hidden(tmp_path)) == 1
    assert hidden(tmp_path) == []


def test_a_store_is_cleared_when_it_is_first_asked_and_by_gc(maker, tmp_path):
    store = Store(tmp_path)
    store.produce(Manifest, "thing", {}, "file", lambda path: {"x": path.write_bytes(b"x")})
    maker.kill()
    maker.wait()
    (tmp_path / ".making-abandoned").mkdir()
    Store(tmp_path).produce(Manifest, "thing", {}, "file", lambda path: pytest.fail("made again"))
    assert hidden(tmp_path) == []
    (tmp_path / ".making-abandoned").mkdir()
    store.clear()
    assert hidden(tmp_path) == []


def test_files_that_only_look_like_drafts_stay(tmp_path):
    for name in (f"report{DRAFT}", ".report.csv.0123456789ab", f"x{WORKING}"):
        (tmp_path / name).write_text("mine")
    write_atomic(tmp_path / "other.csv", "x")
    with working_folder(tmp_path):
        pass
    assert len(list(tmp_path.iterdir())) == 4


def test_a_draft_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "report.csv").write_text("old")

    def fail() -> None:
        with drafted(tmp_path / "report.csv") as draft:
            draft.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
    assert (tmp_path / "report.csv").read_text() == "old"


def test_where_there_are_no_locks_files_are_written_and_nothing_is_removed(tmp_path, monkeypatch):
    def refuse(handle: int, operation: int) -> None:
        raise OSError("no locks available")

    left = tmp_path / f".report.csv.0123456789ab{DRAFT}"
    left.write_text("")
    monkeypatch.setattr(fcntl, "flock", refuse)
    write_atomic(tmp_path / "report.csv", "x")
    with working_folder(tmp_path) as folder:
        assert folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [left.name, "report.csv"]


def test_a_pipe_that_nobody_reads_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_READER_S", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(
        OutputFailed, match="it is a pipe that nothing reads; start its reader first"
    ):
        writing.write_atomic(pipe, "x")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing.write_atomic(pipe, "x" * 1000)
    assert os.read(reader, 2000) == b"x" * 1000
    os.close(reader)
