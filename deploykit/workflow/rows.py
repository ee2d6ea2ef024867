"""What a row says beside its measurement: configuration, network, engine, roofline, and notes on them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.backends import BackendBase, get
from deploykit.backends.building import precision_share
from deploykit.bench.contain import READING_LIMIT_S, contained
from deploykit.bench.feeds import batch_run
from deploykit.bench.roofline import Ceilings, bound, ceilings, gpu_ceilings
from deploykit.bench.scenario import Scenario
from deploykit.code_digest import code_digest
from deploykit.columns import SCHEMA_VERSION
from deploykit.cuda import devices
from deploykit.errors import DeploykitError, InvalidModel, MissingDependency
from deploykit.graph.traffic import Traffic, traffic
from deploykit.graph.values import inputs_text
from deploykit.row import Note, Row
from deploykit.spec import Engine, ModelSpec, OnnxModel, options_text
from deploykit.text import file_name
from deploykit.workflow.choices import EngineChoice
from deploykit.workflow.configuration import Configuration
from deploykit.workflow.convert import kept_text, out_of_range_text, rounding_text
from deploykit.workflow.network import Network
from deploykit.writing import write_atomic

#: Nodes that a note names at most.
LEFT_NAMED = 5


def configuration_cells(
    configuration: Configuration, build: EngineChoice, run_id: str
) -> dict[str, Any]:
    """What is known of a row that may yet fail; `build` and `run_id` are those of the command.

    Raises:
        UnknownName: there is no such backend.
    """
    source = configuration.source
    spec = source if isinstance(source, ModelSpec) else None
    backend = get(configuration.backend)
    options = build.at_batch(configuration.batch).restricted_to(backend.build_options)
    return {
        "schema": SCHEMA_VERSION,
        "run_id": run_id,
        "env_id": env.env_id(),
        # Of a file as its engines have it, where bytes are no UTF-8, too.
        "model": source.name if isinstance(source, ModelSpec) else file_name(source.stem),
        "alpha": spec.alpha if spec else None,
        "rho": str(spec.rho) if spec else None,
        "weights": weights_text(spec.weights) if spec else "file",
        "precision": configuration.precision,
        "target": backend.target,
        "backend": configuration.backend,
        "backend_version": backend.version(),
        "batch": configuration.batch,
        **vars(configuration.scenario),
        "cuda_graph": "yes" if configuration.scenario.cuda_graph else "no",
        "engine_options": options.differences(configuration.batch),
        "options": options_text(configuration.options),
        "repeat": configuration.repeat,
        "pass": configuration.run_pass,
    }


def network_cells(network: Network, batch: int) -> dict[str, Any]:
    """What was counted in the FP32 graph, and what its inputs are fed at a batch."""
    counts = {"parameters": network.facts["parameters"], "macs": macs_of(network)}
    return counts | {"batch": batch, "inputs": inputs_text(network.model.inputs, batch)}


def at_fixed_batch(
    network: Network, configuration: Configuration
) -> tuple[Configuration, list[Note]]:
    """The configuration at the batch that the network's file insists on, where another than 1 is not asked for."""
    batch = batch_run(network.model.inputs, network.model.outputs, configuration.batch)
    if batch == configuration.batch:
        return configuration, []
    note = Note("inputs", f"the graph takes batch {batch} only, so that is what was run")
    return replace(configuration, batch=batch), [note]


def macs_of(network: Network) -> int | None:
    """The MACs of one image; None where some could not be counted, so that the sum is a lower bound."""
    return None if network.facts["uncounted"] else int(network.facts["macs"])


def count_notes(network: Network) -> list[Note]:
    """What the counts leave open, and what they suppose."""
    remarks = "; ".join(network.facts.get("remarks", ()))
    if network.facts["uncounted"]:
        names = ", ".join(network.facts["uncounted"])
        text = f"macs, gflops and roofline are blank: {network.facts['macs']:,} MACs and those of {names}"
        return [Note("missing", f"{text} ({remarks})" if remarks else text)]
    notes = [Note("counted", remarks)] if remarks else []
    if network.facts["chosen"]:
        names = ", ".join(network.facts["chosen"])
        text = f"gflops and roofline are blank: what runs of {names} depends on values, and macs are of the most"
        notes.append(Note("missing", text))
    return notes


