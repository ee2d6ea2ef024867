"""From measured values to the profile's columns; a column that can't be filled is None with a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploykit.bench.accuracy import shift_of_labels
from deploykit.bench.output_drift import COARSE_SNR_DB, POOR_SNR_DB
from deploykit.figures import general
from deploykit.lazy import np
from deploykit.row import Note
from deploykit.stats import outliers, percentile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.bench.accuracy import Accuracy, Agreement
    from deploykit.bench.conditions import HostMemory
    from deploykit.bench.metric import MetricValue
    from deploykit.bench.output_drift import Drift
    from deploykit.bench.timing import Timing

#: The percentiles that have a column.
PERCENTILES = (20, 50, 90, 95, 99)
_NS_PER_MS = 1e6
#: Outputs that a note names at most.
NAMED = 3


def of_timing(
    timing: Timing, batch: int, asked: float | None = None
) -> tuple[dict[str, Any], list[Note]]:
    """Columns of a timing, and a note for each percentile that the samples can't support.

    Throughput is in images per second: finished runs in wall time, times the batch.

    Args:
        timing: of a configuration.
        batch: images per run.
        asked: a percentile that was asked for by name.
    """
    samples = timing.samples_ns
    low, high = timing.median_interval_ns
    columns: dict[str, Any] = {
        "warmup_iterations": timing.warmup_iterations,
        "iterations": int(samples.size),
        "latency_mean_ms": float(samples.mean()) / _NS_PER_MS,
        "latency_std_ms": float(samples.std(ddof=1)) / _NS_PER_MS if samples.size > 1 else None,
        "latency_min_ms": float(samples.min()) / _NS_PER_MS,
        "latency_p50_ms": None,
        "latency_p50_low_ms": None,
        "latency_p50_high_ms": None,
        "throughput_ips": timing.runs_per_s * batch,
        "first_run_ms": None if timing.first_ns is None else timing.first_ns / _NS_PER_MS,
    }
    blank = []
    others = [] if asked is None or asked in PERCENTILES else [asked]
    for percent in (*PERCENTILES, *others):
        estimate = percentile(samples, percent)
        value = None if estimate.value is None else estimate.value / _NS_PER_MS
        if percent in PERCENTILES:
            columns[f"latency_p{percent}_ms"] = value
        if percent == asked:
            columns |= {"percentile": percent, "latency_percentile_ms": value}
        if value is None:
            blank.append(f"p{percent:g} (needs {estimate.needed})")
    notes = []
    if blank:
        text = f"{samples.size} runs are too few for {', '.join(blank)}; measure longer"
        notes.append(Note("missing", text, "--seconds, --percentile"))
    if columns["latency_p50_ms"] is not None:
        columns["latency_p50_low_ms"] = low / _NS_PER_MS
        columns["latency_p50_high_ms"] = high / _NS_PER_MS
    return columns, notes


def of_phases(
    phases: Mapping[str, NDArray[np.float64]] | None, why: str = ""
) -> tuple[dict[str, Any], list[Note]]:
    """Columns of the parts of a run on a device, medians in ms.

    Args:
        phases: milliseconds by column; None where they were not told apart.
        why: they were not, on a device; empty where there is none.
    """
    if phases is None:
        text = f"h2d_ms, compute_ms, d2h_ms and enqueue_ms are blank: {why}"
        return {}, [Note("missing", text)] if why else []
    medians = {name: float(np.median(values)) for name, values in phases.items()}
    enqueue_ms, compute_ms = medians.get("enqueue_ms", 0.0), medians.get("compute_ms", 0.0)
    if enqueue_ms <= compute_ms:
        return medians, []
    text = (
        f"enqueueing a run takes the host {general(enqueue_ms)} ms, its compute the device "
        f"{general(compute_ms)} ms"
    )
    return medians, [Note("runtime", text, "--cuda-graph, or a larger --batch")]


def details_of_timing(timing: Timing) -> dict[str, Any]:
    """What a timing says beyond columns and findings: outliers, conditions, how long it took."""
    return {
        "outliers": int(outliers(timing.samples_ns).sum()),
        "conditions": vars(timing.conditions),
        "elapsed_s": timing.elapsed_s,
    }


def of_memory(memory: HostMemory) -> tuple[dict[str, Any], list[Note]]:
    """Columns of the host's memory in MiB; those of the device are blank here."""
    columns: dict[str, Any] = {
        "host_peak_mib": memory.peak_mib,
        "host_delta_mib": memory.delta_mib,
        "device_context_mib": None,
        "device_peak_mib": None,
    }
    for phase in ("load", "warmup", "run"):
        usage = memory.phases.get(phase)
        columns[f"host_{phase}_mib"] = usage.growth_mib if usage is not None else None
    notes = []
    if memory.peak_mib is None:
        text = "host_peak_mib is blank: this system does not show a process' peak memory"
        notes.append(Note("missing", text))
    elif memory.delta_mib is None:
        text = "host_delta_mib is blank: this system does not let the peak be reset"
        notes.append(Note("missing", text))
    elif memory.phases and all(phase.growth_mib is None for phase in memory.phases.values()):
        text = "memory by phase is blank: this system does not let the peak be reset"
        notes.append(Note("missing", text))
    return columns, notes


