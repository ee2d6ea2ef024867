"""What works on this machine, what is missing, and the line that installs it."""

from __future__ import annotations

from dataclasses import dataclass

from deploykit import backends, env
from deploykit.bench.roofline import stored_ceilings
from deploykit.lazy import install_line
from deploykit.spec import Reason
from deploykit.store import default_root
from deploykit.workflow.cores import of_machine


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
    checks += [Check("cores", "note", remark) for remark in of_machine()]
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
    if env.package_version("onnxruntime") and env.package_version("onnxruntime-gpu"):
        return [
            Check(
                "ONNX Runtime",
                "missing",
                "onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
                "pip uninstall -y onnxruntime onnxruntime-gpu, then install one",
            )
        ]
    return []


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
