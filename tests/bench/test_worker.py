"""Rows that worker processes measure: what is in them, and how they fail."""

from __future__ import annotations

import numpy as np
import pytest

from deploykit.bench.channel import WorkerFailure
from deploykit.bench.reference import make_reference
from deploykit.bench.request import AccuracyRequest, WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.codec import from_json, to_json

SHORT = Policy(warmup_s=0.01, warmup_max_s=0.2, window_s=0.005, min_s=0.05, max_s=0.5, block_s=0.01)


def test_a_row_has_every_measured_column(engine, tiny, tmp_path):
    model = tiny.as_model(tmp_path / "model.onnx", tiny.classifier())
    request = WorkerRequest(
        engine.folder,
        "onnxruntime",
        threads=1,
        policy=SHORT,
        drift_reference=make_reference(model, tmp_path / "reference.npz"),
        accuracy=AccuracyRequest("digits", limit=64),
        samples_path=tmp_path / "samples.npz",
    )
    result = run_worker(request, 60)
    columns = result.columns
    assert columns["iterations"] >= 130
    assert 0 < columns["latency_min_ms"] <= columns["latency_p50_ms"] <= columns["latency_p95_ms"]
    assert (
        columns["latency_p50_low_ms"] <= columns["latency_p50_ms"] <= columns["latency_p50_high_ms"]
    )
    assert columns["latency_min_ms"] < columns["latency_mean_ms"]
    elapsed_s = result.details["elapsed_s"]
    assert columns["throughput_ips"] == pytest.approx(columns["iterations"] / elapsed_s)
    # The runs themselves take most of the time, and never more than passed.
    assert 0.5 < columns["throughput_ips"] * columns["latency_mean_ms"] / 1000 <= 1
    assert columns["host_peak_mib"] > columns["host_delta_mib"] > 0
    assert columns["device_peak_mib"] is None
    assert columns["boundary"] == "end_to_end"
    assert columns["threads"] == 1
    assert columns["drift_max_abs"] < 1e-4
    assert "32 standard normal inputs" in columns["drift_reference"]
    assert columns["dataset"] == "digits/test"
    assert columns["top1_low"] <= columns["top1"] <= columns["top1_high"]
    assert columns["top1"] <= columns["top5"]
    assert all(finding.name and finding.seen and finding.remedy for finding in result.findings)
    with np.load(tmp_path / "samples.npz") as stored:
        samples_ns = stored["samples_ns"]
    assert samples_ns.dtype == np.int64
    assert len(samples_ns) == columns["iterations"]
    assert samples_ns.mean() / 1e6 == pytest.approx(columns["latency_mean_ms"])


def test_agreement_and_mcnemar_refer_to_the_predictions_of_another_row(engine, tmp_path):
    wanted = AccuracyRequest("digits", limit=100, predictions=tmp_path / "fp32.npz")
    run_worker(WorkerRequest(engine.folder, "onnxruntime", policy=SHORT, accuracy=wanted), 60)
    with np.load(tmp_path / "fp32.npz") as stored:
        labels, predictions = stored["labels"], stored["predictions"].copy()
    wrong = int(np.flatnonzero(predictions != labels)[0])
    predictions[wrong] = labels[wrong]  # a reference that has one image more right
    np.savez(tmp_path / "better.npz", predictions=predictions, labels=labels)
    wanted = AccuracyRequest("digits", limit=100, reference=tmp_path / "better.npz")
    result = run_worker(
        WorkerRequest(engine.folder, "onnxruntime", policy=SHORT, accuracy=wanted), 60
    )
    assert result.columns["top1_agreement"] == 0.99
    assert result.details["mcnemar"]["only_reference"] == 1
    assert result.details["mcnemar"]["only_this"] == 0


def test_unsupported_percentiles_are_blank_with_a_note(engine, plugin):
    brief = Policy(warmup_s=0.01, window_s=0.005, min_s=0.01, max_s=0.1)
    result = run_worker(WorkerRequest(engine.folder, "steady", policy=brief), 60)
    assert result.columns["iterations"] < 662
    assert result.columns["latency_p99_ms"] is None
    assert any(note.kind == "missing" and "p99 (needs 662)" in note.text for note in result.notes)


def test_streams_keep_as_many_requests_in_flight_as_they_are(engine, plugin):
    policy = Policy(warmup_s=0.02, window_s=0.002, min_s=0.2, max_s=0.4, block_s=0.01)
    result = run_worker(
        WorkerRequest(engine.folder, "steady", streams=4, batch=2, policy=policy), 60
    )
    columns = result.columns
    assert columns["streams"] == 4
    # Little's law: requests in flight are their rate times their latency.
    in_flight = columns["throughput_ips"] / 2 * columns["latency_mean_ms"] / 1000
    assert in_flight == pytest.approx(4, rel=0.2)


def test_outputs_that_are_not_finite_fail_with_exit_code_4(engine, tiny, plugin, tmp_path):
    model = tiny.as_model(tmp_path / "model.onnx", tiny.classifier())
    reference = make_reference(model, tmp_path / "reference.npz")
    request = WorkerRequest(engine.folder, "overflowing", policy=SHORT, drift_reference=reference)
    with pytest.raises(
        WorkerFailure, match=r"'logits' has .* values that are not finite"
    ) as caught:
        run_worker(request, 60)
    assert caught.value.exit_code == 4
    assert caught.value.cause == "DriftFailed"


def test_a_missing_engine_is_said_in_one_line(tmp_path):
    with pytest.raises(WorkerFailure, match="holds no whole engine; build it again") as caught:
        run_worker(WorkerRequest(tmp_path / "nothing", "onnxruntime"), 60)
    assert caught.value.exit_code == 2


def test_samples_that_can_not_be_kept_are_said_in_one_line(engine, plugin, tmp_path):
    samples = tmp_path / "missing" / "samples.npz"
    with pytest.raises(WorkerFailure, match=r"can't write .*samples\.npz: no such file"):
        run_worker(WorkerRequest(engine.folder, "steady", policy=SHORT, samples_path=samples), 60)


def test_a_request_survives_the_way_to_the_worker(tmp_path):
    request = WorkerRequest(
        tmp_path / "engine",
        "onnxruntime",
        batch=4,
        threads=2,
        streams=3,
        policy=Policy.quick(),
        rate_per_s=30.0,
        run_pass="forward_backward",
        drift_reference=tmp_path / "reference.npz",
        accuracy=AccuracyRequest("digits", limit=5, predictions=tmp_path / "p.npz"),
        samples_path=tmp_path / "samples.npz",
    )
    assert from_json(to_json(request), WorkerRequest) == request
