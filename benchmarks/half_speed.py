"""What 16-bit floats buy on the processor: time against fp32 in turns, the kernels that ran, drift and top-1.

    python -m benchmarks.half_speed [NETWORK]... [--backend NAME,NAME] [--csv FILE]

Each network is built in fp32, in bf16 and, where the processor computes it, in fp16, on every backend that has the
precision. The two engines of a row take turns block by block, each loaded anew a dozen times (`deploykit profile
--against`); the ratio is the 16-bit engine's latency over that of fp32, with its 99% interval. Kernels are those
that the runtime names of itself while it runs: OpenVINO in what it compiled, PyTorch's oneDNN in its log. Drift and
top-1 come from `deploykit profile`; top-1 on all test images of Fashion-MNIST, for networks that are trained on it.

With --csv rows go into that file, where those of other networks and backends stay. "busy_cores" is what other
processes used while the two took turns: both sides lose by that, so the ratio means more than the milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.backends import get
from deploykit.bench.worker import open_engine
from deploykit.code_digest import code_digest
from deploykit.lazy import np
from deploykit.report.csv import CsvReport, read_cells

#: Networks by what `deploykit profile` is told; those with trained weights are judged on their images, too.
NETWORKS: dict[str, list[str]] = {
    "mobilenet": ["mobilenet"],
    "squeezenet1_0": ["squeezenet1_0"],
    "resnet50": ["resnet50"],
    "mobilenet-a0.25 trained": ["mobilenet", "--alpha", "0.25", "--weights", "trained"],
    "mobilenet-a0.25-r4_7 trained": [
        *("mobilenet", "--alpha", "0.25", "--rho", "4/7", "--weights", "trained")
    ],
}
BACKENDS = ("openvino", "torch", "torch-compile")
#: One: where cores are shared, PyTorch's threads wait for each other, and either side may take any time.
THREADS = 1
#: Seconds for the turns of two engines, and until one command is given up.
TURNS_S, LIMIT_S = 8.0, 900.0

COLUMNS = (
    "network backend precision threads computed_in precision_share emulated kernels fp32_latency_p50_ms "
    "latency_p50_ms latency_ratio snr_db fp32_top1 top1 test_images busy_cores note device features env_id code"
).split()
#: What builds and runs both sides.
_CODE = ("deploykit.backends.openvino", "deploykit.backends.torch_session")
_KERNEL = re.compile(r"onednn_verbose,v1,primitive,exec,cpu,(\w+),([^,]+),")
#: Primitives of oneDNN and layers of OpenVINO that multiply.
_MULTIPLYING = frozenset("convolution inner_product matmul Convolution FullyConnected".split())


def _deploykit(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "deploykit", *words, "--store", str(folder / "engines")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def kernels_of(engine: Path) -> str:
    """The kernels that multiply in an engine, with how many times each ran in one run.

    Args:
        engine: its folder in a store.
    """
    words = [sys.executable, "-m", "benchmarks.half_speed", "--kernels", str(engine)]
    # OpenVINO's own copy of oneDNN fails to run when it is to log.
    openvino = open_engine(engine).manifest["builder"] == "openvino"
    told = os.environ if openvino else {**os.environ, "ONEDNN_VERBOSE": "1"}
    done = subprocess.run(
        words, capture_output=True, text=True, env=told, timeout=LIMIT_S, check=True
    )
    lines = done.stdout.splitlines()
    named = [line.removeprefix("kernel ") for line in lines if line.startswith("kernel ")]
    if not named:
        found = (_KERNEL.match(line) for line in lines[lines.index("warm") + 1 :])
        named = [match[2] for match in found if match and match[1] in _MULTIPLYING]
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(named).items()))


def print_kernels(folder: Path) -> None:
    """Run an engine once it is warm, for oneDNN's log; what OpenVINO compiled is printed."""
    engine = open_engine(folder)
    with get(str(engine.manifest["builder"])).load(engine) as session:
        feeds = {s.name: np.zeros(s.with_batch(1), s.dtype) for s in session.inputs}
        session.run(feeds)
        print("warm", flush=True)
        session.run(feeds)
        for compiled in getattr(session, "_compiled", {}).values():
            for layer in compiled.get_runtime_model().get_ops():
                facts = layer.get_rt_info()
                if facts["layerType"].astype(str) in _MULTIPLYING:
                    print("kernel", facts["primitiveType"].astype(str))


