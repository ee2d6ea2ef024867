from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from deploykit.bench.conditions import Conditions, Snapshot, between, snapshot, timing_findings

QUIET = Conditions(3.0, 0.0, 0.0, 0.0, 0.0, 2)
STEADY_NS = np.tile(np.array([1_000_000, 1_001_000, 999_000], np.int64), 200)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def names(conditions=QUIET, samples=STEADY_NS, interval=(999_900.0, 1_000_100.0), settled=True):
    timed_s = float(samples.sum()) / 1e9
    found = timing_findings(samples, interval, conditions, settled=settled, timed_s=timed_s)
    return [finding.name for finding in found]


def test_counters_are_read_from_proc_and_sys(tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    write(
        tmp_path, "proc/stat", f"cpu  {3 * ticks} 0 {ticks} 900 7 0 0 {2 * ticks} 0 0\ncpu0 1 2\n"
    )
    write(tmp_path, "proc/self/cgroup", "0::/jobs/one\n")
    write(tmp_path, "sys/fs/cgroup/jobs/one/cpu.stat", "usage_usec 5\nthrottled_usec 2500000\n")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000\n")
    write(tmp_path, "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "3100000\n")
    found = snapshot(tmp_path)
    assert (found.busy_s, found.steal_s) == (4.0, 2.0)
    assert found.throttled_s == 2.5
    assert found.frequency_mhz == 3100


def test_the_older_cgroup_and_cpuinfo_do_as_well(tmp_path):
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 3\nthrottled_time 1500000000\n")
    write(tmp_path, "proc/cpuinfo", "processor : 0\ncpu MHz\t\t: 2596.150\n")
    found = snapshot(tmp_path)
    assert found.throttled_s == 1.5
    assert found.frequency_mhz == 2596.15


def test_what_the_system_does_not_show_is_unknown_not_zero(tmp_path):
    write(tmp_path, "proc/stat", "nonsense\n")
    before = snapshot(tmp_path)
    conditions = between(before, snapshot(tmp_path))
    assert conditions.others_cores is None
    assert conditions.steal_share is None
    assert conditions.throttled_share is None
    assert conditions.frequency_change is None
    assert names(conditions) == []


def test_the_process_own_work_is_not_load_by_others():
    before = Snapshot(10.0, 1.0, 100.0, 5.0, 0.0, 3000.0, 2)
    after = Snapshot(14.0, 7.0, 108.0, 5.8, 0.2, 1500.0, 2)
    found = between(before, after)
    assert found.others_cores == pytest.approx(0.5)  # 8 s busy, 6 of them its own, in 4 s
    assert found.steal_share == pytest.approx(0.1)
    assert found.throttled_share == pytest.approx(0.05)
    assert found.frequency_change == pytest.approx(-0.5)
    assert names(found) == ["steal", "load", "throttled", "frequency"]


def test_this_machine_shows_its_own_work():
    before = snapshot()
    total = sum(i * i for i in range(300_000))
    after = snapshot()
    assert total > 0
    assert after.own_s > before.own_s
    assert between(before, after).elapsed_s > 0


def test_a_quiet_machine_and_a_steady_series_raise_no_doubt():
    assert names() == []


def test_each_doubt_names_itself_and_a_remedy():
    found = timing_findings(STEADY_NS, (1e6, 1.2e6), QUIET, settled=False, timed_s=0.1)
    assert [f.name for f in found] == ["warm-up", "clock", "spread"]
    for finding in found:
        assert str(finding) == f"{finding.name}: {finding.seen}; {finding.remedy}"
        assert finding.remedy


def test_two_speeds_are_said_with_their_places():
    random = np.random.default_rng(1)
    centres = random.choice([1_000_000.0, 1_300_000.0], 600)
    samples = (centres * np.exp(0.005 * random.normal(size=600))).astype(np.int64)
    (finding,) = timing_findings(
        samples, (1e6, 1e6), QUIET, settled=True, timed_s=samples.sum() / 1e9
    )
    assert finding.name == "modes"
    assert re.fullmatch(r"latencies pile up at (0\.99\d|1), 1\.3 ms", finding.seen)


def test_two_speeds_that_hardly_differ_are_no_doubt():
    random = np.random.default_rng(2)
    centres = random.choice([1_000_000.0, 1_030_000.0], 2000)
    samples = (centres * np.exp(0.002 * random.normal(size=2000))).astype(np.int64)
    assert names(samples=samples) == []


def test_a_negative_sample_is_a_fault_of_the_clock():
    samples = STEADY_NS.copy()
    samples[7] = -5
    assert "clock" in names(samples=samples)
