"""The main job from end to end on two small networks, and what a second run does."""

from __future__ import annotations

import csv
import json
from fractions import Fraction

import pytest
from stored_reports import ROW

import deploykit
from deploykit import env
from deploykit.bench.scenario import Policy
from deploykit.claims import list_claims, parse_claims
from deploykit.cli import invoke
from deploykit.columns import NAMES
from deploykit.errors import OutputFailed, UsageError
from deploykit.report.csv import row_of
from deploykit.spec import ModelSpec
from deploykit.workflow import run as run_module
from deploykit.workflow.configuration import ProfileOptions
from deploykit.workflow.run import BACKENDS, PRECISIONS, Run, write_environment

SOURCES = (
    ModelSpec("lenet5", weights="trained"),
    ModelSpec("mobilenet", alpha=0.25, rho=Fraction(4, 7)),
)
#: Claims that stand for all: what each comes to is tested beside them.
CLAIMS = list_claims()[:4]
BRIEF = ProfileOptions(
    precisions=PRECISIONS,
    backends=BACKENDS,
    policy=Policy(
        warmup_s=0.02, warmup_max_s=0.2, window_s=0.01, min_s=0.05, max_s=0.5, block_s=0.02
    ),
)


def contents(root):
    return {p.relative_to(root): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def twice(shared_store, tmp_path_factory):
    """The result of a first run, and the store's files after it and after a second one."""
    folder = tmp_path_factory.mktemp("run") / "deep" / "reports"
    patch = pytest.MonkeyPatch()
    patch.setattr(env, "gpu_names", list)  # where there is a GPU, rows are not skipped
    steps, finished = [], []
    job = Run(
        folder,
        shared_store,
        BRIEF,
        SOURCES,
        step=lambda: steps.append(1),
        finished=finished.append,
        claims=CLAIMS,
    )
    first = job()
    after_first = contents(shared_store.root)
    # claims touch no store, and the first run has checked them
    patch.setattr(run_module, "evaluate_claims", lambda rows, claims: [])
    second = Run(folder.with_name("second"), shared_store, BRIEF, SOURCES)()
    after_second = contents(shared_store.root)
    patch.undo()
    assert len(steps) == 1
    assert finished == list(first.rows)
    assert len(finished) == len(job.wanted)
    return first, second, after_first, after_second


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_reports(twice):
    first, *_ = twice
    assert {p.name for p in first.folder.iterdir()} == {
        "profile.csv",
        "claims.csv",
        "summary.md",
        "env.json",
    }


def test_the_profile_has_a_row_for_every_configuration(twice):
    first, *_ = twice
    rows = read(first.folder / "profile.csv")
    assert list(rows[0]) == list(NAMES)
    assert len(rows) == len(SOURCES) * len(PRECISIONS) * len(BACKENDS)
    status = {(row["backend"], row["status"]) for row in rows}
    assert status == {("onnxruntime", "ok"), ("tensorrt-rtx", "skipped")}
    for row in rows:
        emulated = row["backend"] == "onnxruntime" and row["precision"] == "fp16"
        assert row["precision_actual"] == ("fp32" if emulated else row["precision"])


def test_accuracy_is_real_where_weights_are_and_blank_where_they_are_random(twice):
    first, *_ = twice
    for row in read(first.folder / "profile.csv"):
        if row["status"] == "ok" and row["weights"] == "trained":
            assert float(row["top1"]) > 0.98
        else:
            assert row["top1"] == ""
        assert (row["drift_snr_db"] != "") == (row["status"] == "ok")


def test_every_claim_has_a_verdict(twice):
    first, *_ = twice
    rows = read(first.folder / "claims.csv")
    assert [row["id"] for row in rows] == [claim.id for claim in CLAIMS]
    assert all(row["verdict"] for row in rows)


def test_the_environment_of_the_rows_is_described(twice):
    first, *_ = twice
    described = json.loads((first.folder / "env.json").read_text())
    ids = {row["env_id"] for row in read(first.folder / "profile.csv")}
    assert ids == set(described) == {env.env_id()}
    assert described[env.env_id()]["packages"]["onnxruntime"]


def test_the_summary_shows_what_was_measured_and_what_was_only_built(twice):
    first, *_ = twice
    text = (first.folder / "summary.md").read_text()
    assert "mobilenet α=0.25 ρ=4/7" in text
    assert "| fp16 (as fp32) |" in text
    assert "no NVIDIA GPU here" in text
    assert all(claim.id in text for claim in CLAIMS)


def test_a_second_run_builds_nothing(twice):
    first, second, after_first, after_second = twice
    # the predictions of the fp32 row are measured anew, as its latency is
    measured = {p for p in after_second if p.name.startswith("predictions-")}
    made = [p for p in after_second if after_first.get(p) != after_second[p] and p not in measured]
    assert made == []
    assert [r["build_s"] for r in second.rows] == [r["build_s"] for r in first.rows]
    assert [r["macs"] for r in second.rows] == [r["macs"] for r in first.rows]


def test_other_machines_in_the_environment_file_stay(tmp_path):
    (tmp_path / "env.json").write_text('{"0123": {"env_id": "0123"}}')
    write_environment(tmp_path)
    assert set(json.loads((tmp_path / "env.json").read_text())) == {"0123", env.env_id()}


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000], ids=["cut", "list", "nested"])
def test_an_environment_file_that_cannot_be_read_is_one_line(tmp_path, text):
    (tmp_path / "env.json").write_text(text)
    with pytest.raises(OutputFailed, match="delete it"):
        write_environment(tmp_path)
    assert (tmp_path / "env.json").read_text() == text


