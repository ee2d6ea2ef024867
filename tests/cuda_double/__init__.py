"""A CUDA that is lazy and forgives nothing: a double of the runtime for tests on machines without a device.

The real `cuda-bindings` package stays in place and converts and checks every argument. It takes the C functions of
the runtime from a table of pointers (`cuda.bindings.cyruntime.__pyx_capi__`) when its module `runtime` is first
imported; before that, `install` fills the table with functions of this double. (The runtime is linked into the
package, so that no shared library can be put in its place, and the driver below it has undocumented tables.)

The double acts on host memory under made-up addresses. Asynchronous work runs only when something waits for it, in
the order of its stream: who forgets to wait reads old values. Use after free, copies in the wrong direction, memory
that is not page-locked and everything that is not given back are offences, which the tests' fixture asks for.
"""

# ruff: noqa: N802 (CUDA calls its functions so)
from __future__ import annotations

import bisect
import ctypes
import importlib.abc
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

#: What the name of every device of the double begins with; `report` refuses rows with it.
DEVICE_NAME = "CUDA double (simulated, no GPU)"
MIB = 2**20
#: Device memory is given out in pages of this size, as a driver does.
PAGE_BYTES = 2 * MIB
_POISON = 0xCD
_SETTINGS = "CUDA_DOUBLE"

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_DIRECTION = 0, 1, 2, 21
DRIVER_TOO_OLD, NO_DEVICE, INVALID_DEVICE, INVALID_HANDLE = 35, 100, 101, 400
NOT_READY, ILLEGAL_ADDRESS, NOT_SUPPORTED, CAPTURE_UNSUPPORTED = 600, 700, 801, 900
CAPTURE_INVALIDATED, GONE = 901, 999


@dataclass
class DeviceFacts:
    """One device that the double shows."""

    name: str = DEVICE_NAME
    uuid: str = "GPU-d0d0d0d0-0000-4000-8000-000000000000"
    compute_capability: str = "8.9"
    memory_mib: int = 1024
    used_mib: int = 100
    context_mib: int = 64
    ecc: bool = False
    compute_mode: int = 0
    mig: bool = False
    sm_clock_mhz: int = 1500
    memory_clock_mhz: int = 5000
    throttle_reasons: int = 0
    temperature_c: int = 40
    power_mw: int = 50_000
    persistence: bool = True
    others: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)  # UUIDs of its parts under MIG


@dataclass
class Settings:
    """What a double shows and how it fails; travels to child processes as JSON in an environment variable.

    Attributes:
        devices: that there are.
        driver_cuda: CUDA version of the driver; below 13000 the runtime answers error 35.
        driver: version of the driver.
        fail: error number by the name of a function of the runtime or driver, answered from call `fail_after` on.
        fail_after: calls that still succeed, by name of the function.
        gone_after: calls of any function after which the driver is gone; None is never.
        nvml: "ok", "denied" (no permission) or "missing" (no library).
        nvml_fail: error number by the name of a function of NVML.
    """

    devices: list[DeviceFacts] = field(default_factory=lambda: [DeviceFacts()])
    driver_cuda: int = 13020
    driver: str = "590.44.01"
    fail: dict[str, int] = field(default_factory=dict)
    fail_after: dict[str, int] = field(default_factory=dict)
    gone_after: int | None = None
    nvml: str = "ok"
    nvml_fail: dict[str, int] = field(default_factory=dict)

    def visible(self) -> list[DeviceFacts]:
        """The devices that CUDA_VISIBLE_DEVICES leaves, in its order."""
        wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
        if wanted is None:
            return self.devices
        found = []
        for token in wanted.split(","):
            token = token.strip()
            if token.isdigit() and int(token) < len(self.devices):
                found.append(self.devices[int(token)])
            elif named := [d for d in self.devices if token and d.uuid.startswith(token)]:
                found.append(named[0])
            else:
                break  # as CUDA: the first that is not valid hides the rest
        return found

    def to_environment(self) -> dict[str, str]:
        """Variables by which child processes find this double: Python runs `startup/sitecustomize.py` first."""
        before = os.environ.get("PYTHONPATH", "")
        startup = str(Path(__file__).parent / "startup")
        paths = [startup, *(p for p in before.split(os.pathsep) if p and p != startup)]
        return {_SETTINGS: json.dumps(asdict(self)), "PYTHONPATH": os.pathsep.join(paths)}


