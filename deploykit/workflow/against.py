"""One configuration against another, interleaved block by block: what finds small changes on a noisy machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit import codec, env, zoo
from deploykit.backends import get
from deploykit.backends.base import check_offered
from deploykit.bench.interleaved import TIMEOUT_S, InterleavedComparison, compare_interleaved
from deploykit.bench.request import WorkerRequest
from deploykit.columns import NAMES, SCHEMA_VERSION
from deploykit.errors import MissingDependency, UnknownName, UsageError
from deploykit.row import Note, Row
from deploykit.spec import BuildOptions, InputChoice, ModelFile, ModelSpec, Reason, options_text
from deploykit.workflow.configuration import Configuration
from deploykit.workflow.plan import Source, is_file, plan
from deploykit.workflow.profile import Profiler
from deploykit.workflow.ranges import BATCH, STREAMS, THREADS
from deploykit.workflow.rows import gpu_cells

#: What an option set may change, and how its text becomes a value.
OPTIONS = ("precision", "backend", "batch", "threads", "streams")

_AMOUNTS = {"batch": BATCH, "threads": THREADS, "streams": STREAMS}


@dataclass(frozen=True)
class Sides:
    """The outcome: the base's row, the judged one's, and the comparison of the two."""

    base: Row
    head: Row
    comparison: InterleavedComparison


def other_side(text: str, head: Configuration) -> Configuration | Path:
    """What `--against` means: a configuration that differs from `head` in what `text` says, or an engine.

    Args:
        text: an .onnx file, the folder of a built engine, a precision, an option set such as
            `precision=int8,threads=1` or `ort.allow_spinning=0`, or another MODEL.
        head: what is judged; all that `text` leaves open is as here, input size and classes of another MODEL, too.

    Raises:
        UsageError: it is none of these, or says nothing that differs.
    """
    from deploykit.graph.precision import precisions
    from deploykit.workflow.choices import Variants

    folder = Path(text)
    if folder.is_dir() and (folder / "manifest.json").is_file():
        return folder
    if "=" in text:
        other = _with_options(text, head)
    elif text in {recipe.name for recipe in precisions()}:
        other = replace(head, precision=text)
    else:
        try:
            sources = plan([text], Variants(inputs=_inputs_for(text, head)))
        except UnknownName as error:
            if is_file(text):
                raise
            raise UsageError(
                f"--against {text} is no .onnx file, engine folder, precision, option set "
                f"(precision=int8,threads=1) or network: {error}"
            ) from error
        if len(sources) > 1:
            raise UsageError(f"--against {text} means {len(sources)} networks: name one of them")
        other = replace(head, source=_as_given_for(head, text, sources[0]))
    if other == head:
        raise UsageError(f"--against {text} is the very same configuration: change something")
    return other


def _inputs_for(text: str, head: Configuration) -> InputChoice:
    """What is said of the inputs of the head's file, for another file: both are to take the same."""
    if is_file(text) and isinstance(head.source, ModelFile):
        return head.source.inputs
    return InputChoice()


def _as_given_for(head: Configuration, text: str, other: Source) -> Source:
    """Another network at the input size, and with the classes, that were given for the head's.

    What takes more pixels, or has more classes, takes longer. The same network stays as it is: it is what the given
    one is compared with.

    Raises:
        UsageError: it takes no other size than its own.
    """
    from deploykit.workflow.choices import Variants

    ours = head.source
    if not isinstance(ours, ModelSpec) or not isinstance(other, ModelSpec):
        return other
    if ours.name == other.name:
        return other
    size_px = ours.resolution_px if ours.rho == 1 else zoo.input_shape(ours)[1]
    return plan([text], Variants(resolution_px=size_px, num_classes=ours.num_classes))[0]


def _with_options(text: str, head: Configuration) -> Configuration:
    changed, told = head, dict[str, str]()
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if "." in name:
            told[name] = value
            continue
        if name not in OPTIONS:
            raise UnknownName("option in --against", name, OPTIONS)
        if name == "precision":
            changed = replace(changed, precision=value)
            continue
        if name == "backend":
            changed = replace(changed, backend=value)
            continue
        amount = int(_AMOUNTS[name].read(value, f"--against {name}"))
        if name == "batch":
            changed = replace(changed, batch=amount)
        else:
            option: dict[str, Any] = {name: amount}
            changed = replace(changed, scenario=replace(changed.scenario, **option))
    backend = get(changed.backend)
    own = {option.name for option in backend.run_options}
    kept = {name: value for name, value in head.options if name in own}
    return replace(changed, options=backend.chosen_options(tuple({**kept, **told}.items())))


