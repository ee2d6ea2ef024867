"""What the machine did while something was measured: other processes, stolen time, throttling, frequency.

Read from /proc and /sys twice, before and after; nothing runs in between. What the system does not
show is None, never 0.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from deploykit import cgroups

_ROOT = Path("/")


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment; seconds since boot or since the process began.

    Attributes:
        clock_s: monotonic.
        own_s: processor time of this process, all threads.
        busy_s: processor time of everything on the machine.
        steal_s: time in which the hypervisor ran others on this machine's processors.
        throttled_s: time in which a cgroup limit held this process back.
        frequency_mhz: the fastest core's.
        cores: processors that are switched on.
    """

    clock_s: float
    own_s: float
    busy_s: float | None
    steal_s: float | None
    throttled_s: float | None
    frequency_mhz: float | None
    cores: int


@dataclass(frozen=True)
class Conditions:
    """The difference of two snapshots.

    Attributes:
        elapsed_s: between them.
        others_cores: how many cores other processes used, on average.
        steal_share: fraction of all processor time that the hypervisor gave to others.
        throttled_share: fraction of the elapsed time in which a cgroup limit held threads of this group back, 1 at
            most.
        frequency_change: relative change of the fastest core's frequency; negative is slower at the end.
        cores: processors that are switched on.
    """

    elapsed_s: float
    others_cores: float | None
    steal_share: float | None
    throttled_share: float | None
    frequency_change: float | None
    cores: int


def snapshot(root: Path = _ROOT) -> Snapshot:
    """The counters now; `root` is where /proc and /sys lie."""
    busy_s, steal_s = _processor_time(root)
    return Snapshot(
        time.monotonic(),
        time.process_time(),
        busy_s,
        steal_s,
        cgroups.throttled_s(root),
        _frequency_mhz(root),
        os.cpu_count() or 1,
    )


def between(before: Snapshot, after: Snapshot) -> Conditions:
    """What happened between two snapshots."""
    elapsed = max(after.clock_s - before.clock_s, 1e-9)
    others = steal = throttled = frequency = None
    if before.busy_s is not None and after.busy_s is not None:
        own = after.own_s - before.own_s
        others = max(0.0, after.busy_s - before.busy_s - own) / elapsed
    if before.steal_s is not None and after.steal_s is not None:
        steal = max(0.0, after.steal_s - before.steal_s) / (elapsed * after.cores)
    if before.throttled_s is not None and after.throttled_s is not None:
        # The kernel sums over cores, each of which can be held back for all of the time.
        throttled = min(1.0, max(0.0, after.throttled_s - before.throttled_s) / elapsed)
    if before.frequency_mhz and after.frequency_mhz:
        frequency = after.frequency_mhz / before.frequency_mhz - 1
    return Conditions(elapsed, others, steal, throttled, frequency, after.cores)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _processor_time(root: Path) -> tuple[float | None, float | None]:
    """Busy and stolen seconds from the first line of /proc/stat."""
    fields = ((_read(root / "proc/stat") or "").splitlines() or [""])[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not all(f.isdigit() for f in fields[1:9]):
        return None, None
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(f) for f in fields[1:9])
    return (user + nice + system + irq + softirq) / ticks, steal / ticks


def _frequency_mhz(root: Path) -> float | None:
    """The fastest core's frequency, from cpufreq or else /proc/cpuinfo."""
    frequencies_mhz: list[float] = []
    for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        text = (_read(path) or "").strip()
        if text.isdigit():
            frequencies_mhz.append(int(text) / 1000)
    if not frequencies_mhz:
        lines = (_read(root / "proc/cpuinfo") or "").splitlines()
        frequencies_mhz = [
            float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")
        ]
    return max(frequencies_mhz, default=None)