def gpu_cells(backend: BackendBase) -> dict[str, Any]:
    """The NVIDIA device that a backend's engines run on here; nothing for those on the processor."""
    gpu = devices.selected() if backend.on_gpu() else None
    return {} if gpu is None else {"gpu": devices.find().describe(gpu)}


def engine_cells(engine: Engine, precision: str) -> dict[str, Any]:
    """What an engine is: its sizes in bytes, seconds to build it, and how much of it is in `precision`."""
    manifest: Mapping[str, Any] = engine.manifest
    return {
        "precision_actual": engine.precision_actual,
        "onnx_bytes": manifest["onnx_bytes"],
        "engine_bytes": manifest["bytes"],
        "build_s": manifest["build_s"],
        "calibration": manifest["calibration"],
        "kept": kept_text(manifest["recipe"]),
        "precision_share": precision_share(
            manifest["compute_types"], precision, manifest.get("compute_macs")
        ),
    }


def emulated_note(engine: Engine, precision: str) -> Note | None:
    """What to know of an engine that emulates `precision`; None where it does not."""
    if not engine.manifest.get("emulated"):
        return None
    actual = engine.precision_actual
    if engine.manifest.get("rounded"):
        text = (
            f"emulated: computed in {actual} and rounded to {precision} after each operator, so the accuracy "
            f"is that of {precision} but the latency says nothing about {precision} hardware"
        )
    else:
        text = (
            f"emulated: computed in {actual}, where only the weights are sure to be rounded to {precision}: "
            f"neither accuracy nor latency is a statement about {precision} hardware"
        )
    return Note("emulated", text)


def types_note(engine: Engine) -> Note | None:
    """Where `precision_actual` is not read back from the engine, that it is not; None where it is."""
    why = engine.manifest.get("types_not_read_back")
    if not why:
        return None
    text = (
        f"precision_actual is not read back from the engine: {why}; it is that of the graph, which a strongly "
        "typed network keeps, and of the provider that the profile names for each node"
    )
    return Note("runtime", text, "--backend tensorrt, which reads it back")


def wider_types_note(engine: Engine) -> Note | None:
    """What the runtime computes in a wider type than was asked for, by its own limits; None where nothing is."""
    wider_nodes = engine.manifest.get("left")
    if not wider_nodes:
        return None
    precision, more = engine.manifest["precision"], len(wider_nodes) - LEFT_NAMED
    named = ", ".join(wider_nodes[:LEFT_NAMED]) + (f" and {more} more" if more > 0 else "")
    text = f"computed in {engine.precision_actual}: {named} has no {precision} form in this runtime"
    return Note("kept", text)


def rounding_note(model: OnnxModel) -> Note | None:
    """What rounding the weights cost; None where nothing was lost or nothing was rounded."""
    text = rounding_text(model)
    return None if text is None else Note("rounding", text)


def out_of_range_note(model: OnnxModel) -> Note | None:
    """Which nodes stay in fp32 without having been asked for; None where there are none."""
    text = out_of_range_text(model)
    return None if text is None else Note("kept", text)


def kept_products_note(model: OnnxModel) -> Note | None:
    """Which products the recipe has no form for in the precision, and why; None where it has one for all."""
    reasons: Sequence[str] = model.recipe.get("kept_because", ())
    if not reasons:
        return None
    more = f" and {len(reasons) - LEFT_NAMED} more" if len(reasons) > LEFT_NAMED else ""
    count = "1 product stays" if len(reasons) == 1 else f"{len(reasons)} products stay"
    text = f"{count} in fp32: {'; '.join(reasons[:LEFT_NAMED])}{more}"
    return Note("kept", text)


