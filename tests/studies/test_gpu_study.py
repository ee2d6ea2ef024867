"""The trial of a GPU box, step by step on the double of CUDA; nothing of it is written to reports."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cuda_double
import pytest
from cuda_double import onnxruntime as ort_double
from cuda_double import tensorrt as tensorrt_double

from deploykit.backends import get
from deploykit.backends.tensorrt import LISTINGS, OF_INSPECTOR, OF_LOG
from deploykit.backends.tensorrt_layers import compute_types, parse_layers
from deploykit.bench.scenario import Policy, Scenario
from deploykit.errors import UsageError
from deploykit.row import Note, Row
from deploykit.store import EngineManifest, Store
from studies import gpu

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trial(tmp_path):
    policy = Policy(min_s=0.02, max_s=0.2, warmup_s=0.01)
    said = []
    made = gpu.Trial(
        Store(tmp_path / "store"), tmp_path / "listings", 300.0, said.append, ("lenet5",), policy
    )
    made.said = said
    return made


def test_without_a_gpu_it_says_so_and_ends_with_3(cuda, capsys, tmp_path):
    cuda.show(cuda_double.Settings(devices=[]))
    assert gpu.main(["--reports", str(tmp_path / "reports")]) == 3
    assert capsys.readouterr().out.startswith("not run: no GPU")
    assert not (tmp_path / "reports").exists()


def test_a_simulated_device_writes_no_report(cuda, capsys, tmp_path, trial):
    assert gpu.main(["--reports", str(tmp_path / "reports")]) == 3
    assert "simulated" in capsys.readouterr().out
    trial.rows.append(Row({"status": "ok", "device": cuda_double.DEVICE_NAME}))
    with pytest.raises(UsageError, match="simulated"):
        gpu.write(trial, tmp_path / "reports")
    assert list((tmp_path / "reports").iterdir()) == []


def test_the_box_is_described(cuda):
    text = gpu.describe_box()
    assert "compute capability 8.9" in text
    assert "onnxruntime" in text


def test_cuda_itself_is_tested(cuda, monkeypatch):
    monkeypatch.setattr(gpu, "CLOCKS", float("inf"))  # the double's events are no clock
    text = gpu.self_test(mib=32, copies=3)
    assert "32 MiB there and back unchanged" in text
    assert "memory grew by 32 MiB and 0 MiB of it stayed" in text


def test_memory_that_is_not_counted_is_a_failure(cuda, trial, monkeypatch):
    monkeypatch.setattr(gpu, "CLOCKS", float("inf"))
    monkeypatch.setattr(gpu, "MEMORY_GAP_MIB", -1)
    monkeypatch.setattr(gpu, "MEMORY_MIB", 4)
    here = lambda module, request, kind, limit_s: gpu.look_at(request)  # noqa: E731
    monkeypatch.setattr(gpu, "run_child", here)
    step = trial.step("CUDA self-test", lambda: gpu.check_cuda(trial))
    assert step.state == "failed"
    assert "not counted as expected" in step.text


def test_the_process_of_the_trial_holds_no_context_on_the_device(cuda, trial, monkeypatch):
    """On an H100 the self-test's context was another process on the device to every row that followed."""

    def opened():
        raise AssertionError("the device was opened here")

    monkeypatch.setattr(gpu, "open_device", opened)
    step = trial.step("CUDA self-test", lambda: gpu.check_cuda(trial))
    assert "opened here" not in step.text
    assert (
        "there and back unchanged" in step.text
    )  # the double's clock is none, so the step may fail


def test_rows_that_time_does_not_last_for_are_counted(cuda, trial, monkeypatch):
    monkeypatch.setattr(gpu, "enumerate_configurations", lambda *wanted: [Wanted(32), Wanted(1)])
    trial.until_s = 0.0
    step = trial.step("torch-cuda", lambda: gpu.check_backend(trial, "torch-cuda"))
    assert step.text.startswith("0 rows, 8 more left out")


