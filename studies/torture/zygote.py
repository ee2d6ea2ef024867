"""Commands as forks of a process that has imported everything, so that hundreds of them cost their work alone.

A command by way of the shell takes some seconds to import PyTorch and the runtimes before it does anything that a
kill or a full disk could spoil. The zygote imports once what commands said that they had imported, and forks for
each: the fork is the command's own process, with its own environment, which ends as a process does that was
started by itself. What a command starts, its workers and its maker, it starts as it always does.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What commands share and what takes long to import; what else a command needs it tells once (see `_learn`).
_FIRST = ("deploykit.cli", "numpy", "torch")
#: Start threads when they are imported, which a fork would not have.
_NEVER = frozenset({"onnxruntime", "openvino"})
_ROOT = Path(__file__).parents[2]


class Command:
    """A command that was started, with what `subprocess.Popen` would offer."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        #: Below 0 for a signal, as Popen has it; None while it runs.
        self.code: int | None = None
        self.ended = threading.Event()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.code

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; the exit code.

        Raises:
            subprocess.TimeoutExpired: it takes longer.
        """
        if not self.ended.wait(timeout_s):
            raise subprocess.TimeoutExpired("deploykit", timeout_s or 0.0)
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        """Kill it, as nobody can ask it not to."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Zygote:
    """The process that forks, for one caller's thread at a time."""

    def __init__(self, startup: Path | None = None, library: Path | None = None) -> None:
        """Start it.

        Args:
            startup: a folder whose sitecustomize.py runs first; a function `begin` in it is called in each fork.
            library: preloaded, as each fork has it then.
        """
        paths = [str(_ROOT)] if startup is None else [str(startup), str(_ROOT)]
        preloaded = {} if library is None else {"LD_PRELOAD": str(library)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **preloaded},
        )
        self._running: dict[int, Command] = {}
        self._lock, self._started = threading.Lock(), threading.Semaphore(0)
        self._last: Command | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        stderr: Path,
        stdout: Path = Path(os.devnull),
    ) -> Command:
        """Start a command in a folder, with its streams in files."""
        question = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "stderr": str(stderr),
            "stdout": str(stdout),
        }
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            self._started.acquire()
            assert self._last is not None, "the zygote has ended"
            return self._last

    def close(self) -> None:
        """End it; what it started lives on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "code" in said:
                command = self._running.pop(said["pid"])
                command.code = said["code"]
                command.ended.set()
            else:
                self._last = self._running[said["pid"]] = Command(said["pid"])
                self._started.release()
        self._last = None
        self._started.release()


def _serve() -> None:
    """Fork for each line, and tell of each end, until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)
    for name in _FIRST:
        importlib.import_module(name)
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(0, select.POLLIN)
    received = b""
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                poll.unregister(descriptor)
                pid, imported = running.pop(descriptor)
                _, status = os.waitpid(pid, 0)
                os.close(descriptor)
                _learn(imported)
                _tell(answers, {"pid": pid, "code": os.waitstatus_to_exitcode(status)})
                continue
            received += os.read(0, 2**16)
            if not received:
                return
            *lines, received = received.split(b"\n")
            for line in lines:
                read_end, write_end = os.pipe()
                fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 2**20)
                child = os.fork()
                if child == 0:
                    os.close(answers)
                    os.close(read_end)
                    for other, (_, pipe) in running.items():
                        os.close(other)
                        os.close(pipe)
                    _run(json.loads(line), write_end)
                os.close(write_end)
                end = os.pidfd_open(child)
                running[end] = (child, read_end)
                poll.register(end, select.POLLIN)
                _tell(answers, {"pid": child})


def _tell(descriptor: int, what: Mapping[str, Any]) -> None:
    os.write(descriptor, json.dumps(what).encode() + b"\n")


def _learn(imported: int) -> None:
    """Import what a command that came to its end had to."""
    with os.fdopen(imported, "rb") as file:
        os.set_blocking(imported, False)  # what it left behind may hold the other end
        names = (file.read() or b"").decode().split()
    for name in names:
        if name.partition(".")[0] not in _NEVER:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _run(question: Mapping[str, Any], imported: int) -> None:
    """Be the command: the side of the fork, which never returns."""
    os.set_inheritable(imported, False)
    os.environ.clear()
    os.environ.update(question["environment"])
    os.chdir(question["folder"])
    tempfile.tempdir = None  # what was found for the zygote's environment
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, question["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, question["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    known = set(sys.modules)
    started = sys.modules.get("sitecustomize")
    if started is not None and hasattr(started, "begin"):
        started.begin()
    sys.argv = ["deploykit", *question["arguments"]]
    from deploykit.cli import main

    code = 70
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        new = [name for name in sys.modules if name not in known]
        with contextlib.suppress(OSError):
            os.set_blocking(imported, False)
            os.write(imported, " ".join(new).encode())
        # All of Python's own end, and not that of libraries, which may wait in a fork for threads of the zygote's.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
