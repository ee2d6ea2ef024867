"""Hostile data files and options, in short: `make torture` tries 200."""

from __future__ import annotations

import random
import signal

from studies.torture import data
from studies.torture.part import Task

#: Enough that each kind comes.
CASES = 30


def test_hostile_files_and_options_end_in_one_line(tmp_path):
    result = data.run(Task(tmp_path, 600, seed=1000, count=CASES, say=lambda text: None))
    assert result.failures == []
    assert result.done == CASES
    assert {name.partition(":")[0] for name in result.counts if ":" in name} == {
        kind.__name__.strip("_") for kind in data.KINDS
    }


def test_a_case_is_always_the_same():
    damaged = [data._damaged(bytes(1000), random.Random(5)) for _ in range(3)]
    assert damaged[0] == damaged[1] == damaged[2] != bytes(1000)


def test_what_is_wrong_with_an_end_is_seen():
    assert data._problem(2, "deploykit: no such file\n") == ""
    assert data._problem(0, "") == ""
    assert data._problem(2, "") == "bad lines"
    assert data._problem(2, "deploykit: a\ndeploykit: b\n") == "bad lines"
    assert data._problem(2, f"deploykit: {'x' * 2000}\n") == "bad lines"
    assert data._problem(1, "Traceback (most recent call last):\n") == "tracebacks"
    assert data._problem(-signal.SIGALRM, "") == "hangs"
    assert data._problem(-signal.SIGSEGV, "") == "deaths"
