"""Child processes: whatever becomes of them, the parent gets an answer or one line."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cuda_double
import pytest
from interrupts import interrupt, start, wait_until

from deploykit.bench import channel
from deploykit.bench.channel import WorkerFailure, run_child
from deploykit.bench.request import WorkerRequest, WorkerResult, run_worker
from deploykit.bench.scenario import Policy
from deploykit.codec import to_json

ANSWERS = "deploykit_answers"
SHORT = Policy(warmup_s=0.01, warmup_max_s=0.2, window_s=0.005, min_s=0.05, max_s=0.5, block_s=0.01)


def test_what_a_library_prints_can_not_get_into_the_result(engine, plugin):
    result = run_worker(WorkerRequest(engine.folder, "chatty", policy=SHORT), 60)
    assert result.columns["boundary"] == "device"


@pytest.mark.parametrize(
    ("backend", "kind", "exit_code", "words"),
    [
        ("killed", "killed", 1, "was killed (SIGKILL), most likely out of memory"),
        ("crashing", "crashed", 1, "crashed (SIGSEGV): assertion failed in the runtime"),
        ("raising", "error", 1, "RuntimeError in deploykit_faults.py"),
        ("unwritable", "error", 4, "/tmp/cache: no space left on device; check the disk"),
        ("exhausted", "error", 1, "out of memory; take a smaller batch"),
        ("malformed", "malformed", 1, "answered b'malformed'"),
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
        "import sys\n"
        "from deploykit.bench.request import WorkerRequest, WorkerResult, run_worker\n"
        "from deploykit.codec import from_json\n"
        "try:\n"
        "    run_worker(from_json(sys.argv[1], WorkerRequest), 60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    request = to_json(WorkerRequest(engine.folder, "hung", policy=SHORT)).decode()
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])}
    parent = start([sys.executable, str(program), request], env=environment)
    noted = engine.path.with_name("grandchild")
    grandchild = int(wait_until(lambda: noted.exists() and noted.read_text(), parent))
    interrupt(parent)
    assert parent.returncode == 130
    assert_dead(grandchild)


def test_the_worker_dies_with_a_parent_that_is_killed(engine, plugin, tmp_path):
    program = "import sys; from deploykit.bench.request import *; from deploykit.codec import *; run_worker("
    program += "from_json(sys.argv[1], WorkerRequest), 60)"
    request = to_json(WorkerRequest(engine.folder, "hung", policy=SHORT)).decode()
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


def test_no_module_of_bench_imports_anything_heavy_by_itself():
    names = [f"deploykit.bench.{path.stem}" for path in Path(channel.__file__).parent.glob("*.py")]
    code = (
        f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
        "print(sorted({'numpy', 'torch', 'onnx', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=cuda_double.environment_without(),
    )
    assert "deploykit.bench.worker" in names
    assert shown.stdout.strip() == "[]"


def test_a_process_that_a_dead_worker_left_behind_holds_nobody_up(engine, plugin):
    with pytest.raises(WorkerFailure) as caught:
        run_worker(WorkerRequest(engine.folder, "leaving", policy=SHORT), 300)
    left = int(engine.path.with_name("left").read_text())
    assert caught.value.kind == "killed"
    assert Path(
        f"/proc/{left}"
    ).exists()  # it still held the pipe open when the worker was given up
    os.kill(left, signal.SIGKILL)


def test_questions_and_answers_may_be_larger_than_a_pipe(plugin):
    text = "question " * 2**17
    assert run_child(ANSWERS, ("echo", text), str, 60) == text
    assert run_child(ANSWERS, ("large", ""), str, 60) == "x" * 2**21


def test_an_answer_may_be_infinite(plugin):
    assert run_child(ANSWERS, ("infinite", ""), float, 60) == math.inf


def test_a_child_that_closes_its_answers_has_time_to_end_by_itself(plugin):
    """It was killed meanwhile, and said to have been out of memory."""
    with pytest.raises(WorkerFailure, match="ended with status 3") as caught:
        run_child(ANSWERS, ("leaving", ""), str, 60)
    assert caught.value.kind == "crashed"


def test_an_answer_of_another_type_is_malformed(plugin):
    with pytest.raises(WorkerFailure, match="the same version of deploykit") as caught:
        run_child(ANSWERS, ("echo", ""), WorkerResult, 60)
    assert caught.value.kind == "malformed"


def test_an_answer_that_has_no_json_form_is_an_error_of_the_worker(plugin):
    with pytest.raises(WorkerFailure, match=r"TypeError in codec\.py.*no JSON form") as caught:
        run_child(ANSWERS, ("object", ""), str, 60)
    assert caught.value.kind == "error"


def test_a_result_cut_off_by_a_limit_is_malformed(plugin, monkeypatch):
    monkeypatch.setattr(channel, "_MAX_ANSWER_BYTES", 2**20)
    with pytest.raises(WorkerFailure, match="which is no result") as caught:
        run_child(ANSWERS, ("large", ""), str, 60)
    assert caught.value.kind == "malformed"


def test_a_worker_is_waited_for_without_process_descriptors_too(plugin, engine, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    assert run_child(ANSWERS, ("echo", "yes"), str, 60) == "yes"
    with pytest.raises(WorkerFailure, match="was killed"):
        run_worker(WorkerRequest(engine.folder, "killed", policy=SHORT), 60)


def assert_dead(pid: int) -> None:
    """Wait until the process has ended: killing is not waiting."""
    stat = Path(f"/proc/{pid}/stat")

    def ended() -> bool:
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(ended)
