"""Memory of this process by phase, as the kernel counts it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

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