def test_a_backend_is_measured_and_judged_and_its_memory_comes_back(cuda, monkeypatch, trial):
    ort_double.install(monkeypatch=monkeypatch, behaviour=ort_double.Behaviour())
    monkeypatch.setattr(gpu, "PRECISIONS", ("fp32",))
    monkeypatch.setattr(gpu, "BATCHES", (1,))
    monkeypatch.setattr(gpu, "STREAMS", (1, 2))
    failed = lambda rows: [str(r.noted("failed")) for r in rows if r["status"] != "ok"]  # noqa: E731
    monkeypatch.setattr(gpu, "faults_of", failed)
    assert dict(gpu.present())["onnxruntime-cuda"] is None
    step = trial.step("onnxruntime-cuda", lambda: gpu.check_backend(trial, "onnxruntime-cuda"))
    assert (step.state, step.text) == ("ok", "3 rows")
    assert {row["device"] for row in trial.rows} == {cuda_double.DEVICE_NAME}
    assert [row["boundary"] for row in trial.rows] == ["end_to_end", "device", "device"]
    assert [row["cuda_graph"] for row in trial.rows] == ["no", "no", "yes"]
    assert all(row["device_peak_mib"] for row in trial.rows)
    step = trial.step("again", lambda: gpu.check_memory_returns(trial, "onnxruntime-cuda"))
    assert step.state == "ok"
    assert "after each of 3 loads" in step.text


def test_loading_again_is_not_begun_in_the_last_seconds(cuda, trial, monkeypatch):
    """On an H200 two seconds were left for it, and what took longer was called a fault."""
    entry = SimpleNamespace(manifest=SimpleNamespace(builder="torch-cuda"), values={}, folder=None)
    monkeypatch.setattr(type(trial.store), "entries", lambda *_: [entry])
    trial.budget_s = 30.0
    step = trial.step("again", lambda: gpu.check_memory_returns(trial, "torch-cuda"))
    assert step.state == "skipped"
    assert "less than loading 3 times takes" in step.text


@dataclasses.dataclass
class Wanted:
    batch: int


REFUSED = Note("failed", "the runtime refuses net", "leave --cuda-graph out")


def row(**changed):
    cells = {
        "model": "net", "precision": "fp16", "precision_actual": "fp16", "batch": 1, "status": "ok",
        "boundary": "end_to_end", "cuda_graph": "no", "drift_snr_db": 60.0, "device_peak_mib": 100.0,
        "latency_min_ms": 1.0, "latency_p50_ms": 1.0, "throughput_ips": 1000.0,
    }  # fmt: skip
    notes = changed.pop("notes", ())
    return Row(cells | changed, notes)


@pytest.mark.parametrize(
    ("others", "fault"),
    [
        ([], None),
        ([{"boundary": "device", "latency_min_ms": 0.5}], None),
        ([{"boundary": "device", "latency_min_ms": 2.0}], "boundary device takes 2 ms"),
        ([{"cuda_graph": "yes", "latency_min_ms": 2.0}], "cuda_graph yes takes 2 ms"),
        ([{"boundary": "device", "latency_min_ms": 2.0, "enqueue_ms": 0.9}], None),
        ([{"batch": 128, "throughput_ips": 500.0}], "500 images/s at batch 128, 1000 at 1"),
        ([{"batch": 128, "throughput_ips": 5000.0}], None),
        ([{"precision_actual": "fp32", "batch": 8}], "computes in fp32"),
        ([{"drift_snr_db": 12.0, "batch": 8}], "has 12 dB, less than 30"),
        ([{"device_peak_mib": None, "batch": 8}], "has no device_peak_mib"),
        ([{"status": "failed", "notes": (Note("failed", "no room"),)}], "failed: no room"),
        ([{"status": "skipped", "notes": (Note("failed", "no GPU"),)}], None),
        ([{"status": "failed", "cuda_graph": "yes", "notes": (REFUSED,)}], None),
        ([{"status": "failed", "cuda_graph": "no", "notes": (REFUSED,)}], "failed: the runtime"),
    ],
)
def test_rows_are_held_against_each_other(others, fault):
    faults = gpu.faults_of([row(), *(row(**one) for one in others)])
    assert (faults == []) is (fault is None)
    assert fault is None or fault in "; ".join(faults)


@pytest.mark.parametrize(
    ("status", "last", "state"),
    [
        (0, "4 passed, 4711 deselected in 9.10s", "ok"),
        (0, "3 passed, 1 skipped, 4711 deselected in 9.10s", "ok"),
        (0, "4 skipped, 4711 deselected in 9.10s", "skipped"),
        (1, "1 failed, 3 passed, 4711 deselected in 9.10s", "failed"),
    ],
)
def test_tests_that_were_all_skipped_are_no_passed_step(trial, monkeypatch, status, last, state):
    done = subprocess.CompletedProcess([], status, f"....\n{last}\n", "")
    monkeypatch.setattr(gpu.subprocess, "run", lambda *command, **options: done)
    step = trial.step("pytest -m gpu", lambda: gpu.run_tests(9.0))
    assert (step.state, last in step.text) == (state, True)


