"""Profiles: one row per configuration, each measured in a process of its own."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.backends import get
from deploykit.backends.base import BackendBase
from deploykit.bench.feeds import may_have_scores
from deploykit.bench.reference import make_reference
from deploykit.bench.request import AccuracyRequest, WorkerRequest, WorkerResult, run_worker
from deploykit.data import open_dataset
from deploykit.errors import DeploykitError, OutputFailed
from deploykit.row import Note, Row
from deploykit.spec import BuildOptions, ModelSpec, Reason
from deploykit.store import Store, key_of
from deploykit.text import folder_name
from deploykit.workflow.build import Built, build_network
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.judge import (
    PREDICTIONS,
    REFERENCE,
    SlowerThanFp32,
    ensure_predictions,
    is_reference,
    judge_fp32,
    judged_on,
    outputs_name,
)
from deploykit.workflow.machine import core_findings, core_notes
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.plan import Source
from deploykit.workflow.rows import (
    Roofline,
    at_fixed_batch,
    counted_notes,
    emulated_note,
    left_note,
    losses_note,
    of_configuration,
    of_engine,
    of_network,
    unmeasured,
    values_note,
)
from deploykit.writing import output_errors

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
        self._slower = SlowerThanFp32()

    def rows(self, wanted: Sequence[Configuration]) -> Iterator[Row]:
        """One row per configuration, as each is finished; a failure is a row with its reason.

        Raises:
            OutputFailed: the store can't be written; no further row could be made either.
            KeyboardInterrupt: passes through; the rows until then were yielded.
        """
        networks: dict[Source, Network | DeploykitError] = {}
        for configuration in wanted:
            row = Row(of_configuration(configuration, self.run_id))
            try:
                network = self._network(configuration.source, networks)
                wanted_here, fixed = at_fixed_batch(network, configuration)
                notes = [*network.notes, *fixed, *counted_notes(network)]
                row = row.plus(of_network(network, wanted_here.batch), notes)
                backend = get(configuration.backend)
                built = self._build(network, wanted_here, backend)
                row = row.plus(of_engine(built.engine, configuration.precision))
                row = self._measure(row, network, built, backend, wanted_here)
            except OutputFailed:
                raise
            except DeploykitError as error:
                row = unmeasured(row, error)
            yield row.plus({"timestamp": datetime.now(UTC).isoformat(timespec="seconds")})

    def prepared(self, wanted: Configuration) -> tuple[Row, WorkerRequest]:
        """A row as it stands before it is measured, and the request that would time it, and no more.

        Raises:
            DeploykitError: it can't be exported, converted or built.
        """
        network, backend = self._network(wanted.source, {}), get(wanted.backend)
        wanted, fixed = at_fixed_batch(network, wanted)
        built = self._build(network, wanted, backend)
        known = of_configuration(wanted, self.run_id) | of_network(network, wanted.batch)
        row = Row(known | of_engine(built.engine, wanted.precision), (*network.notes, *fixed))
        return row, self._request(built, wanted)

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
        network = known[source]
        if isinstance(network, DeploykitError):
            raise network
        return network

    def _build(self, network: Network, wanted: Configuration, backend: BackendBase) -> Built:
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
        self, row: Row, network: Network, built: Built, backend: BackendBase, wanted: Configuration
    ) -> Row:
        device = backend.device()
        if isinstance(device, Reason):
            return row.plus({"status": "skipped"}, [Note("failed", str(device))])
        dataset, missing = self._judged_on(network)
        name = outputs_name(f"reference-b{wanted.batch}", dataset, REFERENCE)
        reference = network.folder / name
        if not reference.exists():
            self.say(f"drift reference of {network.model.spec.label}")
            make_reference(network.model, reference, dataset=dataset, batch=wanted.batch)
        self.say(f"measure {wanted.text}")
        request = self._request(built, wanted)
        # Outputs are the engine's, not the process': one of the repeats judges them.
        same = replace(wanted, repeat=1)
        judge = same not in self._judged
        if judge:
            accuracy = self._accuracy(network, built, wanted.backend, dataset)
            request = replace(request, drift_reference=reference, accuracy=accuracy)
        result = run_worker(request, self.options.timeout_s)
        itself = is_reference(network, built, wanted.backend)
        row = row.plus(self._metric_fp32(network, result, request.accuracy, itself))
        self._judged.add(same)
        earlier = Note("missing", "drift and accuracy are in an earlier repeat's row")
        notes = [
            emulated_note(built.engine, wanted.precision),
            *result.notes,
            missing,
            None if judge else earlier,
            left_note(built.engine),
            losses_note(built.model),
            values_note(built.model),
            *core_notes(wanted.scenario),
        ]
        row = row.plus(
            {"status": "ok", "device": device, "boundary": "end_to_end"}
            | {name: value for name, value in result.columns.items() if value is not None},
            [note for note in notes if note is not None],
            findings=(*result.findings, *core_findings(wanted.scenario)),
        )
        samples = request.samples_path
        if samples is not None and samples.exists():
            row = row.plus({"samples": os.path.relpath(samples, self.options.report_folder)})
        row = row.plus(*self._work(network, built, row, wanted))
        slower = self._slower.note(
            replace(wanted, precision="fp32"),
            wanted.precision,
            row,
            built.engine.path,
            network.model.path,
        )
        return row if slower is None else row.plus(notes=[slower])

    def _request(self, built: Built, wanted: Configuration) -> WorkerRequest:
        """What a worker is asked for to time an engine, and no more."""
        return WorkerRequest(
            engine=built.engine.path.parent,
            backend=wanted.backend,
            batch=wanted.batch,
            **vars(wanted.scenario),
            run_pass=wanted.run_pass,
            policy=self.options.policy,
            samples_path=self._samples_path(wanted),
        )

    def _judged_on(self, network: Network) -> tuple[str | None, Note | None]:
        trained_on = network.dataset
        if trained_on not in self._judges:  # once: a download that fails takes its time
            self._judges[trained_on] = judged_on(self.options.data, trained_on)
        return self._judges[trained_on]

    def _accuracy(
        self, network: Network, built: Built, backend: str, dataset: str | None
    ) -> AccuracyRequest | None:
        if dataset is None:
            return None
        scores, limit_s = self.options.scores, self.options.timeout_s
        asked = AccuracyRequest(dataset, scores=scores, metric=self.options.metric)
        what = f"predictions-{key_of({'scores': scores})[:8]}" if scores else "predictions"
        path = network.folder / outputs_name(what, dataset, PREDICTIONS)
        if is_reference(network, built, backend):
            return replace(asked, predictions=path)
        if not may_have_scores(network.model.outputs) or open_dataset(dataset).unjudged:
            return asked
        if not path.exists():
            self.say(f"predictions of {network.model.spec.label} fp32")
        found = ensure_predictions(network, asked, path, self.store, limit_s)
        return replace(asked, reference=found)

    def _metric_fp32(
        self, network: Network, result: WorkerResult, asked: AccuracyRequest | None, itself: bool
    ) -> dict[str, Any]:
        """The fp32 network's value of the user's metric, computed once for a network and run."""
        if asked is None or asked.metric is None:
            return {}
        key = network.model.sha256
        if itself:
            self._metrics[key] = result.columns["metric_value"]
        elif key not in self._metrics:
            self.say(f"{asked.metric} of {network.model.spec.label} fp32")
            alone = replace(asked, reference=None, predictions=None)
            fp32 = judge_fp32(network, alone, self.store, self.options.timeout_s)
            self._metrics[key] = fp32["metric_value"]
        return {"metric_fp32": self._metrics[key]}

    def _work(
        self, network: Network, built: Built, row: Row, wanted: Configuration
    ) -> tuple[dict[str, Any], list[Note]]:
        """What the row achieved: operations per second, and how near to the machine's ceilings that is."""
        macs, images_per_s = row.get("macs"), row.get("throughput_ips")
        if not macs or not images_per_s or row.get("pass") not in (None, "forward"):
            return {}, []  # MACs are counted of the forward pass
        gflops = {"gflops": 2 * macs * images_per_s / 1e9}
        if not self.options.roofline:
            return gflops, []
        columns, notes = self._roofline.columns(
            built.model, network.folder, macs, row, wanted.scenario
        )
        return gflops | columns, notes

    def _samples_path(self, wanted: Configuration) -> Path | None:
        if self.options.samples is None:
            return None
        with output_errors("samples"):
            self.options.samples.mkdir(parents=True, exist_ok=True)
        name = "-".join(wanted.text.replace("/", "_").split())
        # Numbered, as configurations that differ in their weights alone have the same text.
        return self.options.samples / folder_name(
            f"{self.run_id}-{next(self._numbers):03}-{name}", ".npz"
        )
