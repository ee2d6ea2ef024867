"""What goes wrong on a device while `deploykit profile` measures there: a row or one line, and its exit code.

The device is simulated, in processes of their own as ever; what is left on it at the end of one, and whatever was
done wrong there, fails the test.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
from cuda_double import DeviceFacts, Settings
from cuda_double import tensorrt as tensorrt_double

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from test_tensorrt_session import product

BRIEF = ("--backend", "tensorrt", "--seconds", "0.1", "--no-roofline", "-q")
SECOND = DeviceFacts(uuid="GPU-d1d1d1d1-0000-4000-8000-000000000001")


@pytest.fixture
def profile(run, tensorrt, cuda, tmp_path, monkeypatch):
    """Profile a small network on a device of these settings; TensorRT answers `refused` calls with false."""

    def call(*options, settings=None, refused=""):
        tensorrt("tensorrt-11.4")
        cuda.show(settings or Settings())
        monkeypatch.setenv(tensorrt_double.REFUSE, refused)
        monkeypatch.setenv("COLUMNS", "400")
        onnx.save(product(), tmp_path / "net.onnx")
        ended = run("profile", "net.onnx", *BRIEF, "--store", str(tmp_path / "engines"), *options)
        assert "Traceback" not in ended.err + ended.out
        return ended

    return call


@pytest.mark.parametrize(
    ("settings", "options", "code", "says"),
    [
        ({"devices": []}, (), 3, "no NVIDIA GPU is visible"),
        ({"driver_cuda": 12060}, (), 3, "update it to 580 or later"),
        ({"devices": [DeviceFacts(), SECOND]}, ("--device", "7"), 2, "--device 7"),
        ({"fail": {"cudaSetDevice": 46}}, (), 3, "exclusive-process mode"),
        ({"gone_after": 60}, (), 3, "GPU is gone"),
        ({"fail": {"cudaMalloc": 2}, "fail_after": {"cudaMalloc": 1}}, (), 4, "out of memory"),
        (
            {"fail": {"cudaStreamSynchronize": 700}, "fail_after": {"cudaStreamSynchronize": 9}},
            ("--streams", "2"),
            4,
            "everything on the device is lost",
        ),
        ({"fail": {"cudaEventElapsedTime": 999}}, (), 3, "see nvidia-smi and dmesg"),
    ],
    ids=["none", "too old", "no such", "exclusive", "gone", "memory", "streams", "events"],
)
def test_a_fault_of_the_device_is_one_line_and_its_exit_code(
    profile, cuda, settings, options, code, says
):
    ended = profile(*options, settings=Settings(**settings))
    assert ended.code == code
    assert says in ended.err + ended.out


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        ("deserialize_cuda_engine", "out of memory"),
        ("create_execution_context", "OutOfMemory"),
        ("set_input_shape", "Static dimension mismatch"),
        ("set_tensor_address", "address"),
        ("execute_async_v3", "API Usage Error"),
    ],
)
def test_what_tensorrt_answers_with_false_fails_the_row_by_the_reason_of_its_log(
    profile, refused, says
):
    ended = profile(refused=refused)
    assert ended.code == 4
    assert says in ended.err + ended.out


def test_a_batch_without_room_fails_alone(profile):
    ended = profile("--batch", "1,32768,2", settings=Settings([DeviceFacts(memory_mib=171)]))
    assert ended.code == 4
    assert ended.out.count(" ok ") == 2
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
