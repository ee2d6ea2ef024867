"""`deploykit profile --constraint`: what is tried, chosen and answered."""

from __future__ import annotations

import csv
import io

LENET5 = ("profile", "lenet5", "--weights", "trained", "-q", "--seconds", "0.1", "--threads", "1")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_load_that_was_tried_is_a_row_and_the_chosen_one_is_marked(run, tmp_path):
    # Any batch holds a minute: the list or the gains end the search.
    ended = run(
        *LENET5, "--batch", "1,2", "--constraint", "latency_p95_ms<=60000", "--csv", "c.csv"
    )
    assert ended.code == 0, ended.err
    rows = rows_of((tmp_path / "c.csv").read_text())
    assert [row["batch"] for row in rows] == ["1", "2"]
    said = [row["constraint"] for row in rows]
    assert sorted(said) == ["latency_p95_ms<=60000 holds", "latency_p95_ms<=60000 holds: chosen"]
    best = rows[said.index("latency_p95_ms<=60000 holds: chosen")]["batch"]
    answer = ended.out.strip().splitlines()[-1]
    assert f"take batch {best}: latency_p95_ms<=60000 holds" in answer


def test_where_nothing_holds_the_command_ends_with_1_and_says_what_was_seen(run):
    ended = run(*LENET5, "--constraint", "latency_p50_ms<=0.000001", "--csv", "-", "--no-samples")
    assert ended.code == 1
    (row,) = rows_of(ended.out)
    assert row["constraint"] == "latency_p50_ms<=0.000001 fails"
    assert "holds at no batch; at 1, it is" in ended.err


def test_a_single_rate_is_the_highest_that_is_tried(run, tmp_path):
    limit = ("--rate", "1600/s", "--constraint", "latency_p50_ms<=0.000001")
    assert run(*LENET5, *limit, "--csv", "c.csv").code == 1
    (row,) = rows_of((tmp_path / "c.csv").read_text())
    assert row["rate_per_s"] == "100"


def test_the_percentile_of_a_constraint_gets_its_samples(run, tmp_path):
    limit = ("--rate", "400,401", "--constraint", "latency_p99_ms<=0.000001")
    assert run(*LENET5, *limit, "--csv", "c.csv").code == 1
    (row,) = rows_of((tmp_path / "c.csv").read_text())
    assert int(row["iterations"]) >= 662


def test_a_load_that_can_not_be_measured_fails_with_its_own_exit_code(run, tmp_path):
    (tmp_path / "text.onnx").write_text("not a graph")
    ended = run("profile", "text.onnx", "-q", "--constraint", "latency_p95_ms<=10")
    assert ended.code == 2
    assert "text.onnx is not an ONNX file" in ended.out
