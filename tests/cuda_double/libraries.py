"""The driver's libraries that are asked without bindings: libcuda, which devices there are, and NVML."""

# ruff: noqa: N802 (CUDA calls its functions so)
from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

import cuda_double
from cuda_double import MIB, NO_DEVICE, DeviceFacts, Settings

_P, _I, _U = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
_SIGNATURES = {
    "cuInit": [_U],
    "cuDriverGetVersion": [_P],
    "cuDeviceGetCount": [_P],
    "cuDeviceGet": [_P, _I],
    "cuDeviceGetName": [_P, _I, _I],
    "cuDeviceGetUuid_v2": [_P, _I],
    "cuDeviceTotalMem_v2": [_P, _I],
    "cuDeviceGetAttribute": [_P, _I, _I],
}
NO_PERMISSION, NOT_SUPPORTED, NOT_FOUND, TOO_SMALL = 4, 3, 6, 7


class DriverLibrary:
    """libcuda as far as it is asked which devices there are; functions are C functions, arguments are converted."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        for name, kinds in _SIGNATURES.items():
            function = getattr(self, f"_{name}")
            setattr(self, name, ctypes.CFUNCTYPE(_I, *kinds)(self._answering(name, function)))

    def _answering(self, name: str, function: Callable[..., int | None]) -> Callable[..., int]:
        return lambda *given: self._settings().fail.get(name) or function(*given) or 0

    def _devices(self) -> list[DeviceFacts]:
        return self._settings().visible()

    def _cuInit(self, flags):
        return 0 if self._devices() else NO_DEVICE

    def _cuDriverGetVersion(self, version):
        _put(version, _I, self._settings().driver_cuda)

    def _cuDeviceGetCount(self, count):
        _put(count, _I, len(self._devices()))

    def _cuDeviceGet(self, device, index):
        if index >= len(self._devices()):
            return cuda_double.INVALID_DEVICE
        _put(device, _I, index)
        return 0

    def _cuDeviceGetName(self, name, length, device):
        text = self._devices()[device].name.encode()[: length - 1] + b"\0"
        ctypes.memmove(name, text, len(text))

    def _cuDeviceGetUuid_v2(self, uuid, device):
        digits = self._devices()[device].uuid.partition("-")[2].replace("-", "")
        ctypes.memmove(uuid, bytes.fromhex(digits), 16)

    def _cuDeviceTotalMem_v2(self, nbytes, device):
        _put(nbytes, ctypes.c_size_t, self._devices()[device].memory_mib * MIB)

    def _cuDeviceGetAttribute(self, value, attribute, device):
        facts = self._devices()[device]
        major, minor = (int(part) for part in facts.compute_capability.split("."))
        known = {75: major, 76: minor, 20: facts.compute_mode, 32: int(facts.ecc)}
        _put(value, _I, known[attribute])


class ManagementLibrary:
    """NVML, as the real `nvidia-ml-py` calls it: handles are numbers of devices, results go through `byref`."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if not name.startswith("nvml"):
            return found

        def answer(*given: Any) -> int:
            settings = self._settings()
            if settings.nvml == "denied" and name == "nvmlInitWithFlags":
                return NO_PERMISSION
            return settings.nvml_fail.get(name, 0) or found(*given) or 0

        return answer

    def _facts(self, handle: Any) -> DeviceFacts:
        return self._settings().devices[(handle.value or 1) - 1]

    def nvmlInitWithFlags(self, flags):
        pass

    def nvmlShutdown(self):
        pass

    def nvmlSystemGetDriverVersion(self, text, length):
        text.value = self._settings().driver.encode()

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        wanted = uuid.value.decode()
        for place, facts in enumerate(self._settings().devices):
            if facts.uuid == wanted:
                handle._obj.value = place + 1
                return 0
        return NOT_FOUND

    def nvmlDeviceGetClockInfo(self, handle, kind, clock):
        facts = self._facts(handle)
        clock._obj.value = facts.sm_clock_mhz if kind.value == 1 else facts.memory_clock_mhz

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle, reasons):
        reasons._obj.value = self._facts(handle).throttle_reasons

    def nvmlDeviceGetTemperature(self, handle, sensor, temperature):
        temperature._obj.value = self._facts(handle).temperature_c

    def nvmlDeviceGetPowerUsage(self, handle, power):
        power._obj.value = self._facts(handle).power_mw

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, energy):
        """As if it took the power of now since the process began."""
        import time

        energy._obj.value = int(self._facts(handle).power_mw * time.perf_counter())

    def nvmlDeviceGetMemoryInfo(self, handle, memory):
        facts, double = self._facts(handle), cuda_double.current
        mib = facts.used_mib
        if double is not None and double.contexts:
            mib += facts.context_mib + double.device_bytes() // MIB
        memory._obj.used, memory._obj.total = mib * MIB, facts.memory_mib * MIB

    def nvmlDeviceGetPersistenceMode(self, handle, state):
        state._obj.value = int(self._facts(handle).persistence)

    def nvmlDeviceGetTotalEccErrors(self, handle, kind, counter, count):
        if not self._facts(handle).ecc:
            return NOT_SUPPORTED
        count._obj.value = 0
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle, count, processes):
        double = cuda_double.current
        own = [os.getpid()] if double is not None and double.contexts else []
        found = [*own, *self._facts(handle).others]
        if not found:
            count._obj.value = 0
            return 0
        if processes is None:
            count._obj.value = len(found)
            return TOO_SMALL
        for place, pid in enumerate(found):
            processes[place].pid = pid
            mib = self._facts(handle).context_mib
            processes[place].usedGpuMemory = mib * MIB + (double.device_bytes() if double else 0)
        count._obj.value = len(found)
        return 0


def _put(pointer: int, kind: Any, value: Any) -> None:
    ctypes.cast(pointer, ctypes.POINTER(kind))[0] = value


_replaced: list[Callable[[], Settings]] = []


def replace_libraries(settings: Callable[[], Settings]) -> None:
    """Let `ctypes.CDLL` give the double's libraries instead of the driver's; called again, with other settings."""
    _replaced.append(settings)
    if len(_replaced) > 1:
        return
    current = lambda: _replaced[-1]()  # noqa: E731 - the latest ones count
    libraries = {
        "libcuda.so.1": DriverLibrary(current),
        "libnvidia-ml.so.1": ManagementLibrary(current),
    }
    real = ctypes.CDLL

    class Library(real):  # type: ignore[misc, valid-type]
        def __new__(cls, name=None, *arguments, **options):
            if name not in libraries:
                return object.__new__(cls)
            absent = not current().driver_cuda or (
                name == "libnvidia-ml.so.1" and current().nvml == "missing"
            )
            if absent:
                raise OSError(f"{name}: cannot open shared object file: No such file or directory")
            return libraries[name]

    ctypes.CDLL = Library
    if "pynvml" in sys.modules:
        sys.modules["pynvml"].CDLL = Library
