from __future__ import annotations

import dataclasses
import json
import os

import pytest

from deploykit.bench import roofline
from deploykit.bench.roofline import Ceilings, bound, measure_ceilings

#: 100 GFLOP/s in fp32, 400 in int8; 200 GB/s from the cache, 20 from memory.
MACHINE = Ceilings({"fp32": 100.0, "int8": 400.0}, {2**20: 200.0, 2**27: 20.0}, 2)


def at(images_per_s, **changes):
    values = {"macs": 10**9, "weight_bytes": 4 * 10**6, "activation_bytes": 2 * 10**6}
    values |= {"batch": 1, "precision": "fp32", "ceilings": MACHINE} | changes
    everything = values["weight_bytes"] + values["activation_bytes"] * values["batch"]
    values.setdefault("working_set_bytes", everything)
    return bound(images_per_s=images_per_s, **values)


def test_a_network_of_many_operations_is_bound_by_arithmetic():
    found = at(25.0)
    assert found.gflops == pytest.approx(50.0)
    assert found.arithmetic_intensity == pytest.approx(2e9 / 8e6)
    assert found.roofline_fraction == pytest.approx(0.5)
    assert found.latency_ms == pytest.approx(20.0)


def test_a_network_of_few_operations_is_bound_by_memory():
    found = at(1000.0, macs=10**6)
    assert found.latency_ms == pytest.approx(8e6 / 20e9 * 1e3)
    assert found.roofline_fraction == pytest.approx(0.4)


def test_data_that_fits_the_cache_has_the_cache_s_ceiling():
    found = at(1000.0, macs=10**5, weight_bytes=400_000, activation_bytes=100_000)
    assert found.latency_ms == pytest.approx(600_000 / 200e9 * 1e3)


def test_the_precision_found_in_the_engine_decides_the_ceiling():
    assert at(25.0, precision="int8").roofline_fraction == pytest.approx(0.125)
    assert at(25.0, precision="int8+fp32").roofline_fraction == pytest.approx(0.125)


def test_weights_are_read_once_per_run_so_larger_batches_have_more_intensity():
    assert at(25.0, batch=8).arithmetic_intensity > at(25.0).arithmetic_intensity
    assert at(25.0, batch=8).roofline_fraction == pytest.approx(0.5)


@pytest.mark.parametrize("changes", [{"precision": "fp8"}, {"macs": 0}])
def test_without_a_ceiling_the_fraction_is_blank(changes):
    found = at(25.0, **changes)
    assert found.roofline_fraction is None
    assert found.latency_ms is None


def test_ceilings_are_measured_for_each_precision_and_size():
    found = measure_ceilings(1, span_s=0.01)
    assert set(found.gflops) == {"fp32", "int8"}
    assert min(found.gflops.values()) > 0.1
    assert set(found.copy_gb_s) == set(roofline.COPY_BYTES)
    assert min(found.copy_gb_s.values()) > 0.1


def test_ceilings_are_measured_once_and_stored(tmp_path):
    found = roofline.ceilings(tmp_path, threads=1)
    assert found.threads == 1
    assert roofline.ceilings(tmp_path, threads=1) == found
    assert roofline.stored_ceilings(tmp_path) == [found]
    assert len(list(tmp_path.iterdir())) == 1


def test_stored_ceilings_are_read_and_damaged_ones_measured_anew(tmp_path, monkeypatch):
    asked = []

    def instead(module, request, kind, timeout_s, threads):
        asked.append(request)
        return Ceilings({"fp32": 7.0}, {64: 1.0}, 3)

    monkeypatch.setattr(roofline, "run_child", instead)
    first = roofline.ceilings(tmp_path, threads=3)
    assert first == Ceilings({"fp32": 7.0}, {64: 1.0}, 3)
    assert roofline.ceilings(tmp_path, threads=3) == first
    assert len(asked) == 1
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["threads"] == 3
    for count, damaged in enumerate(("{", path.read_text().replace('"64":1.0', "")), start=2):
        path.write_text(damaged)
        assert roofline.ceilings(tmp_path, threads=3) == first
        assert len(asked) == count


