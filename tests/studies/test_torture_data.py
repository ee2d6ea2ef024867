"""Hostile data files and options, in short: `make torture` tries 200."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

from studies.torture import data

#: Enough that each kind comes.
CASES = 30
#: In a process of its own: each case is a fork, which hangs in PyTorch where a test before has started its threads.
CODE = f"""
import json, sys
from pathlib import Path
from studies.torture import data
from studies.torture.part import Task
result = data.run(Task(Path(sys.argv[1]), 600, seed=1000, count={CASES}, say=lambda text: None))
print(json.dumps([result.failures, result.done, list(result.counts)]))
"""


def test_hostile_files_and_options_end_in_one_line(tmp_path):
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], cwd=root, capture_output=True, check=True
    )
    failures, done, counts = json.loads(ended.stdout)
    assert failures == []
    assert done == CASES
    assert {name.partition(":")[0] for name in counts if ":" in name} == {
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
