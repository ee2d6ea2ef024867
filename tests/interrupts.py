"""Processes that tests interrupt or wait for: on a condition, never on a time that a busy machine exceeds."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

#: Nothing takes as long, however busy the machine is; what does has hung.
LIMIT_S = 300


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process that heeds Ctrl-C, also where whoever runs the tests ignores it, as `nohup` and CI may.

    An ignored signal is inherited, and Python then raises no KeyboardInterrupt.
    """
    return subprocess.Popen(
        arguments,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Wait until a condition holds and return its value; fail if the process ends before."""
    deadline = time.monotonic() + LIMIT_S
    while not (value := condition()):
        if process is not None and process.poll() is not None:
            err = process.stderr.read() if process.stderr is not None else ""
            raise AssertionError(f"the process ended early, with {process.returncode}: {err}")
        assert time.monotonic() < deadline, f"did not happen within {LIMIT_S} s"
        time.sleep(0.02)
    return value


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C and return what the process has written when it has ended."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=LIMIT_S)
