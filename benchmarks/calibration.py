"""What calibration costs: memory as the images grow in number, and time beside a bare inference loop.

Each side runs in a process of its own, as memory can't be given back within one. The network is light, so that
anything kept per image would show beside it; images lie in a file, are resized to 224 px and stream through.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import deploykit
from benchmarks.result import Result
from deploykit.store import Store

NETWORK, ALPHA = "mobilenet", 0.25
FEW, TIMED, MANY = 100, 500, 10_000
#: Of the images in the file; they are resized to the network's 224.
STORED_PX = 64
TARGET_MEMORY, TARGET_TIME = 1.2, 1.5

_PRELUDE = """
import re, sys, time
from pathlib import Path
from deploykit.data import open_dataset
from deploykit.graph.calibrate import Calibration
from deploykit.graph.read_write import open_model
from deploykit.graph.precision import convert
import onnxruntime
folder, count = Path(sys.argv[1]), int(sys.argv[2])
model = open_model(folder / "net.onnx")
part = open_dataset(f"npz:{folder / 'images.npz'}").calibration
shape, batch = (3, 224, 224), 8
"""
_OURS = """
calibration = Calibration.from_part(part, shape, count=count, batch_size=batch)
start = time.perf_counter()
convert(model, "int8", "cpu", folder / "int8.onnx", calibration)
"""
_BARE = """
session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
name = model.inputs[0].name
start = time.perf_counter()
for images, _ in part.batches(batch, shape, count):
    session.run(None, {name: images})
"""
_TELL = """
took = time.perf_counter() - start
status = Path("/proc/self/status").read_text()
print(took, int(re.search(r"VmHWM:\\s+(\\d+)", status).group(1)) * 1024)
"""


def _run(what: str, folder: Path, count: int) -> tuple[float, float]:
    """Seconds of the pass, and peak bytes of its process."""
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + what + _TELL, str(folder), str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak = (float(word) for word in done.stdout.split()[-2:])
    return seconds, peak


def _save_images(path: Path) -> None:
    """`MANY` seeded images for calibration, and a few for the other parts."""
    count = MANY + 10
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, STORED_PX, STORED_PX, 3), dtype=np.uint8)
    split = np.ones(count, np.int64)
    split[-10:] = 2
    np.savez(path, images=images, labels=np.arange(count) % 10, split=split)


def measure() -> Iterator[Result]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as name:
        folder = Path(name)
        deploykit.export(NETWORK, folder / "net.onnx", alpha=ALPHA, store=Store(folder / "store"))
        _save_images(folder / "images.npz")
        _, few = _run(_OURS, folder, FEW)
        many_s, many = _run(_OURS, folder, MANY)
        # In turns, and the quicker of each: what else runs here only ever slows a pass.
        turns = [(_run(_OURS, folder, TIMED)[0], _run(_BARE, folder, TIMED)[0]) for _ in range(3)]
    ours_s, bare_s = (min(side) for side in zip(*turns, strict=True))
    what = f"{NETWORK} {ALPHA}, 224 px, minmax"
    note = (
        f"{what}: {many / 1e6:.0f} MB against {few / 1e6:.0f} MB; {many_s:.0f} s for {MANY} images"
    )
    yield Result(
        "calibration",
        f"peak memory of {MANY} images over that of {FEW}",
        many / few,
        "ratio",
        TARGET_MEMORY,
        note=note,
    )
    note = (
        f"{what}: {ours_s:.2f} s against {bare_s:.2f} s for {TIMED} images, folding and writing included, "
        "the quickest of 3 in turns"
    )
    yield Result(
        "calibration",
        "time of a pass over a bare loop's",
        ours_s / bare_s,
        "ratio",
        TARGET_TIME,
        note=note,
    )
