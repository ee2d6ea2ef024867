"""Eight writers on one store that is wiped under them while some of them are killed: no row may be wrong.

Rounds take turns. In a wild one each writer builds and profiles what it draws, some commands are killed, and
entries of the store or all of it are removed past every lock. What is delivered is held against what each engine is
in a store of its own. In a calm one all build the same engines in an empty store, each of which may be built once.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from deploykit.report.csv import read_cells
from studies.torture.kills import Lane, small_network
from studies.torture.part import Result, Task
from studies.torture.zygote import Zygote

#: Seconds of it all, of a wild round, and how many work at once.
SECONDS, ROUND_S, WRITERS = 600, 45.0, 8
#: How often a command is killed, and the seconds between two wipes at least and at most.
KILLED, WIPE_S = 0.2, (1.0, 6.0)
#: How long a command may take.
LIMIT_S = 300.0
NETWORKS, PRECISIONS = 3, ("fp32", "int8")
FAILURES = ("wrong rows", "failed rows", "built twice", "half entries", "left behind", "hangs")
#: What of a row is the engine's own, whenever and wherever it is measured.
TOLD = ("status", "engine_bytes", "macs", "parameters", "drift_reference")
#: Drift in dB, by so much of which two rows may differ: inputs and engine are the same, sums of threads are not.
DRIFT_DB = 0.5


@dataclass
class Truth:
    """What an engine is, from a store that nobody else works in."""

    digest: str
    cells: dict[str, str]


@dataclass
class Arena:
    """The store that all work in, what is known of its engines, and when each wipe of it began and ended."""

    folder: Path
    zygote: Zygote
    truths: dict[tuple[int, str], Truth] = field(default_factory=dict)
    wipes_s: list[list[float]] = field(default_factory=list)

    @property
    def lane(self) -> Lane:
        """The store as a lane, which knows what is half and what is left behind."""
        return Lane(self.folder / "lane")

    def write_networks(self) -> None:
        """Write networks that differ in their weights."""
        for number in range(NETWORKS):
            model = onnx.ModelProto.FromString(small_network())
            for tensor in model.graph.initializer:
                if tensor.name in ("w1", "w2", "w3"):
                    data = bytearray(tensor.raw_data)
                    data[3::4] = bytes(byte ^ 0x80 * (number & 1) for byte in data[3::4])
                    data[1::4] = bytes((byte + number) % 256 for byte in data[1::4])
                    tensor.raw_data = bytes(data)
            (self.folder / f"net{number}.onnx").write_bytes(model.SerializeToString())

    def ask(
        self, words: Sequence[str], place: Path, store: Path, kill_after_s: float | None = None
    ) -> tuple[int, str, str]:
        """Run a command in a folder, killed after a while where that is asked for: its code and what it wrote."""
        place.mkdir(parents=True, exist_ok=True)
        (place / "tmp").mkdir(exist_ok=True)
        environment = {**os.environ, "DEPLOYKIT_STORE": str(store), "TMPDIR": str(place / "tmp")}
        command = self.zygote.start(words, place, environment, place / "stderr", place / "stdout")
        try:
            code = command.wait(LIMIT_S if kill_after_s is None else kill_after_s)
        except subprocess.TimeoutExpired:
            command.kill()
            code = command.wait()
            if kill_after_s is None:
                code = 124
        said, told = ((place / name).read_text(errors="replace") for name in ("stderr", "stdout"))
        return code, told, said.strip().rpartition("\n")[2]

    def build(self, number: int, precision: str) -> list[str]:
        """The words that build an engine."""
        path = str(self.folder / f"net{number}.onnx")
        more = ["--synthetic-calibration"] * (precision == "int8")
        return ["build", path, "--precision", precision, *more, "--json", "-q"]

    def profile(self, number: int, precision: str, csv: Path) -> list[str]:
        """The words that measure it."""
        path = str(self.folder / f"net{number}.onnx")
        more = ["--synthetic-calibration"] * (precision == "int8")
        runs = ["--iterations", "20", "--warmup-iterations", "5"]
        where = ["--csv", str(csv), "--no-roofline", *runs, "-q"]
        return ["profile", path, "--precision", precision, *more, *where]

    def learn(self) -> None:
        """Find what each engine is."""
        self.write_networks()
        for number in range(NETWORKS):
            for precision in PRECISIONS:
                place, store = self.folder / "truth", self.folder / "truth" / "store"
                code, told, said = self.ask(self.build(number, precision), place, store)
                if code:
                    raise RuntimeError(f"a build that nobody disturbs ended with {code}: {said}")
                csv = place / "truth.csv"
                csv.unlink(missing_ok=True)
                code, _, said = self.ask(self.profile(number, precision, csv), place, store)
                if code:
                    raise RuntimeError(f"a profile that nobody disturbs ended with {code}: {said}")
                (cells,) = read_cells(csv)
                self.truths[number, precision] = Truth(json.loads(told)[0]["digest"], dict(cells))


def run(task: Task) -> Result:
    """Let wild and calm rounds take turns until the seconds are over; those count as cases."""
    asked = SECONDS if task.count is None else task.count
    result = Result(asked=asked)
    for name in FAILURES:
        result.count(name, 0)
    zygote = Zygote()
    try:
        arena = Arena(task.folder, zygote)
        arena.learn()
        begun = time.monotonic()
        deadline = begun + min(task.seconds, asked - task.done)
        number = 0
        while time.monotonic() < deadline:
            chance = random.Random(task.seed * 1_000_003 + (task.done + number))
            problems = _wild(arena, chance, min(deadline, time.monotonic() + ROUND_S), result)
            problems += _calm(arena, chance, result)
            for what, line in problems:
                result.count(what)
                result.fail(f"round {number}: {what}: {line}")
                task.say(result.failures[-1])
            number += 1
            task.say(f"writers: round {number}, {len(result.failures)} failed")
        result.done = min(asked - task.done, round(time.monotonic() - begun))
    finally:
        zygote.close()
    result.facts = {
        "cases": "seconds",
        "writers": WRITERS,
        "engines": NETWORKS * len(PRECISIONS),
        "killed": KILLED,
        "seconds_between_wipes": WIPE_S,
    }
    return result


def _wild(
    arena: Arena, chance: random.Random, until: float, result: Result
) -> list[tuple[str, str]]:
    """Writers that are killed, in a store that is wiped."""
    found: list[tuple[str, str]] = []
    lock, over = threading.Lock(), threading.Event()

    def write(number: int, seed: int) -> None:
        own = random.Random(seed)
        while time.monotonic() < until:
            counts, problems = _one(arena, own, arena.folder / f"writer{number}")
            with lock:
                found.extend(problems)
                for name in counts:
                    result.count(name)

    def wipe(seed: int) -> None:
        own = random.Random(seed)
        while not over.wait(own.uniform(*WIPE_S)):
            wipe_s = [time.monotonic(), math.inf]
            arena.wipes_s.append(wipe_s)
            what = _wipe(arena.lane.store, own)
            wipe_s[1] = time.monotonic()
            with lock:
                result.count(f"wipes of {what}")

    threads = [
        threading.Thread(target=write, args=(number, chance.getrandbits(32)))
        for number in range(WRITERS)
    ]
    wiper = threading.Thread(target=wipe, args=(chance.getrandbits(32),))
    for thread in (*threads, wiper):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    wiper.join()
    return found


def _wipe(store: Path, chance: random.Random) -> str:
    """Remove an entry or all of a store, as somebody does who knows of no locks."""
    entries = sorted(path for path in store.iterdir()) if store.is_dir() else []
    if entries and chance.random() < 0.6:
        shutil.rmtree(chance.choice(entries), ignore_errors=True)
        return "an entry"
    shutil.rmtree(store, ignore_errors=True)
    return "the store"


def _one(
    arena: Arena, chance: random.Random, place: Path
) -> tuple[list[str], list[tuple[str, str]]]:
    """One command of a writer: what is to be counted, and what is wrong with what it delivered."""
    number, precision = chance.randrange(NETWORKS), chance.choice(PRECISIONS)
    measures = chance.random() < 0.6
    csv = place / "row.csv"
    csv.unlink(missing_ok=True)
    words = arena.profile(number, precision, csv) if measures else arena.build(number, precision)
    kill_after_s = chance.uniform(0.05, 6.0) if chance.random() < KILLED else None
    begun = time.monotonic()
    code, told, said = arena.ask(words, place, arena.lane.store, kill_after_s)
    ended = time.monotonic()
    wipes = sum(start <= ended and begun <= end for start, end in list(arena.wipes_s))
    truth, name = arena.truths[number, precision], f"net{number} {precision}"
    if code < 0:
        return ["killed"], []
    if code == 124:
        return [], [("hangs", f"{' '.join(words[:1])} {name}")]
    if measures and csv.exists():
        rows = read_cells(csv)
        if rows and rows[0]["status"] == "ok":
            wrong = _wrong_cells(dict(rows[0]), truth)
            return ["rows"], [("wrong rows", f"{name}: {line}") for line in wrong]
        said = rows[0]["reason"] if rows else said
    elif not measures and code == 0:
        digest = json.loads(told)[0]["digest"]
        if digest == truth.digest:
            return ["builds"], []
        return ["builds"], [("wrong rows", f"{name}: built {digest}")]
    # A row is made once more where the store was wiped under it; what fails was wiped twice.
    if wipes >= 2:
        return ["failed, wiped twice or more"], []
    return [], [("failed rows", f"{name}: {code} after {wipes} wipes: {said[:300]}")]


def _wrong_cells(cells: dict[str, Any], truth: Truth) -> list[str]:
    found = [
        f"{name} is {cells[name]}, not {truth.cells[name]}"
        for name in TOLD
        if cells[name] != truth.cells[name]
    ]
    drift, right = (one["drift_snr_db"] for one in (cells, truth.cells))
    same = drift == right or (drift and right and abs(float(drift) - float(right)) <= DRIFT_DB)
    return found if same else [*found, f"drift_snr_db is {drift}, not {right}"]


def _calm(arena: Arena, chance: random.Random, result: Result) -> list[tuple[str, str]]:
    """All build all engines in an empty store that nobody wipes: each once, and nothing is left of before."""
    lane = arena.lane
    found: list[tuple[str, str]] = []
    shutil.rmtree(lane.store, ignore_errors=True)
    built: Counter[tuple[int, str]] = Counter()
    lock = threading.Lock()

    def build(number: int, engines: list[tuple[int, str]]) -> None:
        for network, precision in engines:
            words = arena.build(network, precision)
            code, told, said = arena.ask(words, arena.folder / f"writer{number}", lane.store)
            with lock:
                result.count("calm builds")
                if code:
                    found.append(("failed rows", f"calm: {code}: {said[:300]}"))
                    continue
                (engine,) = json.loads(told)
                built[network, precision] += not engine["found"]
                if engine["digest"] != arena.truths[network, precision].digest:
                    found.append(("wrong rows", f"calm: net{network} {precision}"))

    orders = []
    for _ in range(WRITERS):
        # From another engine on each, so that they meet.
        engines = list(arena.truths)
        at = chance.randrange(len(engines))
        orders.append([*engines[at:], *engines[:at]][: len(engines) // 2])
    threads = [
        threading.Thread(target=build, args=(number, order)) for number, order in enumerate(orders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found += [
        ("built twice", f"net{network} {precision}: {times} times")
        for (network, precision), times in built.items()
        if times > 1
    ]
    found += [("half entries", line) for line in lane.half_entries()]
    return found + [("left behind", line) for line in lane.left_behind()]
