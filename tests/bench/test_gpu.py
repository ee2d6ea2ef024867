"""What is told of a device while something is measured on it, on a simulated one."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import cuda_double
import numpy as np
import pytest
from cuda_double import DeviceFacts, Settings

from deploykit.backends import get
from deploykit.backends.building import build_engine
from deploykit.bench import columns
from deploykit.bench.gpu import GpuWatch
from deploykit.bench.gpu_readings import Follow, Reading, read_until_stopped
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.bench.worker import measure_row
from deploykit.codec import to_json
from deploykit.cuda import open_device
from deploykit.cuda.devices import GpuState
from deploykit.errors import DeploykitError
from deploykit.row import Finding
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.store import Store
from deploykit.workflow.network import obtain_network

BRIEF = Policy(iterations=4, warmup_iterations=2)


@pytest.fixture
def watched(cuda):
    """Run phases under a watch of a device of `settings`; `during` is called before the phase "run" ends."""

    def make(settings=None, during=lambda: None):
        cuda.show(settings or Settings())
        with GpuWatch() as watch:
            for phase in ("load", "inputs", "warmup"):
                watch.end_phase(phase)
            during()
            watch.end_phase("run")
        return watch

    return make


def test_memory_is_that_of_the_context_and_the_most_that_was_in_use(watched):
    def use() -> None:
        with open_device() as device, device.buffer(10 * 2**20):
            nonlocal watch_inside
            watch_inside.end_phase("load")

    cells = {}
    with GpuWatch() as watch_inside:
        use()
        for phase in ("warmup", "run"):
            watch_inside.end_phase(phase)
        cells, notes = watch_inside.memory_columns()
    assert cells == {"device_context_mib": 64.0, "device_peak_mib": 74.0}
    assert notes == []


def test_without_processes_in_nvml_the_context_is_what_the_device_had_less(watched):
    not_supported = 3
    fail = {"nvmlDeviceGetComputeRunningProcesses_v3": not_supported}
    cells, notes = watched(Settings(nvml_fail=fail)).memory_columns()
    assert cells == {"device_context_mib": 64.0, "device_peak_mib": 64.0}
    assert notes == []


@pytest.mark.parametrize("nvml", ["denied", "missing"])
def test_what_nvml_does_not_tell_is_blank_with_the_reason(watched, nvml):
    watch = watched(Settings(nvml=nvml))
    for cells, notes in (watch.memory_columns(), watch.state_columns(4, 1.0)):
        assert set(cells.values()) == {None}
        (note,) = notes
        assert "blank: NVML can't be asked" in note.text
    assert watch.judged([]) == ()


def test_without_the_bindings_memory_is_what_nvml_tells(watched):
    watch = watched(Settings(fail={"cudaSetDevice": 35}))
    cells, (note,) = watch.memory_columns()
    assert cells["device_context_mib"] is None
    assert "too old" in note.text


def test_memory_that_another_process_took_meanwhile_is_told(cuda):
    with GpuWatch() as watch:
        cuda.settings.devices[0].used_mib += 300
        for phase in ("load", "warmup", "run"):
            watch.end_phase(phase)
        cells, (note,) = watch.memory_columns()
    assert cells["device_peak_mib"] == 364
    assert "364 MiB by CUDA and 64 MiB by NVML" in note.text


def test_clocks_temperature_power_and_energy_are_told(watched, monkeypatch):
    watch = watched()
    before, after = watch.states["warmup"], watch.states["run"]
    watch.states["warmup"] = dataclasses.replace(before, energy_j=100.0)
    watch.states["run"] = dataclasses.replace(after, energy_j=130.0)
    cells, notes = watch.state_columns(600, 0.5)
    assert cells == {
        "gpu_sm_clock_mhz": 1500.0,
        "gpu_memory_clock_mhz": 5000.0,
        "gpu_temperature_c": 40.0,
        "gpu_power_w": 60.0,
        "energy_per_image_mj": 50.0,
    }
    assert notes == []
    cells, (note,) = watch.state_columns(600, 0.1)
    assert cells["energy_per_image_mj"] is None
    assert cells["gpu_power_w"] == 50.0  # of the last moment
    assert "measure longer" in note.text


def test_a_device_is_judged_by_what_it_did(watched, cuda):
    assert watched().judged([]) == ()

    def slow_down() -> None:
        facts = cuda.settings.devices[0]
        facts.sm_clock_mhz, facts.throttle_reasons, facts.others = 1200, 0x4 | 0x40 | 0x1, [4711]

    found = watched(Settings(), slow_down).judged([])
    assert [finding.name for finding in found] == ["gpu-throttled", "gpu-clock", "gpu-load"]
    text = " ".join(map(str, found))
    assert "power limit, hardware thermal limit" in text
    assert "-20%" in text
    assert "4711" in text


def reading(clock_s=0.0, **state):
    return Reading(clock_s, GpuState(**{"sm_clock_mhz": 1500, "throttle_reasons": 0, **state}))


def test_what_comes_and_goes_within_the_measuring_is_seen(watched):
    watch = watched()
    watch.readings = [reading(), reading(throttle_reasons=0x20, sm_clock_mhz=1350), reading()]
    found = watch.judged([])
    assert [finding.name for finding in found] == ["gpu-throttled", "gpu-clock"]
    assert "held down in 1 of 5 readings (software thermal limit)" in found[0].seen
    assert "changed by -10%" in found[1].seen
    assert [one["sm_clock_mhz"] for one in watch.details()["readings"]] == [1500, 1350, 1500]


def test_power_is_the_mean_of_the_readings_and_energy_too_where_no_counter_is(watched):
    not_supported = Settings(nvml_fail={"nvmlDeviceGetTotalEnergyConsumption": 3})
    watch = watched(not_supported)
    watch.readings = [reading(power_w=watts) for watts in (40, 60, 80, 60)]
    cells, (note,) = watch.state_columns(600, 2.0)
    assert cells["gpu_power_w"] == 60.0
    assert cells["energy_per_image_mj"] == pytest.approx(200)
    assert note.text == "energy is the mean of 4 readings of power: the GPU has no counter"
    watch.readings = watch.readings[:3]
    cells, (note,) = watch.state_columns(600, 0.3)
    assert cells["gpu_power_w"] == 60.0
    assert cells["energy_per_image_mj"] is None
    assert "energy_per_image_mj is blank" in note.text


def test_a_process_of_its_own_reads_the_device_between_two_moments(cuda):
    cuda.show(Settings([DeviceFacts(throttle_reasons=0x4, power_mw=70_000)]))
    with GpuWatch() as watch:
        watch.follow()
        for phase in ("load", "warmup"):
            watch.end_phase(phase)
        watch._reader.wait()
        time.sleep(0.5)
        watch.end_phase("run")
        cells, _ = watch.state_columns(10, 5.0)
    assert watch.readings
    for one in watch.readings:
        assert watch._ended_s["warmup"] <= one.clock_s <= watch._ended_s["run"]
        assert (one.state.sm_clock_mhz, one.state.power_w) == (1500, 70.0)
        assert one.state.own_mib is None
    seen = len(watch.readings) + 2
    assert f"in {seen} of {seen} readings (power limit)" in watch.judged([])[0].seen
    assert cells["gpu_power_w"] is not None


def test_a_reader_that_is_gone_or_never_looked_leaves_what_was_seen_before_and_after(cuda):
    with GpuWatch() as watch:
        watch.follow()
        os.kill(watch._reader._channel._process.pid, signal.SIGKILL)
        for phase in ("load", "warmup", "run"):
            watch.end_phase(phase)
        _, notes = watch.state_columns(10, 2.0)
    assert watch.readings == []
    assert "only read before and after the 2 s of measuring" in notes[-1].text
    assert watch.judged([]) == ()


def test_readings_are_thinned_out_and_stop_when_asked(cuda, monkeypatch):
    monkeypatch.setattr("deploykit.bench.gpu_readings.MOST_READINGS", 8)
    asked = iter([to_json(Follow(cuda.settings.devices[0].uuid, 0.001))])

    def questions():
        yield next(asked)
        time.sleep(0.2)
        yield b"{}"

    begun, readings = read_until_stopped(questions())
    assert begun is True
    assert 4 <= len(readings) <= 8
    clocks = [one.clock_s for one in readings]
    assert clocks == sorted(clocks)


def test_where_nvml_does_not_answer_no_reader_is_started(cuda):
    cuda.show(Settings(nvml="denied"))
    with GpuWatch() as watch:
        watch.follow()
        assert watch._reader is None


def test_idling_and_a_chosen_clock_are_no_cause_for_doubt(watched):
    settled = Settings([DeviceFacts(throttle_reasons=0x1 | 0x2)])
    assert watched(settled).judged([]) == ()


def test_the_processor_does_not_judge_a_row_of_the_device(watched):
    kinds = ["steal", "load", "throttled", "frequency", "trend", "spread"]
    found = watched().judged([Finding(kind, "seen", "remedy") for kind in kinds])
    assert [finding.name for finding in found] == ["trend", "spread"]


def test_what_helps_on_a_device_is_not_what_helps_on_a_processor(watched):
    """A row of an H100 was told to pin the process to cores of one kind."""
    seen = watched().judged(
        [Finding("modes", "latencies pile up at 1 and 2 ms", "pin the process")]
    )
    assert "pin the process" not in str(seen[0])
    assert "--cuda-graph" in seen[0].remedy


@pytest.fixture
def lenet5(tensorrt_rtx_runs, shared_store, tmp_path):
    """A request for a row of LeNet-5 on the simulated device, and the network's path."""
    model = obtain_network(ModelSpec("lenet5"), shared_store).model
    engine, _ = build_engine(
        model, get("tensorrt-rtx"), BuildOptions(batch_max=4), Store(tmp_path / "engines")
    )
    return WorkerRequest(engine.path.parent, "tensorrt-rtx", batch=3, policy=BRIEF), model


