"""Kills at random moments: no half entry, no lost row, no process that lives on, nothing left in the end."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploykit.errors import DeploykitError
from deploykit.report.csv import read_cells
from deploykit.store import MANIFEST, Manifest, file_sha256, read_entry
from studies.torture.part import Result, Task

#: Kills where nobody says otherwise, and after how many of them their command is run to its end.
KILLS, WHOLE_EVERY = 300, 6
#: How long what a killed program started may live on.
ORPHAN_S = 3.0
#: How long a command may take that nothing kills.
LIMIT_S = 1200.0
#: The variable by which all that a command started is found, whoever its parent is by then.
MARK = "DEPLOYKIT_TORTURE_MARK"
LEFT_BEHIND = (".making-", ".deploykit-working-")
FAILURES = (
    "half entries",
    "lost rows",
    "orphans",
    "left behind",
    "next runs that failed",
)

_QUICK = ("--quick", "-q")
COMMANDS = {
    "build": ("build", "lenet5", "--precision", "fp32,int8", "--synthetic-calibration", "-q"),
    "profile": (
        *("profile", "lenet5", "--precision", "fp32,int8", "--synthetic-calibration"),
        *("--csv", "profile.csv", *_QUICK),
    ),
    "run": ("run", "lenet5", "--precision", "fp32", "--backend", "onnxruntime", *_QUICK),
    "train": ("train", "lenet5", "--data", "digits", "--epochs", "1", "-o", "trained.safetensors"),
    "export": ("export", "lenet5", "-o", "exported.onnx", "-q"),
    "layers": ("layers", "lenet5", "--csv", "layers.csv", "-q"),
}


#: What is run to its end after a command that was, as it writes to the same places.
AFTER = ("profile", "train", "export")


@dataclass
class Lane:
    """A folder in which one command after the other is run and killed.

    Attributes:
        folder: of reports, of the store and of temporary files.
        commands: what is run, by name.
    """

    folder: Path
    commands: Mapping[str, Sequence[str]] = field(default_factory=lambda: COMMANDS)

    def __post_init__(self) -> None:
        for name in ("store", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def store(self) -> Path:
        """The store of the commands."""
        return self.folder / "store"

    def start(
        self, name: str, mark: str, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command, with a mark that all it starts inherits, and more of an environment."""
        environment = dict(os.environ)
        environment |= {
            MARK: mark,
            "DEPLOYKIT_STORE": str(self.store),
            "TMPDIR": str(self.folder / "tmp"),
        }
        with (self.folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "deploykit", *self.commands[name]],
                cwd=self.folder,
                env={"PYTHONPATH": str(Path(__file__).parents[2]), **environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def whole(self, name: str, mark: str) -> str:
        """Run a command to its end; why it did not end well, "" where it did."""
        code, said = self.ended(name, {MARK: mark})
        return "" if code == 0 else f"{name} ended with {code}: {said[-1] if said else ''}"

    def ended(self, name: str, more: Mapping[str, str]) -> tuple[int, list[str]]:
        """Run a command to its end: its exit code and what it said; 124 where it takes too long."""
        process = self.start(name, "", more)
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return 124, [f"not done after {LIMIT_S:g} s"]
        said = (self.folder / "stderr").read_text(errors="replace").strip().splitlines()
        return code, said

    def rows(self) -> dict[str, int]:
        """How many whole rows each report holds."""
        return {path.name: len(read_cells(path)) for path in self._reports()}

    def _reports(self) -> list[Path]:
        return [*self.folder.glob("*.csv"), *(self.folder / "results").glob("*.csv")]

    def half_entries(self) -> list[str]:
        """Entries that a command would take for whole and are not, and those that nothing would take."""
        found = []
        for folder in self.store.iterdir():
            if not (folder / MANIFEST).exists():
                if folder.is_dir() and not folder.name.startswith("."):
                    found.append(f"{folder.name} has no manifest")
                continue
            if folder.name.startswith("."):
                continue
            entry = next((e for kind in _KINDS if (e := read_entry(folder, kind))), None)
            if entry is None:
                found.append(f"{folder.name} is damaged")
                continue
            digests = {entry.path.name: entry.manifest.digest, **entry.manifest.beside}
            found += [
                f"{folder.name}/{name} is not what its manifest says"
                for name, digest in digests.items()
                if file_sha256(folder / name) != digest
            ]
        return found

    def left_behind(self) -> list[str]:
        """Temporary files and folders that are still there."""
        found = [
            str(path.relative_to(self.folder))
            for path in self.folder.rglob(".*")
            if path.name.startswith(LEFT_BEHIND) or path.name.endswith(".unfinished")
        ]
        # What libraries keep there for themselves, such as PyTorch's cache, is no file of a command.
        temporary = [path.name for path in (self.folder / "tmp").iterdir()]
        return found + [f"tmp/{name}" for name in temporary if name.startswith("tmp")]


_KINDS = [
    *Manifest.__subclasses__(),
    *(k for c in Manifest.__subclasses__() for k in c.__subclasses__()),
]


def marked(mark: str) -> list[int]:
    """The processes that carry a mark."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}\0".encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found


def run(task: Task) -> Result:
    """Kill as often as is asked for, in a lane for each process."""
    count = KILLS if task.count is None else task.count
    result = Result(asked=count)
    for name in FAILURES:
        result.count(name, 0)
    lock, deadline = threading.Lock(), time.monotonic() + task.seconds
    numbers = iter(range(count))
    lanes = [
        threading.Thread(target=_work, args=(task, number, numbers, deadline, result, lock))
        for number in range(max(1, task.processes))
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    result.facts = {"commands": sorted(COMMANDS), "orphan_s": ORPHAN_S, "whole_every": WHOLE_EVERY}
    return result


def _work(
    task: Task, number: int, numbers: object, deadline: float, result: Result, lock: threading.Lock
) -> None:
    lane = Lane(task.folder / str(number))
    lasts_s: dict[str, float] = {}
    begun = 0
    while time.monotonic() < deadline:
        with lock:
            case = next(numbers, None)  # type: ignore[call-overload]
        if case is None:
            return
        random_ = random.Random(task.seed * 1_000_003 + case)
        name = list(COMMANDS)[case % len(COMMANDS)]
        begun += 1
        if name not in lasts_s:
            begin = time.monotonic()
            failed = lane.whole(name, f"{number}-first-{name}")
            lasts_s[name] = time.monotonic() - begin
            with lock:
                _note(result, "next runs that failed", [failed] if failed else [], f"first {name}")
        if random_.random() < 0.3:
            shutil.rmtree(lane.store, ignore_errors=True)
            lane.store.mkdir()
        problems = _kill(
            lane, name, random_.random() * lasts_s[name], f"{number}-{case}", result, lock
        )
        if begun % WHOLE_EVERY == 0:
            problems |= _next_run(lane, name, f"{number}-{case}-next")
        with lock:
            result.done += 1
            for what, lines in problems.items():
                _note(result, what, lines, f"case {case}, {name}")
            for line in (line for lines in problems.values() for line in lines):
                task.say(f"case {case}, {name}: {line}")
            if result.done % 10 == 0:
                task.say(f"kills: {result.done} of {result.asked}, {len(result.failures)} failed")


def _note(result: Result, what: str, lines: list[str], case: str) -> None:
    result.count(what, len(lines))
    result.failures += [f"{case}: {what}: {line}" for line in lines]


def _kill(
    lane: Lane, name: str, after_s: float, mark: str, result: Result, lock: threading.Lock
) -> dict[str, list[str]]:
    """Kill one command after a while, and look at what is left of it."""
    process = lane.start(name, mark)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    before = lane.rows()
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    with lock:
        result.count(f"killed in {name}" if process.wait() < 0 else "ended before the kill")
    return {
        "orphans": _orphans(mark),
        "half entries": lane.half_entries(),
        "lost rows": _lost(lane, before),
    }


def _orphans(mark: str) -> list[str]:
    deadline = time.monotonic() + ORPHAN_S
    while (alive := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = []
    for pid in alive:
        with contextlib.suppress(OSError):
            found.append(
                Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
            )
            os.kill(pid, signal.SIGKILL)
    return found


def _lost(lane: Lane, before: dict[str, int]) -> list[str]:
    try:
        after = lane.rows()
    except DeploykitError as error:
        return [str(error)]
    # A run that had just begun a report anew may have had fewer rows in it: never fewer than one.
    return [
        f"{path} had {rows} rows and is gone"
        for path, rows in before.items()
        if rows and not after.get(path)
    ]


def _next_run(lane: Lane, name: str, mark: str) -> dict[str, list[str]]:
    failed = lane.whole(name, mark)
    # What one command leaves, the next that writes to the same place clears.
    for other in AFTER:
        failed = failed or lane.whole(other, mark)
    return {"next runs that failed": [failed] if failed else [], "left behind": lane.left_behind()}
