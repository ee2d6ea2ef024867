"""What fp32 predicts on a data set: the other precisions' predictions are compared with it, image by image."""

from __future__ import annotations

from pathlib import Path

from deploykit.backends import reference
from deploykit.bench.request import AccuracyRequest, WorkerRequest, run_worker
from deploykit.bench.timing import Policy
from deploykit.spec import BuildOptions
from deploykit.store import Store
from deploykit.workflow.build import Built, build_network
from deploykit.workflow.calibration import CalibrationChoice
from deploykit.workflow.network import Network

#: The worker also times what it runs; here nobody looks at the time.
_UNTIMED = Policy(
    warmup_s=0.001, warmup_max_s=0.001, window_s=0.001, min_s=0.001, max_s=0.001, block_s=0.001
)


def is_reference(network: Network, built: Built, backend: str) -> bool:
    """Whether an engine is the reference itself: the fp32 graph on ONNX Runtime."""
    return backend == reference().name and built.model.sha256 == network.model.sha256


def ensure_predictions(
    network: Network, dataset: str, path: Path, store: Store, timeout_s: float | None
) -> Path:
    """The .npz of fp32's predictions on the test part, made on ONNX Runtime where it is not there yet.

    Raises:
        DeploykitError: the fp32 engine can't be built or run, or the data can't be read.
        OutputFailed: `path` can't be written.
    """
    if path.exists():
        return path
    backend = reference()
    built = build_network(network, "fp32", backend, BuildOptions(), CalibrationChoice(), store)
    request = WorkerRequest(
        engine=built.engine.path.parent,
        backend=backend.name,
        batch=next(iter(network.model.inputs[0].with_batch(1)), 1),
        policy=_UNTIMED,
        accuracy=AccuracyRequest(dataset, predictions=path),
    )
    run_worker(request, timeout_s)
    return path
