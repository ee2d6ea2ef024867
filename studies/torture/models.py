"""Damaged models through load, count, convert and build: none may end in a traceback, a dead program or a hang."""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from deploykit import env
from deploykit.bench.channel import Channel, WorkerFailure
from studies.torture.mutants import kept_seeds, mutant
from studies.torture.part import Result, Task
from studies.torture.subject import Case, Stage, Tried, calls_limit_s, is_shown

#: Models, and those of them that also go through the command line.
MODELS, ONE_BY_COMMAND = 20_000, 200
#: One in so many that is refused on loading goes through the other calls all the same.
ONE_WHOLE = 10
#: What a call's process may take; a call has up to four of them. A network of this size needs below 0.5 s of them.
LIMIT_S, LIMIT_BYTES = 5.0, 2**30
#: What a process has beside: the libraries, and what it grows by between two looks at it.
SLACK_BYTES = 2**30
FAILURES = ("tracebacks", "bad lines", "over time", "dead parents", "hangs", "over memory")
#: How a command may end: done, a request that can't be right, one that was refused.
EXIT_CODES = (0, 2, 4)
_SAID_EVERY = 500


def run(task: Task) -> Result:
    """Try the kept seeds, and as many as are asked for from `task.seed` on."""
    fresh = range(task.seed, task.seed + (MODELS if task.count is None else task.count))
    seeds = list(dict.fromkeys(itertools.chain(kept_seeds(), fresh)))
    result = Result(asked=len(seeds))
    seeds = task.cases(seeds)
    for name in FAILURES:
        result.count(name, 0)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for seed in seeds:
        waiting.put(seed)
    lock, deadline = threading.Lock(), time.monotonic() + task.seconds
    most = [int(task.before.get("most_mib", 0)) * 2**20]
    workers = [
        threading.Thread(
            target=_work,
            args=(task, task.folder / str(number), waiting, deadline, result, lock, most),
        )
        for number in range(max(1, task.processes))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    result.facts = {
        "limit_s": LIMIT_S,
        "limit_mib": LIMIT_BYTES // 2**20,
        "slack_mib": SLACK_BYTES // 2**20,
        "most_mib": most[0] // 2**20,
        "versions": {
            name: env.package_version(name) for name in ("onnx", "onnxruntime", "protobuf")
        },
    }
    return result


def _work(
    task: Task,
    folder: Path,
    waiting: queue.SimpleQueue[int],
    deadline: float,
    result: Result,
    lock: threading.Lock,
    most: list[int],
) -> None:
    """Take seeds one after the other to a subject of this thread's own, and count what becomes of them."""
    folder.mkdir(parents=True)
    subject: Channel | None = None
    try:
        while time.monotonic() < deadline:
            try:
                seed = waiting.get_nowait()
            except queue.Empty:
                break
            if subject is None:
                subject = Channel("studies.torture.subject")
            case = Case(seed, folder, LIMIT_S, LIMIT_BYTES, seed % ONE_WHOLE == 0)
            try:
                tried = subject.ask(case, Tried, 6 * calls_limit_s(LIMIT_S))
                found = list(_failures(tried))
            except WorkerFailure as failure:
                tried = Tried([], 0)
                kind = "hangs" if failure.kind == "timeout" else "dead parents"
                found = [(kind, str(failure))]
                subject.close()
                subject = None
            if seed % ONE_BY_COMMAND == 0:
                found += by_command(seed, folder / "command", LIMIT_S)
            with lock:
                result.done += 1
                most[0] = max(most[0], tried.most_bytes)
                for stage in tried.stages:
                    result.count(f"{stage.name}: {stage.end}")
                    if stage.contained:
                        result.count(f"contained {stage.contained}")
                for kind, text in found:
                    result.count(kind)
                    result.fail(f"{mutant(seed).name}: {kind}: {text}", seed)
                    task.say(result.failures[-1])
                if result.done % _SAID_EVERY == 0:
                    task.say(
                        f"models: {result.done} of {result.asked}, {len(result.failures)} failed"
                    )
    finally:
        if subject is not None:
            subject.close()


def _failures(tried: Tried) -> Iterator[tuple[str, str]]:
    for stage in tried.stages:
        if stage.end in FAILURES:
            yield stage.end, _text(stage)
    if tried.most_bytes > LIMIT_BYTES + SLACK_BYTES:
        yield "over memory", f"{tried.most_bytes / 2**30:.2f} GiB"


def _text(stage: Stage) -> str:
    return f"{stage.name} after {stage.seconds:g} s: {stage.text}"


#: Commands that models go through in turns, {} being the file.
COMMANDS = (
    "build {} --precision fp32,int8 --synthetic-calibration",
    "profile {} --quick --no-roofline",
    "layers {} --precision int8 --synthetic-calibration",
    "count {} --json",
    "export {} -o {}.checked",
)


def by_command(seed: int, folder: Path, limit_s: float) -> list[tuple[str, str]]:
    """What is wrong with how a command answers a model."""
    path = mutant(seed).write(folder)
    words = COMMANDS[seed // ONE_BY_COMMAND % len(COMMANDS)].replace("{}", str(path)).split()
    command = [sys.executable, "-m", "deploykit", *words, "--build-timeout", str(limit_s)]
    name = f"deploykit {words[0]}"
    with tempfile.TemporaryDirectory(dir=folder) as store:
        environment = {**os.environ, "DEPLOYKIT_STORE": store, "NO_COLOR": "1"}
        limit = 2 * calls_limit_s(limit_s)
        try:
            done = subprocess.run(
                command, capture_output=True, env=environment, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return [("hangs", f"{name} took more than {limit:g} s")]
    said = (done.stdout + done.stderr).decode(errors="backslashreplace")
    if done.returncode < 0:
        return [("dead parents", f"{name} ended with signal {-done.returncode}")]
    if done.returncode not in EXIT_CODES or "Traceback" in said or "met a fault of" in said:
        return [("tracebacks", f"{name}, {done.returncode}: {said[-300:]!a}")]
    lines = done.stderr.decode(errors="backslashreplace").splitlines()
    return [("bad lines", f"{name}: {line[:300]!a}") for line in lines if not is_shown(line)][:1]
