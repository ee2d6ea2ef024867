"""Finding NVIDIA devices and watching them: the real child process and the real NVML module, over a double."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import cuda_double
import pytest
from cuda_double import DeviceFacts, Settings

import deploykit
from deploykit import env
from deploykit.backends import get
from deploykit.cli import invoke
from deploykit.cli.display import print_rows
from deploykit.cli.outputs import Outputs
from deploykit.cuda import devices
from deploykit.errors import UsageError
from deploykit.report.check import check_report
from deploykit.report.compare import compare_reports
from deploykit.report.csv import CsvReport, read_cells, read_rows, rows_of, to_csv
from deploykit.report.junit import Case, junit_xml
from deploykit.report.markdown import table
from deploykit.report.views import PROFILE
from deploykit.row import Row
from deploykit.spec import Reason
from deploykit.workflow.run import summarise

ADA = DeviceFacts(uuid="GPU-00000000-0000-4000-8000-000000000001", ecc=True)
TURING = DeviceFacts(
    f"{cuda_double.DEVICE_NAME} 2",
    uuid="GPU-00000000-0000-4000-8000-000000000002",
    compute_capability="7.5",
    memory_mib=2048,
    compute_mode=3,
)
PART = DeviceFacts(
    f"{cuda_double.DEVICE_NAME} MIG 1g.5gb", uuid="MIG-00000000-0000-4000-8000-000000000003"
)
TWO = Settings([ADA, TURING])


def test_devices_are_described_in_cuda_s_order(cuda):
    cuda.show(Settings([ADA, TURING, PART], driver="580.95.05", driver_cuda=13000))
    found = devices.find()
    assert found.problem is None
    assert [gpu.index for gpu in found.gpus] == [0, 1, 2]
    assert [gpu.uuid for gpu in found.gpus] == [ADA.uuid, TURING.uuid, PART.uuid]
    assert [gpu.compute_capability for gpu in found.gpus] == ["8.9", "7.5", "8.9"]
    assert [gpu.memory_mib for gpu in found.gpus] == [1024, 2048, 1024]
    assert [gpu.compute_mode for gpu in found.gpus] == ["default", "exclusive process", "default"]
    assert [gpu.mig for gpu in found.gpus] == [False, False, True]
    assert [gpu.ecc for gpu in found.gpus] == [True, False, False]
    assert [gpu.persistence for gpu in found.gpus] == [True] * 3
    assert found.driver_text == "driver 580.95.05 (CUDA 13.0)"
    assert found.describe(found.gpus[1]) == (
        f"device 1, {TURING.uuid}, compute capability 7.5, 2048 MiB, driver 580.95.05 (CUDA 13.0), no MIG, "
        "ECC off, persistence on"
    )
    assert env.gpu_names() == [ADA.name, TURING.name, PART.name]
    assert cuda.calls == []  # all of it happened in another process, and this one has no context


def test_what_the_environment_hides_is_not_found(cuda, monkeypatch):
    cuda.show(TWO)
    monkeypatch.setenv(devices.VISIBLE, "1,0")
    assert [gpu.uuid for gpu in devices.find().gpus] == [TURING.uuid, ADA.uuid]
    monkeypatch.setenv(devices.VISIBLE, TURING.uuid)
    assert [gpu.uuid for gpu in devices.find().gpus] == [TURING.uuid]
    monkeypatch.setenv(devices.VISIBLE, "")
    assert devices.find().gpus == ()
    assert "CUDA_VISIBLE_DEVICES" in devices.find().problem.text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(driver_cuda=0), "no NVIDIA GPU here"),
        (Settings([]), "check nvidia-smi and CUDA_VISIBLE_DEVICES"),
        (Settings(fail={"cuInit": 803}), "of different versions; reboot"),
        (Settings(fail={"cuInit": 34}), "LD_LIBRARY_PATH"),
        (Settings(fail={"cuInit": 999}), "GPU is gone"),
        (Settings(fail={"cuDeviceGetName": 3}), "could not be initialised"),
    ],
    ids=["no driver", "none", "mismatch", "stub", "unknown", "in between"],
)
def test_why_there_is_no_device_is_told_in_one_line(cuda, settings, says):
    cuda.show(settings)
    found = devices.find()
    assert found.gpus == ()
    assert says in str(found.problem)
    assert "\n" not in str(found.problem)
    assert found.problem.missing == "device"
    for backend in (get("tensorrt-rtx"), get("tensorrt")):
        assert backend.device() == found.problem
    assert get("torch").device() == env.device_name()


def test_a_driver_that_hangs_or_dies_is_no_device(cuda, monkeypatch):
    def hang(*arguments, **options):
        raise subprocess.TimeoutExpired(arguments[0], options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert "did not answer" in devices.find().problem.text
    devices.forget()

    def die(*arguments, **options):
        raise subprocess.CalledProcessError(-11, arguments[0], stderr="")

    monkeypatch.setattr(subprocess, "run", die)
    assert "SIGSEGV" in devices.find().problem.text


def test_a_driver_that_is_older_than_the_packages_is_told_before_anything_runs(cuda, monkeypatch):
    cuda.show(Settings(driver="560.35.03", driver_cuda=12060))
    monkeypatch.setattr(env, "has_module", lambda name: True)
    monkeypatch.setattr(env, "package_version", lambda name: "13.5.0")
    for name in ("tensorrt-rtx", "tensorrt"):
        reason = get(name).device()
        assert isinstance(reason, Reason)
        assert str(reason) == (
            "driver 560.35.03 (CUDA 12.6) is too old for packages of CUDA 13; update it to 580 or later, or "
            "install packages for CUDA 12"
        )
    assert get("tensorrt").available() == reason
    monkeypatch.setattr(env, "package_version", lambda name: "12.9.4")
    assert get("tensorrt-rtx").device() == cuda_double.DEVICE_NAME


def test_one_of_several_devices_is_left_to_every_library(cuda, monkeypatch):
    cuda.show(TWO)
    machine = env.env_id()
    assert devices.select(1).uuid == TURING.uuid
    assert os.environ[devices.VISIBLE] == "1"
    assert [gpu.uuid for gpu in devices.find().gpus] == [TURING.uuid]
    assert devices.selected().index == 1
    assert get("tensorrt-rtx").device() == TURING.name
    env.machine.cache_clear()
    env.env_id.cache_clear()
    assert env.env_id() == machine  # the same machine, whichever device is used
    assert (
        devices.select(0).uuid == ADA.uuid
    )  # a choice is among all of them, not those that the last one left
    devices.forget()
    monkeypatch.setenv(devices.VISIBLE, f"{TURING.uuid}, {ADA.uuid}")
    assert devices.select(1).uuid == ADA.uuid
    assert os.environ[devices.VISIBLE] == ADA.uuid


@pytest.mark.parametrize("index", [2, 7])
def test_a_device_that_is_not_there_is_named_with_those_that_are(cuda, index):
    cuda.show(TWO)
    with pytest.raises(UsageError, match=rf"--device {index}: .*0 is .*, 1 is "):
        devices.select(index)
    assert devices.VISIBLE not in os.environ


def test_commands_take_a_device_and_say_what_is_wrong_with_it(cuda, capsys):
    cuda.show(TWO)
    for command in (["build", "lenet5"], ["profile", "lenet5"], ["layers", "lenet5"], ["run"]):
        assert invoke([*command, "--device", "7"]) == 2
        assert "--device 7: no GPU of that number" in capsys.readouterr().err
    cuda.show(Settings(driver_cuda=0))
    assert invoke(["build", "lenet5", "--device", "0"]) == 3
    assert "--device 0: no NVIDIA GPU here" in capsys.readouterr().err


def test_doctor_lists_the_devices(cuda, capsys):
    cuda.show(TWO)
    assert invoke(["doctor"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "GPU 0" in shown
    assert "GPU 1" in shown
    assert "compute capability 7.5" in shown


def test_a_machine_is_captured_with_its_devices(cuda):
    captured = env.capture()
    assert captured["gpus"][0]["uuid"] == DeviceFacts().uuid
    assert captured["gpu_driver"] == "driver 590.44.01 (CUDA 13.2)"
    assert captured["machine"]["gpus"] == [cuda_double.DEVICE_NAME]


def test_where_nvml_is_denied_or_absent_devices_are_found_all_the_same(cuda):
    for nvml in ("denied", "missing"):
        cuda.show(Settings(nvml=nvml))
        assert len(devices.find().gpus) == 1
        assert devices.find().driver_text == "driver unknown (CUDA 13.2)"


def test_no_report_takes_a_row_of_a_simulated_device(cuda, tmp_path):
    row = {"schema": 1, "status": "ok", "model": "lenet5", "device": get("tensorrt-rtx").device()}
    with pytest.raises(UsageError, match="no measurements"):
        to_csv([row])
    report = CsvReport(str(tmp_path / "profile.csv"))
    with pytest.raises(UsageError, match="no measurements"):
        report.add(row)
    assert list(tmp_path.glob("*.csv")) == []
    text = to_csv([row | {"device": "a real one"}])
    (tmp_path / "made.csv").write_text(text.replace("a real one", "CUDA double (simulated)"))
    made = str(tmp_path / "made.csv")
    for read in (read_rows, read_cells, check_report, lambda path: compare_reports(path, path)):
        with pytest.raises(UsageError, match=r"made\.csv, line 2 is of the simulated device"):
            read(made)
    for write in (
        lambda: rows_of([Row(row)]),
        lambda: summarise([Row(row)], [], env.capture()),
        lambda: table(["device"], [[row["device"]]]),
        lambda: junit_xml("rows", [Case("lenet5", "profile", output=row["device"])]),
        lambda: print_rows(PROFILE, [Row(row)], Outputs(json=True), quiet=True),
    ):
        with pytest.raises(UsageError, match="is of the simulated device"):
            write()


def test_a_profile_on_the_device_says_so_in_every_column(tensorrt_rtx_runs, cuda, shared_store):
    cuda.show(Settings([TURING, replace(ADA, memory_mib=180)]))
    devices.select(1)
    frame = deploykit.profile(
        ["lenet5"],
        precisions=["fp32"],
        backends=["tensorrt-rtx"],
        batches=[1, 1024],
        quick=True,
        store=shared_store,
    )
    assert frame["status"].tolist() == ["ok", "failed"], frame["reason"].tolist()
    assert (
        "smaller batch" in frame["reason"][1]
    )  # for which there is no memory, and the rest goes on
    row = frame.iloc[0]
    assert row["precision_actual"] == "fp32"
    assert row["device"] == ADA.name
    assert row["gpu"].startswith(f"device 1, {ADA.uuid}, ")
    assert row["device_peak_mib"] > row["device_context_mib"] > 0
    assert row["energy_per_image_mj"] > 0
    assert row["drift_snr_db"] > 20
    assert row.isna()["roofline_fraction"]  # the ceilings are the processor's
    assert not {"steal", "load", "frequency"} & set(row["stability"].replace("|", ":").split(": "))
    with pytest.raises(UsageError, match="no measurements"):
        to_csv(frame.to_dict("records"))
    with pytest.raises(UsageError, match="no measurements"):  # a frame's column says it
        rows_of(frame)
