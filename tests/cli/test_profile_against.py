from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import click
import pytest

from deploykit.cli.measuring import against_options
from deploykit.row import Row

SHORT = ("--against-seconds", "1", "--quick", "-q")


def test_a_slower_base_makes_the_judged_side_faster(run):
    ended = run("profile", "lenet5", "--against", "batch=64", *SHORT)
    assert ended.code == 0
    assert "lenet5 fp32 onnxruntime batch 1" in ended.out
    assert "against lenet5 fp32 onnxruntime batch 64" in ended.out
    assert "faster" in ended.out


def test_a_slowdown_beyond_the_threshold_ends_with_1_and_both_rows_are_kept(run, tmp_path):
    ended = run(
        *("profile", "lenet5", "--batch", "64", "--against", "batch=1", "--max-slowdown", "5%"),
        *("--csv", "both.csv", "--json", *SHORT),
    )
    assert ended.code == 1
    assert "slower" in ended.err
    values = json.loads(ended.out)
    assert values["verdict"] == "slower"
    assert 1 < values["low"] <= values["ratio"] <= values["high"]
    assert values["threshold"] == 0.05
    with (tmp_path / "both.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["batch"] for row in rows] == ["1", "64"]
    assert (
        tmp_path / "both-samples" / "env.json"
    ).is_file()  # of the machine, as beside a profile's
    assert all(float(row["latency_p50_ms"]) > 0 for row in rows)
    assert all("interleaved" in row["reason"] for row in rows)


@pytest.mark.parametrize("document", ["--csv", "--markdown", "--html"])
def test_the_answer_is_on_stderr_where_stdout_takes_a_document(run, monkeypatch, document):
    row = Row({"schema": 1, "status": "ok", "model": "lenet5", "precision": "fp32"})
    sides = SimpleNamespace(base=row, head=row, comparison=SimpleNamespace(verdict="faster"))
    monkeypatch.setattr("deploykit.workflow.against.compare_sides", lambda *a, **more: sides)
    monkeypatch.setattr("deploykit.workflow.against.sentence", lambda comparison: "faster: so much")
    ended = run("profile", "lenet5", "--against", "batch=64", document, "-", *SHORT)
    assert ended.code == 0, ended.err
    assert ended.err.endswith("batch 64: faster: so much\n")
    assert not ended.out.rstrip().endswith("so much")


def test_several_configurations_are_refused(run):
    ended = run("profile", "lenet5", "--batch", "1,2", "--against", "int8")
    assert ended.code == 2
    assert "one configuration" in ended.err


def test_options_of_it_alone_are_refused_without_it(run):
    ended = run("profile", "lenet5", "--max-slowdown", "5%")
    assert ended.code == 2
    assert "--against" in ended.err


def test_an_engine_folder_of_the_store_is_a_side(run, shared_store):
    assert run("build", "lenet5", "--precision", "fp32", "-q").code == 0
    folder = next(shared_store.root.glob("lenet5-fp32-onnxruntime-*"))
    ended = run("profile", "lenet5", "--batch", "8", "--against", folder, *SHORT)
    assert ended.code == 0
    assert "times the base's latency" in ended.out


def test_a_damaged_engine_is_said_in_one_line(run, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    ended = run("profile", "lenet5", "--against", "broken", *SHORT)
    assert ended.code == 2
    assert "no whole engine" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_bare_number_is_of_percent_as_compare_takes_it():
    @click.command()
    @against_options
    def command(against):
        return against

    options = ["--against", "int8", "--max-slowdown", "5"]
    assert command.main(options, standalone_mode=False).threshold == 0.05