def test_ceilings_that_something_disturbed_are_measured_again_after_an_hour(tmp_path, monkeypatch):
    def measured(fp32, copy, doubt):
        found = Ceilings({"fp32": fp32}, {64: copy}, 1, doubt)
        monkeypatch.setattr(roofline, "run_child", lambda *args: found)

    busy = "load: busy; stop it"
    measured(7.0, 3.0, busy)
    machine = roofline.ceilings(tmp_path, threads=1)
    assert machine.doubt == busy
    said = roofline.doubt_text(tmp_path, machine)
    (path,) = tmp_path.iterdir()
    for part in (
        f"stored in {path}",
        busy,
        "measured anew 1 h after",
        "where that file is deleted",
    ):
        assert part in said
    assert roofline.doubt_text(tmp_path, dataclasses.replace(machine, doubt="")) == ""
    measured(5.0, 4.0, busy)
    assert roofline.ceilings(tmp_path, threads=1).gflops == {"fp32": 7.0}
    (path,) = tmp_path.iterdir()
    hours_ago = path.stat().st_mtime - 2 * roofline.RETRY_S
    os.utime(path, (hours_ago, hours_ago))
    # Of two that were disturbed the better figures stay: a disturbance only takes away.
    assert roofline.ceilings(tmp_path, threads=1) == Ceilings({"fp32": 7.0}, {64: 4.0}, 1, busy)
    os.utime(path, (hours_ago, hours_ago))
    measured(6.0, 3.0, "")
    assert roofline.ceilings(tmp_path, threads=1) == Ceilings({"fp32": 6.0}, {64: 3.0}, 1)


def test_what_is_in_use_at_a_time_decides_whose_bandwidth_counts():
    small = at(1000.0, macs=10**5, working_set_bytes=2**19)
    assert small.latency_ms == pytest.approx(8e6 / 200e9 * 1e3)


def test_ceilings_of_a_gpu_are_measured_per_type_and_size():
    found = roofline.measure_gpu_ceilings(0.005, device="cpu", size=64, copies=(2**12, 2**16))
    assert set(found.gflops) >= {"fp32", "bf16"}
    assert all(rate > 0 for rate in found.gflops.values())
    assert set(found.copy_gb_s) == {2**12, 2**16}
    assert found.threads == 0


def test_without_a_pytorch_for_the_gpu_its_ceilings_are_blank_with_the_reason(
    cuda, tmp_path, monkeypatch
):
    from deploykit.errors import MissingDependency
    from deploykit.row import Row
    from deploykit.workflow.rows import Roofline

    monkeypatch.setattr(roofline.env, "package_version", lambda name: "2.13.0+cpu")
    with pytest.raises(MissingDependency, match="PyTorch built for CUDA measures the ceilings"):
        roofline.gpu_ceilings(tmp_path)
    row = Row({"backend": "tensorrt", "device": "a GPU", "batch": 1, "precision_actual": "fp16"})
    columns, (note,) = Roofline(tmp_path).columns(None, tmp_path, 1, row, roofline_scenario())
    assert columns == {}
    assert note.text.startswith("no roofline: PyTorch built for CUDA")


def roofline_scenario():
    from deploykit.bench.scenario import Scenario

    return Scenario()


def test_ceilings_of_a_gpu_are_stored_for_the_device_and_pytorch(cuda, tmp_path, monkeypatch):
    monkeypatch.setattr(roofline.env, "package_version", lambda name: "2.13.0")
    asked = []

    def measured(module, request, kind, timeout_s):
        asked.append(request)
        return MACHINE

    monkeypatch.setattr(roofline, "run_child", measured)
    assert roofline.gpu_ceilings(tmp_path) == roofline.gpu_ceilings(tmp_path) == MACHINE
    assert [request.gpu for request in asked] == [True]
    # A page draws them over the rows of the device.
    assert roofline.known_ceilings(tmp_path) == [MACHINE]
    assert roofline.stored_ceilings(tmp_path) == []
