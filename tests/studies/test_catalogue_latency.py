"""Latencies of the catalogue: what is measured, what goes on where it stopped."""

from __future__ import annotations

import pytest

from deploykit.columns import SCHEMA_VERSION
from deploykit.report.csv import read_rows
from deploykit.row import Row
from deploykit.spec import ModelSpec
from studies import catalogue_latency as study

LENET, MLP = ModelSpec("lenet5"), ModelSpec("mlp_xor")


@pytest.fixture
def rows(monkeypatch):
    """What would be measured, as it is asked for; nothing is run."""
    asked = []

    class Profiler:
        def __init__(self, store, options):
            self.store = store

        def rows(self, wanted):
            for one in wanted:
                asked.append((one.text, self.store.root))
                cells = {
                    "model": one.source.name, "alpha": 1.0, "rho": "1", "precision": one.precision,
                    "backend": one.backend, "repeat": one.repeat, "status": "ok",
                    "schema": SCHEMA_VERSION, "batch": 1, "env_id": study.env.env_id(),
                }  # fmt: skip
                yield Row(cells)

    monkeypatch.setattr(study, "Profiler", Profiler)
    return asked


def test_four_configurations_go_round():
    _, wanted = study.configurations(LENET)
    rounds = [(one.backend, one.precision) for one in wanted if one.repeat == 1]
    assert rounds == [(b, p) for b in study.BACKENDS for p in study.PRECISIONS]
    assert [one.repeat for one in wanted] == [1] * 4 + [2] * 4 + [3] * 4


def test_a_broken_run_goes_on_with_the_networks_that_are_missing(rows, tmp_path):
    path, said = tmp_path / "latency.csv", []
    assert study.measure([LENET, MLP], path, None, 0.0, said.append) == 0
    assert not rows
    assert said == ["2 networks are left: 0 s are over"]
    study.measure([LENET], path, None, 60.0, said.append)
    table = read_rows(str(path))
    assert len(table) == 12
    here = study.env.env_id()
    assert study.missing([LENET, MLP], table, here) == [MLP]
    assert study.missing([LENET, MLP], table, "another machine") == [
        MLP,
        LENET,
    ]  # the lightest first
    failed = table[0].plus({"status": "failed"})
    assert study.missing([LENET], [failed, *table[1:]], here) == [LENET]


def test_rows_of_other_networks_and_machines_stay(rows, tmp_path):
    path = tmp_path / "latency.csv"
    study.measure([LENET], path, None, 60.0, str)
    text = path.read_text().replace(study.env.env_id(), "0123456789ab")
    path.write_text(text)
    study.measure([MLP, LENET], path, None, 60.0, str)
    study.measure([LENET], path, None, 60.0, str)
    table = read_rows(str(path))
    kept = [(row["model"], row["env_id"]) for row in table]
    assert kept.count(("lenet5", "0123456789ab")) == 12
    assert len(table) == 36
