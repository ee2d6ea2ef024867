from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from interrupts import interrupt, start, wait_until

from deploykit.bench.policy import Policy
from deploykit.bench.reference import make_reference
from deploykit.bench.runner import AccuracyRequest, WorkerFailure, WorkerRequest, run_worker

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
    assert columns["throughput_ips"] == pytest.approx(1000 / columns["latency_mean_ms"], rel=0.3)
    assert columns["host_peak_mib"] > columns["host_delta_mib"] > 0
    assert columns["device_peak_mib"] is None
    assert columns["boundary"] == "end_to_end"
    assert columns["threads"] == 1
    assert columns["drift_max_abs"] < 1e-4
    assert "32 standard normal inputs" in columns["drift_reference"]
    assert columns["dataset"] == "digits/test"
    assert columns["top1_low"] <= columns["top1"] <= columns["top1_high"]
    assert columns["top1"] <= columns["top5"]
    assert columns["stability"].startswith(("stable", "unstable: "))
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


def test_what_a_library_prints_can_not_get_into_the_result(engine, plugin):
    result = run_worker(WorkerRequest(engine.folder, "chatty", policy=SHORT), 60)
    assert result.columns["boundary"] == "device"


@pytest.mark.parametrize(
    ("backend", "kind", "exit_code", "words"),
    [
        ("killed", "killed", 1, "was killed (SIGKILL), most likely out of memory"),
        ("crashing", "crashed", 1, "crashed (SIGSEGV): assertion failed in the runtime"),
        ("raising", "error", 1, "RuntimeError in deploykit_faults.py"),
        ("exhausted", "error", 1, "out of memory; take a smaller batch"),
        ("rubbish", "rubbish", 1, "answered b'rubbish'"),
        ("exiting", "crashed", 1, "ended with status 7: licence expired"),
        ("absent", "error", 3, "no device is here; plug one in"),
        ("broken", "error", 2, "'broken' of deploykit_faults:Missing does not load"),
        ("unheard-of", "error", 2, "unknown backend 'unheard-of'"),
    ],
)
def test_each_way_to_fail_is_one_line(engine, plugin, backend, kind, exit_code, words):
    with pytest.raises(WorkerFailure) as caught:
        run_worker(WorkerRequest(engine.folder, backend, policy=SHORT), 60)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.kind, caught.value.exit_code) == (kind, exit_code)


def test_an_unforeseen_error_leaves_its_traceback_in_the_log(engine, plugin):
    with pytest.raises(WorkerFailure) as caught:
        run_worker(WorkerRequest(engine.folder, "raising", policy=SHORT), 60)
    assert "Traceback" in caught.value.log
    assert "second line" in caught.value.log


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


def test_a_hung_worker_is_killed_with_all_that_it_started(engine, plugin):
    noted = engine.path.with_name("grandchild")
    limit_s = 1
    while not noted.exists():  # a busy machine needs longer until the worker hangs
        limit_s *= 2
        start_s = time.monotonic()
        with pytest.raises(
            WorkerFailure, match=f"no result after {limit_s} s; raise --timeout"
        ) as e:
            run_worker(WorkerRequest(engine.folder, "hung", policy=SHORT), limit_s)
        assert e.value.kind == "timeout"
        assert time.monotonic() - start_s < 300  # it would hang for 600 s
    assert_dead(int(noted.read_text()))


def test_ctrl_c_kills_the_worker_and_passes_on(engine, plugin, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "from deploykit.bench.runner import WorkerRequest, run_worker\n"
        "try:\n"
        "    run_worker(WorkerRequest.from_json(json.loads(sys.argv[1])), 60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    request = json.dumps(WorkerRequest(engine.folder, "hung", policy=SHORT).to_json())
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])}
    parent = start([sys.executable, str(program), request], env=environment)
    noted = engine.path.with_name("grandchild")
    grandchild = int(wait_until(lambda: noted.exists() and noted.read_text(), parent))
    interrupt(parent)
    assert parent.returncode == 130
    assert_dead(grandchild)


def test_the_worker_dies_with_a_parent_that_is_killed(engine, plugin, tmp_path):
    program = "import json, sys; from deploykit.bench.runner import *; run_worker("
    program += "WorkerRequest.from_json(json.loads(sys.argv[1])), 60)"
    request = json.dumps(WorkerRequest(engine.folder, "hung", policy=SHORT).to_json())
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])}
    parent = start([sys.executable, "-c", program, request], env=environment)
    noted = engine.path.with_name("grandchild")
    grandchild = int(wait_until(lambda: noted.exists() and noted.read_text(), parent))
    worker = int(Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[1])
    parent.kill()
    parent.wait()
    assert_dead(worker)
    os.kill(grandchild, signal.SIGKILL)


def test_the_parent_uses_next_to_no_processor_time_while_it_waits(engine, plugin):
    policy = Policy(warmup_s=0.05, window_s=0.005, min_s=1.0, max_s=2.0)
    run_worker(WorkerRequest(engine.folder, "steady", policy=SHORT), 60)  # imports are done
    before = time.process_time()
    run_worker(WorkerRequest(engine.folder, "steady", policy=policy), 60)
    # Processor time, of which looking again and again would take the whole second.
    assert time.process_time() - before < 0.2


def test_a_missing_engine_is_said_in_one_line(tmp_path):
    with pytest.raises(WorkerFailure, match="holds no whole engine; build it again") as caught:
        run_worker(WorkerRequest(tmp_path / "nothing", "onnxruntime"), 60)
    assert caught.value.exit_code == 2


def test_samples_that_can_not_be_kept_are_said_in_one_line(engine, plugin, tmp_path):
    samples = tmp_path / "missing" / "samples.npz"
    with pytest.raises(WorkerFailure, match=r"can't write .*samples\.npz: no such file"):
        run_worker(WorkerRequest(engine.folder, "steady", policy=SHORT, samples_path=samples), 60)


def test_the_parent_imports_nothing_heavy():
    code = (
        "import sys, deploykit.bench.runner\n"
        "print(sorted({'numpy', 'torch', 'onnx', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_request_survives_the_way_to_the_worker(tmp_path):
    request = WorkerRequest(
        tmp_path / "engine",
        "onnxruntime",
        batch=4,
        threads=2,
        streams=3,
        policy=Policy.quick(),
        feeds={"kind": "dataset", "name": "digits"},
        drift_reference=tmp_path / "reference.npz",
        accuracy=AccuracyRequest("digits", limit=5, predictions=tmp_path / "p.npz"),
        samples_path=tmp_path / "samples.npz",
    )
    assert WorkerRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


def assert_dead(pid: int) -> None:
    """Wait until the process has ended: killing is not waiting."""
    stat = Path(f"/proc/{pid}/stat")

    def ended() -> bool:
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(ended)