def test_what_is_missing_is_skipped_with_its_reason_and_the_rest_goes_on(trial, cuda, monkeypatch):
    monkeypatch.setattr(gpu, "run_tests", lambda seconds: "2 passed")
    monkeypatch.setattr(gpu, "check_cuda", lambda trial: "fine")
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    gpu.run_trial(trial)
    states = {step.name: step.state for step in trial.steps}
    assert states["pytest -m gpu"] == "ok"
    assert (
        states["onnxruntime-rtx"]
        == states["trtexec"]
        == states["listings of layers"]
        == states["log equals inspector"]
        == "skipped"
    )
    assert "trtexec is not on the PATH" in gpu.markdown(trial)
    assert all(step.text for step in trial.steps)


def test_a_fault_of_a_step_is_a_failure_and_an_end_of_time_a_skip(trial):
    def broken():
        raise ValueError("no such thing")

    assert trial.step("one", broken).state == "failed"
    trial.budget_s = 0.0
    assert trial.step("two", broken).shown == "skipped: the 0 s of the trial are over"


#: A summary in the form of trtexec's own printing (samples/common/sampleReporting.cpp of NVIDIA/TensorRT, and the
#: logs in its issues, 8.x to 10.x), around the median of the compute time; figures are made up.
SUMMARY = """\
[11/20/2026-10:00:00] [I] === Trace details ===
[11/20/2026-10:00:00] [I] Trace averages of 10 runs:
[11/20/2026-10:00:00] [I] Average on 10 runs - GPU latency: 4.2 ms - Host latency: 4.3 ms (enqueue 1.8 ms)
[11/20/2026-10:00:00] [I]
[11/20/2026-10:00:00] [I] === Performance summary ===
[11/20/2026-10:00:00] [I] Throughput: 1900.4 qps
[11/20/2026-10:00:00] [I] Latency: min = 8 ms, max = 9 ms, mean = 8.5 ms, median = 8.4 ms, \
percentile(90%%) = 9 ms, percentile(95%%) = 9 ms, percentile(99%%) = 9 ms
[11/20/2026-10:00:00] [I] Enqueue Time: min = 0.0109863 ms, max = 9 ms, mean = 1 ms, median = 0.5 ms, \
percentile(90%%) = 9 ms, percentile(95%%) = 9 ms, percentile(99%%) = 9 ms
[11/20/2026-10:00:00] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(90%%) = 0 ms
[11/20/2026-10:00:00] [I] GPU Compute Time: min = 5.3e-05 ms, max = 9 ms, mean = 7 ms, median = %s ms, \
percentile(90%%) = 10.2881 ms, percentile(95%%) = 10.8175 ms, percentile(99%%) = 12.9485 ms
[11/20/2026-10:00:00] [I] D2H Latency: min = 0 ms, max = 0.1 ms, mean = 0.01 ms, median = 0.004 ms, \
percentile(90%%) = 0.02 ms
[11/20/2026-10:00:00] [I] Total Host Walltime: 3.00082 s
[11/20/2026-10:00:00] [I] Total GPU Compute Time: 2.96536 s
[11/20/2026-10:00:00] [W] * GPU compute time is unstable, with coefficient of variance = 2.10486%%.
[11/20/2026-10:00:00] [W]   If not already in use, locking GPU clock frequency or adding --useSpinWait may improve \
the stability.
[11/20/2026-10:00:00] [I] Explanations of the performance metrics are printed in the verbose logs.
[11/20/2026-10:00:00] [V] === Explanations of the performance metrics ===
[11/20/2026-10:00:00] [V] GPU Compute Time: the GPU latency to execute the kernels for a query.
[11/20/2026-10:00:00] [V] Total GPU Compute Time: the summation of the GPU Compute Time of all the queries.
[11/20/2026-10:00:00] [I]
&&&& PASSED TensorRT.trtexec [TensorRT v101600] # trtexec --loadEngine=engine.plan
"""


