"""Profiles: one row per configuration, each measured in a process of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.backends import get
from deploykit.backends.base import BackendBase
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.feeds import fixed_batch, may_have_scores
from deploykit.bench.reference import make_reference
from deploykit.bench.request import AccuracyRequest, WorkerRequest, WorkerResult, run_worker
from deploykit.bench.scenario import Scenario
from deploykit.data import Dataset, open_dataset
from deploykit.errors import (
    DeploykitError,
    MissingDependency,
    OutputFailed,
    StoreChanged,
    UsageError,
)
from deploykit.report.speedup import Fp32Rows
from deploykit.row import Note, Row
from deploykit.spec import ModelSpec, Reason
from deploykit.store import Store, key_of
from deploykit.text import folder_name
from deploykit.workflow.build import Built, build_network, unused_text
from deploykit.workflow.choices import Goal
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.judge import (
    PREDICTIONS,
    REFERENCE,
    UNTIMED,
    SlowerThanFp32,
    check_fed,
    ensure_predictions,
    is_reference,
    judge_fp32,
    judged_on,
    outputs_name,
    redrawn,
)
from deploykit.workflow.keep import SearchResult, search_layers_to_keep
from deploykit.workflow.machine import core_findings, core_notes
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.plan import Source
from deploykit.workflow.rows import (
    Roofline,
    at_fixed_batch,
    configuration_cells,
    count_notes,
    emulated_note,
    engine_cells,
    gpu_cells,
    kept_products_note,
    network_cells,
    out_of_range_note,
    rounding_note,
    types_note,
    unmeasured,
    wider_types_note,
)
from deploykit.workflow.what_if import WhatIf, what_if
from deploykit.writing import output_errors
from deploykit.zoo import weights

#: Told what is being done, for a display: a short text.
Say = Callable[[str], None]


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
        self._judges: dict[str | None, tuple[str | None, Note | None]] = {}
        self._numbers = itertools.count(1)
        self._roofline = Roofline(store.root)
        self._judged: set[Configuration] = set()
        self._metrics: dict[str, float] = {}
        #: Data whose training images are hashed, which reads all of them, and what that says of each network.
        self._hashed: dict[str, Dataset] = {}
        self._redrawn: dict[tuple[ModelSpec, str], Note | None] = {}
        self._slower = SlowerThanFp32()
        self._fp32_rows = Fp32Rows()
        self._networks: dict[Source, Network | DeploykitError] = {}
        #: Who asked for each row that is made: two of one configuration are one row.
        self._rowed: dict[Configuration, Configuration] = {}

    def rows(self, configurations: Sequence[Configuration]) -> Iterator[Row]:
        """One row per configuration, as each is finished; a failure is a row with its reason.

        Raises:
            OutputFailed: the store can't be written; no further row could be made either.
            KeyboardInterrupt: passes through; the rows until then were yielded.
        """
        for configuration in configurations:
            for last in (False, True):
                row = self.named(configuration)
                try:
                    for grown in self._steps(row, configuration):
                        row = grown
                except (DeploykitError, OSError) as error:
                    if not last and self._is_gone(error):
                        self._forget(configuration, error)
                        continue
                    if isinstance(error, OutputFailed) or not isinstance(error, DeploykitError):
                        raise
                    row = unmeasured(row, error)
                break
            yield row.plus({"timestamp": datetime.now(UTC).isoformat(timespec="seconds")})

    def named(self, configuration: Configuration) -> Row:
        """A row that says which configuration it is of, and no more yet."""
        return Row(configuration_cells(configuration, self.options.build, self.run_id))

    def _steps(self, row: Row, configuration: Configuration) -> Iterator[Row]:
        """The row of a configuration as it grows; the last is whole."""
        backend = get(configuration.backend)
        self._require_device(backend)
        row = row.plus(notes=self._unused(backend))
        network = self._network(configuration.source)
        at_batch, batch_notes = at_fixed_batch(network, configuration)
        if self._rowed.setdefault(at_batch, configuration) != configuration:
            raise UsageError(
                f"the graph takes batch {at_batch.batch} only, which has a row: leave --batch "
                f"{configuration.batch} out"
            )
        notes = [*network.notes, *batch_notes, *count_notes(network)]
        row = row.plus(network_cells(network, at_batch.batch), notes)
        yield row
        built = self._build(network, at_batch, backend)
        row = row.plus(engine_cells(built.engine, configuration.precision))
        yield row
        yield self._measure(row, network, built, backend, at_batch)

    def _is_gone(self, error: DeploykitError | OSError) -> bool:
        """Whether a row failed as others wiped the store, or what lies in it can't be read any more."""
        cause = error.cause if isinstance(error, WorkerFailure) else type(error).__name__
        return cause == StoreChanged.__name__ or self.store.has_lost()

    def _forget(self, configuration: Configuration, error: Exception) -> None:
        """Let what a configuration found in the store be looked for again, and made where it can't be read."""
        self.say(f"{configuration.text} once more: {error}")
        network = self._networks.pop(configuration.source, None)
        self.store.let_go()
        if isinstance(network, Network):
            for path in network.folder.glob("*.npz"):
                if path.name in str(error):
                    with suppress(OSError):
                        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def prepared(self, configuration: Configuration) -> tuple[Row, WorkerRequest]:
        """A row as it stands before it is measured, and the request that would time it, and no more.

        Raises:
            DeploykitError: it can't be exported, converted or built.
        """
        network, backend = self._network(configuration.source), get(configuration.backend)
        configuration, batch_notes = at_fixed_batch(network, configuration)
        built = self._build(network, configuration, backend)
        cells = network_cells(network, configuration.batch)
        cells |= engine_cells(built.engine, configuration.precision)
        row = self.named(configuration).plus(cells, (*network.notes, *batch_notes))
        return row, self._request(built, configuration)

    def _unused(self, backend: BackendBase) -> list[Note]:
        text = unused_text(self.options.build, backend)
        return [Note("options", text)] if text else []

    @staticmethod
    def _require_device(backend: BackendBase) -> None:
        """Skip, before minutes go into an export, what could neither run here nor be taken elsewhere.

        Raises:
            MissingDependency: the device is not here.
        """
        device = backend.device()
        if isinstance(device, Reason) and not backend.builds_without_device:
            raise MissingDependency(str(device))

    def _network(self, source: Source) -> Network:
        """The network of a source, which is looked for once."""
        networks = self._networks
        if source not in networks:
            name = source.label if isinstance(source, ModelSpec) else source.name
            self.say(f"export {name}")
            try:
                networks[source] = obtain_network(source, self.store)
            except OutputFailed:
                raise
            except DeploykitError as error:
                networks[source] = error
        network = networks[source]
        if isinstance(network, DeploykitError):
            raise network
        return network

    def _build(self, network: Network, configuration: Configuration, backend: BackendBase) -> Built:
        self.say(f"build {configuration.text}")
        build = self.options.build.at_batch(configuration.batch)
        if "batch_max" in backend.build_options:
            build.check_batch(configuration.batch)
        choice = self.options.calibration
        if configuration.kept:
            keep = replace(choice.keep, nodes=(*choice.keep.nodes, *configuration.kept))
            choice = replace(choice, keep=keep)
        return build_network(network, configuration.precision, backend, build, choice, self.store)

    def _measure(
        self,
        row: Row,
        network: Network,
        built: Built,
        backend: BackendBase,
        configuration: Configuration,
    ) -> Row:
        device = backend.device()
        reason = device if isinstance(device, Reason) else backend.foreign(built.engine)
        if reason is not None:
            return row.plus({"status": "skipped"}, [Note("failed", str(reason))])
        dataset, missing = self._judged_on(network)
        reference = self._drift_reference(network, configuration, dataset)
        self.say(f"measure {configuration.text}")
        request = self._request(built, configuration)
        # Outputs are the engine's, not the process': one of the repeats judges them.
        same = replace(configuration, repeat=1)
        judge = same not in self._judged
        learned: Note | None = None
        if judge:
            accuracy = self._accuracy(network, built, configuration.backend, dataset)
            request = replace(request, drift_reference=reference, accuracy=accuracy)
            learned = self._learned(network, dataset)
        result = run_worker(request, self.options.timeout_s)
        is_fp32 = is_reference(network, built, configuration.backend)
        row = row.plus(self._metric_fp32(network, result, request.accuracy, is_fp32))
        self._judged.add(same)
        earlier = Note("missing", "drift and accuracy are in an earlier repeat's row")
        on_gpu = backend.on_gpu()
        notes = [
            emulated_note(built.engine, configuration.precision),
            types_note(built.engine),
            *result.notes,
            missing,
            None if judge else earlier,
            learned,
            wider_types_note(built.engine),
            rounding_note(built.model),
            out_of_range_note(built.model),
            kept_products_note(built.model),
            *(() if on_gpu else core_notes(configuration.scenario)),
        ]
        row = row.plus(
            {"status": "ok", "device": device, "boundary": "end_to_end", **gpu_cells(backend)}
            | {name: value for name, value in result.columns.items() if value is not None},
            [note for note in notes if note is not None],
            findings=(
                *result.findings,
                *(() if on_gpu else core_findings(configuration.scenario)),
            ),
        )
        samples = request.samples_path
        if samples is not None and samples.exists():
            row = row.plus({"samples": os.path.relpath(samples, self.options.report_folder)})
        row = row.plus(*self._work(network, built, row, configuration))
        row = self._set_against_fp32(row)
        slower, cells = self._slower.note(
            replace(configuration, precision="fp32", kept=()),
            configuration.precision,
            row,
            built.engine.path,
            network.model.path,
        )
        return row if slower is None else row.plus(cells, notes=[slower])

    def _set_against_fp32(self, row: Row) -> Row:
        """The row with its speedup over the fp32 row of the same round, where that one is measured already."""
        self._fp32_rows.add(row)
        found = self._fp32_rows.speedup(row)
        return row if found is None else row.plus(found.cells)

    def _request(self, built: Built, configuration: Configuration) -> WorkerRequest:
        """What a worker is asked for to time an engine, and no more."""
        return WorkerRequest(
            engine=built.engine.path.parent,
            backend=configuration.backend,
            batch=configuration.batch,
            **vars(configuration.scenario),
            run_pass=configuration.run_pass,
            options=configuration.options,
            policy=self.options.policy,
            samples_path=self._samples_path(configuration),
        )

    def judging(
        self, configuration: Configuration, allowed_drop: float | None = None
    ) -> WorkerRequest:
        """A request for what an engine's outputs are worth: drift and, where a drop is allowed, whether it is more.

        Where the user has a metric of their own, its value is asked for, too.

        Raises:
            DeploykitError: as `prepared`, or the reference can't be made.
        """
        network, backend = self._network(configuration.source), get(configuration.backend)
        configuration, _ = at_fixed_batch(network, configuration)
        built = self._build(network, configuration, backend)
        dataset, _ = self._judged_on(network)
        accuracy = None
        if allowed_drop is not None:
            accuracy = self._accuracy(network, built, configuration.backend, dataset)
            if accuracy is not None:
                accuracy = replace(accuracy, allowed_drop=allowed_drop)
        elif self.options.metric is not None and dataset is not None:
            accuracy = AccuracyRequest(dataset, metric=self.options.metric)
        return replace(
            self._request(built, replace(configuration, scenario=Scenario())),
            policy=UNTIMED,
            samples_path=None,
            drift_reference=self._drift_reference(network, configuration, dataset),
            accuracy=accuracy,
        )

    def only_batch(self, configuration: Configuration) -> int | None:
        """The only batch that a configuration's network takes.

        Returns:
            None where any batch will do, and where nobody can tell, of which its row says why.

        Raises:
            OutputFailed: the store can't be written.
        """
        try:
            self._require_device(get(configuration.backend))
            model = self._network(configuration.source).model
        except OutputFailed:
            raise
        except (DeploykitError, OSError):
            return None
        return fixed_batch(model.inputs, model.outputs)

    def metric_in_fp32(self, source: Source) -> float:
        """The user's metric of a network in fp32, computed once.

        Raises:
            DeploykitError: it can't be computed.
        """
        network = self._network(source)
        dataset, _ = self._judged_on(network)
        return self._metric_of(network, AccuracyRequest(str(dataset), metric=self.options.metric))

    def what_if(self, configuration: Configuration) -> WhatIf:
        """What each layer of a network takes in int8 and in fp32, and the best mix of both, for a configuration.

        Raises:
            DeploykitError: as `what_if.what_if`.
        """
        return what_if(
            self._network(configuration.source),
            self.store,
            self.options.calibration,
            batch=configuration.batch,
            threads=configuration.scenario.threads,
            say=self.say,
        )

    def layers_to_keep(
        self, configuration: Configuration, goal: Goal, limit_s: float
    ) -> SearchResult:
        """The fewest layers in fp32 with which a configuration holds a goal on the calibration part.

        Raises:
            DeploykitError: as `keep.search_layers_to_keep`.
        """
        return search_layers_to_keep(
            self._network(configuration.source),
            configuration.precision,
            get(configuration.backend).target,
            self.options.calibration,
            goal,
            say=self.say,
            limit_s=limit_s,
        )

    def check_fed(self, source: Source) -> None:
        """Refuse data that was asked for and has nothing for an input of a network.

        Raises:
            DeploykitError: it has not, the network can't be had, or the data can't be read.
        """
        if self.options.data is not None:
            check_fed(self.options.data, self._network(source))

    def why_unjudged(self, source: Source) -> str | None:
        """Why top-1 of a network can't be measured; None where there are labelled images for it.

        Raises:
            DeploykitError: the network can't be had, or its data can't be read.
        """
        dataset, missing = self._judged_on(self._network(source))
        if dataset is None:
            return missing.text if missing is not None else "there is no data"
        return open_dataset(dataset).unjudged or None

    def judging_images(self, source: Source) -> int | None:
        """How many images judge a network's top-1; None where there is no data.

        Raises:
            DeploykitError: as `why_unjudged`.
        """
        dataset, _ = self._judged_on(self._network(source))
        return None if dataset is None else len(open_dataset(dataset).test)

    def _drift_reference(
        self, network: Network, configuration: Configuration, dataset: str | None
    ) -> Path:
        """What fp32 puts out, made once."""
        name = outputs_name(f"reference-b{configuration.batch}", dataset, REFERENCE)
        reference = network.folder / name
        if not reference.exists():
            self.say(f"drift reference of {network.model.spec.label}")
            make_reference(network.model, reference, dataset=dataset, batch=configuration.batch)
        return reference

    def _judged_on(self, network: Network) -> tuple[str | None, Note | None]:
        trained_on = network.trained_on
        if trained_on not in self._judges:  # once: a download that fails takes its time
            self._judges[trained_on] = judged_on(self.options.data, trained_on)
        return self._judges[trained_on]

    def _accuracy(
        self, network: Network, built: Built, backend: str, dataset: str | None
    ) -> AccuracyRequest | None:
        if dataset is None:
            return None
        scores, limit_s = self.options.scores, self.options.timeout_s
        request = AccuracyRequest(dataset, scores=scores, metric=self.options.metric)
        what = f"predictions-{key_of({'scores': scores})[:8]}" if scores else "predictions"
        path = network.folder / outputs_name(what, dataset, PREDICTIONS)
        if is_reference(network, built, backend):
            return replace(request, predictions=path)
        if not may_have_scores(network.model.outputs) or open_dataset(dataset).unjudged:
            return request
        if not path.exists():
            self.say(f"predictions of {network.model.spec.label} fp32")
        predictions = ensure_predictions(network, request, path, self.store, limit_s)
        return replace(request, reference=predictions)

    def _learned(self, network: Network, dataset: str | None) -> Note | None:
        """What to say where images that a network learned may judge it, looked for once a network and data set."""
        if dataset is None or ":" not in (network.trained_on or ""):
            return None  # of its weights nobody says, or their data is the same anywhere
        spec = network.model.spec
        if (spec, dataset) not in self._redrawn:
            if dataset not in self._hashed:
                self.say(f"training images of {dataset}")
                self._hashed[dataset] = open_dataset(dataset)
            try:
                found = redrawn(self._hashed[dataset], weights.facts(spec))
            except DeploykitError:  # training images that can't be read judge nothing
                found = None
            self._redrawn[spec, dataset] = found
        return self._redrawn[spec, dataset]

    def _metric_fp32(
        self, network: Network, result: WorkerResult, request: AccuracyRequest | None, is_fp32: bool
    ) -> dict[str, Any]:
        """The fp32 network's value of the user's metric, computed once for a network and run."""
        if request is None or request.metric is None:
            return {}
        key = network.model.sha256
        if is_fp32:
            self._metrics[key] = result.columns["metric_value"]
        return {"metric_fp32": self._metric_of(network, request)}

    def _metric_of(self, network: Network, request: AccuracyRequest) -> float:
        """The user's metric of a network in fp32."""
        key = network.model.sha256
        if key not in self._metrics:
            self.say(f"{request.metric} of {network.model.spec.label} fp32")
            metric_only = replace(request, reference=None, predictions=None)
            fp32 = judge_fp32(network, metric_only, self.store, self.options.timeout_s)
            self._metrics[key] = fp32["metric_value"]
        return self._metrics[key]

    def _work(
        self, network: Network, built: Built, row: Row, configuration: Configuration
    ) -> tuple[dict[str, Any], list[Note]]:
        """What the row achieved: operations per second, and how near to the machine's ceilings that is."""
        macs, images_per_s = row.get("macs"), row.get("throughput_ips")
        if not macs or not images_per_s or row.get("pass") not in (None, "forward"):
            return {}, []  # MACs are counted of the forward pass
        if network.facts["chosen"]:
            return {}, []  # the branch that ran may have had less work, as `count_notes` says
        gflops = {"gflops": 2 * macs * images_per_s / 1e9}
        if not self.options.roofline:
            return gflops, []
        columns, notes = self._roofline.columns(
            built.model, network.folder, macs, row, configuration.scenario
        )
        return gflops | columns, notes

    def _samples_path(self, configuration: Configuration) -> Path | None:
        if self.options.samples is None:
            return None
        with output_errors("samples"):
            self.options.samples.mkdir(parents=True, exist_ok=True)
        name = "-".join(configuration.text.replace("/", "_").split())
        # Numbered, as configurations that differ in their weights alone have the same text.
        return self.options.samples / folder_name(
            f"{self.run_id}-{next(self._numbers):03}-{name}", ".npz"
        )
