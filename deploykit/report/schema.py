"""The columns of a profile: their order, what they mean and their units. One row is one configuration.

A value that was not measured is blank, never 0; `status` is `ok`, `failed` or `skipped`, the last two with a
reason. Other tools rely on the names: a change of meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1

#: A row: column name to value; a missing one and None are blank.
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its name, the type of its values ("text", "int", "float") and what it says."""

    name: str
    kind: str
    meaning: str


def _columns(kind: str, text: str) -> list[Column]:
    pairs = (line.partition(":") for line in text.strip().splitlines())
    return [Column(name.strip(), kind, meaning.strip()) for name, _, meaning in pairs]


COLUMNS: tuple[Column, ...] = (
    *_columns("int", "schema: version of these columns"),
    *_columns(
        "text",
        """
        run_id: the command that made the row; the same for all of its rows
        timestamp: when the row was finished, UTC, ISO 8601
        status: ok, failed or skipped
        reason: why not ok, why a column is blank, what to beware of
        model: catalogue name, or stem of the .onnx file
        """,
    ),
    *_columns("float", "alpha: width multiplier"),
    *_columns(
        "text",
        """
        rho: resolution multiplier, a fraction
        weights: random (seeded), trained (shipped), torchvision, timm, file, or a checkpoint's name
        precision: what was asked for
        precision_actual: what convolutions and matrix products compute in, read back from the engine
        target: whose recipe the graph follows
        backend: what built the engine and runs it
        backend_version: of that
        device: what it ran on; blank if it did not run
        env_id: the machine, described in env.json
        """,
    ),
    *_columns(
        "int",
        """
        batch: images per run
        threads: that the runtime computes with
        streams: concurrent requests
        """,
    ),
    *_columns(
        "text", "boundary: end_to_end (host buffer to host buffer) or device (the compute alone)"
    ),
    *_columns(
        "int",
        """
        parameters: trainable values of the FP32 network
        macs: multiply-accumulates for one image, convolutions and matrix products, without bias
        onnx_bytes: size of the graph that the engine was built from
        engine_bytes: size of the engine
        """,
    ),
    *_columns("float", "build_s: seconds the build took when it was done"),
    *_columns(
        "int",
        """
        warmup_iterations: runs before measuring
        iterations: runs measured
        """,
    ),
    *_columns(
        "float",
        """
        latency_mean_ms: of one run of the whole batch
        latency_std_ms: standard deviation
        latency_min_ms: the quickest run
        latency_p50_ms: median
        latency_p50_low_ms: lower end of the median's 95% bootstrap interval
        latency_p50_high_ms: upper end
        latency_p90_ms: 90% of the runs are at most this long
        latency_p95_ms: 95%
        latency_p99_ms: 99%
        """,
    ),
    *_columns("text", "stability: stable, or what makes the timing doubtful"),
    *_columns(
        "float",
        """
        throughput_ips: images per second
        host_peak_mib: peak memory of the measuring process
        host_delta_mib: of that, above what it needed before the engine was loaded
        device_context_mib: device memory of the context
        device_peak_mib: peak of device memory
        """,
    ),
    *_columns("text", "drift_reference: what the outputs are compared with"),
    *_columns(
        "float",
        """
        drift_max_abs: largest absolute difference of an output value
        drift_cosine: cosine similarity of the outputs, those of all images as one vector
        drift_snr_db: signal-to-noise ratio
        top1_agreement: share of images with the same first class as the reference
        """,
    ),
    *_columns("text", "dataset: that accuracy was measured on"),
    *_columns(
        "float",
        """
        top1: share of test images whose first class is right
        top1_low: lower end of its 95% Wilson interval
        top1_high: upper end
        top5: share of test images with the right class among the first five
        gflops: 2 x macs x throughput, in 10^9 per second
        arithmetic_intensity: FLOPs per byte of weights and activations that any runtime has to move
        roofline_fraction: gflops as a share of what this machine's ceilings allow
        """,
    ),
    *_columns("text", "calibration: where the ranges of a quantised graph came from"),
    *_columns("text", "pass: what one run does: forward, or forward_backward"),
    *_columns(
        "float", "rate_per_s: requests arriving per second; blank where each waits for the last"
    ),
    *_columns("int", "repeat: which of the processes that measured this configuration, from 1"),
    *_columns(
        "float",
        """
        latency_bound_ms: the least latency that this machine's ceilings allow
        host_load_mib: while the engine was loaded, peak memory above what was in use before
        host_warmup_mib: the same while it was warmed up, buffers included
        host_run_mib: the same while it was measured
        drift_kl: mean Kullback-Leibler divergence of the softmax from the reference's, in nats
        mcnemar_p: p of McNemar's test that this and the reference are equally often right
        precision_share: share of convolutions and matrix products that compute in the precision asked for
        """,
    ),
    *_columns("text", "samples: file of every latency of the row, beside the report"),
    *_columns(
        "float", "latency_p20_ms: 20% of the runs are at most this long; what `compare` judges"
    ),
    *_columns("int", "test_images: how many top1 and top5 were measured on"),
    *_columns("text", "kept: nodes that were left in fp32 on request"),
    *_columns(
        "text", "constraint: what --constraint asked, whether it holds, and of those the chosen"
    ),
)

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
KINDS: Mapping[str, str] = {column.name: column.kind for column in COLUMNS}


def text_of(value: Any) -> str:
    """A cell: blank for None, six significant digits for fractions, one line for text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return " ".join(str(value).split())
