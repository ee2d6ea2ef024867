"""The torture: `make torture` (`python -m studies.torture [PART ...]`), at most 40 minutes on two cores.

Each part is a module beside this one with a function `run`, which takes a `Task` and returns a `Result`. What they
came to is written into reports/torture.json, which keeps what parts that are not run have there from before. It
ends with 1 where something failed.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.writing import write_atomic
from studies.torture.part import MOST_NAMED, Result, Task
from studies.wild import state_of_code

#: Parts, in the order that they are run in, and the seconds that each may take.
PARTS: Mapping[str, float] = {
    "models": 720.0,
    "cost": 180.0,
    "kills": 900.0,
    "writes": 300.0,
    "data": 300.0,
}


@dataclass(frozen=True)
class Ran:
    """A part that was run, and what its report says of the run itself."""

    result: Result
    about: Mapping[str, Any]


def run_part(name: str, *, seconds: float, seed: int, count: int | None, processes: int) -> Ran:
    """Run a part in an empty folder, which is removed afterwards."""
    work: Callable[[Task], Result] = importlib.import_module(f"studies.torture.{name}").run
    begun_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as folder:
        result = work(Task(Path(folder), seconds, seed, count, processes, _say))
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "code": state_of_code(*sorted(Path(__file__).parent.glob("*.py"))),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "seconds": round(time.perf_counter() - begun_s),
        "load_at_the_end": round(os.getloadavg()[0], 1),
        "seed": seed,
    }
    return Ran(result, about)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def to_report(ran: Ran) -> dict[str, Any]:
    """A part's share of the report."""
    result = ran.result
    return {
        **ran.about,
        "asked": result.asked,
        "done": result.done,
        **result.facts,
        "counts": dict(sorted(result.counts.items())),
        "failed": len(result.failures),
        "failures": result.failures[:MOST_NAMED],
    }


def main() -> None:
    """Run the parts and write their report."""
    parser = argparse.ArgumentParser(prog="python -m studies.torture", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="cases of each part, where not its own number")
    parser.add_argument("--seconds", type=float, help="of each part, where not its own share")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, default=Path("reports/torture.json"))
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(
            f"no part is called {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}"
        )
    report = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    failed = 0
    for name in arguments.parts or PARTS:
        ran = run_part(
            name,
            seconds=arguments.seconds or PARTS[name],
            seed=arguments.seed,
            count=arguments.count,
            processes=arguments.processes,
        )
        failed += len(ran.result.failures)
        report[name] = to_report(ran)
        text = json.dumps({part: report[part] for part in PARTS if part in report}, indent=1)
        write_atomic(arguments.json, text + "\n")
        print(
            f"{name}: {ran.result.done} of {ran.result.asked} tried, {len(ran.result.failures)} failed"
        )
        for line in ran.result.failures[:MOST_NAMED]:
            print(f"  {line}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
