from __future__ import annotations

import csv
import io
import json

from stored_reports import repeats, row, save

FINE = repeats(latency_p90_ms=9.0, latency_p95_ms=9.0)


def test_a_report_without_weak_rows_ends_with_0(run, tmp_path):
    path = save(tmp_path / "fine.csv", FINE)
    ended = run("check", path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{path}: 5 rows, none is weak\n"


def test_weak_rows_are_listed_with_what_helps_and_end_with_1(run, tmp_path):
    failed = row(status="failed", reason="killed by signal 9", repeat=9)
    path = save(tmp_path / "weak.csv", [*FINE, failed])
    ended = run("check", path)
    assert ended.code == 1
    assert "killed by signal 9" in ended.out
    assert "profile again" in ended.out
    assert ended.err == f"deploykit: 1 of 6 rows of {path} are weak\n"


def test_json_and_csv_hold_the_same(run, tmp_path):
    path = save(tmp_path / "weak.csv", [row(status="failed", reason="killed")])
    as_json = json.loads(run("check", path, "--json").out)
    (as_csv,) = csv.DictReader(io.StringIO(run("check", path, "--csv", "-").out))
    assert [{k: str(v) for k, v in one.items()} for one in as_json] == [as_csv]
    assert run("check", path, "--csv", "-", "--json").code == 2


def test_a_report_without_weak_rows_is_an_empty_list(run, tmp_path):
    assert json.loads(run("check", save(tmp_path / "a.csv", FINE), "--json").out) == []


def test_what_is_no_report_ends_with_2(run, tmp_path):
    (tmp_path / "empty.csv").touch()
    ended = run("check", tmp_path / "empty.csv")
    assert ended.code == 2
    assert ended.err.endswith("is empty: name a CSV of `deploykit profile`\n")


def test_the_help_names_each_kind_of_weakness(run):
    told = " ".join(run("check", "--help").out.split())
    for said in (
        "failed",
        "unstable",
        "emulated",
        "made-up images",
        "drifts",
        "accuracy",
        "metric",
    ):
        assert said in told
