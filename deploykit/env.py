"""What a measurement ran on: the machine, its limits and the versions of all that took part.

Nothing heavy is imported: versions come from package metadata, the rest from /proc, /sys and os.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

from deploykit import cgroups
from deploykit.lazy import metadata

#: Distributions whose versions can shape a number.
PACKAGES = (
    "deploykit torch onnx onnxscript onnxruntime onnxruntime-gpu tensorrt tensorrt-rtx pycuda cuda-bindings "
    "openvino numpy pandas safetensors torchvision timm"
).split()


def package_version(distribution: str) -> str | None:
    """The installed version of a distribution, or None; does not import it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str | None:
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


def affinity_cores() -> int:
    """Cores that this process may be scheduled on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_limit() -> float | None:
    """Cores' worth of time that cgroups leave to this process; None without a limit."""
    return cgroups.cpu_limit()


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
    limit = cgroups.memory_limit_bytes()
    if limit is not None:
        total = limit // 2**20 if total is None else min(total, limit // 2**20)
    return total


def gpu_names() -> list[str]:
    """The NVIDIA devices that the driver shows, without loading any library."""
    names = []
    for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = (_read(str(info)) or "").splitlines()
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
