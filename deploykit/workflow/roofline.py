"""Where a measured row stands under its machine's roofline."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.bench.roofline import Ceilings, bound, ceilings
from deploykit.bench.scenario import Scenario
from deploykit.code_digest import code_digest
from deploykit.errors import DeploykitError
from deploykit.graph.traffic import Traffic, traffic
from deploykit.row import Note
from deploykit.spec import OnnxModel
from deploykit.writing import write_atomic


class Roofline:
    """Ceilings and traffic for the rows of one command: each is measured or counted once.

    Args:
        folder: an existing one, for the ceilings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, Ceilings | DeploykitError] = {}

    def ceilings(self, scenario: Scenario) -> Ceilings:
        """The ceilings for as many threads as a scenario computes with; measured at the first call.

        Raises:
            DeploykitError: they can't be measured or stored.
        """
        threads = scenario.threads_in_use(env.usable_cores())
        if threads not in self._known:
            try:
                self._known[threads] = ceilings(self.folder, threads)
            except DeploykitError as error:
                self._known[threads] = error
        machine = self._known[threads]
        if isinstance(machine, DeploykitError):
            raise machine
        return machine

    def columns(
        self, model: OnnxModel, folder: Path, macs: int, row: Mapping[str, Any], scenario: Scenario
    ) -> tuple[dict[str, Any], list[Note]]:
        """Columns of a measured row, and why they are blank where they are.

        Args:
            model: that the engine was built from.
            folder: where its traffic is stored.
            macs: of one image.
            row: with batch, throughput, precision_actual and device.
            scenario: that it was measured in.
        """
        if row["device"] != env.device_name():
            return {}, []  # the ceilings are the processor's
        try:
            moved = traffic_of(model, folder, str(row["precision_actual"]))
            machine = self.ceilings(scenario)
        except DeploykitError as error:
            return {}, [Note("roofline", f"no roofline: {error}")]
        if moved is None:
            return {}, [Note("roofline", "no roofline: the shape of a tensor is not known")]
        reached = bound(
            macs,
            moved.weight_bytes,
            moved.activation_bytes,
            batch=row["batch"],
            images_per_s=row["throughput_ips"],
            precision=str(row["precision_actual"]),
            ceilings=machine,
            working_set_bytes=moved.weight_bytes + 2 * moved.largest_bytes * row["batch"],
        )
        return {
            "arithmetic_intensity": reached.arithmetic_intensity or None,
            "roofline_fraction": reached.roofline_fraction,
            "latency_bound_ms": reached.latency_ms,
        }, []


def traffic_of(model: OnnxModel, folder: Path, computed_in: str) -> Traffic | None:
    """The traffic of a graph, counted once and stored in `folder`."""
    code = code_digest(traffic.__module__)[:12]
    path = folder / f"traffic-{model.sha256[:12]}-{computed_in}-{code}.json"
    kind: Any = Traffic | None  # null where a graph can't be counted
    with contextlib.suppress(OSError, codec.MalformedMessage):
        stored: Traffic | None = codec.read_json(path, kind)
        return stored
    moved = traffic(model.path, computed_in)
    write_atomic(path, codec.to_json(moved) + b"\n", "traffic")
    return moved
