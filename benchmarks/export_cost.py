"""What a verified export costs beside PyTorch's bare exporter: VGG-19, the heaviest in weights.

Each side runs in a process of its own, as memory can't be given back within one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Result

NETWORK = "vgg19"
TARGET_TIME, TARGET_MEMORY = 3.0, 4.0

_PRELUDE = """
import resource, sys, time, warnings
from pathlib import Path
import torch
from deploykit import zoo
from deploykit.graph.export import export_module
from deploykit.spec import ModelSpec
warnings.simplefilter("ignore")
spec = ModelSpec(sys.argv[1])
module = zoo.create(spec)
shape = zoo.input_shape(spec)
weights = sum(p.numel() * 4 for p in module.parameters())
start = time.perf_counter()
"""
_OURS = "export_module(module, shape, Path(sys.argv[2]), spec)"
_BARE = """
batch = {0: torch.export.Dim("batch")}
torch.onnx.export(
    module, (torch.randn(2, *shape),), sys.argv[2], dynamo=True, dynamic_shapes=(batch,),
    external_data=False, verbose=False,
)
"""
_TELL = """
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, weights)
"""


def _run(what: str, path: Path) -> tuple[float, float, float]:
    """Seconds of the export, peak bytes of its process, bytes of the weights."""
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + what + _TELL, NETWORK, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak, weights = (float(word) for word in done.stdout.split()[-3:])
    return seconds, peak, weights


def measure() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        bare_s, _, _ = _run(_BARE, Path(folder) / "bare.onnx")
        ours_s, peak, weights = _run(_OURS, Path(folder) / "ours.onnx")
    note = f"{NETWORK}: {ours_s:.1f} s against {bare_s:.1f} s, verification included"
    yield Result(
        "export_cost",
        "time over torch.onnx.export",
        ours_s / bare_s,
        "ratio",
        TARGET_TIME,
        note=note,
    )
    note = f"{NETWORK}: {peak / 1e6:.0f} MB of the whole process, {weights / 1e6:.0f} MB of weights"
    yield Result(
        "export_cost", "peak memory over weights", peak / weights, "ratio", TARGET_MEMORY, note=note
    )
