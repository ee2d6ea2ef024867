"""Running a command and asking the kernel what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "deploykit")


@dataclass(frozen=True)
class Usage:
    """What one command took; `peak_mb` is that of the largest process it started, itself included."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    exit_code: int


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run `deploykit ARGUMENTS`, its output thrown away."""
    script = Path(sys.executable).with_name("deploykit")
    command = [str(script)] if script.exists() else list(COMMAND)
    start_s = time.perf_counter()
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start_s
    process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss * 1024 / 1e6,
        exit_code=process.returncode,
    )
