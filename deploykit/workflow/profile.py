"""Profiles: one row per configuration, each measured in a process of its own."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.backends import get
from deploykit.backends.building import precision_share
from deploykit.backends.offers import offered
from deploykit.backends.passes import FORWARD
from deploykit.backends.protocol import Backend
from deploykit.bench.load import Load
from deploykit.bench.policy import Policy
from deploykit.bench.reference import make_reference
from deploykit.bench.runner import AccuracyRequest, WorkerRequest, run_worker
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    MissingDependency,
    OutputFailed,
    UsageError,
)
from deploykit.report.schema import SCHEMA_VERSION, Row
from deploykit.store import Store, key_of, output_errors
from deploykit.types import BuildOptions, Engine, ModelSpec, Reason
from deploykit.workflow.build import Built, build_network
from deploykit.workflow.conversion import CalibrationChoice
from deploykit.workflow.core_remarks import of_load
from deploykit.workflow.judging import judged_on
from deploykit.workflow.keeping import kept_text, losses_text
from deploykit.workflow.network import Network, obtain_network, stored_sources
from deploykit.workflow.plan import DEFAULT_MODELS, Source, Variants
from deploykit.workflow.reference_predictions import ensure_predictions, is_reference
from deploykit.workflow.slower import SlowerThanFp32
from deploykit.workflow.under_the_roof import Roof

#: Key under which a failed row carries its exit code; not a column.
EXIT_CODE = "exit_code"

#: One request after the other, on all usable cores.
_PLAIN = Load()

#: Told what is being done, for a display: a short text.
Say = Callable[[str], None]


@dataclass(frozen=True)
class ProfileOptions:
    """How to measure.

    Attributes:
        precisions, backends, batches, loads: the product of these and the networks gives the rows.
        repeats: processes per configuration.
        policy: how long to warm up and measure.
        calibration: for precisions that need it.
        data: judge accuracy on this data set; None: on the one the weights were trained on.
        build: options of the engines.
        timeout_s: kill a row's process after that long.
        roofline: compare rows with the machine's ceilings, which are measured once if they are not known.
        samples: folder that keeps every row's raw samples, made if it is missing; None keeps none.
        report_folder: what the `samples` column is relative to.
        passes: what a run does: "forward", "forward_backward" on backends that can; a product with the rest.
    """

    precisions: Sequence[str] = ("fp32",)
    backends: Sequence[str] = ("onnxruntime",)
    batches: Sequence[int] = (1,)
    loads: Sequence[Load] = (_PLAIN,)
    repeats: int = 1
    policy: Policy = field(default_factory=Policy)
    calibration: CalibrationChoice = field(default_factory=CalibrationChoice)
    data: str | None = None
    build: BuildOptions = field(default_factory=BuildOptions)
    timeout_s: float | None = 600.0
    roofline: bool = True
    samples: Path | None = None
    report_folder: Path = Path()
    passes: Sequence[str] = (FORWARD,)


@dataclass(frozen=True)
class Configuration:
    """One row to be: which network, in which precision, on which backend, at which batch and load.

    `repeat` counts the processes that measure one and the same, from 1.
    """

    source: Source
    precision: str
    backend: str
    batch: int
    load: Load = _PLAIN
    repeat: int = 1
    run_pass: str = FORWARD

    @property
    def text(self) -> str:
        """A short name for displays."""
        name = self.source.label if isinstance(self.source, ModelSpec) else self.source.name
        again = f"repeat {self.repeat}" if self.repeat > 1 else ""
        run_pass = self.run_pass if self.run_pass != FORWARD else ""
        load = (f"batch {self.batch}", self.load.text, run_pass, again)
        words = (name, self.precision, self.backend, *load)
        return " ".join(word for word in words if word)


def configurations(sources: Sequence[Source], options: ProfileOptions) -> list[Configuration]:
    """The rows that a profile will have, in their order; a precision a backend lacks is left out.

    Repeats go round: what disturbs the machine for a while meets every configuration once rather than one
    of them every time.
    """
    offers = {name: offered(get(name)) for name in options.backends}
    return [
        Configuration(source, precision, backend, batch, load, repeat, run_pass)
        for repeat in range(1, options.repeats + 1)
        for source in sources
        for backend in options.backends
        for precision in options.precisions
        for batch in options.batches
        for load in options.loads
        for run_pass in options.passes
        if precision in offers[backend]
    ]


class Profiler:
    """Makes rows; networks and engines come from `store` and go into it.

    Args:
        store: of graphs and engines.
        options: how to measure.
        say: is told what is being done.
    """

    def __init__(self, store: Store, options: ProfileOptions, say: Say = lambda text: None) -> None:
        self.store, self.options, self.say = store, options, say
        self.run_id = uuid.uuid4().hex[:12]
        self._judges: dict[str | None, tuple[str | None, str | None]] = {}
        self._numbers = itertools.count(1)
        self._roof = Roof(store.root)
        self._judged: set[Configuration] = set()
        self._slower = SlowerThanFp32()

    def rows(self, wanted: Sequence[Configuration]) -> Iterator[Row]:
        """One row per configuration, as each is finished; a failure is a row with its reason.

        Raises:
            OutputFailed: the store can't be written; no further row could be made either.
            KeyboardInterrupt: passes through; the rows until then were yielded.
        """
        networks: dict[Source, Network | DeploykitError] = {}
        for configuration in wanted:
            row = self._blank(configuration)
            try:
                network = self._network(configuration.source, networks)
                row |= self._of_network(network)
                backend = get(configuration.backend)
                built = self._build(network, configuration, backend)
                row |= self._of_engine(built.engine, configuration.precision)
                row |= self._measure(network, built, backend, configuration)
            except OutputFailed:
                raise
            except MissingDependency as error:
                row |= {"status": "skipped", "reason": str(error)}
            except DeploykitError as error:
                row |= {"status": "failed", "reason": str(error), EXIT_CODE: error.exit_code}
            row["timestamp"] = datetime.now(UTC).isoformat(timespec="seconds")
            yield row

    def prepared(self, wanted: Configuration) -> tuple[Row, WorkerRequest]:
        """A row as it stands before it is measured, and the request that would time it, and no more.

        Raises:
            DeploykitError: it can't be exported, converted or built.
        """
        network, backend = self._network(wanted.source, {}), get(wanted.backend)
        built = self._build(network, wanted, backend)
        row = self._blank(wanted) | self._of_network(network)
        row |= self._of_engine(built.engine, wanted.precision)
        request = WorkerRequest(
            engine=built.engine.path.parent,
            backend=wanted.backend,
            batch=wanted.batch,
            **vars(wanted.load),
            run_pass=wanted.run_pass,
            policy=self.options.policy,
            samples_path=self._samples_path(wanted),
        )
        return row, request

    def _network(self, source: Source, known: dict[Source, Network | DeploykitError]) -> Network:
        if source not in known:
            name = source.label if isinstance(source, ModelSpec) else source.name
            self.say(f"export {name}")
            try:
                known[source] = obtain_network(source, self.store)
            except OutputFailed:
                raise
            except DeploykitError as error:
                known[source] = error
        found = known[source]
        if isinstance(found, DeploykitError):
            raise found
        return found

    def _build(self, network: Network, wanted: Configuration, backend: Backend) -> Built:
        self.say(f"build {wanted.text}")
        options = self.options
        build = BuildOptions(
            batch_opt=options.build.batch_opt,
            batch_max=max(options.build.batch_max, *options.batches),
            compute_capability=options.build.compute_capability,
        )
        choice = options.calibration
        return build_network(network, wanted.precision, backend, build, choice, self.store)

    def _measure(
        self, network: Network, built: Built, backend: Backend, wanted: Configuration
    ) -> dict[str, Any]:
        device = backend.device()
        if isinstance(device, Reason):
            return {"status": "skipped", "reason": str(device)}
        dataset, missing = self._judged_on(network)
        kind = "seed0" if dataset is None else data_key(dataset)
        reference = network.folder / f"reference-{kind}.npz"
        if not reference.exists():
            self.say(f"drift reference of {network.model.spec.label}")
            make_reference(network.model, reference, dataset=dataset)
        self.say(f"measure {wanted.text}")
        samples = self._samples_path(wanted)
        # Outputs are the engine's, not the process': one of the repeats judges them.
        same = replace(wanted, repeat=1)
        judge = same not in self._judged
        accuracy = self._accuracy(network, built, wanted.backend, dataset, kind)
        request = WorkerRequest(
            engine=built.engine.path.parent,
            backend=wanted.backend,
            batch=wanted.batch,
            **vars(wanted.load),
            run_pass=wanted.run_pass,
            policy=self.options.policy,
            drift_reference=reference if judge else None,
            accuracy=accuracy if judge else None,
            samples_path=samples,
        )
        result = run_worker(request, self.options.timeout_s)
        self._judged.add(same)
        notes = [*result.notes, *([missing] if missing else [])]
        if not judge:
            notes.append("drift and accuracy are in an earlier repeat's row")
        if built.engine.manifest.get("emulated"):
            notes.insert(0, _emulated(wanted.precision, built.engine))
        losses = losses_text(built.model)
        if losses:
            notes.append(losses)
        row = {"status": "ok", "device": device, **result.columns}
        row["boundary"] = row.get("boundary") or "end_to_end"
        if samples is not None and samples.exists():
            row["samples"] = os.path.relpath(samples, self.options.report_folder)
        notes += of_load(wanted.load)
        found, doubts = self._work(network, built, row, wanted)
        row, notes = row | found, [*notes, *doubts]
        like = replace(wanted, precision="fp32")
        facts = row | {"backend": wanted.backend, "batch": wanted.batch}
        slower = self._slower.note(
            like, wanted.precision, facts, built.engine.path, network.model.path
        )
        if slower:
            notes.append(slower)
        return row | {"reason": "; ".join(notes) or None}

    def _judged_on(self, network: Network) -> tuple[str | None, str | None]:
        trained_on = network.dataset
        if trained_on not in self._judges:  # once: a download that fails takes its time
            self._judges[trained_on] = judged_on(self.options.data, trained_on)
        return self._judges[trained_on]

    def _accuracy(
        self, network: Network, built: Built, backend: str, dataset: str | None, kind: str
    ) -> AccuracyRequest | None:
        if dataset is None:
            return None
        path = network.folder / f"predictions-{kind}.npz"
        if is_reference(network, built, backend):
            return AccuracyRequest(dataset, predictions=path)
        if not path.exists():
            self.say(f"predictions of {network.model.spec.label} fp32")
        limit_s = self.options.timeout_s
        return AccuracyRequest(
            dataset, reference=ensure_predictions(network, dataset, path, self.store, limit_s)
        )

    def _work(
        self, network: Network, built: Built, row: Row, wanted: Configuration
    ) -> tuple[dict[str, Any], list[str]]:
        """What the row achieved: operations per second, and how near to the machine's ceilings that is."""
        macs, images_per_s = network.facts["macs"], row.get("throughput_ips")
        if not macs or not images_per_s or row.get("pass") not in (None, "forward"):
            return {}, []  # MACs are counted of the forward pass
        gflops = {"gflops": 2 * macs * images_per_s / 1e9}
        if not self.options.roofline:
            return gflops, []
        facts = row | {"precision_actual": built.engine.precision_actual}
        columns, notes = self._roof.columns(built.model, network.folder, macs, facts, wanted.load)
        return gflops | columns, notes

    def _samples_path(self, wanted: Configuration) -> Path | None:
        if self.options.samples is None:
            return None
        with output_errors("samples"):
            self.options.samples.mkdir(parents=True, exist_ok=True)
        name = "-".join(wanted.text.replace("/", "_").split())
        # Numbered, as configurations that differ in their weights alone have the same text.
        return self.options.samples / f"{self.run_id}-{next(self._numbers):03}-{name}.npz"

    def _blank(self, wanted: Configuration) -> Row:
        spec = wanted.source if isinstance(wanted.source, ModelSpec) else None
        backend = get(wanted.backend)
        return {
            "schema": SCHEMA_VERSION,
            "run_id": self.run_id,
            "env_id": env.env_id(),
            "model": spec.name if spec else Path(str(wanted.source)).stem,
            "alpha": spec.alpha if spec else None,
            "rho": str(spec.rho) if spec else None,
            "weights": weights_text(spec.weights) if spec else "file",
            "precision": wanted.precision,
            "target": backend.target,
            "backend": wanted.backend,
            "backend_version": backend.version(),
            "batch": wanted.batch,
            **vars(wanted.load),
            "repeat": wanted.repeat,
            "pass": wanted.run_pass,
        }

    def _of_network(self, network: Network) -> dict[str, Any]:
        return {name: network.facts[name] for name in ("parameters", "macs")}

    def _of_engine(self, engine: Engine, precision: str) -> dict[str, Any]:
        manifest: Mapping[str, Any] = engine.manifest
        return {
            "precision_actual": engine.precision_actual,
            "onnx_bytes": manifest["onnx_bytes"],
            "engine_bytes": manifest["bytes"],
            "build_s": manifest["build_s"],
            "calibration": manifest["calibration"],
            "kept": kept_text(manifest["recipe"]),
            "precision_share": precision_share(manifest["compute_types"], precision),
        }


