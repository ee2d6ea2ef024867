"""Writers on one store that is wiped under them, in short: `make torture` lets eight work for 10 minutes."""

from __future__ import annotations

from studies.torture import writers
from studies.torture.part import Task


def test_no_row_is_wrong_where_a_store_is_wiped_and_writers_are_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "NETWORKS", 1)
    monkeypatch.setattr(writers, "WRITERS", 3)
    result = writers.run(Task(tmp_path, 4, say=lambda text: None))
    assert result.failures == []
    assert result.counts["calm builds"] == 3
    # On a loaded machine a command may be wiped twice before it is done, which is what its row says.
    ends = ("rows", "builds", "killed", "failed, wiped twice or more")
    assert sum(result.counts.get(name, 0) for name in ends) > 0


def test_a_row_of_another_engine_is_wrong():
    cells = dict.fromkeys(writers.TOLD, "1") | {"drift_snr_db": "50"}
    truth = writers.Truth("", cells)
    assert writers._wrong_cells(dict(cells), truth) == []
    assert writers._wrong_cells(cells | {"drift_snr_db": "50.2"}, truth) == []
    for name, value in (("engine_bytes", "2"), ("drift_snr_db", "49"), ("drift_snr_db", "")):
        assert len(writers._wrong_cells(cells | {name: value}, truth)) == 1