def test_a_file_where_the_reports_should_go_is_refused_before_any_work(shared_store, tmp_path):
    (tmp_path / "reports").write_text("")
    with pytest.raises(UsageError, match="name a folder for the reports with --reports"):
        Run(tmp_path / "reports", shared_store, BRIEF, SOURCES)()


#: Claims of a user's own: the first and the last divide by what the network has none of.
OF_ONES_OWN = "\n".join(
    f"""
[[claim]]
id = "{name}"
statement = "s"
source = "s"
about = "x"
kind = "counted"
stated = {stated}
unit = "parameters"
{how}
expected = "confirmed"
parts = "holds"
"""
    for name, stated, how in (
        ("first", 1, 'check = "counted"\narguments = { of = "1 / nodes(lenet5, Concat)" }'),
        ("lenet", 61_706, 'check = "count"\narguments = { network = "lenet5" }'),
        ("last", 1, 'check = "counted"\narguments = { of = "2 / nodes(lenet5, Concat)" }'),
    )
)


@pytest.fixture
def measured(monkeypatch):
    """Let a run have one row that is measured already."""

    class Measured:
        def __init__(self, *arguments):
            pass

        def rows(self, wanted):
            return [row_of(ROW)]

    monkeypatch.setattr(run_module, "Profiler", Measured)


def test_a_claim_that_can_not_be_judged_costs_none_of_the_reports(measured, shared_store, tmp_path):
    claims = parse_claims(OF_ONES_OWN)
    done = Run(tmp_path, shared_store, BRIEF, SOURCES, claims=claims)()
    assert [(verdict.claim.id, verdict.verdict) for verdict in done.verdicts] == [
        ("first", "undecided"),
        ("lenet", "confirmed"),
        ("last", "undecided"),
    ]
    first, last = map(str, done.errors)
    assert first.startswith("claim first: ")
    assert last.startswith("claim last: ")
    rows = {one["id"]: one for one in read(tmp_path / "claims.csv")}
    assert list(rows) == ["first", "lenet", "last"]
    assert rows["first"]["explanation"].startswith("Not checked: claim first: ")
    text = (tmp_path / "summary.md").read_text()
    assert "Not checked: claim first: " in text
    assert "Not checked: claim last: " in text
    assert "Of 3 claims, 2 undecided and 1 confirmed" in text
    assert "unexpected: first (could not be evaluated), last (could not be evaluated)" in text


def test_what_a_claim_raised_is_told_when_the_reports_are_written(
    measured, monkeypatch, shared_store, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(OF_ONES_OWN)
    asked = ["run", "lenet5", "--precision", "fp32", "--claims", "mine.toml", "-q"]
    assert invoke([*asked, "--store", str(shared_store.root)]) == 2
    shown = capsys.readouterr()
    assert "Reports in results: profile.csv, claims.csv, summary.md, env.json" in shown.out
    *_, other, error = shown.err.splitlines()
    assert other.startswith("deploykit: claim last: ")
    assert error.startswith("deploykit: claim first: ")
    with pytest.raises(UsageError, match=r"^claim first: "):
        deploykit.run("lenet5", precisions="fp32", claims="mine.toml", store=shared_store)
