"""Which NVIDIA devices there are, and what each does while something runs on it.

`find` asks the driver's own library, in a child process: the parent never holds a context, and what the library
does to a process stays there. It needs no package, and sees what CUDA sees, in CUDA's order (CUDA_VISIBLE_DEVICES,
parts of a device under MIG, WSL2). Clocks, temperature, power and who else is on a device are NVML's, which
`nvidia-ml-py` asks without a context; what it does not tell is None.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from deploykit.cuda.bindings import advice, uuid_text, version_text
from deploykit.errors import MissingDependency, UsageError, one_line
from deploykit.lazy import install_line
from deploykit.spec import Reason

#: Which devices CUDA shows to a process, and in which order.
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: The oldest driver for each major version of CUDA.
OLDEST_DRIVER = {11: "450", 12: "525", 13: "580"}
#: No answer of the driver in this time is no device.
_PATIENCE_S = 120.0
_MODES = {0: "default", 2: "prohibited", 3: "exclusive process"}
NO_DEVICE = Reason(
    "no NVIDIA GPU here", "run the engine on a machine with one and its driver", missing="device"
)


@dataclass(frozen=True)
class Gpu:
    """One device, or one part of a device under MIG, as CUDA shows it.

    Attributes:
        index: by which --device names it.
        name: of the device, with the part under MIG.
        uuid: "GPU-…", or "MIG-…" of a part.
        compute_capability: such as "8.9".
        memory_mib: in all.
        compute_mode: "default", "exclusive process" or "prohibited".
        mig: whether it is a part of a device.
        ecc: whether its memory is checked.
        persistence: whether the driver stays loaded while no process uses it; None where NVML does not tell.
    """

    index: int
    name: str
    uuid: str
    compute_capability: str
    memory_mib: int
    compute_mode: str = "default"
    mig: bool = False
    ecc: bool = False
    persistence: bool | None = None


@dataclass(frozen=True)
class Found:
    """The devices that CUDA shows here.

    Attributes:
        gpus: in CUDA's order.
        driver: its version, such as "580.95.05"; empty where NVML does not tell.
        driver_cuda: the newest CUDA version that the driver runs, such as 13000; 0 where there is none.
        problem: why there is no device; None where there is one.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    driver_cuda: int = 0
    problem: Reason | None = None

    def describe(self, gpu: Gpu) -> str:
        """A device in one line, as the `gpu` column has it."""
        return ", ".join(
            [
                f"device {gpu.index}",
                gpu.uuid,
                f"compute capability {gpu.compute_capability}",
                f"{gpu.memory_mib} MiB",
                self.driver_text,
                "a part under MIG" if gpu.mig else "no MIG",
                f"ECC {_on(gpu.ecc)}",
                f"persistence {_on(gpu.persistence)}",
            ]
        )

    @property
    def driver_text(self) -> str:
        """The driver in words, such as "driver 580.95.05 (CUDA 13.0)"; empty where there is none."""
        if not self.driver_cuda:
            return ""
        return f"driver {self.driver or 'unknown'} (CUDA {version_text(self.driver_cuda)})"

    def too_old(self, major: int) -> Reason | None:
        """Why the driver can't run what is made for a major version of CUDA; None where it can.

        A newer driver runs what is made for an older CUDA, and never the other way round.
        """
        if not self.gpus or self.driver_cuda // 1000 >= major:
            return None
        needed = OLDEST_DRIVER.get(major)
        update = f"update it to {needed} or later" if needed else "update it"
        return Reason(
            f"{self.driver_text} is too old for packages of CUDA {major}",
            f"{update}, or install packages for CUDA {self.driver_cuda // 1000}",
            missing="device",
        )


def _on(state: bool | None) -> str:
    return "unknown" if state is None else "on" if state else "off"


def find() -> Found:
    """The devices that CUDA shows to this process and to those it starts; asked once for each choice of them."""
    return _find(os.environ.get(VISIBLE))


