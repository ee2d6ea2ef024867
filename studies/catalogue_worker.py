"""Everything that can be shown of one catalogue network without a GPU, in a process of its own.

Run as `python -m studies.catalogue_worker`; started by `studies.catalogue`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploykit.backends import get
from deploykit.backends.base import BackendBase, SessionBase
from deploykit.backends.building import build_engine
from deploykit.backends.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeSession
from deploykit.bench.channel import serve
from deploykit.bench.output_drift import compare
from deploykit.bench.reference import Reference, compute_reference
from deploykit.errors import DeploykitError
from deploykit.graph.precision import find_recipe
from deploykit.spec import BuildOptions, Engine, ModelSpec, OnnxModel
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.convert import convert_network
from deploykit.workflow.network import Network, obtain_network


@dataclass(frozen=True)
class ProofRequest:
    """What is to be shown of one network.

    Attributes:
        spec: the network.
        folder: an existing one; a store for the time of the proof is made in it.
        threads: for ONNX Runtime.
        precisions: each is tried on each backend.
        backends: names.
    """

    spec: ModelSpec
    folder: Path
    threads: int
    precisions: tuple[str, ...]
    backends: tuple[str, ...]


class Prover:
    """Exports one network and takes it through precisions and backends; its files go with `store`.

    Args:
        spec: the network.
        store: a store of its own, so that the disk is given back when it goes.
        threads: for ONNX Runtime.
    """

    def __init__(self, spec: ModelSpec, store: Store, threads: int) -> None:
        self.spec, self.store, self.threads = spec, store, threads
        start_s = time.perf_counter()
        self.network: Network = obtain_network(spec, store)
        self.export_s = time.perf_counter() - start_s
        self.reference: Reference = compute_reference(self.network.model.path, None, seed=0)
        self._graphs: dict[tuple[str, ...], tuple[OnnxModel, float]] = {}

    def row(self, precision: str, backend: BackendBase) -> dict[str, Any]:
        """One row: what came of one precision on one backend; a refusal is a row with its reason."""
        facts = self.network.facts
        row: dict[str, Any] = {
            "precision": precision,
            "backend": backend.name,
            "backend_version": backend.version(),
            "parameters": facts["parameters"],
            "macs": facts["macs"],
            "uncounted": " ".join(facts["uncounted"]),
            "export_s": round(self.export_s, 2),
            "status": "ok",
        }
        try:
            model, convert_s = self._graph(precision, backend.target)
            row |= {
                "onnx_bytes": model.path.stat().st_size,
                "convert_s": round(convert_s, 2),
            }
            engine, _ = build_engine(model, backend, BuildOptions(), self.store)
            row |= {
                "engine_bytes": engine.path.stat().st_size,
                "build_s": engine.manifest["build_s"],
                "precision_actual": engine.precision_actual,
                "products": sum(len(n) for n in engine.manifest["compute_types"].values()),
            }
            row |= self._drift(model, backend, engine)
        except DeploykitError as error:
            row |= {"status": "failed", "reason": str(error)}
        return row

    def _graph(self, precision: str, target: str) -> tuple[OnnxModel, float]:
        recipe = find_recipe(precision, target)
        key = (precision, *recipe.targets)
        if key not in self._graphs:
            start_s = time.perf_counter()
            choice = CalibrationChoice()
            model = convert_network(self.network, precision, target, choice, self.store)
            self._graphs[key] = model, time.perf_counter() - start_s
        return self._graphs[key]

    def _drift(self, model: OnnxModel, backend: BackendBase, engine: Engine) -> dict[str, Any]:
        """Of the engine where it runs here; else of its graph, which is what the recipe decides."""
        session: SessionBase
        if isinstance(backend.device(), str):
            session, of = backend.load(engine, self.threads), "engine"
        else:
            session = OnnxRuntimeSession(model.path, self.threads, optimise=False)
            of = f"graph on {OnnxRuntimeCpu.name}"
        with session:
            outputs = [session.run(feeds) for feeds in self.reference.inputs]
        drift = compare(self.reference.outputs, outputs)
        return {
            "drift_of": of,
            "drift_max_abs": drift.max_abs,
            "drift_cosine": drift.cosine,
            "drift_snr_db": drift.snr_db,
        }


def prove(request: ProofRequest) -> list[dict[str, Any]]:
    """The rows of one network, in this process."""
    with tempfile.TemporaryDirectory(prefix="catalogue-", dir=request.folder) as folder:
        prover = Prover(request.spec, Store(Path(folder)), request.threads)
        return [
            prover.row(precision, get(backend))
            for precision in request.precisions
            for backend in request.backends
        ]


if __name__ == "__main__":
    serve(ProofRequest, prove)