@pytest.mark.parametrize(
    ("median", "ms"),
    [
        ("7.14139", 7.14139),
        ("12", 12.0),
        ("9.5e-05", 9.5e-05),
        ("1.23457e+06", 1.23457e6),
        ("inf", None),
    ],
)
def test_trtexec_is_read(median, ms):
    assert gpu.compute_ms_of(SUMMARY % median) == ms


def test_of_a_trtexec_that_says_nothing_no_time_is_read():
    assert gpu.compute_ms_of(SUMMARY[: SUMMARY.index("=== Performance")] % ()) is None
    assert gpu.compute_ms_of("[E] Error[6]: The engine plan file is not compatible") is None


@pytest.fixture
def measured(tensorrt, trial, monkeypatch):
    """A trial that has measured TensorRT's engine of one network, whose inspector speaks."""
    monkeypatch.setenv(tensorrt_double.INSPECTOR, "1")
    tensorrt("tensorrt-11.4")
    monkeypatch.setattr(gpu, "PRECISIONS", ("fp32",))
    (row,) = gpu.measure(trial, "tensorrt", [Scenario()], (1,))
    assert row["status"] == "ok", row.notes
    assert trial.rows == [row]
    return trial


@pytest.fixture
def trtexec(tmp_path, monkeypatch):
    """Put a program of that name on the PATH; it is a shell script that checks what it is given."""

    def put(script: str) -> None:
        program = tmp_path / "bin" / "trtexec"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\ncase "$1" in --loadEngine=*) [ -s "${{1#--loadEngine=}}" ] || exit 7;; esac\n{script}\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return put


def test_trtexec_is_run_on_the_same_engine_and_its_time_held_against_ours(
    measured, trtexec, monkeypatch
):
    ours = measured.rows[0]["compute_ms"]
    measured.rows[0] = measured.rows[0].plus({"enqueue_ms": 0.0})  # whatever this machine takes
    check = lambda: gpu.check_trtexec(measured)  # noqa: E731
    for factor, state in ((1.0, "ok"), (2.0, "failed")):
        trtexec(f"cat <<'END'\n{SUMMARY % (ours * factor)}END")
        step = measured.step("trtexec", check)
        assert (step.state, "lenet5 fp32" in step.text) == (state, True)
    trtexec("echo '[E] Error[6]: The engine plan file is not compatible'; exit 1")
    step = measured.step("trtexec", check)
    assert step.state == "failed"
    assert "trtexec ended with 1" in step.text
    assert "not compatible" in step.text
    trtexec("exec sleep 60")
    monkeypatch.setattr(gpu, "TRTEXEC_S", 0.1)
    step = measured.step("trtexec", check)
    assert step.state == "failed"
    assert "was not done with lenet5" in step.text


def test_trtexec_is_run_as_a_cuda_graph_where_ours_was_one_and_not_held_against_a_busy_host(
    measured, trtexec
):
    """It enqueues one run ahead, which hides what the host takes; our compute time has it."""
    (row,) = measured.rows
    check = lambda: gpu.check_trtexec(measured)  # noqa: E731
    busy = row.plus({"enqueue_ms": 2 * row["compute_ms"]})
    graph = busy.plus({"cuda_graph": "yes", "compute_ms": row["compute_ms"] / 4})
    measured.rows[:] = [busy]
    trtexec("exit 9")
    step = measured.step("trtexec", check)
    assert (step.state, "the host takes as long to enqueue" in step.text) == ("skipped", True)
    measured.rows[:] = [busy, graph]
    alone = f"""case " $* " in *" --useCudaGraph "*) ;; *) exit 9;; esac
cat <<'END'
{SUMMARY % graph["compute_ms"]}END"""
    trtexec(alone)
    step = measured.step("trtexec", check)
    assert (step.state, "lenet5 fp32" in step.text) == ("ok", True), step.text


def test_what_is_said_of_layers_is_kept_and_log_and_inspector_say_the_same(measured):
    step = measured.step("listings of layers", lambda: gpu.keep_listings(measured))
    assert (step.state, step.text) == ("ok", f"2 listings in {measured.folder}")
    (entry,) = measured.store.entries(EngineManifest)
    (products,) = entry.values["compute_types"].values()
    for name in (OF_LOG, OF_INSPECTOR):
        text = (measured.folder / f"{entry.folder.name}-{name}").read_text()
        layers = parse_layers(text)
        assert len(layers) == entry.values["layers"]
        assert compute_types(layers, products) == entry.values["compute_types"]
    step = measured.step("log equals inspector", lambda: gpu.check_read_back(measured))
    assert step.state == "ok"
    assert step.text == f"the same types for {len(products)} products of 1 engines"


