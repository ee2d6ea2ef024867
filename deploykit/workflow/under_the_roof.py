"""Where a measured row stands under its machine's ceilings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.bench.roofline import Ceilings, bound, ceilings
from deploykit.bench.scenario import Scenario
from deploykit.errors import DeploykitError
from deploykit.spec import OnnxModel
from deploykit.store import write_atomic

if TYPE_CHECKING:
    from deploykit.graph.traffic import Traffic

#: Bumped when traffic is counted in another way.
_VERSION = 1


class Roof:
    """Ceilings and traffic for the rows of one command: each is measured or counted once and kept.

    Args:
        folder: an existing one, for the ceilings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, Ceilings | DeploykitError] = {}

    def ceilings(self, scenario: Scenario) -> Ceilings:
        """The ceilings for as many threads as a scenario computes with; measured at the first call.

        Raises:
            DeploykitError: they can't be measured or kept.
        """
        threads = scenario.threads_in_use(env.usable_cores())
        if threads not in self._known:
            try:
                self._known[threads] = ceilings(self.folder, threads)
            except DeploykitError as error:
                self._known[threads] = error
        found = self._known[threads]
        if isinstance(found, DeploykitError):
            raise found
        return found

    def columns(
        self, model: OnnxModel, folder: Path, macs: int, row: Mapping[str, Any], scenario: Scenario
    ) -> tuple[dict[str, Any], list[str]]:
        """Columns of a measured row, and why they are blank where they are.

        Args:
            model: that the engine was built from.
            folder: where what is counted of it is kept.
            macs: of one image.
            row: with batch, throughput, precision_actual and device.
            scenario: that it was measured in.
        """
        if row["device"] != env.device_name():
            return {}, []  # the ceilings are the processor's
        try:
            moved = counted(model, folder, str(row["precision_actual"]))
            machine = self.ceilings(scenario)
        except DeploykitError as error:
            return {}, [f"no roofline: {error}"]
        if moved is None:
            return {}, ["no roofline: the shape of a tensor is not known"]
        found = bound(
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
            "arithmetic_intensity": found.arithmetic_intensity or None,
            "roofline_fraction": found.roofline_fraction,
            "latency_bound_ms": found.latency_ms,
        }, []


def counted(model: OnnxModel, folder: Path, computed_in: str) -> Traffic | None:
    """The traffic of a graph, counted once and kept in `folder`."""
    from deploykit.graph.traffic import Traffic, traffic

    path = folder / f"traffic-{model.sha256[:12]}-{computed_in}-v{_VERSION}.json"
    try:
        kept = json.loads(path.read_text())
        return None if kept is None else Traffic(**kept)
    except (OSError, ValueError, TypeError):
        found = traffic(model.path, computed_in)
    write_atomic(path, json.dumps(found and asdict(found)) + "\n", "traffic")
    return found
