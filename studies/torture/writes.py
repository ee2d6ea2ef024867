"""Every write failing in turn, in every command: told in a line, nothing half-written, and the next run works.

Two kinds of writes fail. Files opened for writing, renames, cuts and new folders fail in Python, by an audit
hook. The bytes that are written fail in the C library, where those of ONNX Runtime, OpenVINO and safetensors pass
too; for that a small library is compiled and preloaded, where the system has a C compiler.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from studies.torture.kills import CLAIMS, NETWORK, Lane
from studies.torture.kills import COMMANDS as KILLED
from studies.torture.part import Result, Task
from studies.torture.zygote import Zygote

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
    "count": ("count", NETWORK, "--csv", "count.csv"),
    "export": ("export", "lenet5", "-o", "exported.onnx", "-q"),
    "build": (
        *("build", NETWORK, "--precision", "int8", "--synthetic-calibration"),
        *("--backend", "onnxruntime,openvino", "-q"),
    ),
    "profile": (
        *("profile", NETWORK, "--precision", "fp32", "--csv", "profile.csv"),
        *("--no-roofline", "--quick", "-q"),
    ),
    "layers": ("layers", NETWORK, "--csv", "layers.csv", "--quick", "-q"),
    "train": ("train", "lenet5", "--data", "digits", "--epochs", "1", "-o", "trained.safetensors"),
    "claims": ("claims", "--claims", CLAIMS, "--csv", "claims.csv", "--markdown", "claims.md"),
    "run": KILLED["run"],
    # By size: the race, which writes the same, would take half a minute each time.
    "tune": (
        *("tune", NETWORK, "--objective", "engine_bytes", "--backends", "onnxruntime", "-q"),
        *("--precision", "fp32,int8", "--threads", "1", "--synthetic-calibration"),
        *("-o", "tune.toml", "--csv", "tune.csv", "--markdown", "tune.md", "--plot", "tune.svg"),
    ),
}
#: Of these, which measure for longest, only the first write of each place in the code fails, and so many of bytes.
LONG, MOST_BYTES_OF_LONG = ("run", "tune"), 8
#: What is said where the runtime that was writing tells no reason.
_UNTOLD = "tells no reason, most likely the disk is full"
#: These end with 1, as what they judge is weak, and that is no failure of a write.
JUDGING = ("check", "compare")
#: Of the writes of bytes in one command that many fail at most, spread over all of them.
MOST_BYTES = 40
OPENING, WRITING = "opened", "written"

#: Run by every process of a command before anything else: it counts what is to be written, and fails one of it.
FAILING = """
import os, sys

_writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_root = _fails = _number = _sites = ""
_count = -1