def test_a_row_is_measured_on_the_device_in_a_process_of_its_own(lenet5, cuda):
    request, _ = lenet5
    result = run_worker(request, timeout_s=120)
    row = result.columns
    assert row["iterations"] == 4
    assert row["latency_min_ms"] > 0
    assert row["device_context_mib"] == 64
    assert row["device_peak_mib"] > 64
    assert row["gpu_sm_clock_mhz"] == 1500
    assert result.details["device"] == cuda_double.DEVICE_NAME
    assert "energy_per_image_mj" in " ".join(note.text for note in result.notes)
    assert cuda.calls == []  # this process has made no context


def test_streams_are_measured_at_once(lenet5):
    request, _ = lenet5
    policy = Policy(min_s=0.05, max_s=0.1, warmup_s=0.01, warmup_max_s=0.05)
    result = measure_row(dataclasses.replace(request, streams=2, policy=policy))
    assert result.columns["streams"] == 2
    assert result.columns["device_peak_mib"] > 64


def test_outputs_are_those_of_the_network(lenet5, cuda):
    import onnxruntime

    from deploykit.bench.worker import load

    request, model = lenet5
    images = np.random.default_rng(0).normal(size=(3, 1, 32, 32)).astype(np.float32)
    with load(request) as loaded:
        (session,) = loaded.sessions
        (name,) = (spec.name for spec in session.inputs)
        found = session.run({name: images})
    reference = onnxruntime.InferenceSession(str(model.path)).run(None, {name: images})
    np.testing.assert_allclose(next(iter(found.values())), reference[0], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "exit_code", "says"),
    [
        (Settings(driver_cuda=12060), 3, "needs|580 or later"),
        (Settings([]), 3, "CUDA_VISIBLE_DEVICES"),
        (Settings([DeviceFacts(compute_mode=3, others=[4711])]), 3, "exclusive"),
        (Settings([DeviceFacts(memory_mib=165, used_mib=100)]), 4, "batch"),
        (Settings(fail={"cudaStreamSynchronize": 719}), 4, "everything on the device is lost"),
        (Settings(gone_after=40), 3, "GPU is gone"),
    ],
    ids=["too old", "none", "exclusive", "no memory", "launch", "gone"],
)
def test_a_device_that_fails_is_one_line_with_its_exit_code(
    lenet5, cuda, settings, exit_code, says
):
    cuda.show(settings)
    with pytest.raises(DeploykitError, match=says) as error:
        measure_row(lenet5[0])
    assert error.value.exit_code == exit_code
    assert "\n" not in str(error.value)
    if cuda.settings.gone_after is not None or cuda.sticky:
        cuda.reset()  # with the driver, or the context, all memory of the device is gone


def test_a_host_that_enqueues_slower_than_the_device_computes_is_told():
    parts = {"h2d_ms": [1.0], "compute_ms": [1.0, 1.0, 9.0], "d2h_ms": [1.0], "enqueue_ms": [2.0]}
    cells, (note,) = columns.of_phases({n: np.array(v) for n, v in parts.items()})
    assert cells == {"h2d_ms": 1.0, "compute_ms": 1.0, "d2h_ms": 1.0, "enqueue_ms": 2.0}
    assert note.remedy == "--cuda-graph, or a larger --batch"
    assert (
        columns.of_phases({"compute_ms": np.array([3.0]), "enqueue_ms": np.array([2.0])})[1] == []
    )
    assert columns.of_phases(None) == ({}, [])
    cells, (note,) = columns.of_phases(None, "nobody asked")
    assert (cells, note.text.rpartition(": ")[2]) == ({}, "nobody asked")