def of_drift(
    drift: Drift,
    source: str,
    *,
    converted: bool = True,
    calibrated: bool = True,
    steps: bool = False,
    exact: bool = False,
) -> tuple[dict[str, Any], list[Note]]:
    """Columns of the drift from the reference that `source` describes.

    Args:
        drift: of the outputs.
        source: what they were compared with.
        converted: whether the engine is in another precision than the network, so that layers can be kept.
        calibrated: whether ranges were chosen for it.
        steps: whether its recipe can do more than choose ranges, see `--int8`.
        exact: whether engine and reference both compute in float32, so that only the order of sums may differ.
    """
    worst = drift.worst
    coarse = exact and drift.snr_db is not None and drift.snr_db < COARSE_SNR_DB
    columns = {
        "drift_reference": source,
        "drift_max_abs": drift.max_abs,
        "drift_cosine": drift.cosine,
        "drift_snr_db": drift.snr_db,
        "drift_kl": drift.kl,
        "top1_agreement": drift.top1_agreement,
        "drift_worst_output": None if worst is None else worst.name,
        "drift_worst_snr_db": None if worst is None else worst.snr_db,
        "drift_state": None
        if worst is None
        else ("poor" if drift.poor else "coarse" if coarse else "ok"),
    }
    notes = []
    if coarse and not drift.poor:
        text = f"drift of {drift.snr_db:.3g} dB is more than the rounding of float32 explains"
        remedy = "products may be rounded to TF32 or bfloat16, or near ties decide: see layers, or give real inputs"
        notes.append(Note("drift", text, remedy))
    if drift.poor:
        named = ", ".join(f"{one.name} {one.snr_db:.3g} dB" for one in drift.poor[:NAMED])
        more = f" and {len(drift.poor) - NAMED} more" if len(drift.poor) > NAMED else ""
        text = f"drift is poor: {named}{more}, below {POOR_SNR_DB:g} dB"
        notes.append(Note("drift", text, _remedy(converted, calibrated, steps)))
    for one in drift.outputs:
        if one.left_out:
            what = "is not compared" if one.snr_db is None else "is compared in part"
            notes.append(Note("missing", f"output {one.name} {what}: {one.left_out}"))
    if drift.top1_agreement is None:
        text = (
            "top1_agreement and drift_kl are blank: the first output is not one row of class scores"
        )
        notes.append(Note("missing", text))
    if drift.snr_db is None:
        text = "drift_snr_db is blank: the reference's outputs are all zero"
        if drift.max_abs is None:
            text = "drift is blank: no output can be compared"
        notes.append(Note("missing", text))
    return columns, notes


def _remedy(converted: bool, calibrated: bool, steps: bool) -> str:
    if not converted:
        return "give real inputs with --input or --data: only the order of sums differs"
    if not calibrated:
        return "--keep or --keep-drift"
    more = "--int8 default,rounding, " if steps else ""
    return f"--keep, --keep-drift, {more}or another --calibration-method"


def of_accuracy(
    accuracy: Accuracy, dataset: str, agreed: Agreement | None
) -> tuple[dict[str, Any], list[Note]]:
    """Columns of accuracy, as fractions; agreement on the data takes the place of that on the reference."""
    columns: dict[str, Any] = {
        "dataset": dataset,
        "top1": accuracy.top1,
        "top1_low": accuracy.top1_low,
        "top1_high": accuracy.top1_high,
        "top5": accuracy.top5,
        "test_images": accuracy.images,
    }
    if agreed is not None:
        columns["top1_agreement"] = agreed.share
        columns["mcnemar_p"] = agreed.p_value
    notes = []
    if accuracy.top5 is None:
        notes.append(Note("missing", "top5 is blank: there are fewer than 6 classes"))
    if (shifted := shift_of_labels(accuracy)) is not None:
        notes.append(_shifted_note(accuracy.top1, *shifted))
    return columns, notes


def _shifted_note(top1: float, shift: int, share: float) -> Note:
    """What a row says where labels and outputs seem to be numbered from different numbers."""
    step = "plus" if shift > 0 else "minus"
    text = (
        f"{top1:.0%} of the predictions are the label and {share:.0%} the label {step} one, as where "
        f"{'the first output is the background' if shift > 0 else 'labels are numbered from 1'}"
    )
    return Note("data", text, f"labels {'+' if shift > 0 else '-'} 1")


def of_metric(name: str, metric: MetricValue, dataset: str) -> dict[str, Any]:
    """Columns of a metric of the user's own; that of the fp32 network is added by who knows it."""
    return {
        "dataset": dataset,
        "metric": name,
        "metric_value": metric.value,
        "metric_low": metric.low,
        "metric_high": metric.high,
        "test_images": metric.images,
    }


def unreadable_note(unreadable: Sequence[str], part: str) -> Note:
    """What a row says of images that could not be judged: how many, and the first of them."""
    one = len(unreadable) == 1
    text = (
        f"{len(unreadable)} {'image' if one else 'images'} of the {part} part can't be read and "
        f"{'was' if one else 'were'} left out (first: {unreadable[0]})"
    )
    return Note("data", text)
