"""libcuda as a C library whose functions are the double's: for bindings that are linked with the driver, as pycuda.

The library has every function that a folder of extension modules takes from libcuda, under the driver's own name
and soname; each calls what stands in its place of a table, which `install` fills. Once it is loaded, the dynamic
linker takes it for libcuda.so.1 wherever that is needed. A function that the double does not play answers that it
is not supported, and is an offence. As with the driver, most need a context that is current in the calling thread.

A C compiler and `nm` are needed to build it.
"""

# ruff: noqa: N802 (CUDA calls its functions so)
from __future__ import annotations

import ctypes
import importlib.abc
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cuda_double
from cuda_double import SUCCESS, Cuda
from cuda_double.libraries import DriverLibrary

#: Path of a built library; child processes put it under pycuda.
LIBRARY = "CUDA_DOUBLE_DRIVER"
INVALID_CONTEXT = 201
_ARGUMENTS = 6
_CONTEXT = 0x7000_0000  # and the number of the device
_TEXTS = {
    1: b"invalid argument",
    2: b"out of memory",
    46: b"CUDA-capable device(s) is/are busy or unavailable",
    100: b"no CUDA-capable device is detected",
    101: b"invalid device ordinal",
    201: b"invalid device context",
    700: b"an illegal memory access was encountered",
    801: b"operation not supported",
    999: b"unknown error",
}
_TOOLS = ("cc", "nm")


def missing_tools() -> list[str]:
    """Of what it takes to build the library, what is not here."""
    return [tool for tool in _TOOLS if shutil.which(tool) is None]


def functions_taken(folder: Path) -> list[str]:
    """The driver's functions that the extension modules in a folder take, by name."""
    found: set[str] = set()
    for extension in folder.rglob("*.so"):
        command = ["nm", "-D", "--undefined-only", extension]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"^\s+U (cu[A-Z]\w*)", text, re.MULTILINE))
    return sorted(found)


def build(names: Iterable[str], folder: Path) -> Path:
    """Compile the library into a folder; with it a file of the names, in the order of the table."""
    wanted = list(names)
    long = ", ".join(f"long a{i}" for i in range(_ARGUMENTS))
    given = ", ".join(f"a{i}" for i in range(_ARGUMENTS))
    lines = [f"int (*cuda_double_table[{len(wanted)}])({', '.join(['long'] * _ARGUMENTS)});"]
    lines += [
        f"int {name}({long}) {{ return cuda_double_table[{place}]({given}); }}"
        for place, name in enumerate(wanted)
    ]
    library = folder / "libcuda.so.1"
    command = ["cc", "-w", "-shared", "-fPIC", "-x", "c", "-", "-Wl,-soname,libcuda.so.1", "-o"]
    subprocess.run([*command, library], input="\n".join([*lines, ""]), text=True, check=True)
    library.with_suffix(".names").write_text("\n".join(wanted))
    return library


