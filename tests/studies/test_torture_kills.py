"""Kills and writes that fail, in short: `make torture` tries hundreds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deploykit.store import Manifest, Store
from studies.torture import kills, writes
from studies.torture.kills import MARK, Lane, marked
from studies.torture.part import Task


@pytest.fixture
def lane(tmp_path) -> Lane:
    return Lane(tmp_path / "lane")


def produce(lane: Lane):
    return Store(lane.store).produce(
        Manifest, "thing", {}, "file", lambda path: {"x": path.write_bytes(b"x")}
    )


def test_half_an_entry_and_what_is_left_are_seen(lane, monkeypatch):
    monkeypatch.setattr(kills, "_KINDS", [Manifest])
    entry = produce(lane)
    assert lane.half_entries() == lane.left_behind() == []
    entry.path.write_bytes(b"y")
    assert lane.half_entries() == [f"{entry.folder.name}/file is not what its manifest says"]
    entry.path.write_bytes(b"xy")
    assert lane.half_entries() == [f"{entry.folder.name} is damaged"]
    (lane.store / "model").mkdir()
    (lane.store / ".making-x").mkdir()
    (lane.folder / ".report.csv.0123456789ab.unfinished").touch()
    assert "model has no manifest" in lane.half_entries()
    assert len(lane.left_behind()) == 2


def test_a_process_that_lives_on_is_found_by_its_mark():
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, MARK: "of-a-test"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    assert marked("of-a-test") == [child.pid]
    child.communicate(b"\n")
    assert marked("of-a-test") == []


def test_a_command_that_is_killed_leaves_nothing_half_done(tmp_path, monkeypatch):
    monkeypatch.setattr(
        kills, "COMMANDS", {"export": ("export", "lenet5", "-o", "exported.onnx", "-q")}
    )
    monkeypatch.setattr(kills, "WHOLE_EVERY", 1)
    monkeypatch.setattr(kills, "AFTER", ())
    result = kills.run(Task(tmp_path, 600, seed=1, count=1, processes=1, say=lambda text: None))
    assert (result.done, result.failures) == (1, [])
    assert (
        result.counts.get("killed in export", 0) + result.counts.get("ended before the kill", 0)
        == 1
    )


def test_every_write_of_a_command_may_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(writes, "COMMANDS", {"check": writes.COMMANDS["check"]})
    result = writes.run(Task(tmp_path, 600, processes=1, say=lambda text: None))
    assert result.failures == []
    assert result.done == result.asked == result.counts["writes of check"] >= 2


def test_a_write_that_fails_without_a_word_is_a_failure():
    judged = [
        writes._judged(code, said, 28, (0,), "write 1")
        for code, said in (
            (4, ["deploykit: can't write report x: no space left on device; free some"]),
            (0, []),
            (4, ["deploykit: something else"]),
            (1, ["Traceback (most recent call last)", "OSError: no space left on device"]),
        )
    ]
    assert [one[0][0] if one else "" for one in judged] == ["", "", "wrong lines", "tracebacks"]
