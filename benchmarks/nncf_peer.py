"""NNCF's quantisation of an ONNX file, run by `benchmarks.int8_recipes` in the environment that has NNCF.

    python nncf_peer.py SOURCE.onnx IMAGES.npz MADE.onnx FAST

The last line printed is JSON: seconds, and MiB by which the process' memory rose at its peak.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nncf
import numpy as np
import onnx


def _resident_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def main() -> None:
    source, images, path, fast = sys.argv[1:]
    values = np.load(images)["x"]
    before_mib, start_s = _resident_mib("VmRSS"), time.perf_counter()
    model = onnx.load(source)
    name = model.graph.input[0].name
    data = nncf.Dataset([{name: values[i : i + 1]} for i in range(len(values))])
    made = nncf.quantize(model, data, subset_size=len(values), fast_bias_correction=bool(int(fast)))
    onnx.save(made, path)
    took_s = time.perf_counter() - start_s
    print(json.dumps({"seconds": took_s, "peak_mib": _resident_mib("VmHWM") - before_mib}))


if __name__ == "__main__":
    main()