def check_sides(sides: Sequence[Configuration | Path]) -> None:
    """Refuse what can't be measured in turns, before any work is done.

    Raises:
        UsageError: a scenario of several streams or with arrivals, or a precision, a pass or a boundary that a
            backend lacks.
        MissingDependency: a backend can't run here.
    """
    from deploykit.workflow.build import check_precisions, require_available

    for side in sides:
        if isinstance(side, Path):
            continue
        if side.scenario.streams != 1 or side.scenario.rate_per_s is not None:
            raise UsageError(
                "--against compares the latency of single requests: leave --streams and --rate out"
            )
        backend = get(side.backend)
        check_precisions([side.precision], [backend.target])
        check_offered([backend], [side.precision])
        backend.check_pass(side.run_pass)
        backend.check_measured_as(side.scenario.boundary, cuda_graph=side.scenario.cuda_graph)
        require_available([backend])


def compare_sides(
    profiler: Profiler,
    head: Configuration,
    other: Configuration | Path,
    *,
    threshold: float,
    budget_s: float,
) -> Sides:
    """Build both sides and compare `head` with `other`, which is the base.

    Args:
        profiler: builds, and knows how to measure.
        head: what is judged.
        other: the base, from `other_side`.
        threshold: relative change of latency that matters.
        budget_s: for blocks and loads.

    Raises:
        DeploykitError: a side can't be built or measured.
    """
    head_row, request = profiler.prepared(head)
    base_row, base = (
        _of_engine(other, head, request, profiler.run_id)
        if isinstance(other, Path)
        else profiler.prepared(other)
    )
    for side in (base, request):
        device = get(side.backend).device()
        if isinstance(device, Reason):
            raise MissingDependency(str(device))
    profiler.say(f"compare, in turns, for about {budget_s:.0f} s")
    limit_s = profiler.options.timeout_s or TIMEOUT_S
    comparison = compare_interleaved(
        base, request, threshold=threshold, budget_s=budget_s, timeout_s=limit_s
    )
    rows = []
    for row, result, side, role in (
        (base_row, comparison.a, base, "base"),
        (head_row, comparison.b, request, "judged"),
    ):
        done = {
            "status": "ok",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": result.details["device"],
        }
        if side.samples_path is not None and side.samples_path.exists():
            folder = profiler.options.report_folder
            done["samples"] = os.path.relpath(side.samples_path, folder)
        rows.append(
            row.plus(
                {**result.columns, **done, **gpu_cells(get(side.backend))},
                [Note("compared", f"interleaved, {role}: {sentence(comparison)}"), *result.notes],
                findings=result.findings,
            )
        )
    return Sides(rows[0], rows[1], comparison)


def _of_engine(
    folder: Path, head: Configuration, request: WorkerRequest, run_id: str
) -> tuple[Row, WorkerRequest]:
    """The row and request of an engine that lies built in a folder, measured as the head's request says."""
    from deploykit.bench.worker import open_engine

    engine = open_engine(folder)
    manifest = engine.manifest
    cells = {
        "schema": SCHEMA_VERSION,
        "run_id": run_id,
        "env_id": env.env_id(),
        "repeat": 1,
        "backend_version": get(manifest["builder"]).version(),
        "pass": request.run_pass,
        "cuda_graph": "yes" if request.cuda_graph else "no",
        "model": manifest["model"]["name"],
        "alpha": manifest["model"]["alpha"],
        "rho": manifest["model"]["rho"],
        "weights": manifest["model"]["weights"],
        "precision": manifest["precision"],
        "precision_actual": engine.precision_actual,
        "target": manifest["target"],
        "backend": manifest["builder"],
        "onnx_bytes": manifest["onnx_bytes"],
        "engine_bytes": manifest["bytes"],
        "batch": request.batch,
        "engine_options": codec.from_values(manifest.get("options", {}), BuildOptions).differences(
            request.batch
        ),
    }
    own = {option.name for option in get(manifest["builder"]).run_options}
    told = tuple((name, value) for name, value in head.options if name in own)
    cells["options"] = options_text(told)
    of_base = replace(
        request, engine=folder, backend=manifest["builder"], options=told, samples_path=None
    )
    return Row(cells), of_base


def sentence(comparison: InterleavedComparison) -> str:
    """The comparison in one line."""
    ratio = comparison.ratio
    return (
        f"{comparison.verdict}: {ratio.ratio:.3f} times the base's latency, "
        f"{ratio.confidence:.0%} interval {ratio.low:.3f} to {ratio.high:.3f}, "
        f"{comparison.plan.units} fresh loads of both sides, threshold {comparison.threshold:.1%}"
    )


def as_values(sides: Sides) -> dict[str, Any]:
    """The outcome as plain values, for JSON."""
    comparison = sides.comparison
    return {
        "verdict": comparison.verdict,
        **{field.name: getattr(comparison.ratio, field.name) for field in fields(comparison.ratio)},
        "threshold": comparison.threshold,
        "units": comparison.plan.units,
        "pairs_per_unit": comparison.plan.pairs,
        "elapsed_s": comparison.elapsed_s,
        "base": {name: sides.base[name] for name in NAMES},
        "judged": {name: sides.head[name] for name in NAMES},
    }
