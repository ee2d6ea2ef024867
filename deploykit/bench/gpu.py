"""What an NVIDIA device did while something was measured on it: memory by phase, clocks, temperature and energy.

CUDA and NVML are asked between the phases by the process that measures, and NVML within the measuring by one of its
own (`gpu_readings`); what they don't tell is blank, with the reason. Rows of a device are judged by what the device
did: a processor that is busy or slow is no cause for doubt in them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any

from deploykit.bench.gpu_readings import Reader, Reading
from deploykit.cuda import Device, devices, open_device
from deploykit.errors import DeploykitError
from deploykit.row import Finding, Note

#: Relative change of the multiprocessors' clock that makes a timing doubtful.
CLOCK_CHANGE = 0.05
#: CUDA and NVML count the memory of a process in different ways; so far apart they disagree.
MEMORY_GAP, MEMORY_GAP_MIB = 0.10, 64.0
#: NVML's counter of energy moves in steps of up to a tenth of a second.
MIN_ENERGY_S = 0.4
#: Fewer readings of power than this tell no energy.
MIN_POWERS = 4
#: Findings on the processor, which say nothing of a device.
OF_PROCESSOR = frozenset(("steal", "load", "throttled", "frequency"))
#: What helps on a device, where that is something else than on a processor, by the finding's name.
ON_DEVICE = {
    "modes": "lock the clock (nvidia-smi --lock-gpu-clocks), or take the host out of each run: --cuda-graph",
    "spread": "measure longer: --seconds",
    "trend": "warm up longer: --warmup-iterations, or lock the clock: nvidia-smi --lock-gpu-clocks",
}
_NAMED = 5


@dataclass
class GpuWatch:
    """Follows the first device that CUDA sees from before its context is made to the end of a measurement.

    Use it in a `with`, then call `end_phase` with "load", "warmup" and "run" when each of them has ended. After
    `follow` the device is read throughout the phase "run", too.

    Attributes:
        readings: of the device while it was measured, by a process of their own.
        memory: MiB in use on the whole device, by CUDA, and of this process, by NVML, at the end of each phase.
        states: of the device by NVML, at the end of each phase.
        missing: why CUDA does not tell of memory; empty where it does.
    """

    readings: list[Reading] = field(default_factory=list)
    memory: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    states: dict[str, devices.GpuState] = field(default_factory=dict)
    missing: str = ""
    _monitor: devices.Monitor | None = None
    _device: Device | None = None
    _reader: Reader | None = None
    _ended_s: dict[str, float] = field(default_factory=dict)
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> GpuWatch:
        gpu = devices.selected()
        self._monitor = self._closing.enter_context(devices.Monitor(gpu.uuid if gpu else ""))
        self._used_before_mib = self._monitor.used_mib()
        try:
            self._device = self._closing.enter_context(open_device())
        except DeploykitError as error:
            # Whoever needs the device fails by itself; PyTorch brings a CUDA of its own and may not.
            self.missing = str(error)
        self._used_with_context_mib = self._monitor.used_mib()
        self.end_phase("context")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def follow(self) -> None:
        """Start the process that reads the device; it is there when the warm-up ends."""
        assert self._monitor is not None
        if not self._monitor.missing:
            self._reader = self._closing.enter_context(Reader(self._monitor.uuid))

    def end_phase(self, name: str) -> None:
        """Note memory and state."""
        assert self._monitor is not None
        self._ended_s[name] = time.monotonic()
        state = self._monitor.state()
        used = None if self._device is None else self._device.memory().used_mib
        self.states[name], self.memory[name] = state, (used, state.own_mib)
        if name == "run" and self._reader is not None:
            self.readings = self._reader.between(self._ended_s["warmup"], self._ended_s["run"])

    # --- What was seen ---

    @property
    def context_mib(self) -> float | None:
        """Memory of the context alone, by NVML: this process' own, else by how much the device's grew."""
        _, own = self.memory["context"]
        before, after = self._used_before_mib, self._used_with_context_mib
        if self._device is None:
            return None
        if own is not None:
            return own
        return None if before is None or after is None else max(0.0, after - before)

    @property
    def peak_mib(self) -> float | None:
        """The most device memory of this process at the end of a phase, its context included."""
        first, _ = self.memory["context"]
        used = [used for used, _ in self.memory.values() if used is not None]
        if self.context_mib is not None and first is not None:
            return self.context_mib + max(used) - first
        return max(self._own(), default=None)

    def _own(self) -> list[float]:
        return [own for _, own in self.memory.values() if own is not None]

    def memory_columns(self) -> tuple[dict[str, Any], list[Note]]:
        """The columns of device memory, and why they are blank."""
        assert self._monitor is not None
        context, peak = self.context_mib, self.peak_mib
        notes = []
        blank = [
            name
            for name, value in (("device_context_mib", context), ("device_peak_mib", peak))
            if value is None
        ]
        if blank:
            why = self.missing or self._monitor.missing or "NVML does not tell of memory here"
            verb = "is" if len(blank) == 1 else "are"
            notes.append(Note("missing", f"{' and '.join(blank)} {verb} blank: {why}"))
        own = max(self._own(), default=None)
        if peak is not None and own is not None:
            gap = abs(peak - own)
            if gap > max(MEMORY_GAP_MIB, MEMORY_GAP * own):
                text = (
                    f"device_peak_mib is {peak:.0f} MiB by CUDA and {own:.0f} MiB by NVML: other processes "
                    "took or freed memory meanwhile"
                )
                notes.append(Note("load", text, "end what else runs on the GPU"))
        return {"device_context_mib": context, "device_peak_mib": peak}, notes

    def state_columns(self, images: int, elapsed_s: float) -> tuple[dict[str, Any], list[Note]]:
        """The columns of clocks, temperature, power and energy, and why they are blank.

        Args:
            images: that were run while it was measured.
            elapsed_s: of the measuring.
        """
        assert self._monitor is not None
        before, after = self.states["warmup"], self.states["run"]
        energy_j, power_w, notes = None, after.power_w, []
        powers_w = [one.state.power_w for one in self.readings if one.state.power_w is not None]
        if before.energy_j is not None and after.energy_j is not None:
            if elapsed_s >= MIN_ENERGY_S:
                energy_j = after.energy_j - before.energy_j or None
        elif len(powers_w) >= MIN_POWERS:  # older devices have no counter
            energy_j = sum(powers_w) / len(powers_w) * elapsed_s
            text = (
                f"energy is the mean of {len(powers_w)} readings of power: the GPU has no counter"
            )
            notes.append(Note("runtime", text))
        if energy_j is not None:
            power_w = energy_j / elapsed_s
        elif powers_w:
            power_w = sum(powers_w) / len(powers_w)
        cells = {
            "gpu_sm_clock_mhz": _float(after.sm_clock_mhz),
            "gpu_memory_clock_mhz": _float(after.memory_clock_mhz),
            "gpu_temperature_c": _float(after.temperature_c),
            "gpu_power_w": power_w,
            "energy_per_image_mj": None if energy_j is None else energy_j * 1e3 / images,
        }
        blank = [name for name, value in cells.items() if value is None]
        why = self._monitor.missing or (
            f"NVML counts energy in steps too coarse for {elapsed_s:.2g} s; measure longer"
            if blank == ["energy_per_image_mj"] and elapsed_s < MIN_ENERGY_S
            else "NVML does not tell of this device"
        )
        if blank:
            verb = "is" if len(blank) == 1 else "are"
            notes.append(Note("missing", f"{', '.join(blank)} {verb} blank: {why}"))
        if self._reader is not None and not self.readings:
            text = (
                f"the GPU's clock and what holds it down were only read before and after the {elapsed_s:.2g} s of "
                "measuring"
            )
            notes.append(Note("missing", text, "--seconds"))
        return cells, notes

    def judged(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """The doubts in a timing on this device: those of the series, and the device's own for the processor's."""
        return (
            *self._doubts(),
            *(
                replace(finding, remedy=ON_DEVICE.get(finding.name, finding.remedy))
                for finding in findings
                if finding.name not in OF_PROCESSOR
            ),
        )

    def _doubts(self) -> list[Finding]:
        before, after = self.states["warmup"], self.states["run"]
        findings = []
        during = [one.state for one in self.readings]
        moments = [state.throttle_reasons or 0 for state in (before, *during, after)]
        reasons = [
            text for bit, text in devices.THROTTLES.items() if any(held & bit for held in moments)
        ]
        if reasons:
            often = sum(any(held & bit for bit in devices.THROTTLES) for held in moments)
            findings.append(
                Finding(
                    "gpu-throttled",
                    f"the GPU's clock was held down in {often} of {len(moments)} readings ({', '.join(reasons)})",
                    "let it cool, raise its power limit, or lock a lower clock: nvidia-smi --lock-gpu-clocks",
                )
            )
        clocks = [state.sm_clock_mhz for state in (*during, after) if state.sm_clock_mhz]
        if before.sm_clock_mhz and clocks:
            change = max((mhz / before.sm_clock_mhz - 1 for mhz in clocks), key=abs)
            if abs(change) > CLOCK_CHANGE:
                findings.append(
                    Finding(
                        "gpu-clock",
                        f"the GPU's clock changed by {change:+.0%}",
                        "warm up longer, or lock the clock: nvidia-smi --lock-gpu-clocks",
                    )
                )
        others = sorted({*(before.others or ()), *(after.others or ())})
        if others:
            named = ", ".join(map(str, others[:_NAMED]))
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            findings.append(
                Finding(
                    "gpu-load",
                    f"other processes are on the GPU ({named}{more})",
                    "end them, or choose another with --device",
                )
            )
        errors = (after.ecc_errors or 0) - (before.ecc_errors or 0)
        if errors > 0:
            findings.append(
                Finding(
                    "gpu-ecc",
                    f"the GPU's memory had {errors} uncorrected errors",
                    "reset the GPU, and replace it if they come again",
                )
            )
        return findings

    def details(self) -> dict[str, Any]:
        """Everything that was seen, by phase, and within the measuring."""
        seen: dict[str, Any] = {
            name: asdict(state) | {"used_mib": self.memory[name][0]}
            for name, state in self.states.items()
        }
        start_s = self._ended_s.get("warmup", 0.0)
        seen["readings"] = [
            {
                "s": round(one.clock_s - start_s, 3),
                "sm_clock_mhz": one.state.sm_clock_mhz,
                "throttle_reasons": one.state.throttle_reasons,
                "temperature_c": one.state.temperature_c,
                "power_w": one.state.power_w,
            }
            for one in self.readings
        ]
        return seen


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
