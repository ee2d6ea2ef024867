"""Every write failing in turn, in every command: told in a line, nothing half-written, and the next run works."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from studies.torture.kills import Lane
from studies.torture.part import Result, Task

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
FAILURES = ("tracebacks", "wrong lines", "half entries", "left behind", "next runs that failed")
#: Commands whose writes fail; those on reports first, as they take a second each.
COMMANDS = {
    "check": ("check", "given.csv", "--csv", "check.csv"),
    "compare": (
        *("compare", "given.csv", "given.csv", "--csv", "compare.csv"),
        *("--markdown", "compare.md", "--junit", "compare.xml"),
    ),
    "report": ("report", "given.csv", "-o", "page.html"),
    "count": ("count", "lenet5", "--csv", "count.csv"),
    "export": ("export", "lenet5", "-o", "exported.onnx", "-q"),
    "build": ("build", "lenet5", "--precision", "int8", "--synthetic-calibration", "-q"),
    "profile": (
        *("profile", "lenet5", "--precision", "fp32", "--csv", "profile.csv"),
        *("--quick", "-q"),
    ),
    "train": ("train", "lenet5", "--data", "digits", "--epochs", "1", "-o", "trained.safetensors"),
}
#: These end with 1, as what they judge is weak, and that is no failure of a write.
JUDGING = ("check", "compare")

#: Run by every process of a command before anything else: it counts what is to be written, and fails one of it.
FAILING = """
import os, sys

_root, _fails, _number = (os.environ.get("TORTURE_" + name, "") for name in ("ROOT", "FAILS", "ERRNO"))
_writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_count = os.open(os.environ["TORTURE_COUNT"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if _root else -1

def _fail(event, arguments):
    if event not in ("open", "os.rename", "os.mkdir", "os.truncate"):
        return
    path = arguments[1] if event == "os.rename" else arguments[0]
    if not isinstance(path, (str, bytes)) or (event == "open" and not (arguments[2] or 0) & _writes):
        return
    path = os.fsdecode(path)
    if not os.path.abspath(path).startswith(_root) or path.endswith(".pyc") or "__pycache__" in path:
        return
    os.write(_count, b".")
    if str(os.lseek(_count, 0, os.SEEK_CUR)) == _fails:
        raise OSError(int(_number), os.strerror(int(_number)), path)

if _root:
    sys.addaudithook(_fail)
"""


def run(task: Task) -> Result:
    """Fail each write of each command, with each of the errors in turn, as far as the time goes."""
    folder = task.folder / "startup"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAILING)
    result = Result(asked=0)
    for name in FAILURES:
        result.count(name, 0)
    lock = threading.Lock()
    names = iter(COMMANDS)
    deadline = time.monotonic() + task.seconds

    def work(number: int) -> None:
        lane = Lane(task.folder / str(number), COMMANDS)
        while True:
            with lock:
                name = next(names, None)
            if name is None:
                return
            for problems in _cases(lane, name, folder, task.count, deadline, result, lock):
                with lock:
                    result.done += 1
                    for what, line in problems:
                        result.count(what)
                        result.failures.append(f"{name}: {what}: {line}")
                        task.say(f"{name}: {what}: {line}")

    workers = [threading.Thread(target=work, args=(n,)) for n in range(max(1, task.processes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    result.facts = {
        "errors": [errno.errorcode[number] for number in ERRORS],
        "fails": "files opened for writing, renamed or cut, and folders made",
    }
    return result


def _cases(
    lane: Lane,
    name: str,
    startup: Path,
    most: int | None,
    deadline: float,
    result: Result,
    lock: threading.Lock,
) -> Iterator[list[tuple[str, str]]]:
    """Each write of one command, failing."""
    given = Path(__file__).parents[2] / "reports" / "profile.csv"
    shutil.copyfile(given, lane.folder / "given.csv")
    counted = lane.folder.parent / f"count-{lane.folder.name}"
    environment = {
        "PYTHONPATH": f"{startup}{os.pathsep}{Path(__file__).parents[2]}",
        "TORTURE_ROOT": str(lane.folder),
        "TORTURE_COUNT": str(counted),
    }
    fine = (0, 1) if name in JUDGING else (0,)

    def once(fails: int, number: int = 0) -> tuple[int, list[str]]:
        counted.unlink(missing_ok=True)
        for place in (lane.store, lane.folder / "tmp"):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        more = environment | {"TORTURE_FAILS": str(fails), "TORTURE_ERRNO": str(number)}
        return lane.ended(name, more)

    once(0)
    writes = counted.stat().st_size if counted.exists() else 0
    with lock:
        result.asked += writes
        result.count(f"writes of {name}", writes)
    for fails in range(1, min(writes, most or writes) + 1):
        if time.monotonic() > deadline:
            return
        number = ERRORS[fails % len(ERRORS)]
        code, said = once(fails, number)
        place = f"write {fails} with {errno.errorcode[number]}"
        problems = _judged(code, said, number, fine, place)
        problems += [("half entries", f"{place}: {line}") for line in lane.half_entries()]
        code, said = lane.ended(name, {})
        if code not in fine:
            last = said[-1] if said else ""
            problems.append(("next runs that failed", f"after {place}: {code}, {last}"))
        problems += [("left behind", f"{place}: {line}") for line in lane.left_behind()]
        yield problems


def _judged(
    code: int, said: list[str], number: int, fine: tuple[int, ...], place: str
) -> list[tuple[str, str]]:
    """What is wrong with how a command ended of which one write failed."""
    if any("Traceback" in line or "fault of deploykit" in line for line in said):
        return [("tracebacks", f"{place}: {said[-1]}")]
    if code in fine:  # a write that nothing depends on, such as of a cache
        return []
    reason = os.strerror(number).lower()
    told = [line for line in said if reason in line.lower()]
    return [] if code == 4 and told else [("wrong lines", f"{place}: {code}, {said[-1:]}")]