@cache
def _find(visible: str | None) -> Found:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Found(problem=NO_DEVICE)
    root = str(Path(__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); from deploykit.cuda.devices import main; main()"
    )
    try:
        asked = subprocess.run(
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        told = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        text = f"the NVIDIA driver did not answer in {_PATIENCE_S:g} s"
        return _problem(text, "see nvidia-smi and dmesg, and reboot if they hang")
    except subprocess.CalledProcessError as error:
        status = error.returncode
        ended = signal.Signals(-status).name if status < 0 else f"status {status}"
        said = one_line((error.stderr or "").strip().rpartition("\n")[2] or ended, 120)
        return _problem(f"asking the NVIDIA driver failed ({said})", "see nvidia-smi and dmesg")
    except (json.JSONDecodeError, IndexError):
        return _problem("the NVIDIA driver's answer is unreadable", "see nvidia-smi and dmesg")
    problem = None
    if number := told["error"]:
        said = advice(number) or "see nvidia-smi and dmesg"
        problem = Reason(f"no GPU can be used: {said}", f"CUDA error {number}", "device")
    gpus = tuple(Gpu(**one) for one in told["gpus"])
    return Found(gpus, told["driver"], told["driver_cuda"], problem)


def _problem(text: str, remedy: str) -> Found:
    return Found(problem=Reason(text, remedy, missing="device"))


def of_machine() -> Found:
    """The devices that CUDA showed to this process before `select` left one of them."""
    return find() if _before is None else _before[0]


def select(index: int) -> Gpu:
    """Let CUDA show one device to this process and to those it starts: every library there takes it for its first.

    Call it before any library in this process has used a device.

    Args:
        index: in CUDA's order, of the devices that `CUDA_VISIBLE_DEVICES` leaves.

    Raises:
        MissingDependency: there is no device.
        UsageError: there is none of that number.
    """
    global _before
    found = of_machine()
    if found.problem is not None:
        raise MissingDependency(f"--device {index}: {found.problem}")
    if not 0 <= index < len(found.gpus):
        shown = ", ".join(f"{gpu.index} is {gpu.name}" for gpu in found.gpus)
        raise UsageError(
            f"--device {index}: no GPU of that number is visible to CUDA ({shown}): choose one of these"
        )
    named = os.environ.get(VISIBLE) if _before is None else _before[1]
    _before = found, named
    os.environ[VISIBLE] = str(index) if named is None else named.split(",")[index].strip()
    return found.gpus[index]


#: The devices that CUDA showed before one was chosen here, and CUDA_VISIBLE_DEVICES at the time.
_before: tuple[Found, str | None] | None = None


def forget() -> None:
    """Ask the driver anew, and take no device for chosen."""
    global _before
    _before = None
    _find.cache_clear()


def selected() -> Gpu | None:
    """The device that libraries take as the first, by the number that --device has for it; None without one."""
    found = find()
    if not found.gpus:
        return None
    first = found.gpus[0]
    same = (gpu for gpu in of_machine().gpus if gpu.uuid == first.uuid)
    return replace(first, index=next(same, first).index)


# --- The child's side: the driver's library by its C interface, the standard library alone ---

_ATTRIBUTES = {"major": 75, "minor": 76, "compute_mode": 20, "ecc": 32}
#: The arguments of each function of the driver, all of which return an error number.
_SIGNATURES: dict[str, list[Any]] = {
    "cuInit": [ctypes.c_uint],
    "cuDriverGetVersion": [ctypes.POINTER(ctypes.c_int)],
    "cuDeviceGetCount": [ctypes.POINTER(ctypes.c_int)],
    "cuDeviceGet": [ctypes.POINTER(ctypes.c_int), ctypes.c_int],
    "cuDeviceGetName": [ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    "cuDeviceGetUuid_v2": [ctypes.c_char_p, ctypes.c_int],
    "cuDeviceGetUuid": [ctypes.c_char_p, ctypes.c_int],
    "cuDeviceTotalMem_v2": [ctypes.POINTER(ctypes.c_size_t), ctypes.c_int],
    "cuDeviceGetAttribute": [ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int],
}


class _DriverError(Exception):
    """The driver answered with an error number."""


def _call(library: Any, name: str, *arguments: Any) -> None:
    function = getattr(library, name)
    function.argtypes, function.restype = _SIGNATURES[name], ctypes.c_int
    code = function(*arguments)
    if code:
        raise _DriverError(code)


def _number(library: Any, name: str, *arguments: Any, kind: Any = ctypes.c_int) -> int:
    value = kind()
    _call(library, name, ctypes.byref(value), *arguments)
    return int(value.value)


def main() -> None:
    """Answer, as one line of JSON on stdout, what the driver shows to this process."""
    told: dict[str, Any] = {"gpus": [], "driver": "", "driver_cuda": 0, "error": 0}
    library = ctypes.CDLL("libcuda.so.1")
    try:
        told["driver_cuda"] = _number(library, "cuDriverGetVersion")
        _call(library, "cuInit", 0)
        count = _number(library, "cuDeviceGetCount")
        told["gpus"] = [asdict(_ask(library, index)) for index in range(count)]
        told["error"] = 0 if count else 100
    except _DriverError as error:
        told["error"] = error.args[0]
    with contextlib.suppress(MissingDependency), _nvml() as nvml:
        told["driver"] = nvml.nvmlSystemGetDriverVersion()
        for one in told["gpus"]:
            with contextlib.suppress(nvml.NVMLError):
                handle = nvml.nvmlDeviceGetHandleByUUID(one["uuid"])
                one["persistence"] = bool(nvml.nvmlDeviceGetPersistenceMode(handle))
    print(json.dumps(told))


def _ask(library: Any, index: int) -> Gpu:
    device = _number(library, "cuDeviceGet", index)
    name = ctypes.create_string_buffer(256)
    _call(library, "cuDeviceGetName", name, len(name), device)
    uuid = ctypes.create_string_buffer(16)
    # The second form tells the part of a device under MIG; drivers before CUDA 11.4 have the first alone.
    _call(
        library,
        "cuDeviceGetUuid_v2" if hasattr(library, "cuDeviceGetUuid_v2") else "cuDeviceGetUuid",
        uuid,
        device,
    )
    facts = {
        key: _number(library, "cuDeviceGetAttribute", code, device)
        for key, code in _ATTRIBUTES.items()
    }
    shown = name.value.decode(errors="replace")
    mig = " MIG " in f"{shown} "
    return Gpu(
        index,
        shown,
        uuid_text(uuid.raw).replace("GPU-", "MIG-" if mig else "GPU-"),
        f"{facts['major']}.{facts['minor']}",
        _number(library, "cuDeviceTotalMem_v2", device, kind=ctypes.c_size_t) // 2**20,
        _MODES.get(facts["compute_mode"], "unknown"),
        mig,
        bool(facts["ecc"]),
    )


# --- NVML ---

#: Reasons for a lower clock that make a timing doubtful, by NVML's bits; others are idling and the user's settings.
THROTTLES = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x20: "software thermal limit",
    0x40: "hardware thermal limit",
    0x80: "power brake",
}


@contextlib.contextmanager
def _nvml() -> Iterator[Any]:
    """NVML's module, initialised.

    Raises:
        MissingDependency: why it can't be asked, in a few words.
    """
    try:
        import pynvml
    except ImportError as error:
        raise MissingDependency(f"nvidia-ml-py is not installed: {install_line('cuda')}") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MissingDependency(f"NVML can't be asked ({one_line(error, 80)})") from error
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


@dataclass(frozen=True)
class GpuState:
    """A device at one moment, by NVML; None is what it does not tell.

    Attributes:
        sm_clock_mhz, memory_clock_mhz: now.
        throttle_reasons: NVML's bits; see `THROTTLES`.
        temperature_c: of the chip.
        power_w: now.
        energy_j: since the driver was loaded.
        ecc_errors: uncorrected, since the last reset.
        others: numbers of the other processes on the device; told only once this process is on it.
        own_mib: memory of this process on the device.
    """

    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle_reasons: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    ecc_errors: int | None = None
    others: tuple[int, ...] | None = None
    own_mib: float | None = None


@dataclass
class Monitor:
    """Reads the state of one device; never raises, as what is measured does not depend on it.

    Attributes:
        missing: why nothing is told, in a few words; empty where NVML answers.
    """

    uuid: str
    missing: str = ""
    _nvml: Any = field(default=None, repr=False)
    _handle: Any = field(default=None, repr=False)
    _close: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)

    def __enter__(self) -> Monitor:
        try:
            self._nvml = self._close.enter_context(_nvml())
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(self.uuid)
        except MissingDependency as error:
            self.missing = str(error)
        except self._nvml.NVMLError as error:
            self.missing = f"NVML does not know the device {self.uuid} ({one_line(error, 80)})"
        return self

    def __exit__(self, *ended: object) -> None:
        self._close.close()

    def used_mib(self) -> float | None:
        """Memory in use on the device by all processes, which tells what a context takes."""
        if self._handle is None:
            return None
        found = self._ask("nvmlDeviceGetMemoryInfo")
        return None if found is None else found.used / 2**20

    def reading(self) -> GpuState:
        """What changes from moment to moment: clocks and what holds them down, temperature and power."""
        if self._handle is None:
            return GpuState()
        nvml = self._nvml
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # drivers before 535 have the older name
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        power_mw = self._ask("nvmlDeviceGetPowerUsage")
        return GpuState(
            self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            reasons,
            self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            None if power_mw is None else power_mw / 1e3,
        )

    def state(self) -> GpuState:
        """The state now."""
        if self._handle is None:
            return GpuState()
        nvml = self._nvml
        energy_mj = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        others, own_mib = self._processes()
        return replace(
            self.reading(),
            energy_j=None if energy_mj is None else energy_mj / 1e3,
            ecc_errors=self._ask(
                "nvmlDeviceGetTotalEccErrors",
                nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                nvml.NVML_VOLATILE_ECC,
            ),
            others=others,
            own_mib=own_mib,
        )

    def _ask(self, function: str, *arguments: Any) -> Any:
        return self._quietly(lambda: getattr(self._nvml, function)(self._handle, *arguments))

    def _quietly(self, ask: Callable[[], Any]) -> Any:
        """What NVML answers; None where it does not support the question, or the device is gone."""
        try:
            return ask()
        except (self._nvml.NVMLError, AttributeError):
            return None

    def _processes(self) -> tuple[tuple[int, ...] | None, float | None]:
        """Numbers of the other processes that compute on the device, and this one's memory in MiB.

        NVML may name processes by the numbers of another namespace, as in a container, or none at all: where this
        process is not among them, nothing can be said of the others.
        """
        found = self._ask("nvmlDeviceGetComputeRunningProcesses") or ()
        own = [one for one in found if one.pid == os.getpid()]
        if not own:
            return None, None
        used = own[0].usedGpuMemory
        others = tuple(sorted({one.pid for one in found} - {os.getpid()}))
        return others, None if used is None else used / 2**20