@pytest.mark.parametrize(
    ("name", "change", "state", "says"),
    [
        (
            OF_LOG,
            lambda text: text.replace("Float", "Half"),
            "failed",
            "is fp16 by the log and fp32 by",
        ),
        (
            OF_INSPECTOR,
            lambda text: text.replace("Float", "Half"),
            "failed",
            "fp16 by the inspector",
        ),
        (OF_INSPECTOR, lambda text: '{"Layers": []}', "failed", "no product of which both tell"),
        (OF_INSPECTOR, None, "skipped", "of which both log and inspector speak"),
    ],
)
def test_a_log_and_an_inspector_that_differ_fail_the_step(measured, name, change, state, says):
    (entry,) = measured.store.entries(EngineManifest)
    path = entry.folder / LISTINGS / name
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    step = measured.step("log equals inspector", lambda: gpu.check_read_back(measured))
    assert (step.state, says in step.text) == (state, True), step.text


def test_each_step_is_in_the_reports_as_soon_as_it_is_done(trial, tmp_path):
    reports = tmp_path / "reports"
    trial.done = lambda trial: gpu.write(trial, reports)
    seen = []
    for name in ("one", "two"):
        trial.step(name, lambda: "fine")
        steps = json.loads((reports / "gpu.json").read_text())["steps"]
        seen.append([step["name"] for step in steps])
    assert seen == [["one"], ["one", "two"]]


KILLED = """
import sys, time
from pathlib import Path
from deploykit.store import Store
from studies import gpu
folder = Path(sys.argv[1])
trial = gpu.Trial(Store(folder / "store"), folder / "listings", done=lambda t: gpu.write(t, folder))
for number in range(10**6):
    trial.step(f"step {number}", lambda: "fine")
"""


def test_a_trial_that_is_killed_leaves_a_report_that_can_be_read(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        for _ in range(40):
            process.stdout.readline()
        process.kill()
    assert len(json.loads((tmp_path / "gpu.json").read_text())["steps"]) >= 39
    assert "step 38 | ok" in (tmp_path / "gpu.md").read_text()


def test_a_step_that_hangs_ends_the_trial_with_1_and_is_in_the_report(trial, tmp_path):
    ends, over = [], threading.Event()

    def end(code: int) -> None:
        ends.append(code)
        over.set()

    def hang() -> str:
        assert over.wait(60)
        return "ended"

    with gpu.ending(trial, tmp_path / "reports", 0.05, end):
        trial.step("hanging", hang)
    assert ends == [1]
    (step,) = json.loads((tmp_path / "reports" / "gpu.json").read_text())["steps"]
    assert (step["name"], step["state"]) == ("hanging", "failed")
    assert "0.05 s of the trial were over" in step["text"]


@pytest.mark.parametrize(("works", "code"), [(True, 0), (False, 1)])
def test_a_step_that_fails_ends_the_program_with_1(cuda, monkeypatch, tmp_path, works, code):
    def run(trial: gpu.Trial) -> None:
        trial.step("one", lambda: "fine" if works else str(1 // 0))
        trial.step("two", lambda: "fine")

    monkeypatch.setattr(gpu, "SIMULATED", "no such device")
    monkeypatch.setattr(gpu, "run_trial", run)
    assert gpu.main(["--reports", str(tmp_path)]) == code
    steps = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert [step["state"] for step in steps] == ["ok" if works else "failed", "ok"]


def test_no_step_has_more_time_than_is_left(trial):
    assert trial.within_s(7.0) == 7.0
    trial.budget_s = time.perf_counter() - trial.begun_s + 5.0
    assert 0 < trial.within_s(60.0) <= 5.0
    trial.budget_s = 0.0
    with pytest.raises(gpu.Skipped):
        trial.within_s(60.0)


def test_every_backend_of_a_gpu_is_in_the_trial(cuda):
    names = [name for name, _ in gpu.present()]
    assert {"tensorrt", "tensorrt-rtx", "onnxruntime-cuda", "torch-cuda"} <= set(names)
    assert all(get(name).on_gpu() for name in names)
