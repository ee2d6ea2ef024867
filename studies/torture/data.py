"""Hostile data files and options: reports, data sets, classes, options, claims and weights, damaged by seed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploykit.cli import COMMANDS, invoke
from deploykit.lazy import np
from deploykit.text import MOST_SHOWN
from studies.torture.part import Result, Task

#: Cases where nobody says otherwise, and what each may take.
CASES, CASE_S, CASE_BYTES = 200, 120, 4 * 2**30
FAILURES = ("tracebacks", "bad lines", "hangs", "deaths")
#: Numbers that no option takes, or that few do.
ABSURD = (
    "1e9999999",
    "-1",
    "1e12",
    "9" * 5000,
    "nan",
    "0",
    "²",
    "1/9e9",
    "[/red]",
    "\x1b[31m",
    "=1+1",
    "a\nb",
)
_ROOT = Path(__file__).parents[2]


def _report(random_: random.Random, folder: Path) -> list[str]:
    path = folder / "damaged.csv"
    path.write_bytes(_damaged((_ROOT / "reports" / "profile.csv").read_bytes(), random_))
    command = random_.choice(("check", "compare", "report"))
    more = {"compare": [str(path)], "report": ["-o", str(folder / "page.html")]}.get(command, [])
    return [command, str(path), *more]


def _arrays(random_: random.Random, folder: Path) -> list[str]:
    stored = io.BytesIO()
    images = np.zeros((12, 1, 28, 28), np.float32)
    np.savez(stored, images=images, labels=np.arange(12) % 10)
    path = folder / "damaged.npz"
    path.write_bytes(_damaged(stored.getvalue(), random_))
    return _calibrated(f"npz:{path}")


def _classes(random_: random.Random, folder: Path) -> list[str]:
    (folder / "images" / "cat").mkdir(parents=True)
    (folder / "images" / "cat" / "1.png").write_bytes(
        _damaged(b"\x89PNG\r\n\x1a\n" + bytes(64), random_)
    )
    name = random_.choice(("classes.json", "classes.txt"))
    hostile = random_.choice(
        (b"[" * 100_000, b'{"0": ["cat", "Katze"]}', b"cat d'\xe9t\xe9\n", b" " * 2**20)
    )
    (folder / "images" / name).write_bytes(_damaged(hostile, random_))
    return _calibrated(f"imagefolder:{folder / 'images'}")


def _options_file(random_: random.Random, folder: Path) -> list[str]:
    path = folder / "damaged.toml"
    hostile = random_.choice(
        (b"a = " + b"[" * 50_000, b'precision = "fp32"\nbatch = 1e400\n', b"alpha = 0.5\n")
    )
    path.write_bytes(_damaged(hostile, random_))
    return ["profile", "no-such-network", "--config", str(path)]


def _weights(random_: random.Random, folder: Path) -> list[str]:
    path = folder / "damaged.safetensors"
    head = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    whole = len(head).to_bytes(8, "little") + head + bytes(4)
    path.write_bytes(_damaged(whole, random_))
    return ["export", "lenet5", "--weights", str(path), "-o", str(folder / "x.onnx")]


def _no_file(random_: random.Random, folder: Path) -> list[str]:
    place = folder / "place"
    kind = random_.choice(("pipe", "folder", "loop", "device"))
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(place if kind == "loop" else "/dev/zero")
    return random_.choice(
        (
            ["check", str(place)],
            ["compare", str(place), str(place)],
            ["profile", "lenet5", "--config", str(place)],
            _calibrated(f"npz:{place}"),
            ["export", "lenet5", "--weights", str(place)],
            ["count", str(place.rename(place.with_suffix(".onnx")) if kind == "pipe" else place)],
        )
    )


def _option(random_: random.Random, folder: Path) -> list[str]:
    import importlib

    import click

    name = random_.choice([name for name in COMMANDS if name not in ("run", "doctor", "list")])
    command = importlib.import_module(f"deploykit.cli.{name}_command").command
    takes = [one for one in command.params if isinstance(one, click.Option) and not one.is_flag]
    option = random_.choice(takes)
    # No such network, so that what is taken ends there.
    return [name, "no-such-network", f"{option.opts[0]}={random_.choice(ABSURD)}"]


KINDS: tuple[Callable[[random.Random, Path], list[str]], ...] = (
    *(_report, _arrays, _classes, _options_file, _weights, _no_file, _option, _option),
)


def _calibrated(data: str) -> list[str]:
    return ["build", "lenet5", "--precision", "int8", "--data", data, "-q"]


def _damaged(data: bytes, random_: random.Random) -> bytes:
    """Bytes changed, cut, doubled or put in; one time in five nothing."""
    changed = bytearray(data)
    for _ in range(random_.choice((0, 1, 2, 5, 20))):
        at = random_.randrange(len(changed) + 1)
        how = random_.randrange(5)
        if how == 0 and at < len(changed):
            changed[at] = random_.randrange(256)
        elif how == 1:
            changed[at:at] = random_.randbytes(random_.choice((1, 8, 300)))
        elif how == 2:
            del changed[at : at + random_.choice((1, 8, 300))]
        elif how == 3:
            changed[at:at] = random_.choice(
                (b"\0", b"\x1b[31m", b"[/red]", b'"', b",", b"\n", b"x" * 200_000)
            )
        elif at > len(changed) // 2:
            del changed[at:]
    return bytes(changed)


def run(task: Task) -> Result:
    """Each case in a fork of this process, which has imported what they need."""
    count = CASES if task.count is None else task.count
    result = Result(asked=count, facts={"case_s": CASE_S, "case_bytes": CASE_BYTES})
    for name in FAILURES:
        result.count(name, 0)
    deadline = time.monotonic() + task.seconds
    os.environ["DEPLOYKIT_STORE"] = str(task.folder / "store")
    for case in task.cases(range(task.seed, task.seed + count)):
        if time.monotonic() > deadline:
            break
        random_ = random.Random(case)
        folder = task.folder / str(case)
        folder.mkdir()
        kind = random_.choice(KINDS)
        arguments = kind(random_, folder)
        code, said = _ended(arguments, folder)
        result.done += 1
        result.count(f"{kind.__name__.strip('_')}: ended with {code}")
        problem = _problem(code, said)
        if problem:
            result.count(problem)
            result.fail(
                f"case {case}: {problem}: {' '.join(arguments)[:200]!r}: {said[-300:]!r}", case
            )
            task.say(result.failures[-1])
    return result


def _problem(code: int, said: str) -> str:
    """What is wrong with how a command ended; "" where nothing is."""
    if code == -signal.SIGALRM:
        return "hangs"
    if code < 0:
        return "deaths"
    if "Traceback" in said or "fault of deploykit" in said:
        return "tracebacks"
    lines = [line for line in said.splitlines() if line.startswith("deploykit: ")]
    clean = all(
        line.isprintable() and len(line) <= MOST_SHOWN + len("deploykit: ") for line in lines
    )
    return "" if clean and len(lines) == (code != 0) else "bad lines"


def _ended(arguments: list[str], folder: Path) -> tuple[int, str]:
    """How a command ended in a process of its own, below the negative signal, and what it wrote to stderr."""
    stderr = folder / "stderr"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.chdir(folder)
            signal.alarm(CASE_S)
            resource.setrlimit(resource.RLIMIT_DATA, (CASE_BYTES, CASE_BYTES))
            with stderr.open("w") as file, Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(file.fileno(), 2)
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
                code = invoke(arguments)
                with contextlib.suppress(OSError):
                    sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), stderr.read_text(errors="replace")
