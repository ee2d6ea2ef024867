"""Record the options that ONNX Runtime's providers for NVIDIA devices know, as data for tests.

`python scripts/record_provider_options.py` downloads the two wheels, without what they depend on, reads names of
options out of the providers' libraries (and out of the header that one of them brings), and writes
tests/backends/provider_options.json: {"releases": [...], "options": {PROVIDER: [name, ...]}, "run": [name, ...]}.

A library holds its names as texts that end in a zero, and one that ends like a longer one lies within it. So the
names of a family are found by what they begin with, and those without such a beginning are looked for one by one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FILE = Path(__file__).parents[1] / "tests" / "backends" / "provider_options.json"
WHEELS = ("onnxruntime-gpu==1.31.1", "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0")
CUDA, TENSORRT = "libonnxruntime_providers_cuda.so", "libonnxruntime_providers_tensorrt.so"
RTX = "tensorrt_rtx_provider_options.h"
#: Names that don't begin as those of their provider do.
SINGLE = (
    "device_id has_user_compute_stream user_compute_stream use_tf32 enable_cuda_graph gpu_mem_limit "
    "arena_extend_strategy cudnn_conv_algo_search do_copy_in_default_stream prefer_nhwc"
).split()
RUN = ("gpu_graph_id", "disable_synchronize_execution_providers")


def read(wheel: Path, ending: str) -> bytes:
    """The one file of a wheel whose name ends so."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(ending)]
        return archive.read(name)


def in_library(data: bytes, family: bytes) -> list[str]:
    """The names of a family and the single ones that a library holds."""
    found = {name.decode() for name in re.findall(rb"\0(" + family + rb"[a-z0-9_]+)(?=\0)", data)}
    return sorted(found | {name for name in SINGLE if name.encode() + b"\0" in data})


def main() -> int:
    """Record all of them."""
    with tempfile.TemporaryDirectory(prefix="providers-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", folder]
        subprocess.run([*command, *WHEELS], check=True)
        (gpu,) = Path(folder).glob("onnxruntime_gpu*")
        (rtx,) = Path(folder).glob("onnxruntime_ep*")
        header = read(rtx, RTX).decode()
        named = dict(re.findall(r'constexpr const char\* (k\w+) = "([a-z0-9_]+)";', header))
        of_run = {"kProfileIndex", "kCudaGraphAnnotation"}
        core = read(gpu, "linux-gnu.so")
        options = {
            "CUDAExecutionProvider": in_library(read(gpu, CUDA), rb"cudnn_conv"),
            "TensorrtExecutionProvider": in_library(read(gpu, TENSORRT), rb"trt_"),
            "NvTensorRTRTXExecutionProvider": sorted(
                name for constant, name in named.items() if constant not in of_run
            ),
        }
        run = [name for name in RUN if name.encode() + b"\0" in core]
        run += [named[constant] for constant in sorted(of_run)]
    recorded = {"releases": WHEELS, "options": options, "run": sorted(run)}
    FILE.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
