"""What goes wrong on a device while `deploykit profile` measures there: a row or one line, and its exit code.

2 is a wrong request, 3 what is missing here (a device, the right to it, a driver that is new enough; a device that
is gone is missing, too), 4 what failed (no memory in a row, a call that TensorRT answers with false).
The device is simulated, in processes of their own as ever; what is left on it at the end of one, and whatever was
done wrong there, fails the test.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import onnx
import pytest
from cuda_double import DEVICE_NAME, DeviceFacts, Settings
from cuda_double import tensorrt as tensorrt_double

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from test_tensorrt_session import product

BRIEF = ("--seconds", "0.1", "--no-roofline", "-q")
TENSORRT = ("--backend", "tensorrt")
SECOND = DeviceFacts(uuid="GPU-d1d1d1d1-0000-4000-8000-000000000001")


@pytest.fixture
def profile(run, tensorrt, cuda, tmp_path, monkeypatch):
    """Profile a small network on a device of these settings; TensorRT answers `refused` calls with false."""
    installed = set()

    def call(*options, settings=None, refused="", surface="tensorrt-11.4"):
        if surface not in installed:
            tensorrt(surface)
            installed.add(surface)
        cuda.show(settings or Settings())
        monkeypatch.setenv(tensorrt_double.REFUSE, refused)
        monkeypatch.setenv("COLUMNS", "400")
        onnx.save(product(), tmp_path / "net.onnx")
        backend = () if "--backend" in options else TENSORRT
        store = ("--store", str(tmp_path / "engines"))
        ended = run("profile", "net.onnx", *backend, *BRIEF, *store, *options)
        assert "Traceback" not in ended.err + ended.out
        return ended

    return call


def in_one_line(ended, *texts):
    """Whether a line on stderr has what is wrong and what to do."""
    return any(all(text in line for text in texts) for line in ended.err.splitlines())


@pytest.mark.parametrize(
    ("settings", "options", "code", "says", "remedy"),
    [
        ({"devices": []}, (), 3, "no NVIDIA GPU is visible", "check nvidia-smi"),
        ({"driver_cuda": 12060}, (), 3, "too old", "update it to 580 or later"),
        ({"devices": [DeviceFacts(), SECOND]}, ("--device", "7"), 2, "--device 7", "choose one of"),
        ({"fail": {"cudaSetDevice": 46}}, (), 3, "exclusive-process mode", "end that process"),
        ({"gone_after": 60}, (), 3, "GPU is gone", "see nvidia-smi and dmesg"),
        (
            {"fail": {"cudaMalloc": 2}, "fail_after": {"cudaMalloc": 1}},
            (),
            4,
            "out of memory",
            "take a smaller batch",
        ),
        (
            {"fail": {"cudaStreamSynchronize": 700}, "fail_after": {"cudaStreamSynchronize": 9}},
            ("--streams", "2"),
            4,
            "everything on the device is lost",
            "run it again",
        ),
        (
            {"fail": {"cudaEventElapsedTime": 999}},
            (),
            3,
            "the driver failed",
            "see nvidia-smi and dmesg",
        ),
        ({}, ("--cuda-graph", "--backend", "onnxruntime"), 2, "has no CUDA graphs", "use --backend"),
        (
            {},
            ("--backend", "tensorrt-rtx", "--compute-capability", "8.6"),
            3,
            "built for compute capability 8.6",
            "build it with --compute-capability 8.9",
        ),
    ],
    ids=[
        "none", "too old", "no such", "exclusive", "gone", "memory", "streams", "events", "graphs",
        "foreign",
    ],
)  # fmt: skip
def test_a_fault_of_the_device_is_one_line_with_the_remedy_and_its_exit_code(
    profile, cuda, settings, options, code, says, remedy
):
    surface = "tensorrt-rtx-1.7" if "tensorrt-rtx" in options else "tensorrt-11.4"
    ended = profile(*options, settings=Settings(**settings), surface=surface)
    assert ended.code == code
    assert in_one_line(ended, says, remedy), ended.err


@pytest.mark.parametrize(
    ("refused", "says", "remedy"),
    [
        ("deserialize_cuda_engine", "just built.*out of memory", "end what else is on the device"),
        ("create_execution_context", "OutOfMemory", "take a smaller batch"),
        ("set_input_shape", "Static dimension mismatch", "build the engine again"),
        ("set_tensor_address", "address", "build the engine again"),
        ("execute_async_v3", "API Usage Error", "build the engine again"),
    ],
)
def test_what_tensorrt_answers_with_false_fails_the_row_by_the_reason_of_its_log(
    profile, refused, says, remedy
):
    ended = profile(refused=refused)
    assert ended.code == 4
    assert re.search(f"{says}.*; .*{remedy}", ended.err), ended.err
    assert "version None" not in ended.err


def test_a_plan_that_was_damaged_in_the_store_fails_its_row_and_says_what_to_delete(
    profile, tmp_path
):
    assert profile().code == 0
    (plan,) = tmp_path.glob("engines/*/engine.plan")
    # Of the same size; one that is cut is made again.
    plan.write_bytes(plan.read_bytes().replace(b"11.4.0", b"11.3.9"))
    ended = profile()
    assert ended.code == 4
    assert in_one_line(
        ended, "its bytes have changed", f"deploykit store remove {plan.parent.name}"
    ), ended.err


def test_a_batch_without_room_fails_alone(profile):
    ended = profile("--batch", "1,32768,2", settings=Settings([DeviceFacts(memory_mib=171)]))
    assert ended.code == 4
    rows = [line for line in ended.out.splitlines() if line.startswith("net ")]
    assert ["failed" in row for row in rows] == [False, True, False]
    assert "take a smaller batch" in ended.err + ended.out


@pytest.mark.parametrize(
    "settings",
    [
        {"nvml": "denied"},
        {"nvml": "missing"},
        {"devices": [DeviceFacts(mig=True, parts=["MIG-1"])]},
        {"devices": [DeviceFacts(), SECOND]},
    ],
    ids=["denied", "missing", "mig", "two"],
)
def test_rows_are_measured_all_the_same(profile, settings):
    ended = profile(settings=Settings(**settings))
    assert ended.code == 0
    assert in_one_line(ended, DEVICE_NAME, "these figures are no measurements")


def test_no_report_is_begun_on_a_simulated_device(profile, tmp_path):
    for report in (("--csv", "p.csv"), ("--csv", "-"), ("--json",)):
        ended = profile(*report)
        assert (ended.code, ended.out) == (2, "")
        assert in_one_line(ended, "of the simulated device", "no report takes it")
    assert list(tmp_path.glob("p*")) == []
    assert list(tmp_path.glob("engines/*/")) == []


def test_layers_of_a_simulated_device_are_marked_and_enter_no_report(run, tensorrt, tmp_path):
    tensorrt("tensorrt-11.4")
    onnx.save(product(), tmp_path / "net.onnx")
    command = ("layers", "net.onnx", *TENSORRT, "--store", str(tmp_path / "engines"), "-q")
    for report in (("--csv", "layers.csv"), ("--csv", "-"), ("--json",)):
        ended = run(*command, *report)
        assert (ended.code, ended.out) == (2, "")
        assert in_one_line(ended, "of the simulated device", "no report takes it")
    assert not (tmp_path / "layers.csv").exists()
    ended = run(*command)
    assert ended.code == 0
    assert in_one_line(ended, DEVICE_NAME, "these figures are no measurements")
