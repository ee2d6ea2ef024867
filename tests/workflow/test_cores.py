from __future__ import annotations

import os

import pytest

from deploykit import env
from deploykit.bench.scenario import Scenario
from deploykit.workflow.machine import core_findings, core_notes, core_remarks


@pytest.fixture
def machine(monkeypatch):
    """A machine of eight cores of which a process may have some, under a cgroup limit or none."""

    def make(may: int = 8, limit: str = "max 100000") -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(may)))
        quota, period = limit.split()
        cores = int(quota) / int(period) if quota.isdigit() else None
        monkeypatch.setattr(env, "cpu_limit", lambda: cores)

    return make


def test_a_whole_machine_needs_no_remark(machine):
    machine()
    assert core_remarks() == []


def test_a_limit_below_the_cores_is_said_with_the_threads_that_follow(machine):
    machine(limit="250000 100000")
    (remark,) = core_remarks()
    assert remark.startswith("a cgroup limit leaves 2.5 of 8 cores: runtimes get 2 threads")


def test_an_affinity_below_the_cores_is_said(machine):
    machine(may=4)
    (remark,) = core_remarks()
    assert remark.startswith("this process may run on 4 of 8 cores (its affinity)")


@pytest.mark.parametrize("share", [{"may": 1}, {"limit": "50000 100000"}])
def test_one_core_is_said(machine, share):
    machine(**share)
    first, second = core_remarks()
    assert "1 thread unless" in first
    assert second.startswith("one core only")


@pytest.mark.parametrize(
    ("scenario", "remark"),
    [
        (Scenario(), None),
        (Scenario(4, 2), None),
        (Scenario(16), "16 threads take turns on 8 cores: give --threads 8"),
        (Scenario(None, 2), "2 streams of 8 threads take turns on 8 cores: give --threads 4"),
        (
            Scenario(1, 16),
            "16 streams of 1 thread take turns on 8 cores: give --threads 1 and --streams 8 at most",
        ),
    ],
)
def test_more_threads_than_cores_are_said_with_what_to_give(machine, scenario, remark):
    machine()
    notes = core_notes(scenario)
    assert [str(note) for note in notes] == ([] if remark is None else [remark])
    assert {note.kind for note in notes} <= {"load"}


def test_more_threads_than_cores_cast_doubt_on_a_timing_and_more_streams_do_not(machine):
    machine(may=1)
    (finding,) = core_findings(Scenario(2))
    assert str(finding) == "threads: 2 threads take turns on 1 core; give --threads 1"
    assert core_findings(Scenario(1, 4)) == core_findings(Scenario()) == ()
