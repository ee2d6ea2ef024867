"""Functions that tests call in a process of its own, each ending in its own way."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from deploykit import env
from deploykit.bench import contain
from deploykit.errors import MissingDependency, UnknownName


@dataclass(frozen=True)
class Seen:
    """Where a call found itself."""

    pid: int
    parent: int
    folder: Path
    variable: str | None
    session: int
    pillow: bool


def look(variable: str) -> Seen:
    return Seen(
        os.getpid(),
        os.getppid(),
        Path.cwd(),
        os.environ.get(variable),
        os.getsid(0),
        "PIL" in sys.modules,
    )


def crash() -> int:
    print("assertion failed\nin /opt/lib/kernel.cc:7", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def leave() -> int:
    os._exit(7)


def be_ended() -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return 0


def hang(note: Path) -> int:
    started = subprocess.Popen(["sleep", "600"])
    note.write_text(f"{os.getpid()} {os.getppid()} {started.pid}")
    time.sleep(600)
    return 0


def take_memory(most_bytes: int) -> int:
    """Take memory step by step, up to a bound, and keep it for a while."""
    taken = []
    for _ in range(most_bytes // 2**22):
        block = mmap.mmap(-1, 2**22)
        block.write(b"x" * 2**22)
        taken.append(block)
    time.sleep(60)
    return len(taken)


def memory_left() -> int:
    return env.memory_left_bytes() or 0


def exhaust() -> int:
    raise MemoryError("Unable to allocate 9 TiB")


def find(name: str) -> int:
    raise UnknownName("model", name, ["lenet5"])


def miss() -> int:
    raise MissingDependency("no such package; install it")


def fill_disk(path: Path) -> int:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def fail() -> int:
    b"\xec".decode()
    return 0


def ask_runtime() -> int:
    import onnxruntime

    onnxruntime.InferenceSession("no.onnx")
    return 0


def need_pillow() -> str:
    import PIL

    return str(PIL.__version__)


def report(steps: int) -> int:
    for step in range(steps):
        contain.say(f"step {step}")
    return steps


def chat() -> str:
    print("chatter")
    os.write(1, b"more of it")
    return "said"
