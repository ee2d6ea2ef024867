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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploykit.errors import DeploykitError
from deploykit.report.csv import read_cells
from deploykit.store import MANIFEST, Manifest, file_sha256, read_entry
from studies.torture.networks import bases
from studies.torture.part import Result, Task
from studies.torture.zygote import Command, Zygote

#: Kills where nobody says otherwise, and after how many of them their command is run to its end.
KILLS, WHOLE_EVERY = 300, 6
#: The share of them that begins with an empty store; the others find all that they need.
COLD = 0.7
#: How long what a killed program started may live on.
ORPHAN_S = 3.0
#: How long a command may take that nothing kills.
LIMIT_S = 600.0
#: The variable by which all that a command started is found, whoever its parent is by then.
MARK = "DEPLOYKIT_TORTURE_MARK"
#: The folder of the store in which tunings keep what they measured; it is no entry.
JOURNALS = "tune"
LEFT_BEHIND = (".making-", ".deploykit-working-")
FAILURES = (
    "half entries",
    "lost rows",
    "orphans",
    "left behind",
    "next runs that failed",
)

#: The file that commands on files take, in their folder: small, so that a kill hits writing as often as computing.
NETWORK = "small.onnx"
#: What the main job checks there: a few claims, as all of them are nearly all of its time.
CLAIMS = "claims.toml"
COMMANDS = {
    "build": ("build", NETWORK, "--precision", "fp32,int8", "--synthetic-calibration", "-q"),
    # Two rows that take as long as each other: int8 would be slower, and why that is takes longer than both.
    "profile": (
        *("profile", NETWORK, "--precision", "fp32", "--threads", "1,2", "--csv", "profile.csv"),
        *("--no-roofline", "--quick", "-q"),
    ),
    "run": (
        *("run", NETWORK, "--precision", "fp32", "--backend", "onnxruntime", "--quick", "-q"),
        *("--claims", CLAIMS),
    ),
    "train": ("train", "lenet5", "--data", "digits", "--epochs", "1", "-o", "trained.safetensors"),
    "export": ("export", "lenet5", "-o", "exported.onnx", "-q"),
    "layers": ("layers", NETWORK, "--csv", "layers.csv", "--quick", "-q"),
}

STATEMENTS = """
[[claim]]
id = "lenet5-parameters"
statement = "LeNet-5 has about 60 thousand parameters"
source = "a README"
about = "parameters(lenet5)"
kind = "counted"
stated = 60_000
unit = "parameters"
hedge = "about"
check = "count"
arguments = { network = "lenet5" }
expected = "confirmed"
parts = "holds"
"""


def small_network() -> bytes:
    """A network of two layers, as a file."""
    base = next(base for base in bases() if base.name == "convolutions")
    return base.data


