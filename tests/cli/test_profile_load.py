"""Load, length, repeats and raw samples of `deploykit profile`, as its user sees them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from deploykit.row import Row
from deploykit.workflow.profile import Profiler
from deploykit.workflow.rows import configuration_cells

LENET5 = ("profile", "lenet5", "--weights", "trained", "-q")
BRIEF = ("--seconds", "0.1", "--threads", "1")


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def unmeasured(monkeypatch):
    """Let every row be one that says what is measured, and nothing of how it went."""

    def rows(self, configurations):
        for one in configurations:
            yield Row({**configuration_cells(one, self.options.build, "run"), "status": "ok"})

    monkeypatch.setattr(Profiler, "rows", rows)


def test_threads_streams_and_rates_are_multiplied_and_shown_where_they_differ(
    run, tmp_path, unmeasured
):
    lists = ("--threads", "1,2", "--streams", "1,2", "--rate", "200/s,400")
    ended = run(*LENET5, *lists, "--csv", "p.csv")
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "p.csv")
    assert [(r["threads"], r["streams"], r["rate_per_s"]) for r in rows] == [
        (threads, streams, rate)
        for threads in ("1", "2")
        for streams in ("1", "2")
        for rate in ("200", "400")
    ]
    assert {r["status"] for r in rows} == {"ok"}
    heading = next(line for line in ended.out.splitlines() if "model" in line)
    assert {"threads", "streams", "rate/s"} <= set(heading.split())


def test_a_load_that_is_the_same_in_all_rows_has_no_column_in_the_table(run):
    ended = run(*LENET5, *BRIEF, "--batch", "1,2", "--streams", "2", "--rate", "200/s")
    assert ended.code == 0, ended.err
    heading = next(line for line in ended.out.splitlines() if "model" in line)
    assert not {"threads", "streams", "rate/s", "repeat"} & set(heading.split())


def test_arrivals_are_served_at_the_rate_that_is_offered(run, tmp_path):
    assert run(*LENET5, "--threads", "1", "--rate", "300/s", "--csv", "p.csv").code == 0
    (row,) = rows_of(tmp_path / "p.csv")
    # 900 requests in 3 s: four standard deviations of a Poisson count.
    assert float(row["throughput_ips"]) == pytest.approx(300, rel=0.14)


def test_repeats_go_round_the_configurations_and_judge_outputs_once(run, tmp_path):
    ended = run(*LENET5, *BRIEF, "--batch", "1,2", "--repeats", "2", "--csv", "p.csv")
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "p.csv")
    assert [(r["batch"], r["repeat"]) for r in rows] == [
        ("1", "1"),
        ("2", "1"),
        ("1", "2"),
        ("2", "2"),
    ]
    assert [bool(r["top1"]) for r in rows] == [bool(r["drift_snr_db"]) for r in rows]
    assert [bool(r["top1"]) for r in rows] == [True, True, False, False]
    assert "in an earlier repeat's row" in rows[3]["reason"]


def test_samples_lie_beside_the_report_and_give_the_rows_statistics_again(run, tmp_path):
    (tmp_path / "out").mkdir()
    assert run(*LENET5, *BRIEF, "--batch", "1,2", "--csv", "out/p.csv").code == 0
    rows = rows_of(tmp_path / "out" / "p.csv")
    assert len({row["samples"] for row in rows}) == 2
    machines = json.loads((tmp_path / "out" / "p-samples" / "env.json").read_text())
    (machine,) = (machines[name] for name in {row["env_id"] for row in rows})
    assert machine["packages"]["onnxruntime"]
    assert machine["ceilings"][0]["gflops"]["fp32"] > 0
    for row in rows:
        assert row["samples"].startswith("p-samples/")
        with np.load(tmp_path / "out" / row["samples"], allow_pickle=False) as kept:
            ms = kept["samples_ns"] / 1e6
            throughput = float(kept["runs_per_s"]) * int(kept["batch"])
        assert len(ms) == int(row["iterations"])
        assert np.median(ms) == pytest.approx(float(row["latency_p50_ms"]), rel=1e-5)
        assert np.percentile(ms, 95) == pytest.approx(float(row["latency_p95_ms"]), rel=1e-5)
        assert throughput == pytest.approx(float(row["throughput_ips"]), rel=1e-5)


def test_a_damaged_env_json_among_samples_is_found_before_anything_is_measured(
    run, tmp_path, monkeypatch
):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "env.json").write_text("{")
    monkeypatch.setattr("deploykit.workflow.profile.Profiler.rows", None)
    ended = run("profile", "lenet5", "--samples", "kept", "-q")
    assert (ended.code, ended.out) == (4, "")
    assert "kept/env.json can't be read" in ended.err


def test_samples_go_where_they_are_told_or_nowhere(run, tmp_path):
    assert run(*LENET5, *BRIEF, "--csv", "p.csv", "--samples", "kept/deep").code == 0
    (row,) = rows_of(tmp_path / "p.csv")
    assert (tmp_path / row["samples"]).parent == tmp_path / "kept" / "deep"
    assert run(*LENET5, *BRIEF, "--csv", "q.csv", "--no-samples").code == 0
    assert rows_of(tmp_path / "q.csv")[0]["samples"] == ""
    assert run(*LENET5, *BRIEF, "--csv", "-").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", "q.csv", "kept"}


def test_a_percentile_that_is_asked_for_gets_the_samples_that_it_needs(run, tmp_path):
    # 0.1 s of 200 requests a second are 20; the median alone would be content with them.
    rate = ("--rate", "200/s")
    assert run(*LENET5, *BRIEF, *rate, "--percentile", "99", "--csv", "p.csv").code == 0
    (row,) = rows_of(tmp_path / "p.csv")
    assert int(row["iterations"]) >= 662
    assert float(row["latency_p99_ms"]) >= float(row["latency_p95_ms"])
