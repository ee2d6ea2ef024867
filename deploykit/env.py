"""What a measurement ran on: the machine, the limits of its control groups and the versions of all that took part.

Nothing heavy is imported: versions come from package metadata, the rest from /proc, /sys and os. Control groups are
of version 1 and 2, read from /proc/self/cgroup and /proc/self/mountinfo; where these are missing, from the usual
places. A limit on a group holds for all below it, so that the least of all is the one that rules.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import sys
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from deploykit.cuda import devices
from deploykit.errors import UsageError
from deploykit.lazy import metadata

#: Distributions whose versions can shape a number.
PACKAGES = (
    "deploykit torch onnx onnxscript onnxruntime onnxruntime-gpu tensorrt tensorrt-cu13 tensorrt-cu12 "
    "tensorrt-rtx pycuda cuda-bindings nvidia-ml-py openvino numpy pandas safetensors torchvision timm"
).split()

_ROOT = Path("/")
_GROUPS = "sys/fs/cgroup"
#: What versions 2 and 1 of control groups call throttled time, and how many of its units make a second.
_STALLS = {"throttled_usec": 1e6, "throttled_time": 1e9}


def group_folders(controller: str, root: Path = _ROOT) -> list[Path]:
    """The folders of the groups that rule this process by `controller` ("cpu" or "memory"), the highest first.

    Args:
        controller: its name as the kernel writes it.
        root: where /proc and /sys lie.
    """
    own, mounts = (_read(root / f"proc/self/{name}") or "" for name in ("cgroup", "mountinfo"))
    return [path for path in _group_places(controller, root, own, mounts) if path.is_dir()]


@lru_cache(maxsize=8)
def _group_places(controller: str, root: Path, groups: str, mountinfo: str) -> tuple[Path, ...]:
    """Where the folders are by what /proc says of the groups and the mounts; each call asks /proc again."""
    own = _own_paths(controller, groups)
    places = [
        (root / mount.lstrip("/"), inside, version)
        for mount, inside, version in _mounts(controller, mountinfo)
    ]
    # A container may hide its mounts; these are where they are everywhere. Folders that are not there say nothing.
    usual = root / _GROUPS
    places += [(usual, "/", 2), (usual / "unified", "/", 2), (usual / controller, "/", 1)]
    places += [(usual / "cpu,cpuacct", "/", 1)] * (controller == "cpu")
    places_in_order: dict[Path, None] = {}
    for mount, inside, version in places:
        for path in own[version] or ["/"]:
            parts = [part for part in _below(path, inside).parts if part not in ("/", "..")]
            for depth in range(len(parts) + 1):
                places_in_order[mount.joinpath(*parts[:depth])] = None
    return tuple(places_in_order)


def cpu_limit(root: Path = _ROOT) -> float | None:
    """Cores' worth of time that the groups leave to this process; None without a limit."""
    limits = []
    for folder in group_folders("cpu", root):
        words = (_read(folder / "cpu.max") or "").split()
        if not words:
            words = [_read(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
        # "max" and -1 are no limit.
        if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def memory_limit_bytes(root: Path = _ROOT) -> int | None:
    """Bytes that the groups leave to this process; None without a limit."""
    limits = []
    for folder in group_folders("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name) or ""
            # "max" is no limit, and so is version 1's largest number of whole pages.
            if text.isdigit() and int(text) < 2**60:
                limits.append(int(text))
    return min(limits, default=None)


def memory_left_bytes(root: Path = _ROOT) -> int | None:
    """Bytes that this process can still take: what the machine has free, cut by what its groups leave.

    Pages of files that nobody needs at the moment count as free, and `limit_memory` cuts what is left. None where
    neither tells.
    """
    left = []
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        name, _, amount = line.partition(":")
        if name in ("MemAvailable", "SwapFree"):
            left.append(int(amount.split()[0]) * 1024)
    left = [sum(left)] if left else []
    for folder in group_folders("memory", root):
        for limit_file, taken_file, spare in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, taken = (_read(folder / name) or "" for name in (limit_file, taken_file))
            if limit.isdigit() and taken.isdigit() and int(limit) < 2**60:
                stat = (_read(folder / "memory.stat") or "").splitlines()
                words = [line.split() for line in stat if line.startswith(f"{spare} ")]
                unneeded = int(words[0][1]) if words else 0
                left.append(int(limit) - int(taken) + unneeded)
    if _most_bytes is not None:
        left.append(_most_bytes - (anonymous_bytes(os.getpid()) or 0))
    return max(0, min(left)) if left else None


#: What this process may hold in all, see `limit_memory`.
_most_bytes: int | None = None


def limit_memory(most_bytes: int | None) -> None:
    """Let this process, whatever the machine has, count on so much memory in all; None takes that back."""
    global _most_bytes
    _most_bytes = most_bytes


def anonymous_bytes(pid: int) -> int | None:
    """Memory of a process that no file holds; None where the system does not tell."""
    lines = (_read(_ROOT / f"proc/{pid}/status") or "").splitlines()
    sizes = [int(x.split()[1]) for x in lines if x.startswith(("RssAnon:", "RssShmem:"))]
    return sum(sizes) * 1024 if sizes else None


#: Less than this is asked for without a look at what is left.
LITTLE_BYTES = 2**27


def require_memory(size_bytes: int, what: str) -> None:
    """Refuse what takes more memory than is left, before any of it is allocated.

    Args:
        size_bytes: of it.
        what: it is, as the subject of the message.

    Raises:
        UsageError: there is not as much.
    """
    left = memory_left_bytes() if size_bytes > LITTLE_BYTES else None
    if left is not None and size_bytes > left:
        raise UsageError(
            f"{what} takes {size_bytes / 2**30:.3g} GiB, and {left / 2**30:.3g} GiB of memory are left: take a "
            "smaller batch or smaller inputs"
        )


def throttled_s(root: Path = _ROOT) -> float | None:
    """Seconds in which a quota on the own group or one above held its threads back; None where none tells."""
    stalls_s: list[float] = []
    for folder in group_folders("cpu", root):
        for line in (_read(folder / "cpu.stat") or "").splitlines():
            name, _, value = line.partition(" ")
            if name in _STALLS and value.strip().isdigit():
                stalls_s.append(int(value) / _STALLS[name])
    # Each group counts its own quota alone.
    return sum(stalls_s) if stalls_s else None


def _own_paths(controller: str, groups: str) -> dict[int, list[str]]:
    """The paths of the own groups as /proc/self/cgroup gives them, by version."""
    paths: dict[int, list[str]] = {1: [], 2: []}
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[2].append(path or "/")
        elif controller in controllers.split(","):
            paths[1].append(path or "/")
    return paths


def _mounts(controller: str, mountinfo: str) -> list[tuple[str, str, int]]:
    """Where hierarchies are mounted, which group is mounted there, and their version."""
    mounts = []
    for line in mountinfo.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            mounts.append((fields[4], fields[3], 2))
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            mounts.append((fields[4], fields[3], 1))
    return mounts


def _below(path: str, inside: str) -> PurePosixPath:
    """A group's path as seen from the group that is mounted: a container sees only its own part."""
    own, mounted = PurePosixPath(path), PurePosixPath(inside)
    return own.relative_to(mounted) if own.is_relative_to(mounted) else own


def package_version(distribution: str) -> str | None:
    """The installed version of a distribution, or None; does not import it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def has_module(name: str) -> bool:
    """Whether a module is installed, by whatever distribution; does not import it."""
    if name in sys.modules:
        return sys.modules[name] is not None
    found = importlib.util.find_spec(name)
    # A folder that an uninstalled package left behind is found too, and has no file.
    return found is not None and found.origin is not None


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith(("model name", "hardware", "cpu part")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """The instruction sets that decide how fast low precision runs, of those this processor has."""
    wanted = (
        "avx2 fma avx512f avx512_vnni avx_vnni avx512_bf16 avx512_fp16 amx_int8 amx_bf16 amx_fp16 "
        "asimddp i8mm bf16 asimdhp sve"
    ).split()
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith(("flags", "features")):
            have = set(line.partition(":")[2].split())
            return [name for name in wanted if name in have]
    return []


def adds_pairs_in_int16() -> bool:
    """Whether this processor multiplies 8-bit integers by adding pairs of products in int16, where they saturate.

    x86 does so without VNNI: two products of up to 255 by 127 are beyond what int16 holds.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and not any("vnni" in feature for feature in cpu_features())


def affinity_cores() -> int:
    """Cores that this process may be scheduled on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores() -> float:
    """Cores that this process may use: its affinity, cut by a cgroup limit where there is one."""
    cores, limit = float(affinity_cores()), cpu_limit()
    return cores if limit is None else min(cores, limit)


def has_hardware_threads() -> bool:
    """Whether a core of this machine runs two threads at once; also where nothing says."""
    return _read("/sys/devices/system/cpu/smt/active") != "0"


def memory_mib() -> int | None:
    """The machine's memory in MiB, cut by a cgroup limit where there is one."""
    total: int | None = None
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) // 1024
    limit = memory_limit_bytes()
    if limit is not None:
        total = limit // 2**20 if total is None else min(total, limit // 2**20)
    return total


def gpu_names() -> list[str]:
    """The NVIDIA devices that CUDA shows to this process and those it starts, in its order."""
    return [gpu.name for gpu in devices.find().gpus]


@cache
def machine() -> dict[str, Any]:
    """The facts by which two measurements are of the same machine."""
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "features": cpu_features(),
        "cores": usable_cores(),
        "memory_gib": round((memory_mib() or 0) / 1024),
        "gpus": [gpu.name for gpu in devices.of_machine().gpus],
        "system": platform.system(),
    }


@cache
def env_id() -> str:
    """Twelve hexadecimal digits that name the machine (not the versions on it)."""
    return hashlib.sha256(json.dumps(machine(), sort_keys=True).encode()).hexdigest()[:12]


@cache
def device_name() -> str:
    """The processor in the words of the `device` column: its name and usable cores."""
    facts = machine()
    return f"{facts['cpu']} ({facts['cores']:g} cores)"


def capture() -> dict[str, Any]:
    """Everything about this machine that env.json keeps beside a report."""
    return {
        "env_id": env_id(),
        "machine": machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "gpus": [vars(gpu) for gpu in devices.of_machine().gpus],
        "gpu_driver": devices.of_machine().driver_text,
        "turbo": _read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        "packages": {name: v for name in PACKAGES if (v := package_version(name)) is not None},
    }
