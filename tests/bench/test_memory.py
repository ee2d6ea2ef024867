from __future__ import annotations

import numpy as np
import pytest

from deploykit.bench.columns import of_memory
from deploykit.bench.conditions import HostMemory


def write_status(folder, peak_mib, rss_mib):
    (folder / "status").write_text(f"VmHWM:\t{peak_mib * 1024} kB\nVmRSS:\t{rss_mib * 1024} kB\n")


def test_the_peak_of_a_phase_is_seen_after_its_memory_was_given_back():
    memory = HostMemory()
    block = np.ones(64 * 2**20, np.uint8)
    del block
    memory.end_phase("large")
    memory.end_phase("idle")
    large, idle = memory.phases["large"], memory.phases["idle"]
    if large.peak_mib is None:
        pytest.skip("this kernel does not let the mark be reset")
    assert large.peak_mib - large.rss_mib > 48
    assert idle.peak_mib < large.peak_mib - 48
    assert 60 < memory.delta_mib < 80
    assert memory.peak_mib >= large.peak_mib


def test_an_earlier_peak_counts_for_the_process_but_not_for_the_phases(tmp_path):
    write_status(tmp_path, 500, 100)
    (tmp_path / "clear_refs").write_text("")
    memory = HostMemory(tmp_path)
    write_status(tmp_path, 150, 120)
    memory.end_phase("load")
    assert memory.peak_mib == 500
    assert memory.delta_mib == 50


def test_without_a_reset_phases_are_blank_and_the_difference_is_known_only_beyond_the_old_peak(
    tmp_path,
):
    write_status(tmp_path, 500, 100)
    memory = HostMemory(tmp_path)  # there is no clear_refs
    write_status(tmp_path, 500, 120)
    memory.end_phase("load")
    assert memory.phases["load"].peak_mib is None
    assert memory.peak_mib == 500
    assert memory.delta_mib is None
    columns, notes = of_memory(memory)
    assert columns["host_delta_mib"] is None
    assert [str(note) for note in notes] == [
        "host_delta_mib is blank: this system does not let the peak be reset"
    ]
    write_status(tmp_path, 700, 650)
    memory.end_phase("run")
    assert memory.delta_mib == 600


def test_a_system_without_proc_leaves_memory_blank_with_a_reason(tmp_path):
    memory = HostMemory(tmp_path / "missing")
    memory.end_phase("run")
    columns, notes = of_memory(memory)
    assert set(columns.values()) == {None}
    assert [str(note) for note in notes] == [
        "host_peak_mib is blank: this system does not show a process' peak memory"
    ]


def test_growth_of_a_phase_is_its_peak_above_what_was_in_use_when_it_began(tmp_path):
    (tmp_path / "clear_refs").write_text("")
    write_status(tmp_path, 100, 100)
    memory = HostMemory(tmp_path)
    for name, peak_mib, rss_mib in (("load", 160, 130), ("warmup", 150, 145), ("run", 145, 140)):
        write_status(tmp_path, peak_mib, rss_mib)
        memory.end_phase(name)
    columns, notes = of_memory(memory)
    assert (columns["host_load_mib"], columns["host_warmup_mib"]) == (60, 20)
    assert columns["host_run_mib"] == 0
    assert columns["host_delta_mib"] == 60
    assert [str(note) for note in notes] == []
