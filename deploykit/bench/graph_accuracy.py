"""Top-1 accuracy of a graph, before there is an engine of it: `python -m deploykit.bench.graph_accuracy`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit.bench.child import run_child, serve

BATCH = 32
TIMEOUT_S = 1800.0


def graph_top1(
    path: Path, dataset: str, part: str = "calibration", *, timeout_s: float | None = TIMEOUT_S
) -> float:
    """The share of a part's images that a graph classifies right, on ONNX Runtime, in a fresh process.

    Args:
        path: of the graph; it runs optimised, as an engine of it would.
        dataset: as for `deploykit.data.open_dataset`.
        part: of it, all images.
        timeout_s: of the whole.

    Raises:
        WorkerFailure: it does not run, or its output is no row of class scores.
    """
    request = {"path": str(path.absolute()), "dataset": dataset, "part": part}
    return float(run_child("deploykit.bench.graph_accuracy", request, timeout_s)["top1"])


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    from deploykit.backends.onnxruntime import OnnxRuntimeSession
    from deploykit.bench.accuracy import evaluate
    from deploykit.bench.feeds import image_input
    from deploykit.data import open_dataset

    session = OnnxRuntimeSession(Path(request["path"]), optimise=True)
    try:
        _, shape = image_input(session.inputs)
        part = open_dataset(request["dataset"]).parts[request["part"]]
        return {"top1": evaluate(session, part.batches(BATCH, shape), BATCH).top1}
    finally:
        session.close()


if __name__ == "__main__":
    serve(_answer)
