"""Kills and writes that fail, in short: `make torture` tries hundreds."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploykit.store import Manifest, Store
from studies.torture import kills, writes
from studies.torture.__main__ import PARTS, Ran, to_report
from studies.torture.kills import MARK, Lane, marked
from studies.torture.part import Result, Task


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
    monkeypatch.setattr(kills, "COMMANDS", {"build": kills.COMMANDS["build"]})
    lasts_s = {"build": [2.0, 0.5]}  # measured by `make torture`, and enough for a moment within
    task = Task(tmp_path, 600, seed=1, count=2, processes=1, say=lambda text: None)
    result = kills.run(dataclasses.replace(task, before={"lasts_s": lasts_s}))
    assert (result.done, result.failures) == (2, [])
    ends = ("killed in build", "build ended before the kill")
    assert sum(result.counts.get(name, 0) for name in ends) == 2
    assert result.counts["next runs"] == 1


def test_of_what_the_same_lines_open_the_first_fails():
    sites = "2 open b.py:1\n1 open a.py:7\n3 open a.py:7\n4 os.mkdir a.py:7\n"
    assert writes.first_of_each(sites) == [1, 2, 4]


def test_every_write_of_a_command_may_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(writes, "COMMANDS", {"check": writes.COMMANDS["check"]})
    result = writes.run(Task(tmp_path, 600, processes=1, say=lambda text: None))
    assert result.failures == []
    assert result.counts["writes opened by check"] >= 2
    if shutil.which("cc"):
        assert result.counts["writes written by check"] >= 1
    assert result.done == result.asked


def test_all_parts_together_take_forty_minutes():
    assert sum(PARTS.values()) <= 2400


def test_a_part_goes_on_with_what_failed_and_what_was_not_tried():
    before = {"done": 3, "failed_cases": [1]}
    task = Task(Path(), 1.0, before=before)
    assert task.cases(range(10, 15)) == [1, 13, 14]
    assert Task(Path(), 1.0).cases(range(3)) == [0, 1, 2]


def test_a_report_adds_up_what_several_runs_tried():
    first = Result(5, 2, {"killed": 2, "orphans": 1}, ["case 1: x"], [1], {"limit_s": 3})
    report = to_report(Ran(first, {}, {"code": "a", "done": 2}), seed=0)
    assert (report["done"], report["failed"], report["failed_cases"]) == (2, 1, [1])
    # The one that failed was tried again, and two more.
    second = Result(5, 3, {"killed": 3, "orphans": 0}, [], [], {"limit_s": 3})
    report = to_report(Ran(second, report, {"code": "b", "done": 3}), seed=0)
    assert (report["done"], report["failed"], report["mended"]) == (4, 0, ["case 1: x"])
    assert report["counts"] == {"killed": 5, "orphans": 1}
    assert [run["code"] for run in report["runs"]] == ["a", "b"]


def test_a_write_that_fails_without_a_word_is_a_failure():
    judged = [
        writes._judged(code, said, 28, (0,), "write 1", of_library=False)
        for code, said in (
            (4, ["deploykit: can't write report x: no space left on device; free some"]),
            (0, []),
            (4, ["deploykit: something else"]),
            (1, ["Traceback (most recent call last)", "OSError: no space left on device"]),
        )
    ]
    assert [one[0][0] if one else "" for one in judged] == ["", "", "wrong lines", "tracebacks"]


@pytest.mark.parametrize("of_library", [False, True])
def test_a_library_alone_may_tell_no_reason(of_library):
    said = [
        "deploykit: can't write the engine x: ONNX Runtime tells no reason, most likely the disk is full"
    ]
    judged = writes._judged(4, said, 28, (0,), "write 1", of_library=of_library)
    assert (judged == []) == of_library
