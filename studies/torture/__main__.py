"""The torture: `make torture` (`python -m studies.torture [PART ...]`), at most 40 minutes on two cores.

Each part is a module beside this one with a function `run`, which takes a `Task` and returns a `Result`. What they
came to is written into reports/torture.json, which keeps what parts that are not run have there from before. With
--resume a part goes on from there: what failed is tried again, then the cases that were not tried yet, and all runs
are named with the code that they ran on. It ends with 1 where something failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.writing import write_atomic
from studies.torture.part import MOST_NAMED, Result, Task
from studies.wild import state_of_code

#: Parts, in the order that they are run in, and the seconds that each may take: 40 minutes together.
PARTS: Mapping[str, float] = {
    "models": 1030.0,
    "kills": 420.0,
    "writes": 250.0,
    "data": 90.0,
    "writers": 600.0,
}
#: What is run by its name alone, on an idle machine.
APART: Mapping[str, float] = {"cost": 420.0}


@dataclass(frozen=True)
class Ran:
    """A part that was run, what it went on from, and what its report says of the run itself."""

    result: Result
    before: Mapping[str, Any]
    about: Mapping[str, Any]


def run_part(name: str, task: Callable[[Path], Task]) -> Ran:
    """Run a part in an empty folder, which is removed afterwards."""
    work: Callable[[Task], Result] = importlib.import_module(f"studies.torture.{name}").run
    begun_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as folder:
        asked = task(Path(folder))
        result = work(asked)
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "code": state_of_code(*sorted(Path(__file__).parent.glob("*.py"))),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processes": asked.processes,
        "seconds": round(time.perf_counter() - begun_s),
        "load_at_the_end": round(os.getloadavg()[0], 1),
        "done": result.done,
    }
    return Ran(result, asked.before, about)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def to_report(ran: Ran, seed: int) -> dict[str, Any]:
    """A part's share of the report: what earlier runs had that it went on from, and what this one adds.

    What failed then was tried again now, so that the failures are this run's. What passes by now stands under
    `mended`; the counts keep it.
    """
    result, before = ran.result, ran.before
    again = len(before.get("failed_cases", []))
    counts = Counter(before.get("counts", {})) + Counter(result.counts)
    failed = set(result.failures)
    earlier = [line for line in before.get("failures", []) if line not in failed]
    return {
        "seed": seed,
        "asked": result.asked,
        "done": before.get("done", 0) + max(0, result.done - again),
        "runs": [*before.get("runs", []), ran.about],
        **result.facts,
        "counts": {name: counts[name] for name in sorted({*counts, *result.counts})},
        "failed": len(result.failures),
        "failures": result.failures[:MOST_NAMED],
        "failed_cases": result.failed_cases,
        "mended": [*before.get("mended", []), *earlier],
    }


def main() -> None:
    """Run the parts and write their report."""
    parts = {**PARTS, **APART}
    parser = argparse.ArgumentParser(prog="python -m studies.torture", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="cases of each part, where not its own number")
    parser.add_argument("--seconds", type=float, help="of each part, where not its own share")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resume", action="store_true", help="go on from what the report has")
    parser.add_argument("--json", type=Path, default=Path("reports/torture.json"))
    given = parser.parse_args()
    unknown = set(given.parts) - set(parts)
    if unknown:
        parser.error(
            f"no part is called {', '.join(sorted(unknown))}: there are {', '.join(parts)}"
        )
    report = json.loads(given.json.read_text()) if given.json.exists() else {}
    failed = 0
    for name in given.parts or PARTS:
        before = report.get(name, {}) if given.resume else {}
        if before and before["seed"] != given.seed:
            parser.error(f"{name} was begun with --seed {before['seed']}: go on with that")
        if before and before["done"] >= before["asked"] and not before["failed"]:
            print(f"{name}: all {before['asked']} were tried")
            continue

        def task(folder: Path, name: str = name, before: Mapping[str, Any] = before) -> Task:
            seconds = given.seconds or parts[name]
            return Task(folder, seconds, given.seed, given.count, given.processes, _say, before)

        ran = run_part(name, task)
        failed += len(ran.result.failures)
        report[name] = part = to_report(ran, given.seed)
        text = json.dumps({part: report[part] for part in parts if part in report}, indent=1)
        write_atomic(given.json, text + "\n")
        print(f"{name}: {part['done']} of {part['asked']} tried, {part['failed']} failed")
        for line in ran.result.failures[:MOST_NAMED]:
            print(f"  {line}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
