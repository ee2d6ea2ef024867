"""What care costs: a process of its own for reading, converting and building, and the checks of a file.

Commands run in turns with their calls in processes of their own and in place, both in empty stores, so that what
else the machine does meets both. The verdict is on the processors' time, which others disturb less than the time on
the clock, and which counts what goes on beside each other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploykit.bench import contain
from deploykit.graph.fit import require_fit, require_memory
from deploykit.graph.read_write import load_model, read_model
from deploykit.graph.view import GraphView
from studies.torture.part import Result, Task

#: The share of a job, and the seconds of each new file, that all of it may cost.
MOST_SHARE, MOST_FILE_S = 0.03, 0.15
#: Times that each side of a comparison runs: of the job, of the builds of new files.
JOBS, BUILDS = 1, 4
#: The network whose files, of other weights each, are built, and how many: the difference tells what one costs,
#: without what a command costs once.
NETWORK, FEW, MANY = "mobilenet", 2, 8
#: The main job, briefly.
JOB = "run --quick -q"
_IN_PLACE = "in-place"


def run(task: Task) -> Result:
    """Compare the main job and builds of new files with and without processes of their own, and time the checks."""
    result = Result(asked=2 * (JOBS + 2 * BUILDS))
    begun = time.monotonic()
    result.facts = {
        "network": NETWORK,
        "job": JOB,
        "load_at_the_begin": round(os.getloadavg()[0], 1),
    }
    models = [task.folder / f"{seed}.onnx" for seed in range(MANY)]
    for seed, model in enumerate(models):
        _command([], ["export", NETWORK, "--seed", str(seed), "-o", str(model), "-q"], task.folder)
    few, many = (["build", *map(str, models[:count]), "-q"] for count in (FEW, MANY))
    sides: dict[str, list[tuple[float, float]]] = {}
    jobs = (("few", few, BUILDS), ("many", many, BUILDS), ("job", JOB.split(), JOBS))
    for name, arguments, times in jobs:
        for turn in range(times):
            for how in ("", _IN_PLACE) if turn % 2 == 0 else (_IN_PLACE, ""):
                if time.monotonic() - begun > task.seconds:
                    continue
                took = _command([how] if how else [], arguments, task.folder)
                sides.setdefault(f"{name} {how}".strip(), []).append(took)
                result.done += 1
                task.say(f"cost: {name} {how}: {took[0]:.2f} s, {took[1]:.2f} s of processors")
    result.facts |= {"checks_of_a_file_s": round(_gate_s(models[0]), 3), **_compared(sides)}
    for name, bound in (("job_share", MOST_SHARE), ("file_extra_s", MOST_FILE_S)):
        value = result.facts.get(name)
        if value is None:
            result.failures.append(f"{name}: not measured in {task.seconds:g} s")
        elif value > bound:
            result.failures.append(f"{name} is {value:g}, above {bound:g}")
    return result


def _compared(sides: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Medians of both sides; the share of a job and the seconds of a file that processes of their own add."""
    found: dict[str, Any] = {}
    for side, took in sides.items():
        name = side.replace(" ", "_").replace("-", "_")
        found[f"{name}_s"] = round(statistics.median(wall for wall, _ in took), 3)
        found[f"{name}_processors_s"] = round(statistics.median(cpu for _, cpu in took), 3)
    for end in ("s", "processors_s"):
        names = [f"{n}{how}_{end}" for n in ("many", "few") for how in ("", "_in_place")]
        if all(name in found for name in names):
            many, many_in_place, few, few_in_place = (found[name] for name in names)
            extra = (many - few) - (many_in_place - few_in_place)
            found[_OF[end][0]] = round(extra / (MANY - FEW), 3)
        if f"job_in_place_{end}" in found:
            found[_OF[end][1]] = round(found[f"job_{end}"] / found[f"job_in_place_{end}"] - 1, 4)
    return found


#: What the differences are called, by the time that they are in.
_OF = {
    "s": ("file_extra_on_the_clock_s", "job_share_on_the_clock"),
    "processors_s": ("file_extra_s", "job_share"),
}


def _command(how: Sequence[str], arguments: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a command in an empty store; its seconds on the clock and of processors, all that it started counted."""
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    environment = {**os.environ, "DEPLOYKIT_STORE": str(store), "NO_COLOR": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "studies.torture.cost", *how, "--", *arguments],
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"deploykit {' '.join(arguments)} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime


def _gate_s(path: Path) -> float:
    """Seconds that the checks of a file add to reading it: the least of some times, in this process."""
    plain, checked = [], []
    for _ in range(4):
        begun = time.process_time()
        load_model(path)
        plain.append(time.process_time() - begun)
        begun = time.process_time()
        model = read_model(path)
        view = GraphView(model)
        require_fit(model, view)
        require_memory(view)
        checked.append(time.process_time() - begun)
    return min(checked) - min(plain)


if __name__ == "__main__":
    at = sys.argv.index("--")
    in_place = _IN_PLACE in sys.argv[:at]
    sys.argv = ["deploykit", *sys.argv[at + 1 :]]
    from deploykit.cli import main

    with contain.in_place() if in_place else contextlib.nullcontext():
        main()
