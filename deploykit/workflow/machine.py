"""What this machine can do: which backends work here, what is missing, and what its cores allow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from deploykit import backends, codec, env
from deploykit.backends.onnxruntime_gpu import both_installed
from deploykit.bench.roofline import known_ceilings, stored_ceilings
from deploykit.bench.scenario import Scenario
from deploykit.cuda import devices
from deploykit.lazy import install_line
from deploykit.row import Finding, Note
from deploykit.spec import Reason
from deploykit.store import Store, default_root


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `state` is "ok", "missing" or "note"."""

    what: str
    state: str
    detail: str
    remedy: str = ""


#: What each extra brings, by a distribution that shows whether it is installed.
_EXTRAS = (
    ("export from PyTorch, train", "torch", "export"),
    ("export from PyTorch", "onnxscript", "export"),
    ("image folders", "pillow", "data"),
)


def records(store: Store) -> dict[str, dict[str, Any]]:
    """What env.json holds of the machine at hand, by its env_id, with the ceilings that `store` has of it."""
    ceilings = codec.to_values(known_ceilings(store.root))
    return {env.env_id(): env.capture() | ({"ceilings": ceilings} if ceilings else {})}


def examine() -> list[Check]:
    """Everything worth knowing before a first run; nothing heavy is imported."""
    machine = env.machine()
    features = " ".join(machine["features"]) or "none that matter here"
    checks = [
        Check("processor", "ok", f"{env.device_name()}; {features}"),
        Check("memory", "ok", f"{env.memory_mib() or 0:,} MiB"),
    ]
    if not any(
        "vnni" in f or "i8mm" in f or "amx_int8" in f or "asimddp" in f for f in machine["features"]
    ):
        checks.append(
            Check(
                "int8 arithmetic",
                "note",
                "no int8 dot-product instructions: int8 may be slower than fp32",
            )
        )
    checks += _gpus()
    root = default_root()
    kept = "exists" if root.is_dir() else "made when the first engine is"
    checks.append(Check("engine store", "ok", f"{root.absolute()}, {kept}"))
    checks += [Check("cores", "note", remark) for remark in core_remarks()]
    checks += _ceilings()
    for what, distribution, extra in _EXTRAS:
        version = env.package_version(distribution)
        if version:
            checks.append(Check(what, "ok", f"{distribution} {version}"))
        else:
            text = f"{distribution} is not installed"
            checks.append(Check(what, "missing", text, install_line(extra)))
    checks += _runtime_conflict()
    for name in backends.names():
        checks += _backend(name)
    return checks


def _gpus() -> list[Check]:
    """Each NVIDIA device that CUDA shows, by the number that --device takes, or why there is none."""
    found = devices.find()
    if found.problem is not None:
        return [Check("GPU", "note", found.problem.text, found.problem.remedy)]
    return [
        Check(f"GPU {gpu.index}", "ok", f"{gpu.name}, {found.describe(gpu)}") for gpu in found.gpus
    ]


def _ceilings() -> list[Check]:
    """What this machine was seen to do at most, where a profile has measured it."""
    stored = stored_ceilings(default_root())
    if not stored:
        return [Check("ceilings", "note", "not measured yet: the first `deploykit profile` does")]
    return [
        Check(
            f"ceilings, {one.threads} thread{'s' * (one.threads > 1)}",
            "note" if one.doubt else "ok",
            ", ".join(
                [
                    *(f"{name} {rate:,.0f} GFLOP/s" for name, rate in one.gflops.items()),
                    f"memory {one.bandwidth_gb_s(float('inf')):.1f} GB/s",
                    *([one.doubt] if one.doubt else []),
                ]
            ),
        )
        for one in stored
    ]


def _runtime_conflict() -> list[Check]:
    """Both ONNX Runtime wheels write to the same folder: whichever came second is half overwritten."""
    conflict = both_installed(install_line("ort-gpu" if devices.find().gpus else "cpu"))
    if conflict is None:
        return []
    return [Check("ONNX Runtime", "missing", conflict.text, conflict.remedy)]


def _backend(name: str) -> list[Check]:
    backend = backends.get(name)
    reason = backend.available()
    if reason is not None:
        return [Check(f"build with {name}", "missing", reason.text, reason.remedy)]
    checks = [Check(f"build with {name}", "ok", f"version {backend.version()}")]
    device = backend.device()
    if isinstance(device, Reason):
        checks.append(Check(f"run with {name}", "missing", device.text, device.remedy))
    else:
        checks.append(Check(f"run with {name}", "ok", device))
    return checks


def runs_something(checks: list[Check]) -> bool:
    """Whether at least one backend can build and run here."""
    return any(check.what.startswith("run with") and check.state == "ok" for check in checks)


def core_remarks() -> list[str]:
    """Remarks on this process' share of the machine: a limit below its cores, or a single core."""
    total, may, limit = os.cpu_count() or 1, env.affinity_cores(), env.cpu_limit()
    cores = env.usable_cores()
    threads = max(1, int(cores))
    remarks = []
    if limit is not None and limit < may:
        remarks.append(
            f"a cgroup limit leaves {limit:g} of {total} cores: runtimes get {_count(threads, 'thread')} unless "
            "--threads gives more, which would be throttled"
        )
    elif may < total:
        remarks.append(
            f"this process may run on {may} of {total} cores (its affinity): runtimes get "
            f"{_count(threads, 'thread')} unless --threads says otherwise"
        )
    if cores <= 1:
        remarks.append(
            "one core only: whatever else runs is in the latencies; measure on an idle machine, with one stream"
        )
    return remarks


def core_notes(scenario: Scenario) -> list[Note]:
    """Notes on a scenario: more threads than cores take turns."""
    usable = max(1, int(env.usable_cores()))
    each = scenario.threads or usable
    wanted = each * scenario.streams
    if wanted <= usable:
        return []
    who = f"{scenario.streams} streams of " if scenario.streams > 1 else ""
    advice = f"--threads {max(1, usable // scenario.streams)}"
    if scenario.streams > usable:
        advice += f" and --streams {usable} at most"
    text = f"{who}{_count(each, 'thread')} take turns on {_count(usable, 'core')}"
    return [Note("load", text, f"give {advice}")]


def core_findings(scenario: Scenario) -> tuple[Finding, ...]:
    """Doubt in a timing whose threads take turns: a runtime's threads wait for the one that has no core."""
    usable = max(1, int(env.usable_cores()))
    if (scenario.threads or usable) <= usable:
        return ()
    text = f"{_count(scenario.threads or usable, 'thread')} take turns on {_count(usable, 'core')}"
    return (Finding("threads", text, f"give --threads {usable}"),)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