def weights_text(weights: str) -> str:
    """What the `weights` column says: a keyword, or the name of the checkpoint without its folders."""
    return Path(weights).name


def unmeasured(row: Row, error: DeploykitError) -> Row:
    """A row that could not be measured: skipped for want of a package, or failed, with the command's exit code."""
    note = Note("failed", str(error))
    if isinstance(error, MissingDependency):
        return row.plus({"status": "skipped"}, [note])
    return row.plus({"status": "failed"}, [note], exit_code=error.exit_code)


def exit_code(rows: Sequence[Row]) -> int:
    """What a command that made `rows` ends with: 0, the worst failure's code, or 3 if nothing could run."""
    failed = [row for row in rows if row["status"] == "failed"]
    if failed:
        return max(row.exit_code for row in failed)
    if rows and all(row["status"] == "skipped" for row in rows):
        return MissingDependency.exit_code
    return 0


class Roofline:
    """Ceilings and traffic for the rows of one command: each is measured or counted once.

    Args:
        folder: an existing one, for the ceilings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, Ceilings | DeploykitError] = {}

    def ceilings(self, scenario: Scenario, *, on_gpu: bool = False) -> Ceilings:
        """The ceilings of the GPU, or for as many threads as a scenario computes with; measured at the first call.

        Raises:
            DeploykitError: they can't be measured or stored.
        """
        threads = 0 if on_gpu else scenario.threads_in_use(env.usable_cores())
        if threads not in self._known:
            try:
                self._known[threads] = (
                    gpu_ceilings(self.folder) if on_gpu else ceilings(self.folder, threads)
                )
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
            row: with backend, batch, throughput, precision_actual and device.
            scenario: that it was measured in.
        """
        on_gpu = get(str(row["backend"])).on_gpu()
        if not on_gpu and row["device"] != env.device_name():
            return {}, []  # the ceilings are the processor's
        try:
            machine = self.ceilings(scenario, on_gpu=on_gpu)
            graph_traffic = traffic_of(model, folder, str(row["precision_actual"]))
        except DeploykitError as error:
            return {}, [Note("roofline", f"no roofline: {error}")]
        if graph_traffic is None:
            return {}, [Note("roofline", "no roofline: the shape of a tensor is not known")]
        roofline_point = bound(
            macs,
            graph_traffic.weight_bytes,
            graph_traffic.activation_bytes,
            batch=row["batch"],
            images_per_s=row["throughput_ips"],
            precision=str(row["precision_actual"]),
            ceilings=machine,
            working_set_bytes=graph_traffic.weight_bytes
            + 2 * graph_traffic.largest_bytes * row["batch"],
        )
        return {
            "arithmetic_intensity": roofline_point.arithmetic_intensity or None,
            "roofline_fraction": roofline_point.roofline_fraction,
            "latency_bound_ms": roofline_point.latency_ms,
        }, []


def traffic_of(model: OnnxModel, folder: Path, computed_in: str) -> Traffic | None:
    """The traffic of a graph, counted once and stored in `folder`."""
    code = code_digest(traffic.__module__)[:12]
    path = folder / f"traffic-{model.sha256[:12]}-{computed_in}-{code}.json"
    kind: Any = Traffic | None  # null where a graph can't be counted
    with contextlib.suppress(OSError, codec.MalformedMessage):
        stored: Traffic | None = codec.read_json(path, kind)
        return stored
    graph_traffic = contained(
        traffic_of_file,
        model.path,
        computed_in,
        doing=f"counting the traffic of {model.spec.label}",
        failed=InvalidModel,
        limit_s=READING_LIMIT_S,
    )
    write_atomic(path, codec.to_json(graph_traffic) + b"\n", "traffic")
    return graph_traffic


def traffic_of_file(path: Path, computed_in: str) -> Traffic | None:
    """The traffic of the graph in a file, in a type; see `graph.traffic.traffic`."""
    return traffic(path, computed_in)
