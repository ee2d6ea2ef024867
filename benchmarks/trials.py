"""Long benchmarks that can be interrupted: every trial is stored as a line of JSON as soon as it is done.

A later run with the same settings on the same machine and code goes on where the last one ended; delete
the file to begin anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.code_digest import code_digest

#: Where trials are stored; not part of the project's history.
FOLDER = Path(os.environ.get("DEPLOYKIT_BENCH_TRIALS", "build/trials"))

#: Packages whose code, and what it imports, decides what a trial comes to.
MEASURING = ("deploykit.bench", "deploykit.stats", "deploykit.backends", "deploykit.report")

Trial = dict[str, Any]


def run_trials(
    name: str,
    plan: Sequence[str],
    settings: Mapping[str, Any],
    measure: Callable[[str, int], Mapping[str, Any]],
) -> list[Trial]:
    """All trials of a plan: those that are stored already, and the rest as they are measured.

    Args:
        name: of the benchmark, and of its file.
        plan: the kind of each trial, in the order in which they are run.
        settings: what must be equal for a stored trial to count.
        measure: a trial's outcome, given its kind and which one of that kind it is, from 0.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.jsonl"
    wanted = {
        **settings,
        "env_id": env.env_id(),
        "code": code_digest(*MEASURING)[:12],
    }
    stored = {(one["kind"], one["index"]): one for one in _read(path) if one["settings"] == wanted}
    trials, counts = [], dict.fromkeys(plan, 0)
    start, fresh = time.monotonic(), 0
    for place, kind in enumerate(plan):
        index = counts[kind]
        counts[kind] += 1
        if (kind, index) not in stored:
            trial = {"kind": kind, "index": index, **measure(kind, index), "settings": wanted}
            with path.open("a") as file:
                # A line of its own, even after one that a killed run left unfinished.
                file.write("\n" + json.dumps(trial) + "\n")
            stored[kind, index] = trial
            fresh += 1
            left_s = (time.monotonic() - start) / fresh * (len(plan) - place - 1)
            said = f"{name}: trial {place + 1} of {len(plan)} ({kind}), {left_s / 60:.0f} min left"
            print(said, file=sys.stderr, flush=True)
        trials.append(stored[kind, index])
    return trials


def _read(path: Path) -> Iterator[Trial]:
    """The trials in a file; a line that a killed run left unfinished is passed over."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def mixed(counts: Mapping[str, int]) -> list[str]:
    """A plan of so many trials of each kind, evenly mixed, so that all kinds see the same hours."""
    places = [
        ((index + 0.5) / count, kind) for kind, count in counts.items() for index in range(count)
    ]
    return [kind for _, kind in sorted(places)]