def _emulated(asked: str, engine: Engine) -> str:
    actual = engine.precision_actual
    if engine.manifest.get("rounded"):
        return (
            f"emulated: computed in {actual} and rounded to {asked} after each operator, so the accuracy is "
            f"that of {asked} but the latency says nothing about {asked} hardware"
        )
    return (
        f"emulated: computed in {actual}, where only the weights are sure to be rounded to {asked}: "
        f"neither accuracy nor latency is a statement about {asked} hardware"
    )


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


def weights_text(weights: str) -> str:
    """What the `weights` column says: a keyword, or the name of the checkpoint without its folders."""
    return Path(weights).name


def exit_code(rows: Sequence[Row]) -> int:
    """What a command that made `rows` ends with: 0, the worst failure's code, or 3 if nothing could run."""
    failed = [
        int(row.get(EXIT_CODE, BuildFailed.exit_code)) for row in rows if row["status"] == "failed"
    ]
    if failed:
        return max(failed)
    if rows and all(row["status"] == "skipped" for row in rows):
        return MissingDependency.exit_code
    return 0


def sources_without_names(store: Store, variants: Variants) -> list[Source]:
    """What a profile of no MODEL in particular is about: the store's networks, else the default ones.

    Raises:
        UsageError: there are options that shape a network, but no network is named.
    """
    if variants != Variants():
        raise UsageError("--alpha, --rho, --weights and their like need a MODEL: name one")
    return stored_sources(store) or list(DEFAULT_MODELS)
