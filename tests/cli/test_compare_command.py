from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_reports import repeats, row, save

from deploykit.columns import NAMES


@pytest.fixture
def reports(tmp_path):
    return (
        save(tmp_path / "base.csv", repeats(2)),
        save(tmp_path / "same.csv", repeats(2)),
        save(tmp_path / "slow.csv", repeats(3)),
    )


def test_it_ends_with_0_and_a_summary_when_nothing_regressed(run, reports):
    ended = run("compare", reports[0], reports[1])
    assert (ended.code, ended.err) == (0, "")
    assert "lenet5 fp32 onnxruntime 2 threads" in ended.out
    assert "1 configurations: 1 same. Limits: 5% slower, 0.5 points" in ended.out


def test_it_ends_with_1_and_one_line_when_something_did(run, reports):
    ended = run("compare", reports[0], reports[2])
    assert ended.code == 1
    assert ended.err == (
        "deploykit: 1 of 1 configurations regressed: lenet5 fp32 onnxruntime 2 threads: "
        "1.5 times as long\n"
    )


def test_the_limits_are_the_users(run, reports):
    assert run("compare", reports[0], reports[2], "--max-slowdown", "60%").code == 0
    assert run("compare", reports[0], reports[2], "--max-slowdown", "60").code == 0


@pytest.mark.parametrize("option", ["--max-slowdown", "--max-accuracy-drop"])
@pytest.mark.parametrize("value", ["fast", "0", "-1%", "nan", "100%"])
def test_a_limit_that_is_none_is_refused(run, reports, option, value):
    ended = run("compare", reports[0], reports[1], option, value)
    assert ended.code == 2
    assert f"{option} '{value}' is no percentage above 0 and below 100" in ended.err


def test_every_form_is_written_whole_even_when_the_gate_closes(run, reports, tmp_path):
    files = {name: tmp_path / f"out.{name}" for name in ("csv", "markdown", "junit")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    ended = run("compare", reports[0], reports[2], "--json", *options)
    assert ended.code == 1
    assert json.loads(ended.out)[0]["verdict"] == "slower"
    assert files["csv"].read_text().startswith("model,alpha,")
    assert files["markdown"].read_text().startswith("## 1 regression\n")
    assert "<failure" in files["junit"].read_text()


@pytest.mark.parametrize("name", ["csv", "markdown", "junit"])
def test_a_dash_is_stdout_and_nothing_else_goes_there(run, reports, name):
    ended = run("compare", *reports[:2], f"--{name}", "-")
    assert ended.code == 0
    assert ended.out.startswith(
        {"csv": "model,", "markdown": "## No regression\n", "junit": "<?xml"}[name]
    )
    assert "1 chance" not in ended.out


def test_stdout_takes_one_document(run, reports):
    ended = run("compare", *reports[:2], "--csv", "-", "--json")
    assert ended.code == 2
    assert "stdout takes one of" in ended.err


def test_a_destination_that_cannot_be_is_refused_before_reading(run, tmp_path):
    ended = run("compare", "none.csv", "none.csv", "--csv", str(tmp_path / "no" / "x.csv"))
    assert ended.code == 2
    assert "does not exist: make it first" in ended.err


@pytest.mark.parametrize("option", ["--csv", "--markdown", "--junit", "--html"])
def test_no_document_replaces_a_report_that_it_is_made_of(run, reports, option):
    before = [Path(path).read_bytes() for path in reports]
    for taken in reports[:2]:
        ended = run("compare", reports[0], reports[1], option, taken)
        assert ended.code == 2
        assert f"{taken} is read, and would be replaced" in ended.err
    ended = run("check", reports[0], "--csv", reports[0])
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert [Path(path).read_bytes() for path in reports] == before


def test_different_machines_are_refused_with_the_option_that_allows_them(run, tmp_path, reports):
    other = save(tmp_path / "other.csv", repeats(2, env_id="elsewhere"))
    ended = run("compare", reports[0], other)
    assert ended.code == 2
    assert "--across-machines" in ended.err
    assert run("compare", reports[0], other, "--across-machines").code == 0


def test_extra_columns_are_said_on_stderr_and_do_no_harm(run, tmp_path, reports):
    extra = save(tmp_path / "extra.csv", [r | {"mood": 1} for r in repeats(2)], (*NAMES, "mood"))
    ended = run("compare", reports[0], extra)
    assert ended.code == 0
    assert ended.err == f"{extra} has extra columns, ignored: mood\n"


def test_rows_that_are_there_twice_end_with_2(run, tmp_path, reports):
    twice = save(tmp_path / "twice.csv", [row(), row()])
    ended = run("compare", reports[0], twice)
    assert ended.code == 2
    assert "lines 2 and 3: duplicate rows" in ended.err
