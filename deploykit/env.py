"""What a measurement ran on: the machine, its limits and the versions of all that took part.

Nothing heavy is imported: versions come from package metadata, the rest from /proc, /sys and os.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

#: Distributions whose versions can shape a number.
PACKAGES = (
    "deploykit torch onnx onnxscript onnxruntime onnxruntime-gpu tensorrt tensorrt-rtx pycuda cuda-bindings "
    "openvino numpy pandas safetensors torchvision timm"
).split()


def package_version(distribution: str) -> str | None:
    """The installed version of a distribution, or None; does not import it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
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


def affinity_cores() -> int:
    """Cores that this process may be scheduled on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_limit() -> float | None:
    """Cores' worth of time that cgroups leave to this process; None without a limit.

    The least of the limits on its own group and on those above, of cgroup version 2 or 1.
    """
    limits = [limit for folder in _cpu_groups() if (limit := _limit_of(folder)) is not None]
    return min(limits, default=None)


def _cpu_groups() -> list[str]:
    """The folders of the groups that rule this process' processor time, its own and all above."""
    paths = {("/sys/fs/cgroup", ""), ("/sys/fs/cgroup/cpu", ""), ("/sys/fs/cgroup/cpu,cpuacct", "")}
    for line in (_read("/proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            paths.add(("/sys/fs/cgroup", path))
        elif "cpu" in controllers.split(","):
            paths |= {("/sys/fs/cgroup/cpu", path), (f"/sys/fs/cgroup/{controllers}", path)}
    folders = set()
    for root, path in paths:
        parts = [part for part in path.split("/") if part]
        folders |= {"/".join([root, *parts[:depth]]) for depth in range(len(parts) + 1)}
    return sorted(folders)


def _limit_of(folder: str) -> float | None:
    words = (_read(f"{folder}/cpu.max") or "").split()
    if not words:
        quota, period = (_read(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
        words = [quota or "", period or ""]
    # "max" and -1 are no limit.
    if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
        return int(words[0]) / int(words[1])
    return None


def usable_cores() -> float:
    """Cores that this process may use: its affinity, cut by a cgroup limit where there is one."""
    cores, limit = float(affinity_cores()), cpu_limit()
    return cores if limit is None else min(cores, limit)


def memory_mib() -> int | None:
    """The machine's memory in MiB, cut by a cgroup limit where there is one."""
    total: int | None = None
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) // 1024
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _read(path)
        if limit and limit.isdigit():
            cut = int(limit) // 2**20
            total = cut if total is None else min(total, cut)
    return total


def gpu_names() -> list[str]:
    """The NVIDIA devices that the driver shows, without loading any library."""
    names = []
    for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = info.read_text().splitlines()
        names += [ln.partition(":")[2].strip() for ln in lines if ln.startswith("Model:")]
    return names


@cache
def machine() -> dict[str, Any]:
    """The facts by which two measurements are of the same machine."""
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "features": cpu_features(),
        "cores": usable_cores(),
        "memory_gib": round((memory_mib() or 0) / 1024),
        "gpus": gpu_names(),
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
        "turbo": _read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        "packages": {name: v for name in PACKAGES if (v := package_version(name)) is not None},
    }
