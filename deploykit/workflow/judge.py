"""What a network's outputs are judged by: which data, and what fp32 predicts on them, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploykit.backends import reference
from deploykit.bench.feeds import fixed_batch
from deploykit.bench.policy import Policy
from deploykit.bench.request import AccuracyRequest, WorkerRequest, run_worker
from deploykit.code_digest import code_digest
from deploykit.data import open_dataset
from deploykit.errors import DeploykitError, UsageError
from deploykit.ort_session import installed_version
from deploykit.row import Note
from deploykit.spec import BuildOptions
from deploykit.store import Store, key_of
from deploykit.workflow.build import Built, build_network
from deploykit.workflow.choice import CalibrationChoice
from deploykit.workflow.network import Network

#: Modules that compute what fp32 puts out: tensors to measure drift against, and predicted classes.
REFERENCE, PREDICTIONS = "deploykit.bench.reference", "deploykit.bench.accuracy"

#: The worker also times what it runs; here nobody looks at the time.
_UNTIMED = Policy(
    warmup_s=0.001, warmup_max_s=0.001, window_s=0.001, min_s=0.001, max_s=0.001, block_s=0.001
)


def judged_on(asked: str | None, trained_on: str | None) -> tuple[str | None, Note | None]:
    """The data set to judge a network on, and why there is none where its weights would have one.

    Data that was asked for is not tried here: that it can't be read is an error, which its reader raises.

    Args:
        asked: the user's choice.
        trained_on: the data set that the weights come from.
    """
    if asked is not None or trained_on is None:
        return asked, None
    try:
        open_dataset(trained_on)
    except DeploykitError as error:
        # One clause: "; " separates the notes of a row.
        said = str(error).replace("; ", ", ")
        return None, Note("unjudged", f"accuracy is blank: {said}")
    return trained_on, None


def data_key(dataset: str) -> str:
    """A name for what was computed on a data set: its own, and where it lies in files, what they are.

    Raises:
        UsageError: the path is not there.
    """
    name, _, path = dataset.partition(":")
    if not path:
        return name
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    try:
        facts = [(str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    except OSError as error:
        raise UsageError(f"can't read the data at {error.filename}: {error.strerror}") from error
    return f"{name}-{key_of({'files': facts})[:12]}"


def outputs_name(what: str, dataset: str | None, module: str) -> str:
    """File name of what fp32 puts out: it tells the data, the code that computed it and the runtime apart.

    Args:
        what: "reference" or "predictions".
        dataset: that was run on; None stands for seeded noise.
        module: full name of the module that computes it.

    Raises:
        UsageError: the path of the data is not there.
    """
    kind = "seed0" if dataset is None else data_key(dataset)
    made_by = {"code": code_digest(module), "runtime": installed_version()}
    return f"{what}-{kind}-{key_of(made_by)[:12]}.npz"


def is_reference(network: Network, built: Built, backend: str) -> bool:
    """Whether an engine is the reference itself: the fp32 graph on ONNX Runtime."""
    return backend == reference().name and built.model.sha256 == network.model.sha256


def judge_fp32(
    network: Network, asked: AccuracyRequest, store: Store, timeout_s: float | None
) -> Mapping[str, Any]:
    """The columns that fp32 on ONNX Runtime gives for a question on data.

    Raises:
        DeploykitError: the fp32 engine can't be built or run, or the data can't be read.
        OutputFailed: its predictions can't be written.
    """
    backend = reference()
    built = build_network(network, "fp32", backend, BuildOptions(), CalibrationChoice(), store)
    request = WorkerRequest(
        engine=built.engine.path.parent,
        backend=backend.name,
        batch=fixed_batch(network.model.inputs) or 1,
        policy=_UNTIMED,
        accuracy=asked,
    )
    return run_worker(request, timeout_s).columns


def ensure_predictions(
    network: Network, asked: AccuracyRequest, path: Path, store: Store, timeout_s: float | None
) -> Path | None:
    """The .npz of fp32's predictions on the test part, made where it is not there yet; None where there are none.

    Raises:
        DeploykitError: as `judge_fp32`.
    """
    if not path.exists():
        judge_fp32(network, replace(asked, metric=None, predictions=path), store, timeout_s)
    return path if path.exists() else None