def no_driver() -> Settings:
    """What the real bindings and libraries find where there is no driver."""
    return Settings(devices=[], driver_cuda=0)


def environment_without() -> dict[str, str]:
    """The environment for a child process that has no double in it, whose imports are its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}


def settings_of_environment() -> Settings | None:
    """The settings that a parent left in the environment; None where there are none."""
    text = os.environ.get(_SETTINGS)
    if not text:
        return None
    values = json.loads(text)
    values["devices"] = [DeviceFacts(**one) for one in values["devices"]]
    return Settings(**values)


class Offence(Exception):
    """What a program must not do with the device; also noted in `Cuda.offences`."""


@dataclass
class _Block:
    """Memory under an address of its own; `kind` is "device" or "pinned"."""

    address: int
    nbytes: int
    kind: str
    data: Any
    alive: bool = True

    def view(self, address: int, nbytes: int) -> np.ndarray:
        import numpy as np  # child processes that only ask for devices do without

        offset = address - self.address
        return np.frombuffer(self.data, np.uint8, nbytes, offset)


@dataclass
class _Work:
    """What waits in a stream: a function, and the stretches of memory it reads and writes."""

    name: str
    run: Callable[[], None]
    uses: Sequence[tuple[int, int]] = ()


@dataclass
class _Stream:
    queue: list[_Work] = field(default_factory=list)
    captured: list[_Work] | None = None


@dataclass
class _Event:
    happened_s: float | None = None
    stream: int | None = None  # where it waits to happen
    recorded: bool = False


class Cuda:
    """The state of the double in one process.

    Attributes:
        settings: what it shows and how it fails; may be changed while it is used.
        offences: what was done wrong, in order.
        calls: names of the functions called, in order.
        show: set by the tests' fixture: change the settings here and in child processes.
    """

    show: Callable[[Settings], None]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as in a new process."""
        self.offences: list[str] = []
        self.calls: list[str] = []
        self._counts: dict[str, int] = {}
        self.blocks: dict[int, _Block] = {}
        self._starts: list[int] = []
        self.streams: dict[int, _Stream] = {0: _Stream()}
        self.events: dict[int, _Event] = {}
        self.graphs: dict[int, list[_Work]] = {}
        self.executables: dict[int, list[_Work]] = {}
        self._handles = itertools.count(0x5000_0000_0010, 0x10)
        self._next_device = 0x4000_0000_0000
        self.last_error = SUCCESS
        self.sticky = SUCCESS
        self.contexts: set[int] = set()
        self.current = 0

    # --- What tests and engines use ---

    def leaks(self) -> list[str]:
        """What was not given back."""
        alive = [f"{b.kind} memory of {b.nbytes} bytes" for b in self.blocks.values() if b.alive]
        alive += ["a stream"] * (len(self.streams) - 1) + ["an event"] * len(self.events)
        return alive + ["a graph"] * (len(self.graphs) + len(self.executables))

    def check(self) -> None:
        """Raise for any offence and for what was not given back."""
        if self.offences or self.leaks():
            raise Offence("; ".join([*self.offences, *(f"leaked {one}" for one in self.leaks())]))

    def device_bytes(self) -> int:
        """Device memory that is allocated now, in whole pages, without the context."""
        size = sum(b.nbytes for b in self.blocks.values() if b.alive and b.kind == "device")
        return -(-size // PAGE_BYTES) * PAGE_BYTES

    def view(self, address: int, nbytes: int) -> np.ndarray:
        """Device memory as an array of bytes, for what computes on the device.

        Raises:
            Offence: no live device memory is there, or less than that.
        """
        return self._block(address, nbytes, "device").view(address, nbytes)

    def take(self, nbytes: int) -> int:
        """Address of device memory that a library takes; 0 where there is not that much."""
        pointer = ctypes.c_void_p()
        self.cudaMalloc(ctypes.addressof(pointer), nbytes)
        return pointer.value or 0

    def give(self, address: int) -> None:
        """Give back what `take` took; nothing where the device is gone, or the test has ended."""
        if address in self.blocks:
            self._free(address, "device")

    def launch(
        self, stream: int, name: str, run: Callable[[], None], uses: Sequence[tuple[int, int]]
    ) -> None:
        """Enqueue a computation, as a kernel is; `uses` are the (address, bytes) that it reads or writes."""
        self._enqueue(stream, _Work(name, run, uses))

    def synchronise(self, stream: int | None = None) -> None:
        """Run what waits, in one stream or in all."""
        for handle in [*self.streams] if stream is None else [stream]:
            queue = self.streams[handle].queue
            while queue:
                self._run(queue.pop(0))

    def _run(self, work: _Work) -> None:
        try:
            for address, nbytes in work.uses:
                self._block(address, nbytes, None)
            work.run()
        except Offence:
            self.sticky = ILLEGAL_ADDRESS

    def _block(self, address: int, nbytes: int, kind: str | None) -> _Block:
        place = bisect.bisect_right(self._starts, address) - 1
        block = self.blocks.get(self._starts[place]) if place >= 0 else None
        if block is None or not address + nbytes <= block.address + block.nbytes:
            raise self._offence(f"{nbytes} bytes at {address:#x} are no memory of CUDA's")
        if not block.alive:
            raise self._offence(f"use of {block.kind} memory after it was freed")
        if kind is not None and block.kind != kind:
            raise self._offence(f"{block.kind} memory taken for {kind} memory")
        return block

    def _offence(self, text: str) -> Offence:
        self.offences.append(text)
        log(text)
        return Offence(text)

    def _enqueue(self, stream: int, work: _Work) -> None:
        if stream not in self.streams:
            raise self._offence(f"{work.name} in a stream that does not exist")
        one = self.streams[stream]
        (one.queue if one.captured is None else one.captured).append(work)

    def _flush_event(self, event: _Event) -> None:
        """Run the stream that an event waits in until it has happened."""
        while event.stream is not None and (queue := self.streams[event.stream].queue):
            self._run(queue.pop(0))

    def _capturing(self) -> bool:
        return any(one.captured is not None for one in self.streams.values())

    def captures(self, stream: int) -> bool:
        """Whether work in a stream becomes a graph at the moment."""
        return stream in self.streams and self.streams[stream].captured is not None

    # --- The functions of the runtime: arguments as C has them, pointers as integers ---

    def answer(self, name: str, function: Callable[..., int] | None, arguments: tuple) -> int:
        """The error number of a call, after the failures that are asked for."""
        self.calls.append(name)
        count = self._counts[name] = self._counts.get(name, 0) + 1
        settings = self.settings
        if name in ("cudaGetLastError", "cudaPeekAtLastError"):
            error, self.last_error = self.last_error, SUCCESS
            return error
        if self.gone:
            error = GONE
        elif name in settings.fail and count > settings.fail_after.get(name, 0):
            error = settings.fail[name]
        elif name in ("cudaDriverGetVersion", "cudaRuntimeGetVersion"):
            error = function(*arguments)
        elif settings.driver_cuda // 1000 < 13:
            error = DRIVER_TOO_OLD
        elif not settings.visible():
            error = NO_DEVICE
        elif function is None:
            self._offence(f"{name} is not part of the double")
            error = NOT_SUPPORTED
        elif self.sticky:
            error = self.sticky
        else:
            try:
                error = function(*arguments) or self.sticky
            except Offence:
                error = INVALID_VALUE
        self.last_error = error or self.last_error
        return error

    @property
    def gone(self) -> bool:
        """Whether the driver is gone, and with it all that was on the device."""
        after = self.settings.gone_after
        return after is not None and len(self.calls) > after

    def _device(self) -> DeviceFacts:
        return self.settings.visible()[self.current]

    def cudaDriverGetVersion(self, version):
        _put(version, ctypes.c_int, self.settings.driver_cuda)

    def cudaRuntimeGetVersion(self, version):
        _put(version, ctypes.c_int, 13050)

    def cudaGetDeviceCount(self, count):
        _put(count, ctypes.c_int, len(self.settings.visible()))

    def cudaGetDevice(self, device):
        _put(device, ctypes.c_int, self.current)

    def cudaSetDevice(self, device):
        if not 0 <= device < len(self.settings.visible()):
            return INVALID_DEVICE
        self.current = device
        facts = self.settings.visible()[device]
        if facts.compute_mode == 2 or (facts.compute_mode == 3 and facts.others):
            return 46
        self.contexts.add(device)
        return SUCCESS

    def cudaGetDeviceProperties(self, properties, device):
        if not 0 <= device < len(self.settings.visible()):
            return INVALID_DEVICE
        from cuda.bindings import runtime

        facts, made = self.settings.visible()[device], runtime.cudaDeviceProp()
        made.name = facts.name.encode().ljust(256, b"\0")
        made.major, made.minor = (int(part) for part in facts.compute_capability.split("."))
        made.totalGlobalMem, made.multiProcessorCount = facts.memory_mib * MIB, 10
        made.ECCEnabled = int(facts.ecc)
        common_bytes = (
            640  # of the structure, up to which all versions that matter here have it alike
        )
        ctypes.memmove(properties, made.getPtr(), common_bytes)
        uuid = bytes.fromhex(facts.uuid.partition("-")[2].replace("-", ""))
        ctypes.memmove(properties + 256, uuid, 16)  # behind name[256]
        return SUCCESS

    def cudaMemGetInfo(self, free, total):
        facts = self._device()
        used = (facts.used_mib + facts.context_mib * len(self.contexts)) * MIB + self.device_bytes()
        _put(free, ctypes.c_size_t, facts.memory_mib * MIB - used)
        _put(total, ctypes.c_size_t, facts.memory_mib * MIB)

    def cudaMalloc(self, pointer, nbytes):
        facts = self._device()
        before = self.device_bytes() + (facts.used_mib + facts.context_mib) * MIB
        if self._capturing():
            return CAPTURE_UNSUPPORTED
        if before + nbytes > facts.memory_mib * MIB:
            return OUT_OF_MEMORY
        address = self._next_device
        self._next_device += nbytes + 512 - nbytes % 256
        self._add(_Block(address, nbytes, "device", _poisoned(nbytes)))
        _put(pointer, ctypes.c_void_p, address)
        return SUCCESS

    def cudaMallocHost(self, pointer, nbytes):
        data = _poisoned(nbytes)
        address = ctypes.addressof(data)
        self._add(_Block(address, nbytes, "pinned", data))
        _put(pointer, ctypes.c_void_p, address)
        return SUCCESS

    def cudaHostAlloc(self, pointer, nbytes, flags):
        return self.cudaMallocHost(pointer, nbytes)

    def _add(self, block: _Block) -> None:
        self.blocks[block.address] = block
        bisect.insort(self._starts, block.address)

    def _free(self, address: int | None, kind: str) -> int:
        if not address:
            return SUCCESS
        block = self.blocks.get(address)
        if block is None or block.kind != kind:
            raise self._offence(f"free of {kind} memory that was never allocated")
        if not block.alive:
            raise self._offence(f"{kind} memory freed twice")
        self.synchronise()  # freeing waits for the device
        # What is freed keeps its place, so that its use is noticed; whoever still holds it reads rubbish.
        block.alive = False
        ctypes.memset(block.data, _POISON, block.nbytes)
        return SUCCESS

    def cudaFree(self, address):
        if self._capturing():
            return CAPTURE_UNSUPPORTED
        return self._free(address, "device")

    def cudaFreeHost(self, address):
        return self._free(address, "pinned")

    def cudaMemcpyAsync(self, target, source, nbytes, kind, stream):
        kinds = {1: ("device", "pinned"), 2: ("pinned", "device"), 3: ("device", "device")}
        if kind not in kinds:
            self._offence(f"copy of kind {kind}")
            return INVALID_DIRECTION
        to, origin = kinds[kind]
        self._block(target, nbytes, to)
        self._block(source, nbytes, origin)

        def copy() -> None:
            into = self._block(target, nbytes, to).view(target, nbytes)
            into[:] = self._block(source, nbytes, origin).view(source, nbytes)

        self._enqueue(stream or 0, _Work("copy", copy))
        return SUCCESS

    def cudaStreamCreateWithFlags(self, stream, flags):
        if flags != 1:
            self._offence("a stream that waits for the default stream")
        handle = next(self._handles)
        self.streams[handle] = _Stream()
        _put(stream, ctypes.c_void_p, handle)

    def cudaStreamDestroy(self, stream):
        one = self.streams.get(stream or 0)
        if one is None or not stream:
            raise self._offence("a stream destroyed that does not exist")
        if one.captured is not None:
            raise self._offence("a stream destroyed during capture")
        self.synchronise(stream)  # what was put into it is still done
        del self.streams[stream]

    def _existing(self, stream: int | None) -> _Stream:
        one = self.streams.get(stream or 0)
        if one is None:
            raise self._offence("use of a stream after it was destroyed")
        return one

    def cudaStreamSynchronize(self, stream):
        if self._existing(stream).captured is not None:
            return CAPTURE_UNSUPPORTED
        self.synchronise(stream or 0)
        return SUCCESS

    def cudaStreamQuery(self, stream):
        return NOT_READY if self._existing(stream).queue else SUCCESS

    def cudaDeviceSynchronize(self):
        if self._capturing():
            return CAPTURE_UNSUPPORTED
        self.synchronise()
        return SUCCESS

    def cudaEventCreate(self, event):
        handle = next(self._handles)
        self.events[handle] = _Event()
        _put(event, ctypes.c_void_p, handle)

    def cudaEventCreateWithFlags(self, event, flags):
        self.cudaEventCreate(event)

    def _event(self, handle: int) -> _Event:
        if handle not in self.events:
            raise self._offence("use of an event after it was destroyed")
        return self.events[handle]

    def cudaEventDestroy(self, event):
        self._event(event)
        del self.events[event]

    def cudaEventRecord(self, event, stream):
        one = self._event(event)
        self._existing(stream)

        def happen() -> None:
            one.happened_s, one.stream = time.perf_counter(), None

        one.happened_s, one.stream, one.recorded = None, stream or 0, True
        self._enqueue(stream or 0, _Work("event", happen))

    def cudaEventSynchronize(self, event):
        self._flush_event(self._event(event))

    def cudaEventQuery(self, event):
        return NOT_READY if self._event(event).stream is not None else SUCCESS

    def cudaStreamWaitEvent(self, stream, event, flags):
        one = self._event(event)
        self._enqueue(stream or 0, _Work("wait", lambda: self._flush_event(one)))

    def cudaEventElapsedTime(self, elapsed_ms, start, end):
        first, last = self._event(start), self._event(end)
        if not (first.recorded and last.recorded):
            return INVALID_HANDLE
        if first.happened_s is None or last.happened_s is None:
            return NOT_READY
        _put(elapsed_ms, ctypes.c_float, (last.happened_s - first.happened_s) * 1e3)
        return SUCCESS

    def cudaStreamBeginCapture(self, stream, mode):
        if not stream or self._existing(stream).captured is not None:
            return CAPTURE_UNSUPPORTED
        self.streams[stream].captured = []
        return SUCCESS

    def cudaStreamEndCapture(self, stream, graph):
        one = self._existing(stream)
        if one.captured is None:
            return CAPTURE_INVALIDATED
        handle = next(self._handles)
        self.graphs[handle], one.captured = one.captured, None
        _put(graph, ctypes.c_void_p, handle)
        return SUCCESS

    def cudaGraphInstantiate(self, executable, graph, flags):
        handle = next(self._handles)
        self.executables[handle] = list(self.graphs[graph])
        _put(executable, ctypes.c_void_p, handle)

    def cudaGraphDestroy(self, graph):
        if self.graphs.pop(graph, None) is None:
            raise self._offence("a graph destroyed that does not exist")

    def cudaGraphExecDestroy(self, executable):
        if self.executables.pop(executable, None) is None:
            raise self._offence("an executable graph destroyed that does not exist")

    def cudaGraphLaunch(self, executable, stream):
        if executable not in self.executables:
            raise self._offence("launch of a graph after it was destroyed")
        for work in self.executables[executable]:
            self._enqueue(stream or 0, work)


def _put(pointer: int, kind: Any, value: Any) -> None:
    """Write a value where a C function returns one."""
    ctypes.cast(pointer, ctypes.POINTER(kind))[0] = value


def _poisoned(nbytes: int) -> Any:
    data = ctypes.create_string_buffer(nbytes)
    ctypes.memset(data, _POISON, nbytes)
    return data


#: File to which child processes write their offences.
LOG = "CUDA_DOUBLE_LOG"
in_child = False


def log(text: str) -> None:
    """Note an offence where a test of child processes finds it."""
    if in_child and (path := os.environ.get(LOG)):
        with Path(path).open("a") as file:
            file.write(f"{text}\n")


#: The double of this process, once it is installed.
current: Cuda | None = None
_kept: list[Any] = []
_REAL = ("cudaGetErrorString", "cudaGetErrorName")  # tables of text that need no driver


class _BeforeTheBindings(importlib.abc.MetaPathFinder):
    """Installs the double when the bindings are first imported, by whomever: PyTorch does, too."""

    def __init__(self, settings: Settings | None) -> None:
        self.settings = settings

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "cuda.bindings.runtime" and self in sys.meta_path:
            sys.meta_path.remove(self)
            if current is None:  # else a test has installed it, and says what it shows
                install(self.settings)


def install_on_import(settings: Settings) -> None:
    """Install the double before `cuda.bindings.runtime` is first imported; processes that don't, pay nothing."""
    sys.meta_path.insert(0, _BeforeTheBindings(settings))


def install(settings: Settings | None = None) -> Cuda:
    """Put the double under the real cuda-bindings; once in a process, before their `runtime` is imported.

    Raises:
        RuntimeError: `cuda.bindings.runtime` is imported already, and calls the real runtime.
    """
    global current
    if current is not None:
        if settings is not None:
            current.settings = settings
        return current
    if "cuda.bindings.runtime" in sys.modules:
        raise RuntimeError("install the double before cuda.bindings.runtime is imported")
    # Some releases (13.0.0) import `runtime` along with anything of theirs: the double must be there before it.
    on_the_way = _BeforeTheBindings(settings)
    sys.meta_path.insert(0, on_the_way)
    from cuda.bindings import cyruntime

    if on_the_way in sys.meta_path:
        sys.meta_path.remove(on_the_way)
    if current is not None:
        return install(settings)

    from cuda_double.libraries import replace_libraries

    double = Cuda(settings)
    table = cyruntime.__pyx_capi__
    for name in list(table):
        if name not in _REAL:
            table[name] = _capsule(name, table[name], double)
    current = double
    replace_libraries(lambda: double.settings)
    return double


def _capsule(name: str, real: Any, double: Cuda) -> Any:
    """A capsule with the signature of the real one around a function of the double."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = (
        ctypes.c_char_p,
        [ctypes.py_object],
    )
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    signature = api.PyCapsule_GetName(real)
    function = getattr(double, name, None)

    def call(*arguments: Any) -> int:
        try:
            return int(double.answer(name, _zero_for_none(function), arguments))
        except Exception as error:  # there is nobody to raise it to: C called this
            double.offences.append(f"{name}: {type(error).__name__}: {error}")
            return GONE

    pointer = ctypes.CFUNCTYPE(ctypes.c_int, *_argument_types(signature.decode()))(call)
    text = ctypes.create_string_buffer(signature)
    _kept.extend((pointer, text))
    return api.PyCapsule_New(
        ctypes.cast(pointer, ctypes.c_void_p), ctypes.cast(text, ctypes.c_char_p), None
    )


def _zero_for_none(function: Callable[..., int | None] | None) -> Callable[..., int] | None:
    return None if function is None else lambda *arguments: function(*arguments) or SUCCESS


_HANDLES = re.compile(r"cuda(Stream|Event|Graph|GraphExec|GraphNode|MemPool|UserObject)_t")


def _argument_types(signature: str) -> list[Any]:
    """What ctypes calls the arguments of a C signature such as 'cudaError_t (void **, size_t)'."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    kinds: list[Any] = []
    for argument in inside.split(",") if inside.strip() not in ("", "void") else []:
        if "*" in argument or _HANDLES.search(argument):
            kinds.append(ctypes.c_void_p)
        elif "size_t" in argument:
            kinds.append(ctypes.c_size_t)
        elif "PY_LONG_LONG" in argument:
            kinds.append(ctypes.c_ulonglong)
        elif "float" in argument:
            kinds.append(ctypes.c_float)
        else:
            kinds.append(
                ctypes.c_int
            )  # an enumeration, an int; structures by value are not part of the double
    return kinds