def _site():
    frame, lines = sys._getframe(1), []
    while frame is not None:
        if "deploykit" in frame.f_code.co_filename:
            lines.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        frame = frame.f_back
    return ",".join(lines)

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
    number = os.lseek(_count, 0, os.SEEK_CUR)
    if _sites:
        with open(os.open(_sites, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as file:
            file.write(f"{number} {event} {_site()}\\n")
    if str(number) == _fails:
        raise OSError(int(_number), os.strerror(int(_number)), path)

def begin():
    global _root, _fails, _number, _sites, _count
    names = ("ROOT", "FAILS", "ERRNO", "SITES")
    _root, _fails, _number, _sites = (os.environ.get("TORTURE_" + name, "") for name in names)
    if _root:
        _count = os.open(os.environ["TORTURE_COUNT"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(_fail)

begin()
"""

#: The same for bytes that are written into files: all that is dynamically linked passes here.
PRELOADED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(int file) {
  const char *root = getenv("TORTURE_BYTES_ROOT"), *count = getenv("TORTURE_BYTES_COUNT");
  char link[64], path[4096];
  struct stat about;
  if (!root || !*root || !count || fstat(file, &about) || !S_ISREG(about.st_mode)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  if (strncmp(path, root, strlen(root)) || strstr(path, ".pyc") || strstr(path, "/stderr")) return 0;
  long counted = syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (counted < 0) return 0;
  syscall(SYS_write, counted, ".", 1);
  long number = syscall(SYS_lseek, counted, 0, SEEK_CUR);
  syscall(SYS_close, counted);
  const char *which = getenv("TORTURE_BYTES_FAILS"), *error = getenv("TORTURE_BYTES_ERRNO");
  if (!which || !error || number != atol(which)) return 0;
  errno = atoi(error);
  return 1;
}

#define NEXT(name) static __typeof__(name) *next; if (!next) next = dlsym(RTLD_NEXT, #name);
ssize_t write(int file, const void *data, size_t size) {
  NEXT(write) return fails(file) ? -1 : next(file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
  NEXT(writev) return fails(file) ? -1 : next(file, parts, count);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
  NEXT(pwrite) return fails(file) ? -1 : next(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off_t at) {
  NEXT(pwrite64) return fails(file) ? -1 : next(file, data, size, at);
}
int ftruncate(int file, off_t size) {
  NEXT(ftruncate) return fails(file) ? -1 : next(file, size);
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
  NEXT(sendfile) return fails(to) ? -1 : next(to, from, at, size);
}
"""


@dataclass(frozen=True)
class Setup:
    """What lets writes fail: a folder with sitecustomize.py, and a library where one could be compiled."""

    startup: Path
    library: Path | None

    def environment(self, kind: str, root: Path, count: Path) -> dict[str, str]:
        """What a command is told so that writes of a kind below a folder are counted in a file."""
        paths = f"{self.startup}{os.pathsep}{Path(__file__).parents[2]}"
        preloaded = {} if self.library is None else {"LD_PRELOAD": str(self.library)}
        middle = "" if kind == OPENING else "BYTES_"
        told = {"ROOT": f"{root}/", "COUNT": str(count)}
        return {"PYTHONPATH": paths, **preloaded} | {
            f"TORTURE_{middle}{name}": value for name, value in told.items()
        }


def prepare(folder: Path) -> Setup:
    """Write and compile, into a folder, what lets writes fail."""
    startup = folder / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(FAILING)
    source, library = folder / "failing.c", folder / "failing.so"
    source.write_text(PRELOADED)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return Setup(startup, None)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)
    return Setup(startup, library if done.returncode == 0 else None)


def run(task: Task) -> Result:
    """Fail each write of each command, with each of the errors in turn, as far as the time goes."""
    setup = prepare(task.folder)
    result = Result(asked=0)
    for name in FAILURES:
        result.count(name, 0)
    lock = threading.Lock()
    kinds = (OPENING,) if setup.library is None else (OPENING, WRITING)
    jobs = iter([(name, kind) for name in COMMANDS for kind in kinds])
    deadline = time.monotonic() + task.seconds
    tried: dict[str, list[int]] = dict(task.before.get("tried", {}))

    def work(number: int) -> None:
        zygote = Zygote(setup.startup, setup.library)
        try:
            while True:
                with lock:
                    name, kind = next(jobs, ("", ""))
                if not name:
                    return
                lane = Lane(task.folder / str(number) / name / kind, zygote, COMMANDS)
                done = list(tried.get(f"{name}, {kind}", [0, 0]))
                for problems in _cases(lane, name, kind, setup, task.count, done, deadline):
                    with lock:
                        result.done += 1
                        result.count(f"writes {kind} by {name}")
                        for what, line in problems:
                            result.count(what)
                            result.fail(f"{name}: {what}: {line}")
                            task.say(result.failures[-1])
                with lock:
                    tried[f"{name}, {kind}"] = done
        finally:
            zygote.close()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(max(1, task.processes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    result.asked = sum(asked for _, asked in tried.values())
    result.facts = {
        "errors": [errno.errorcode[number] for number in ERRORS],
        "fails": {
            OPENING: "files opened for writing, renamed or cut, and folders made, in Python, the first of each "
            f"place in the code before all others, and of {' and '.join(LONG)} these alone",
            WRITING: "bytes that Python or a library writes into files, in the C library; at most "
            f"{MOST_BYTES} of a command, {MOST_BYTES_OF_LONG} of {' and '.join(LONG)}, spread over all"
            if setup.library is not None
            else "nothing: there is no C compiler here",
        },
        "tried": tried,
    }
    return result


def _cases(
    lane: Lane,
    name: str,
    kind: str,
    setup: Setup,
    most: int | None,
    done: list[int],
    deadline: float,
) -> Iterator[list[tuple[str, str]]]:
    """Writes of one command, failing one after the other; `done` is how many were tried, and of how many."""
    given = Path(__file__).parents[2] / "reports" / "profile.csv"
    shutil.copyfile(given, lane.folder / "given.csv")
    counted = lane.folder.parent / f"count-{kind}"
    environment = setup.environment(kind, lane.folder, counted)
    fine = (0, 1) if name in JUDGING else (0,)
    most_bytes = MOST_BYTES_OF_LONG if name in LONG else MOST_BYTES
    prefix = "TORTURE_" if kind == OPENING else "TORTURE_BYTES_"

    def once(
        fails: int, number: int = 0, more: Mapping[str, str] | None = None
    ) -> tuple[int, list[str]]:
        counted.unlink(missing_ok=True)
        for place in (lane.store, lane.folder / "tmp"):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        told = {f"{prefix}FAILS": str(fails), f"{prefix}ERRNO": str(number)}
        return lane.ended(name, environment | told | dict(more or {}))

    if time.monotonic() > deadline and done[1]:
        return
    sites = lane.folder.parent / f"sites-{kind}"
    once(0, more={"TORTURE_SITES": str(sites)} if kind == OPENING else {})
    writes = counted.stat().st_size if counted.exists() else 0
    if kind == OPENING:
        first = first_of_each(sites.read_text() if sites.exists() else "")
        later = [] if name in LONG else sorted(set(range(1, writes + 1)) - set(first))
        chosen = first + later
    elif writes > most_bytes:
        chosen = [1 + index * (writes - 1) // (most_bytes - 1) for index in range(most_bytes)]
    else:
        chosen = list(range(1, writes + 1))
    chosen = chosen[:most]
    done[1] = len(chosen)
    for fails in chosen[done[0] :]:
        if time.monotonic() > deadline:
            return
        number = ERRORS[fails % len(ERRORS)]
        code, said = once(fails, number)
        place = f"write {fails} with {errno.errorcode[number]} ({kind})"
        problems = _judged(code, said, number, fine, place, of_library=kind == WRITING)
        problems += [("half entries", f"{place}: {line}") for line in lane.half_entries()]
        code, said = lane.ended(name, {})
        if code not in fine:
            last = said[-1] if said else ""
            problems.append(("next runs that failed", f"after {place}: {code}, {last}"))
        problems += [("left behind", f"{place}: {line}") for line in lane.left_behind()]
        done[0] += 1
        yield problems


def first_of_each(sites: str) -> list[int]:
    """Numbers of the writes whose place in the code no earlier one has, from lines of number and place."""
    first: dict[str, int] = {}
    for line in sorted(sites.splitlines(), key=lambda line: int(line.split()[0])):
        number, place = line.split(" ", 1)
        first.setdefault(place, int(number))
    return list(first.values())


def _judged(
    code: int,
    said: list[str],
    number: int,
    fine: tuple[int, ...],
    place: str,
    *,
    of_library: bool,
) -> list[tuple[str, str]]:
    """What is wrong with how a command ended of which one write failed; a library may tell no reason."""
    if any("Traceback" in line or "fault of deploykit" in line for line in said):
        return [("tracebacks", f"{place}: {said[-1]}")]
    if code in fine:  # a write that nothing depends on, such as of a cache
        return []
    reason = os.strerror(number).lower()
    told = [line for line in said if reason in line.lower() or (of_library and _UNTOLD in line)]
    return [] if code == 4 and told else [("wrong lines", f"{place}: {code}, {said[-1:]}")]