class Driver:
    """The driver's functions in one process, over the memory, streams and events of a `Cuda`.

    Attributes:
        retained: how often the context of a device was taken and not given back.
        depth: contexts that are on the stacks of threads.
    """

    def __init__(self, double: Cuda) -> None:
        self.double = double
        self._asked = DriverLibrary(lambda: double.settings)
        self._threads = threading.local()
        self.retained: dict[int, int] = {}
        self.depth = 0
        self._texts = {code: ctypes.create_string_buffer(text) for code, text in _TEXTS.items()}

    def function(self, name: str) -> Callable[..., int]:
        """What stands for a function of the driver; its arguments are integers as wide as a pointer."""
        plain = name.partition("_v")[0]
        played = getattr(type(self), plain, None)

        def call(*given: int) -> int:
            try:
                if plain == "cuGetErrorString":
                    return int(played(self, *given))
                bound = None if played is None else lambda *a: played(self, *a) or SUCCESS
                if not plain.startswith(_WITHOUT_CONTEXT) and not self._stack():
                    self.double._offence(f"{plain} in a thread that has no context")
                    return INVALID_CONTEXT
                return int(self.double.answer(plain, bound, given))
            except Exception as error:  # there is nobody to raise it to: C called this
                self.double.offences.append(f"{name}: {type(error).__name__}: {error}")
                return cuda_double.GONE

        return call

    def leaks(self) -> list[str]:
        """What must not be there between two uses of a device; its primary context may stay."""
        return ["a context on a thread's stack"] * self.depth

    def _stack(self) -> list[int]:
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        stack: list[int] = self._threads.stack
        return stack

    # Devices and contexts

    def cuInit(self, flags, *_):
        return self._asked.cuInit(_number(flags))

    def cuDriverGetVersion(self, version, *_):
        return self._asked.cuDriverGetVersion(version)

    def cuDeviceGetCount(self, count, *_):
        return self._asked.cuDeviceGetCount(count)

    def cuDeviceGet(self, device, index, *_):
        return self._asked.cuDeviceGet(device, _number(index))

    def cuDeviceGetName(self, name, length, device, *_):
        return self._asked.cuDeviceGetName(name, _number(length), _number(device))

    def cuDeviceTotalMem(self, nbytes, device, *_):
        return self._asked.cuDeviceTotalMem_v2(nbytes, _number(device))

    def cuDeviceGetAttribute(self, value, attribute, device, *_):
        if _number(attribute) == 16:  # multiprocessors, as cudaGetDeviceProperties has them
            return _put(value, ctypes.c_int, 10)
        return self._asked.cuDeviceGetAttribute(value, _number(attribute), _number(device))

    def cuDeviceComputeCapability(self, major, minor, device, *_):
        facts = self.double.settings.visible()[_number(device)]
        for place, part in zip((major, minor), facts.compute_capability.split("."), strict=True):
            _put(place, ctypes.c_int, int(part))

    def cuDevicePrimaryCtxRetain(self, context, device, *_):
        device = _number(device)
        error = self.double.cudaSetDevice(device)
        if error:
            return error
        self.retained[device] = self.retained.get(device, 0) + 1
        return _put(context, ctypes.c_void_p, _CONTEXT + device)

    def cuDevicePrimaryCtxRelease(self, device, *_):
        device = _number(device)
        if not self.retained.get(device):
            raise self.double._offence("a context given back that was not taken")
        self.retained[device] -= 1
        if not self.retained[device]:
            self.double.contexts.discard(device)

    def cuCtxPushCurrent(self, context, *_):
        if not self.retained.get(context - _CONTEXT):
            raise self.double._offence("a context pushed that was given back")
        self._stack().append(context)
        self.double.contexts.add(context - _CONTEXT)
        self.depth += 1

    def cuCtxPopCurrent(self, context, *_):
        if not self._stack():
            return INVALID_CONTEXT
        self.depth -= 1
        return _put(context, ctypes.c_void_p, self._stack().pop())

    def cuCtxGetDevice(self, device, *_):
        return _put(device, ctypes.c_int, self._stack()[-1] - _CONTEXT)

    def cuCtxSynchronize(self, *_):
        return self.double.cudaDeviceSynchronize()

    # Memory

    def cuMemGetInfo(self, free, total, *_):
        return self.double.cudaMemGetInfo(free, total)

    def cuMemAlloc(self, pointer, nbytes, *_):
        return self.double.cudaMalloc(pointer, nbytes)

    def cuMemFree(self, address, *_):
        return self.double.cudaFree(address)

    def cuMemHostAlloc(self, pointer, nbytes, flags, *_):
        return self.double.cudaHostAlloc(pointer, nbytes, flags)

    def cuMemFreeHost(self, address, *_):
        return self.double.cudaFreeHost(address)

    def cuMemcpyHtoDAsync(self, target, source, nbytes, stream, *_):
        return self.double.cudaMemcpyAsync(target, source, nbytes, 1, stream)

    def cuMemcpyDtoHAsync(self, target, source, nbytes, stream, *_):
        return self.double.cudaMemcpyAsync(target, source, nbytes, 2, stream)

    def cuMemcpyDtoDAsync(self, target, source, nbytes, stream, *_):
        return self.double.cudaMemcpyAsync(target, source, nbytes, 3, stream)

    # Streams and events

    def cuStreamCreate(self, stream, flags, *_):
        return self.double.cudaStreamCreateWithFlags(stream, _number(flags))

    def cuStreamDestroy(self, stream, *_):
        return self.double.cudaStreamDestroy(stream)

    def cuStreamSynchronize(self, stream, *_):
        return self.double.cudaStreamSynchronize(stream)

    def cuStreamQuery(self, stream, *_):
        return self.double.cudaStreamQuery(stream)

    def cuEventCreate(self, event, flags, *_):
        return self.double.cudaEventCreate(event)

    def cuEventDestroy(self, event, *_):
        return self.double.cudaEventDestroy(event)

    def cuEventRecord(self, event, stream, *_):
        return self.double.cudaEventRecord(event, stream)

    def cuEventSynchronize(self, event, *_):
        return self.double.cudaEventSynchronize(event)

    def cuEventQuery(self, event, *_):
        return self.double.cudaEventQuery(event)

    def cuEventElapsedTime(self, elapsed_ms, start, end, *_):
        return self.double.cudaEventElapsedTime(elapsed_ms, start, end)

    def cuGetErrorString(self, error, text, *_):
        found = self._texts.get(_number(error), self._texts[cuda_double.GONE])
        return _put(text, ctypes.c_void_p, ctypes.addressof(found))


#: How the names of functions begin that work without a context.
_WITHOUT_CONTEXT = ("cuInit", "cuDriver", "cuDevice", "cuCtxPush", "cuCtxPop", "cuMemFreeHost")


def _number(value: int) -> int:
    """What C passed as an int: the upper half of the register is anything."""
    return ctypes.c_int(value).value


def _put(pointer: int, kind: Any, value: Any) -> int:
    ctypes.cast(pointer, ctypes.POINTER(kind))[0] = value
    return SUCCESS


_kept: list[Any] = []
#: The driver of this process, once it is installed.
current: Driver | None = None


def install(library: Path, double: Cuda) -> Driver:
    """Load a built library and let its functions act on a double; once in a process, before pycuda is imported."""
    global current
    if current is not None:
        return current
    loaded = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    names = library.with_suffix(".names").read_text().split()
    current = Driver(double)
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_ulong] * _ARGUMENTS)
    table = (kind * len(names)).in_dll(loaded, "cuda_double_table")
    for place, name in enumerate(names):
        _kept.append(kind(current.function(name)))
        table[place] = _kept[-1]
    _kept.append(loaded)
    return current


class BeforePyCuda(importlib.abc.MetaPathFinder):
    """Puts the library that the environment names under pycuda when it is first imported, in child processes."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "pycuda._driver" and current is None:
            settings = cuda_double.settings_of_environment()
            install(Path(os.environ[LIBRARY]), cuda_double.current or cuda_double.install(settings))


def install_on_import() -> None:
    """Put the library under pycuda when somebody imports it, where the environment names one."""
    if os.environ.get(LIBRARY):
        sys.meta_path.insert(0, BeforePyCuda())