def row_of(network: str, backend: str, precision: str, folder: Path) -> dict[str, str]:
    """Build and compare one network; what fails is the row's note."""
    chosen = [*NETWORKS[network], "--backend", backend]
    row = {"network": network, "backend": backend, "precision": precision}
    row |= {"threads": str(THREADS), "device": env.device_name(), "env_id": env.env_id()}
    row |= {"features": " ".join(env.machine()["features"]), "code": code_digest(*_CODE)[:12]}
    try:
        others_s, start_s = _busy_s(), time.perf_counter()
        own_s = _own_s()
        answer = json.loads(
            _deploykit(
                folder, "profile", *chosen, "--precision", precision, "--against", "fp32",
                "--against-seconds", f"{TURNS_S:g}", "--threads", str(THREADS), "--json",
            )
        )  # fmt: skip
        took_s = time.perf_counter() - start_s
        busy = (_busy_s() - others_s - (_own_s() - own_s)) / took_s
        row["busy_cores"] = f"{max(0.0, busy):.2f}"
        row["latency_ratio"] = (
            f"{answer['ratio']:.3f} ({answer['low']:.3f} to {answer['high']:.3f})"
        )
        base, judged = answer["base"], answer["judged"]
        row["fp32_latency_p50_ms"] = f"{base['latency_p50_ms']:.3f}"
        row["latency_p50_ms"] = f"{judged['latency_p50_ms']:.3f}"
        row["computed_in"] = judged["precision_actual"]
        row["precision_share"] = f"{judged['precision_share']:.3f}"
        row |= _worth(chosen, precision, folder)
        for manifest in (folder / "engines").glob("*/manifest.json"):
            facts: dict[str, Any] = json.loads(manifest.read_text())
            if (facts.get("builder"), facts.get("precision")) == (backend, precision):
                row["emulated"] = "yes" if facts["emulated"] else "no"
                row["kernels"] = kernels_of(manifest.parent)
    except (RuntimeError, subprocess.SubprocessError, ValueError) as error:
        row["note"] = " ".join(str(error).split())[:160]
    return row


def _worth(chosen: list[str], precision: str, folder: Path) -> dict[str, str]:
    """Drift and top-1 of a configuration and of fp32."""
    asked = [*chosen, "--precision", f"fp32,{precision}", "--quick", "--no-roofline", "--json"]
    wide, narrow = json.loads(_deploykit(folder, "profile", *asked))
    cells = {"snr_db": f"{narrow['drift_snr_db']:.1f}"}
    if narrow["top1"] is not None:
        cells |= {"fp32_top1": f"{wide['top1']:.4f}", "top1": f"{narrow['top1']:.4f}"}
        cells["test_images"] = str(narrow["test_images"])
    return cells


def _busy_s() -> float:
    """Seconds that all cores of the machine have worked."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, _, _, interrupts, soft, stolen = (int(field) for field in fields)
    ticks = user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Seconds that this process and its children that have ended have worked."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _wanted(names: list[str]) -> Iterator[tuple[str, str]]:
    """Backends with the 16-bit precisions that they have; bf16 also where it is emulated, which the row says."""
    for name in names:
        backend = get(name)
        for precision in ("bf16", "fp16"):
            real = precision == "bf16" or precision not in backend.emulated
            if real and precision in backend.offered():
                yield name, precision


def main() -> int:
    """Print the table for the networks named on the command line, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.half_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--backend", default=",".join(BACKENDS), help="backends, with commas")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--kernels", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kernels:
        print_kernels(options.kernels)
        return 0
    for wrong in [name for name in options.names if name not in NETWORKS]:
        parser.error(f"unknown network {wrong!r}; known: {', '.join(NETWORKS)}")
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    if options.csv and options.csv.exists():
        kept = (dict(row) for row in read_cells(str(options.csv)))
        rows = {(row["network"], row["backend"], row["precision"]): row for row in kept}
    for network in options.names or NETWORKS:
        with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
            for name, precision in _wanted(options.backend.split(",")):
                row = row_of(network, name, precision, Path(folder))
                rows[network, name, precision] = row
                print("  ".join(f"{k}={row[k]}" for k in COLUMNS[:17] if k in row), flush=True)
                if options.csv:
                    CsvReport(str(options.csv), COLUMNS).replace(list(rows.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