@dataclass
class Lane:
    """A folder in which one command after the other is run and killed.

    Attributes:
        folder: of reports, of the store and of temporary files.
        zygote: that commands are forks of; None starts each by itself.
        commands: what is run, by name.
    """

    folder: Path
    zygote: Zygote | None = None
    commands: Mapping[str, Sequence[str]] = field(default_factory=lambda: COMMANDS)

    def __post_init__(self) -> None:
        for name in ("store", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / NETWORK).write_bytes(small_network())
        (self.folder / CLAIMS).write_text(STATEMENTS, encoding="utf-8")

    @property
    def store(self) -> Path:
        """The store of the commands."""
        return self.folder / "store"

    def start(
        self, name: str, mark: str, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes] | Command:
        """Start a command, with a mark that all it starts inherits, and more of an environment."""
        environment = {"PYTHONPATH": str(Path(__file__).parents[2]), **os.environ}
        environment |= {
            MARK: mark,
            "DEPLOYKIT_STORE": str(self.store),
            "TMPDIR": str(self.folder / "tmp"),
            **(more or {}),
        }
        said = self.folder / "stderr"
        if self.zygote is not None:
            return self.zygote.start(self.commands[name], self.folder, environment, said)
        with said.open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "deploykit", *self.commands[name]],
                cwd=self.folder,
                env=environment,
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
                if folder.is_dir() and not folder.name.startswith(".") and folder.name != JOURNALS:
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
    """Kill as often as is asked for, a process at a time for each core.

    Each command of each core has a folder and a store of its own, so that what one leaves no other clears.
    """
    result = Result(asked=KILLS if task.count is None else task.count)
    for name in FAILURES:
        result.count(name, 0)
    lock, deadline = threading.Lock(), time.monotonic() + task.seconds
    cases = iter(task.cases(range(result.asked)))
    lasts_s: dict[str, list[float]] = dict(task.before.get("lasts_s", {}))
    threads = [
        threading.Thread(target=_work, args=(task, number, cases, deadline, lasts_s, result, lock))
        for number in range(max(1, task.processes))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.facts |= {
        "lasts_s": lasts_s,
        "commands": {name: " ".join(words) for name, words in COMMANDS.items()},
        "started": "as forks of a process that has imported what they need",
        "orphan_s": ORPHAN_S,
        "whole_every": WHOLE_EVERY,
    }
    return result


def _work(
    task: Task,
    number: int,
    cases: Iterator[int],
    deadline: float,
    lasts_s: dict[str, list[float]],
    result: Result,
    lock: threading.Lock,
) -> None:
    zygote = Zygote()
    killed: dict[str, int] = {}
    try:
        while time.monotonic() < deadline:
            with lock:
                case = next(cases, None)
            if case is None:
                return
            chance = random.Random(task.seed * 1_000_003 + case)
            name = list(COMMANDS)[case % len(COMMANDS)]
            lane = Lane(task.folder / f"{name}-{number}", zygote)
            found: list[tuple[str, str]] = []
            if name not in killed:  # its first run imports, for all that come, what it needs
                found += _whole(lane, name, f"{number}-first-{name}")
            if name not in lasts_s:
                found += _measure(lane, name, lasts_s, f"{number}-measured-{name}")
            warm = chance.random() >= COLD
            if not warm:
                _empty(lane.store)
            moment_s = chance.random() * lasts_s[name][warm]
            found += _kill(lane, name, moment_s, f"{number}-{case}", result, lock)
            killed[name] = killed.get(name, 0) + 1
            if killed[name] % WHOLE_EVERY == 1:
                found += _whole(lane, name, f"{number}-{case}-next")
                found += [("left behind", line) for line in lane.left_behind()]
                with lock:
                    result.count("next runs")
            with lock:
                result.done += 1
                for what, line in found:
                    result.count(what)
                    result.fail(f"case {case}, {name}: {what}: {line}", case)
                    task.say(result.failures[-1])
                if result.done % 10 == 0:
                    task.say(f"kills: {result.done} now, {len(result.failures)} failed")
    finally:
        zygote.close()


def _whole(lane: Lane, name: str, mark: str) -> list[tuple[str, str]]:
    failed = lane.whole(name, mark)
    return [("next runs that failed", failed)] if failed else []


def _measure(
    lane: Lane, name: str, lasts_s: dict[str, list[float]], mark: str
) -> list[tuple[str, str]]:
    """Time a command in an empty store and in a full one."""
    found, took = [], []
    _empty(lane.store)
    for _ in range(2):
        begin = time.monotonic()
        found += _whole(lane, name, mark)
        took.append(round(time.monotonic() - begin, 3))
    lasts_s[name] = took
    return found


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _kill(
    lane: Lane, name: str, after_s: float, mark: str, result: Result, lock: threading.Lock
) -> list[tuple[str, str]]:
    """Kill one command after a while, and look at what is left of it."""
    process = lane.start(name, mark)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    before = lane.rows()
    if process.poll() is None:
        process.kill()
    code = process.wait()
    with lock:
        result.count(f"killed in {name}" if code < 0 else f"{name} ended before the kill")
    found = [("orphans", line) for line in _orphans(mark)]
    found += [("half entries", line) for line in lane.half_entries()]
    return found + [("lost rows", line) for line in _lost(lane, before)]


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
