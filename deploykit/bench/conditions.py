"""What the process and its machine did while something was measured, and which of it makes a timing doubtful.

Memory of the process by phase, other processes, stolen time, throttling and frequency are read from /proc and /sys
before and after; nothing runs in between. What the system does not show is None, never 0.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.figures import general, p_value
from deploykit.row import Finding
from deploykit.stats import modes, trend

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SELF = Path("/proc/self")


@dataclass(frozen=True)
class PhaseMemory:
    """Resident memory in one phase.

    Attributes:
        peak_mib: highest in it; None where the kernel does not let the mark be reset.
        rss_mib: at its end.
        growth_mib: how far the peak lies above what was resident when the phase began.
    """

    peak_mib: float | None
    rss_mib: float | None
    growth_mib: float | None = None


@dataclass
class HostMemory:
    """Follows the resident memory of the process from one phase to the next.

    The baseline is taken when it is made: `delta_mib` is what the phases took beyond it.

    Args:
        proc: the process' folder under /proc.
    """

    proc: Path = _SELF
    phases: dict[str, PhaseMemory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._first_peak_mib = self._read("VmHWM")
        self._baseline_mib = self._read("VmRSS")
        self._start_mib = self._baseline_mib
        self._resettable = self._reset()

    def end_phase(self, name: str) -> None:
        """Note the peak since the last phase ended, and start the next."""
        peak, rss = self._read("VmHWM"), self._read("VmRSS")
        growth = None
        if self._resettable and peak is not None and self._start_mib is not None:
            growth = max(0.0, peak - self._start_mib)
        self.phases[name] = PhaseMemory(peak if self._resettable else None, rss, growth)
        self._last_peak_mib, self._start_mib = peak, rss
        if self._resettable:
            self._reset()

    @property
    def peak_mib(self) -> float | None:
        """Highest resident memory of the process up to the last phase; None if unknown."""
        marks = [self._first_peak_mib, *self._peaks()]
        return max((mark for mark in marks if mark is not None), default=None)

    @property
    def delta_mib(self) -> float | None:
        """How far the phases' highest peak lies above the baseline; None if unknown."""
        marks = self._peaks()
        if not marks or self._baseline_mib is None:
            return None
        if not self._resettable and max(marks) <= (self._first_peak_mib or 0.0):
            # The mark is from before the baseline: the phases stayed below it, by how much is unknown.
            return None
        return max(marks) - self._baseline_mib

    def _peaks(self) -> list[float]:
        if not self._resettable:
            last = getattr(self, "_last_peak_mib", None)
            return [] if last is None else [last]
        return [phase.peak_mib for phase in self.phases.values() if phase.peak_mib is not None]

    def _read(self, name: str) -> float | None:
        try:
            for line in (self.proc / "status").read_text().splitlines():
                if line.startswith(f"{name}:"):
                    return int(line.split()[1]) / 1024
        except (OSError, ValueError, IndexError):
            pass
        return None

    def _reset(self) -> bool:
        """Set the kernel's high-water mark to the present; False where that is not permitted."""
        before = self._read("VmHWM")
        try:
            handle = os.open(self.proc / "clear_refs", os.O_WRONLY)  # never creates it
            try:
                os.write(handle, b"5")
            finally:
                os.close(handle)
        except OSError:
            return False
        return before is not None


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
        env.throttled_s(root),
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


#: What is too much: see `timing_findings`.
STEAL_SHARE = 0.01
OTHERS_SHARE = 0.05
THROTTLED_SHARE = 0.01
FREQUENCY_CHANGE = 0.10
TREND_CHANGE = 0.05
TREND_P_VALUE = 0.01
MODE_GAP = 0.05
MEDIAN_WIDTH = 0.05
CLOCK_GAP = 0.20


def timing_findings(
    samples_ns: NDArray[Any],
    median_interval_ns: tuple[float, float],
    conditions: Conditions,
    *,
    settled: bool,
    timed_s: float,
) -> tuple[Finding, ...]:
    """All causes for doubt in a timing; none is a stable one.

    Args:
        samples_ns: in the order in which they were taken.
        median_interval_ns: low and high end of the median's interval.
        conditions: what the machine did while samples were taken.
        settled: whether three windows of the warm-up agreed.
        timed_s: wall time of the calls that gave the samples; with streams, of each of them summed.
    """
    findings = [*machine_findings(conditions)]
    if not settled:
        findings.append(
            Finding(
                "warm-up", "three windows never agreed within 10%", "measure on an idle machine"
            )
        )
    total_s = float(samples_ns.sum()) / 1e9
    if int(samples_ns.min()) < 0 or total_s > timed_s * (1 + CLOCK_GAP):
        findings.append(
            Finding(
                "clock",
                f"the samples sum to {general(total_s, 3)} s of {general(timed_s, 3)} s that passed",
                "measure again; check the machine's clock source",
            )
        )
    findings.extend(_series_findings(samples_ns, median_interval_ns))
    return tuple(findings)


def machine_findings(conditions: Conditions) -> list[Finding]:
    """What the machine did besides, where it was too much."""
    findings = []
    steal, others = conditions.steal_share, conditions.others_cores
    if steal is not None and steal > STEAL_SHARE:
        findings.append(
            Finding(
                "steal",
                f"the hypervisor took {steal:.1%} of the processor time",
                "use a machine with dedicated cores, or compare interleaved",
            )
        )
    if others is not None and others > OTHERS_SHARE * conditions.cores:
        findings.append(
            Finding(
                "load",
                f"other processes used {others:.2f} of {conditions.cores} cores",
                "stop them, or compare interleaved",
            )
        )
    throttled = conditions.throttled_share
    if throttled is not None and throttled > THROTTLED_SHARE:
        findings.append(
            Finding(
                "throttled",
                f"a cgroup limit held the process back {throttled:.1%} of the time",
                "give --threads below the limit, or raise it",
            )
        )
    change = conditions.frequency_change
    if change is not None and abs(change) > FREQUENCY_CHANGE:
        findings.append(
            Finding(
                "frequency",
                f"the processor's frequency changed by {change:+.0%}",
                "fix the frequency (governor performance, turbo off) or let it cool",
            )
        )
    return findings


def _series_findings(
    samples_ns: NDArray[Any], median_interval_ns: tuple[float, float]
) -> list[Finding]:
    findings = []
    slope = trend(samples_ns)
    if abs(slope.change) > TREND_CHANGE and slope.p_value < TREND_P_VALUE:
        findings.append(
            Finding(
                "trend",
                f"latency changed by {slope.change:+.1%} over the run ({p_value(slope.p_value)})",
                "warm up longer, or let the machine cool",
            )
        )
    peaks = modes(samples_ns)
    if len(peaks) > 1 and peaks[-1] > peaks[0] * (1 + MODE_GAP):
        places = ", ".join(f"{general(peak / 1e6, 3)}" for peak in peaks)
        findings.append(
            Finding(
                "modes",
                f"latencies pile up at {places} ms",
                "pin the process to cores of one kind, or give --threads",
            )
        )
    low, high = median_interval_ns
    if low > 0 and high / low - 1 > MEDIAN_WIDTH:
        findings.append(
            Finding(
                "spread",
                f"the median is only known to {high / low - 1:.1%}",
                "measure longer or on an idle machine",
            )
        )
    return findings
